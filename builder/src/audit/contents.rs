//! Rules about the list: signers, pins, origins, images, completeness.

use std::collections::BTreeSet;

use kbundle_advisories::place;
use kbundle_format::{Entry, Image, KeyId};
use kbundle_sbom::cyclonedx::{Component, PATH, PLATFORM, REFERENCE};

use super::policy::{Choice, Completeness, ListOfPackages, Origins, Pins, Signers};
use super::{BomSource, Breach, Checked, Evidence, Looked, Policy, Rule};

/// The rules of the policy, in the order of reports.
pub fn check(policy: &Policy, evidence: &Evidence<'_>) -> Vec<Checked> {
    let images = policy.images.as_ref();
    let checked = [
        policy.signers.as_ref().map(|rule| signers(rule, evidence)),
        policy.signers.as_ref().and_then(|rule| Some(key_age(rule.max_key_age_days?, evidence))),
        policy.pins.as_ref().map(|rule| pins(rule, evidence)),
        policy.origins.as_ref().map(|rule| origins(rule, evidence)),
        policy.completeness.as_ref().map(|rule| completeness(rule, evidence)),
        images.filter(|images| images.root_user == Choice::Refuse).map(|_| users(evidence)),
        images.filter(|images| images.latest_tag == Choice::Refuse).map(|_| tags(evidence)),
        images.filter(|images| images.privileged_files == Choice::Refuse).map(|_| privileged_files(evidence)),
    ];
    checked.into_iter().flatten().collect()
}

fn key_age(most: u32, evidence: &Evidence<'_>) -> Checked {
    let age = |key: &KeyId| evidence.key_days.get(key).map(|day| day.days_until(evidence.today));
    let breach = |key: &KeyId| match age(key) {
        // A key from tomorrow is as doubtful as one from ten years ago: one of the two dates is wrong.
        Some(age) if (0..=i64::from(most)).contains(&age) => None,
        Some(age) => Some(Breach::of(key.to_string(), evidence.of_list(), format!("in use for {age} days"))),
        None => Some(Breach::of(key.to_string(), evidence.of_list(), "its file states no first day of use")),
    };
    let expected = format!("keys of signers that have been in use for at most {most} days");
    let found = format!("{} such keys", evidence.signers.len());
    Checked::new(Rule::KeyAge, expected, found, evidence.signers.iter().filter_map(breach).collect())
}

fn signers(rule: &Signers, evidence: &Evidence<'_>) -> Checked {
    let counts = |key: &&KeyId| rule.keys.is_empty() || rule.keys.contains(key);
    let signed: Vec<_> = evidence.signers.iter().filter(counts).map(ToString::to_string).collect();
    let of = if rule.keys.is_empty() { "trusted keys" } else { "the keys of the policy that are trusted" };
    let expected = format!("signed by at least {} of {of}", rule.threshold);
    let found = match signed.len() {
        0 => "no signature by such a key was verified".to_owned(),
        count => format!("{count}: {}", signed.join(", ")),
    };
    let is_enough = signed.len() >= rule.threshold;
    let breach = (!is_enough).then(|| Breach::of("bundle", evidence.of_list(), found.clone()));
    Checked::new(Rule::Signers, expected, found, breach.into_iter().collect())
}

fn looked(entry: &Entry) -> Vec<Looked> {
    vec![Looked { name: entry.path.to_string(), digest: entry.digest }]
}

fn pins(rule: &Pins, evidence: &Evidence<'_>) -> Checked {
    let allowed: Vec<_> = rule.allowed.iter().map(|pin| pin.as_str()).collect();
    let pinned = evidence.list.entries.iter().filter_map(|entry| Some((entry, entry.origin.as_ref()?)));
    let breaches: Vec<_> = pinned
        .clone()
        .filter(|(_, origin)| !rule.allowed.contains(&origin.pin))
        .map(|(entry, origin)| {
            let mut breach =
                Breach::of(entry.path.as_str(), looked(entry), format!("{}, from {}", origin.pin.as_str(), origin.url));
            breach.items.push(origin.url.clone());
            breach
        })
        .collect();
    let found = format!("{} entries, each pinned so", pinned.count());
    Checked::new(Rule::Pins, format!("pinned by {}", allowed.join(", ")), found, breaches)
}

/// The host of an address, a registry's too; `None` of a file of the site.
fn host(url: &str) -> Option<&str> {
    url.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest))
}

fn is_allowed(host: &str, rule: &Origins) -> bool {
    rule.hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
        Some(end) => end.starts_with('.') && host.len() > end.len() && host.ends_with(end),
        None => host == allowed,
    })
}

fn origins(rule: &Origins, evidence: &Evidence<'_>) -> Checked {
    let from = evidence.list.entries.iter().filter_map(|entry| Some((entry, host(&entry.origin.as_ref()?.url)?)));
    let hosts: BTreeSet<&str> = from.clone().map(|(_, host)| host).collect();
    let foreign = hosts.iter().filter(|host| !is_allowed(host, rule)).map(|foreign| {
        let entries: Vec<_> = from.clone().filter(|(_, host)| host == foreign).map(|(entry, _)| entry).collect();
        Breach::of(*foreign, entries.iter().copied().flat_map(looked).collect(), format!("{} entries", entries.len()))
    });
    let breaches = foreign.collect();
    let found = hosts.iter().copied().collect::<Vec<_>>().join(", ");
    Checked::new(Rule::Origins, format!("content of {}", rule.hosts.join(", ")), found, breaches)
}

/// A breach by an image.
fn of_image(image: &Image, found: &str) -> Breach {
    let name = format!("{} ({})", image.reference, image.platform);
    let mut breach = Breach::of(name.clone(), vec![Looked { name, digest: image.manifest }], found);
    breach.items.push(image.reference.to_string());
    breach
}

fn users(evidence: &Evidence<'_>) -> Checked {
    let is_root = |user: &str| ["", "0", "root"].contains(&user.split(':').next().unwrap_or_default());
    let breach = |image: &Image| match evidence.users.get(&image.manifest) {
        Some(user) if user.is_empty() => Some(of_image(image, "no user, which is root")),
        Some(user) if is_root(user) => Some(of_image(image, &format!("user {user}"))),
        Some(_) => None,
        None => Some(of_image(image, "its user is not known")),
    };
    let images = &evidence.list.images;
    let found = format!("{} images, each with such a user", images.len());
    Checked::new(
        Rule::ImageUsers,
        "images have a user that is not root",
        found,
        images.iter().filter_map(breach).collect(),
    )
}

fn tags(evidence: &Evidence<'_>) -> Checked {
    let breach = |image: &Image| match (image.reference.tag(), image.reference.digest()) {
        (Some("latest"), _) => Some(of_image(image, "the tag latest")),
        (None, None) => Some(of_image(image, "no tag, which is latest")),
        _ => None,
    };
    let images = &evidence.list.images;
    let found = format!("{} images, each with such a name", images.len());
    let expected = "images have a tag that is not latest, or a digest";
    Checked::new(Rule::ImageTags, expected, found, images.iter().filter_map(breach).collect())
}

fn privileged_files(evidence: &Evidence<'_>) -> Checked {
    let breach = |image: &Image| {
        let Some(files) = evidence.privileged.as_ref().and_then(|images| images.get(&image.manifest)) else {
            return Some(of_image(image, "its files were not looked at"));
        };
        let names: Vec<_> = files.iter().map(|file| format!("{} ({})", file.path, file.privilege)).collect();
        (!names.is_empty()).then(|| of_image(image, &names.join(", ")))
    };
    let images = &evidence.list.images;
    let expected = "images have no file that is setuid, setgid or has capabilities";
    let found = format!("{} images, each without such a file", images.len());
    Checked::new(Rule::ImagePrivilegedFiles, expected, found, images.iter().filter_map(breach).collect())
}

fn completeness(rule: &Completeness, evidence: &Evidence<'_>) -> Checked {
    let mut breaches = Vec::new();
    let list = |found: &str| Breach::of("list of packages", evidence.of_list(), found);
    match (rule.list_of_packages, evidence.bom_source) {
        (_, BomSource::Computed) => breaches.push(list("the bundle carries none")),
        (_, BomSource::Differs) => breaches.push(list("it is not what the content gives")),
        (ListOfPackages::MadeAgain, BomSource::Carried) => breaches.push(list("it was not compared with the content")),
        _ => {}
    }
    breaches.extend(unlisted(evidence));
    if rule.not_read == Choice::Refuse {
        let unread = evidence.bom.components.iter().filter(|component| component.not_read().next().is_some());
        breaches.extend(unread.map(|component| {
            let place = place(component);
            let mut breach =
                Breach::of(place.name.clone(), Vec::new(), component.not_read().collect::<Vec<_>>().join("; "));
            breach.items.extend(component.property(REFERENCE).map(str::to_owned));
            breach.evidence.push(place.into());
            breach
        }));
    }
    let expected = match rule.list_of_packages {
        ListOfPackages::Carried => "a list of packages that covers every image and file",
        ListOfPackages::MadeAgain => {
            "a list of packages that covers every image and file and is what the content gives"
        }
    };
    let found = format!("{} images and files are covered", evidence.bom.components.len());
    Checked::new(Rule::Completeness, expected, found, breaches)
}

/// Images and files that are missing in the list of packages.
fn unlisted(evidence: &Evidence<'_>) -> Vec<Breach> {
    let has_digest = |component: &Component, digest: &kbundle_format::Digest| {
        component.hashes.iter().any(|hash| hash.content == digest.hex())
    };
    let components = &evidence.bom.components;
    let has_image = |image: &&Image| {
        components.iter().any(|component| {
            component.property(REFERENCE) == Some(image.reference.to_string().as_str())
                && component.property(PLATFORM) == Some(image.platform.to_string().as_str())
                && has_digest(component, &image.manifest)
        })
    };
    let has_file = |entry: &&Entry| {
        components.iter().any(|component| {
            component.property(PATH) == Some(entry.path.as_str()) && has_digest(component, &entry.digest)
        })
    };
    let missing = "the list of packages does not have it";
    let images = evidence.list.images.iter().filter(|image| !has_image(image)).map(|image| of_image(image, missing));
    let files = evidence.list.entries.iter().filter(|entry| entry.kind.is_artifact() && !has_file(entry));
    images.chain(files.map(|entry| Breach::of(entry.path.as_str(), looked(entry), missing))).collect()
}
