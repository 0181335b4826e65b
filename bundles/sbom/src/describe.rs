//! Makes the document from an inventory, and the files that a bundle carries.

use kbundle_format::os_package::DistributionName;
use kbundle_format::{BundleList, Digest, Entry, EntryKind};
use packageurl::PackageUrl;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::cyclonedx::{
    Bom, Component, Evidence, ExternalReference, Hash, Kind, LicenceChoice, NOT_READ, NamedLicence, Occurrence, PATH,
    PLATFORM, Property, REFERENCE,
};
use crate::inventory::{FileInventory, ImageInventory, Inventory};
use crate::licence::{Licences, licences};
use crate::overlay::{Located, NotRead, View};
use crate::package::{Ecosystem, OsRelease, Package};

/// The entry with the CycloneDX document.
pub const CYCLONEDX_PATH: &str = "sbom/bundle.cdx.json";
/// The entry with the SPDX document.
pub const SPDX_PATH: &str = "sbom/bundle.spdx.json";

/// The document about the content of `list`, which `inventory` describes. The documents that a list names are not part of it.
#[must_use]
pub fn describe(list: &BundleList, inventory: &Inventory) -> Bom {
    let images = inventory.images.iter().map(image);
    let components: Vec<_> = images.chain(inventory.files.iter().map(file)).collect();
    let content = content_digest(list);
    let bundle = Component {
        kind: Kind::Application,
        reference: Some("bundle".to_owned()),
        name: "kubernetes-bundle".to_owned(),
        version: Some(list.kubernetes_version.to_string()),
        properties: list.platforms.iter().map(|platform| property(PLATFORM, platform)).collect(),
        ..Component::default()
    };
    Bom::new(&content, inventory.newest.and_then(second), bundle, components)
}

/// The digest of the list without the documents: they cannot contain a digest of something that contains them.
fn content_digest(list: &BundleList) -> Digest {
    let mut list = list.clone();
    list.entries.retain(|entry| entry.kind != EntryKind::Sbom);
    Digest::of(&list.to_bytes())
}

/// A time in the form of both formats, in seconds.
fn second(time: OffsetDateTime) -> Option<String> {
    time.to_offset(UtcOffset::UTC).replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what they have")]
fn property(name: &str, value: impl ToString) -> Property {
    Property { name: name.to_owned(), value: value.to_string() }
}

fn image(ImageInventory { image, licence, view }: &ImageInventory) -> Component {
    let (reference, platform) = (&image.reference, &image.platform);
    let name = format!("{}/{}", reference.registry(), reference.repository());
    let text = reference.to_string();
    let version = text.strip_prefix(&name).map(|rest| rest.trim_start_matches([':', '@']).to_owned());
    let place = format!("image/{reference}/{platform}");
    let mut purl = PackageUrl::new("oci", name.rsplit('/').next().unwrap_or(&name).to_owned());
    if let Ok(purl) = &mut purl {
        let qualifiers = [("arch", platform.architecture()), ("repository_url", name.as_str())];
        // Names and values without characters that a package URL refuses.
        let _ = purl.with_version(image.manifest.to_string());
        for (key, value) in qualifiers {
            let _ = purl.add_qualifier(key, value.to_owned());
        }
    }
    Component {
        kind: Kind::Container,
        name,
        version,
        hashes: vec![Hash::from(&image.manifest)],
        licenses: choices(licence.as_slice()),
        purl: purl.ok().map(|purl| purl.to_string()),
        components: contents(&place, view),
        properties: [
            property(REFERENCE, reference),
            property(PLATFORM, platform),
            property("kbundle:pinned", image.pinned),
        ]
        .into_iter()
        .chain(view.not_read.iter().map(not_read))
        .collect(),
        reference: Some(place),
        ..Component::default()
    }
}

fn file(FileInventory { entry, view }: &FileInventory) -> Component {
    let place = format!("file/{}", entry.path);
    let is_program = matches!(entry.kind, EntryKind::Binary | EntryKind::Archive);
    let (name, version) = match &entry.component {
        Some(component) => (component.name.clone(), Some(component.version.clone())),
        None => (entry.path.to_string(), None),
    };
    let url = entry.origin.as_ref().map(|origin| origin.url.clone());
    let platform = entry.platform.as_ref().map(|platform| property(PLATFORM, platform));
    Component {
        kind: if is_program { Kind::Application } else { Kind::File },
        cpe: cpe(&name, version.as_deref()),
        purl: deb_purl(entry).or_else(|| generic_purl(&name, version.as_deref(), entry)),
        name,
        version,
        hashes: vec![Hash::from(&entry.digest)],
        licenses: choices(entry.licence.as_slice()),
        external_references: url
            .map(|url| ExternalReference { kind: "distribution".to_owned(), url })
            .into_iter()
            .collect(),
        components: contents(&place, view),
        properties: [property(PATH, &entry.path)]
            .into_iter()
            .chain(platform)
            .chain(view.not_read.iter().map(not_read))
            .collect(),
        reference: Some(place),
        ..Component::default()
    }
}

/// Kubernetes' own programs have one product name in the Common Platform Enumeration.
fn cpe(name: &str, version: Option<&str>) -> Option<String> {
    let version = version.filter(|_| ["kubelet", "kubeadm", "kubectl"].contains(&name))?;
    Some(format!("cpe:2.3:a:kubernetes:kubernetes:{version}:*:*:*:*:*:*:*"))
}

/// The package URL of a distribution's package, in the form of advisories.
fn deb_purl(entry: &Entry) -> Option<String> {
    let distribution = DistributionName::of_entry(entry)?;
    let component = entry.component.as_ref()?;
    let architecture = entry.path.as_str().strip_suffix(".deb")?.rsplit('_').next()?;
    let (id, version) = distribution.as_str().rsplit_once('-')?;
    let os = OsRelease { id: id.to_owned(), version: Some(version.to_owned()), ..OsRelease::default() };
    Package::new(Ecosystem::Deb, &component.name, &component.version).with("arch", architecture).purl(Some(&os))
}

fn generic_purl(name: &str, version: Option<&str>, entry: &Entry) -> Option<String> {
    let mut purl = PackageUrl::new("generic", name.replace('/', "-")).ok()?;
    if let Some(version) = version {
        purl.with_version(version.to_owned()).ok()?;
    }
    purl.add_qualifier("checksum", entry.digest.to_string()).ok()?;
    Some(purl.to_string())
}

/// The operating system and the packages of the image or file that is called `place`.
fn contents(place: &str, view: &View) -> Vec<Component> {
    let os = view.os.iter().map(|os| operating_system(place, os));
    let packages = view.packages.iter().enumerate();
    os.chain(packages.map(|(index, located)| package(&format!("{place}/{index}"), located, view.os.as_ref()))).collect()
}

fn operating_system(place: &str, os: &OsRelease) -> Component {
    Component {
        kind: Kind::OperatingSystem,
        reference: Some(format!("{place}/os")),
        name: os.id.clone(),
        version: os.version.clone(),
        cpe: os.cpe.clone(),
        properties: os.pretty_name.iter().map(|name| property("kbundle:name", name)).collect(),
        ..Component::default()
    }
}

fn package(reference: &str, Located { package, places }: &Located, os: Option<&OsRelease>) -> Component {
    // A Go module is named by its whole path; namespaces of other ecosystems are groups.
    let (group, name) = match package.ecosystem {
        Ecosystem::Go => (None, package.full_name()),
        _ => (package.namespace.clone(), package.name.clone()),
    };
    let occurrences = places.iter().map(|place| Occurrence {
        location: place.path.clone(),
        additional_context: place.layer.as_ref().map(|layer| format!("layer {layer}")),
    });
    Component {
        kind: Kind::Library,
        reference: Some(reference.to_owned()),
        group,
        name,
        version: package.version.clone(),
        licenses: choices(&package.licences),
        cpe: package.cpe.clone(),
        purl: package.purl(os),
        evidence: Some(Evidence { occurrences: occurrences.collect() }),
        ..Component::default()
    }
}

fn choices(stated: &[String]) -> Vec<LicenceChoice> {
    match licences(stated) {
        None => Vec::new(),
        Some(Licences::Expression(expression)) => vec![LicenceChoice::Expression { expression }],
        Some(Licences::Names(names)) => {
            names.into_iter().map(|name| LicenceChoice::Named { license: NamedLicence { name } }).collect()
        }
    }
}

fn not_read(NotRead { place, reason }: &NotRead) -> Property {
    let what = match (place.path.as_str(), &place.layer) {
        ("", Some(layer)) => format!("layer {layer}"),
        ("", None) => "the archive".to_owned(),
        (path, Some(layer)) => format!("{path} (layer {layer})"),
        (path, None) => path.to_owned(),
    };
    property(NOT_READ, format!("{what}: {reason}"))
}
