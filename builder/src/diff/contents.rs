//! Differences between the lists: releases, files, images, signers, pins.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::{Digest, Entry, Image, PinSource};

use super::{Difference, ImageSettings, Side, Topic, both, version_order};

pub fn kubernetes(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let version = |side: &Side<'_>| Some(side.list.kubernetes_version.to_string());
    let release = Difference::of_versions(Topic::Kubernetes, "release", version(old), version(new));
    let platforms = |side: &Side<'_>| -> BTreeMap<String, String> {
        side.list.platforms.iter().map(|platform| (platform.to_string(), "yes".to_owned())).collect()
    };
    let (theirs, ours) = (platforms(old), platforms(new));
    let platforms = both(&theirs, &ours).filter_map(|(name, old, new)| {
        Difference::between(Topic::Kubernetes, &format!("platform {name}"), old.cloned(), new.cloned())
    });
    release.into_iter().chain(platforms).collect()
}

pub fn components(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let versions = |side: &Side<'_>| -> BTreeMap<String, String> {
        let component = |entry: &Entry| {
            let component = entry.component.as_ref()?;
            let platform = entry.platform.as_ref().map(|platform| format!(" {platform}")).unwrap_or_default();
            Some((format!("{}{platform}", component.name), component.version.clone()))
        };
        side.list.entries.iter().filter_map(component).collect()
    };
    let (theirs, ours) = (versions(old), versions(new));
    let versions = both(&theirs, &ours)
        .filter_map(|(name, old, new)| Difference::of_versions(Topic::Components, name, old.cloned(), new.cloned()));
    versions.chain(needs(old, new)).collect()
}

/// Which add-on needs which others first.
fn needs(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let needs = |side: &Side<'_>| -> BTreeMap<String, String> {
        let needs = side.list.after.needs();
        needs.map(|need| (format!("{} needs {} first", need.of, need.name), "yes".to_owned())).collect()
    };
    let (theirs, ours) = (needs(old), needs(new));
    both(&theirs, &ours)
        .filter_map(|(name, old, new)| Difference::between(Topic::Components, name, old.cloned(), new.cloned()))
        .collect()
}

fn files_of<'a>(side: &Side<'a>) -> BTreeMap<String, &'a Entry> {
    let is_file = |entry: &&Entry| entry.kind.is_artifact();
    side.list.entries.iter().filter(is_file).map(|entry| (entry.path.to_string(), entry)).collect()
}

pub fn files(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let (theirs, ours) = (files_of(old), files_of(new));
    let digest = |entry: Option<&&Entry>| entry.map(|entry| entry.digest.to_string());
    both(&theirs, &ours)
        .filter_map(|(path, old, new)| Difference::between(Topic::Files, path, digest(old), digest(new)))
        .collect()
}

/// Images by name and platform, each with its tags in the order of the list: a bundle may have several images of one name.
fn images_of<'a>(side: &Side<'a>) -> BTreeMap<String, Vec<&'a Image>> {
    let mut images: BTreeMap<String, Vec<&Image>> = BTreeMap::new();
    for image in &side.list.images {
        images.entry(image_name(image)).or_default().push(image);
    }
    images
}

fn image_name(image: &Image) -> String {
    format!("{}/{} {}", image.reference.registry(), image.reference.repository(), image.platform)
}

/// The tag, or the digest if there is none.
fn version_of(image: &Image) -> String {
    image.reference.tag().map_or_else(|| image.pinned.to_string(), str::to_owned)
}

/// The images of both sides by name: first those with the same tag; if one is left on each side, these two with their tags.
fn pairs<'a>(old: &Side<'a>, new: &Side<'a>) -> Vec<(String, Option<&'a Image>, Option<&'a Image>)> {
    let (theirs, ours) = (images_of(old), images_of(new));
    let mut pairs = Vec::new();
    for (name, old, new) in both(&theirs, &ours) {
        let (old, new) = (old.map_or(&[][..], Vec::as_slice), new.map_or(&[][..], Vec::as_slice));
        let is_in =
            |image: &Image, others: &[&Image]| others.iter().any(|other| version_of(other) == version_of(image));
        for image in old {
            let same = new.iter().find(|other| version_of(other) == version_of(image));
            pairs.extend(same.map(|same| (format!("{name} ({})", version_of(image)), Some(*image), Some(*same))));
        }
        let gone: Vec<_> = old.iter().filter(|image| !is_in(image, new)).collect();
        let added: Vec<_> = new.iter().filter(|image| !is_in(image, old)).collect();
        if let ([gone], [added]) = (gone.as_slice(), added.as_slice()) {
            pairs.push((name.to_owned(), Some(**gone), Some(**added)));
            continue;
        }
        pairs.extend(gone.into_iter().map(|image| (name.to_owned(), Some(*image), None)));
        pairs.extend(added.into_iter().map(|image| (name.to_owned(), None, Some(*image))));
    }
    pairs
}

pub fn images(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let text = |image: Option<&Image>| image.map(|image| format!("{} ({})", version_of(image), image.manifest));
    let mut differences = Vec::new();
    for (name, before, after) in pairs(old, new) {
        let Some(mut difference) = Difference::between(Topic::Images, &name, text(before), text(after)) else {
            continue;
        };
        if let (Some(before), Some(after)) = (before, after) {
            // Digests do not show which version is higher.
            difference.change = version_order::change(&version_of(before), &version_of(after));
            let layers = new_layers(old.images.get(&before.manifest), new.images.get(&after.manifest));
            difference.new = difference.new.map(|text| text + &layers);
        }
        differences.push(difference);
    }
    differences
}

fn new_layers(old: Option<&ImageSettings>, new: Option<&ImageSettings>) -> String {
    let (Some(old), Some(new)) = (old, new) else { return String::new() };
    let count = new.layers.iter().filter(|layer| !old.layers.contains(layer)).count();
    format!(", {count} of {} layers new", new.layers.len())
}

pub fn settings(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let of = |side: &Side<'_>, image: Option<&Image>| side.images.get(&image?.manifest).cloned();
    let mut differences = Vec::new();
    for (name, before, after) in pairs(old, new) {
        // An image on only one side is a separate difference.
        let (Some(theirs), Some(ours)) = (of(old, before), of(new, after)) else { continue };
        let found = both(&theirs.settings, &ours.settings).filter_map(|(setting, old, new)| {
            Difference::between(Topic::Settings, setting, old.cloned(), new.cloned())
        });
        differences.extend(found.map(|difference| difference.within(&name)));
    }
    differences
}

pub fn signers(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let keys = |side: &Side<'_>| -> BTreeMap<String, String> {
        side.signers.iter().map(|key| (key.to_string(), "signed".to_owned())).collect()
    };
    let (theirs, ours) = (keys(old), keys(new));
    both(&theirs, &ours)
        .filter_map(|(key, old, new)| Difference::between(Topic::Signers, key, old.cloned(), new.cloned()))
        .collect()
}

pub fn pins(old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let (theirs, ours) = (origins(old), origins(new));
    let origins = both(&theirs, &ours)
        // Something on only one side is a difference of files or images.
        .filter(|(_, old, new)| old.is_some() && new.is_some())
        .filter_map(|(name, old, new)| Difference::between(Topic::Pins, name, old.cloned(), new.cloned()));
    let catalogs = |side: &Side<'_>| -> BTreeMap<String, String> {
        side.list.sources.iter().map(|source| (format!("catalog {}", source.name), source.digest.to_string())).collect()
    };
    let (theirs, ours) = (catalogs(old), catalogs(new));
    let catalogs = both(&theirs, &ours)
        .filter_map(|(name, old, new)| Difference::between(Topic::Pins, name, old.cloned(), new.cloned()));
    origins.chain(catalogs).collect()
}

/// How each file and image was pinned, and the server that it came from.
fn origins(side: &Side<'_>) -> BTreeMap<String, String> {
    let text = |entry: &Entry| {
        let origin = entry.origin.as_ref()?;
        Some(format!("{} from {}", pin_name(origin.pin), server(&origin.url)))
    };
    let files = files_of(side).into_iter().filter_map(|(path, entry)| Some((path, text(entry)?)));
    let by_digest: BTreeMap<&Digest, &Entry> = side.list.entries.iter().map(|entry| (&entry.digest, entry)).collect();
    let images = images_of(side).into_iter().map(|(name, images)| {
        let pins: BTreeSet<String> = images.iter().filter_map(|image| text(by_digest.get(&image.pinned)?)).collect();
        (name, pins.into_iter().collect::<Vec<_>>().join(", "))
    });
    files.chain(images).collect()
}

fn pin_name(pin: PinSource) -> &'static str {
    match pin {
        PinSource::Catalog => "catalog",
        PinSource::UpstreamChecksum => "upstream checksum",
        PinSource::TrustOnFirstUse => "trust on first use",
        PinSource::Referenced => "referenced by digest",
        PinSource::LocalFile => "local file",
    }
}

/// The server in an address, such as `https://dl.k8s.io`.
fn server(url: &str) -> &str {
    let start = url.find("://").map_or(0, |place| place + 3);
    &url[..url[start..].find('/').map_or(url.len(), |place| start + place)]
}
