//! `kbundle build --dry-run`: what a build would fetch, and what pins each of it. Nothing is asked of the network.

use std::collections::BTreeSet;

use kbundle::lock::Lock;
use kbundle::mirror::Mirrors;
use kbundle::resolve::{Pin, SelectedArtifact, SelectedImage, Selection};
use kbundle::spec::SpecFile;
use kbundle_cli::{Explained as _, output};
use kbundle_format::{Component, Digest, EntryKind, EntryPath, ImageRef, KubeVersion, PinSource, Platform, Role};
use serde::Serialize;

use super::build::{locked_mirrors, read_lock};
use super::source::{self, Wishes};
use crate::cli::BuildArgs;

/// What `--output json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: u32,
    kubernetes_version: KubeVersion,
    platforms: BTreeSet<Platform>,
    files: Vec<File>,
    images: Vec<Image>,
    /// What no catalog and no project pins: addresses and image references.
    pinned_at_first_build: Vec<String>,
}

/// What makes content believable.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PinReport {
    source: PinSource,
    /// What the content has to be, where that is known before it is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    /// Where the project publishes the digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    path: EntryPath,
    kind: EntryKind,
    component: Component,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    roles: BTreeSet<Role>,
    /// Where it is fetched from, by way of a mirror where there is one.
    url: String,
    pin: PinReport,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    reference: ImageRef,
    /// The platform that the lock has it for; absent where it is for every platform of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    roles: BTreeSet<Role>,
    pin: PinReport,
}

pub fn run(arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<()> {
    let report = if let Some(path) = &arguments.locked {
        of_lock(read_lock(path, arguments, file)?, &locked_mirrors(arguments, file))
    } else {
        let Wishes { spec, catalog, mirrors } = source::wishes(&arguments.spec, file)?;
        of_selection(catalog.select(&spec).explained()?, &mirrors)
    };
    output::note("dry run: nothing is fetched and nothing is written")?;
    output::result(arguments.output, &text(&report), &report)?;
    if !report.pinned_at_first_build.is_empty() {
        output::note(&format!(
            "pinned at the first build, which needs `--trust-on-first-use`: {}",
            report.pinned_at_first_build.join(", ")
        ))?;
    }
    Ok(())
}

fn of_selection(selection: Selection, mirrors: &Mirrors) -> Report {
    Report {
        schema: 1,
        kubernetes_version: selection.kubernetes,
        pinned_at_first_build: selection.loose().into_iter().map(|loose| loose.what).collect(),
        platforms: selection.platforms,
        files: selection.artifacts.into_iter().map(|file| selected_file(file, mirrors)).collect(),
        images: selection.images.into_iter().map(selected_image).collect(),
    }
}

fn selected_file(file: SelectedArtifact, mirrors: &Mirrors) -> File {
    let pin = match &file.pin {
        Pin::Catalog(digest) => pinned(PinSource::Catalog, Some(*digest)),
        Pin::UpstreamChecksum(url) => {
            PinReport { published_at: Some(mirrors.rewrite(url)), ..pinned(PinSource::UpstreamChecksum, None) }
        }
        Pin::FirstUse => pinned(PinSource::TrustOnFirstUse, None),
    };
    let SelectedArtifact { path, url, kind, component, platform, roles, .. } = file;
    File { path, kind, component, platform, roles, url: mirrors.rewrite(&url), pin }
}

fn selected_image(image: SelectedImage) -> Image {
    let source = if image.digest.is_some() { PinSource::Catalog } else { PinSource::TrustOnFirstUse };
    let SelectedImage { reference, digest, roles, .. } = image;
    Image { reference, platform: None, roles, pin: pinned(source, digest) }
}

/// A lock pins everything; `source` then tells how it came by the digest.
fn of_lock(lock: Lock, mirrors: &Mirrors) -> Report {
    let files = lock.artifacts.into_iter().map(|file| File {
        path: file.path,
        kind: file.kind,
        component: file.component,
        platform: file.platform,
        roles: file.roles,
        url: mirrors.rewrite(&file.url),
        pin: pinned(file.pin, Some(file.digest)),
    });
    let images = lock.images.into_iter().map(|image| Image {
        pin: pinned(image.pin, Some(image.pinned().digest)),
        reference: image.reference,
        platform: Some(image.platform),
        roles: image.roles,
    });
    Report {
        schema: 1,
        kubernetes_version: lock.kubernetes,
        platforms: lock.platforms,
        files: files.collect(),
        images: images.collect(),
        pinned_at_first_build: Vec::new(),
    }
}

fn pinned(source: PinSource, digest: Option<Digest>) -> PinReport {
    PinReport { source, digest, published_at: None }
}

fn text(report: &Report) -> String {
    let files = report.files.iter().map(|file| format!("{} {}", pin_text(&file.pin), file.url));
    let images = report.images.iter().map(|image| {
        let platform = image.platform.as_ref().map(|platform| format!(" {platform}")).unwrap_or_default();
        format!("{} {}{platform}", pin_text(&image.pin), image.reference)
    });
    files.chain(images).collect::<Vec<_>>().join("\n")
}

fn pin_text(pin: &PinReport) -> String {
    match (&pin.digest, &pin.published_at) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(url)) => format!("(digest from {url})"),
        (None, None) => "(pinned at the first build)".to_owned(),
    }
}
