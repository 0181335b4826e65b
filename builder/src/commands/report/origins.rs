//! Where each byte came from: a table and a picture of sources, kinds of content, and bytes.

mod picture;

use std::collections::BTreeMap;

use indicatif::HumanBytes;
use kbundle_format::{BundleList, Entry, EntryKind};
use kbundle_page::Table;
use maud::{Markup, html};

/// Content of one kind from one source, pinned in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow<'a> {
    source: &'a str,
    kind: &'static str,
    pin: &'a str,
}

/// An amount of content.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    entries: usize,
    bytes: u64,
}

/// The picture, and the table that has its figures.
pub fn of(list: &BundleList) -> Markup {
    let flows = flows(list);
    let rows = flows.iter().map(|(flow, amount)| {
        html! {
            td { (flow.source) }
            td { (flow.kind) }
            td { (flow.pin) }
            td { (amount.entries) }
            td data-order=(amount.bytes) { (HumanBytes(amount.bytes)) }
        }
    });
    let mut bytes = BTreeMap::new();
    for (flow, amount) in &flows {
        *bytes.entry((flow.source, flow.kind)).or_default() += amount.bytes;
    }
    html! {
        (picture::of(&bytes))
        (Table::new("sources", ["Host or registry", "Content", "Pinned by", "Entries", "Size"]).with(rows).html())
    }
}

fn flows(list: &BundleList) -> BTreeMap<Flow<'_>, Amount> {
    let mut flows: BTreeMap<_, Amount> = BTreeMap::new();
    for entry in &list.entries {
        let amount = flows.entry(flow(entry)).or_default();
        amount.entries += 1;
        amount.bytes += entry.size;
    }
    flows
}

fn flow(entry: &Entry) -> Flow<'_> {
    let kind = kind(entry.kind);
    let Some(origin) = &entry.origin else { return Flow { source: "made by the build", kind, pin: "-" } };
    let host = origin.url.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    Flow { source: host.unwrap_or("the site's own files"), kind, pin: origin.pin.as_str() }
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Binary => "binaries",
        EntryKind::Archive => "archives",
        EntryKind::OciLayout
        | EntryKind::ImageIndex
        | EntryKind::ImageManifest
        | EntryKind::ImageConfig
        | EntryKind::ImageLayer => "images",
        EntryKind::Manifest => "manifests",
        EntryKind::Chart | EntryKind::ChartValues => "charts",
        EntryKind::HostFile => "files of the site",
        EntryKind::OsPackage => "OS packages",
        EntryKind::Sbom => "lists of packages",
    }
}
