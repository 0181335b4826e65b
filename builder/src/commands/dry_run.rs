//! `kbundle build --dry-run`: what a build would fetch, the pin of each item, and what the bundle costs. Nothing is written, and servers
//! are asked only for sizes, if at all.

mod cost;

use std::collections::{BTreeSet, HashSet};
use std::iter::zip;
use std::path::PathBuf;

use indicatif::HumanBytes;
use kbundle::catalog::Catalog;
use kbundle::demand::{Demand, Size};
use kbundle::fetch::Cache;
use kbundle::lock::Lock;
use kbundle::mirror::Mirrors;
use kbundle::registry::manifest_url;
use kbundle::resolve::{Pin, SelectedArtifact, SelectedImage, Selection};
use kbundle::spec::SpecFile;
use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::destination::free_bytes;
use kbundle_commands::interrupt::Interrupt;
use kbundle_format::os_package::DistributionName;
use kbundle_format::volume::Split;
use kbundle_format::{Component, Digest, EntryKind, EntryPath, ImageRef, KubeVersion, PinSource, Platform, Role};
use schemars::JsonSchema;
use serde::Serialize;

use self::cost::{BundleCost, HostCost};
use super::plan::{Plan, Source};
use super::source;
use crate::cli::BuildArgs;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DryRun")]
pub struct Report {
    schema: u32,
    kubernetes_version: KubeVersion,
    platforms: BTreeSet<Platform>,
    files: Vec<File>,
    images: Vec<Image>,
    /// Charts whose images are known only when the build has rendered them.
    charts_to_render: Vec<String>,
    /// Distributions whose packages are known only when the build has read the indexes of their archives.
    os_packages_to_look_up: Vec<DistributionName>,
    /// What no catalog and no project pins: addresses and image references.
    pinned_at_first_build: Vec<String>,
    total: Total,
    bundle: BundleCost,
    hosts: Vec<HostCost>,
    /// Why servers that were asked for sizes did not tell them.
    sizes_not_told: Vec<String>,
    cache: Place,
    /// Absent for standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Place>,
}

/// Sizes of all files and images, as far as they are known.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Total {
    known_bytes: u64,
    /// How much of that is not in the cache.
    to_fetch_bytes: u64,
    /// Files and images of unknown size.
    unknown: usize,
}

/// Somewhere to write to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Place {
    path: PathBuf,
    free_bytes: u64,
}

/// What is known of a size.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SizeReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    cached_bytes: u64,
}

/// What makes content believable.
#[derive(Serialize, JsonSchema)]
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

#[derive(Serialize, JsonSchema)]
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
    #[serde(flatten)]
    size: SizeReport,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Image {
    reference: ImageRef,
    /// The platform that the lock has it for; absent where it is for every platform of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    roles: BTreeSet<Role>,
    /// Where its index or manifest is asked for, by way of a mirror where there is one, or the file that has it.
    url: String,
    pin: PinReport,
    #[serde(flatten)]
    size: SizeReport,
}

pub fn run(arguments: &BuildArgs, file: &SpecFile, output: OutputFormat) -> anyhow::Result<()> {
    let mut plan = Plan::of(arguments, file, Catalog::select)?;
    let sizes_not_told = if arguments.ask_sizes { ask_sizes(&mut plan, arguments, file)? } else { Vec::new() };
    let report = Report::of(plan, arguments.split.split(), sizes_not_told)?;
    output::note("dry run: nothing is fetched and nothing is written")?;
    output::result(output, &text(&report), &report)?;
    if !report.charts_to_render.is_empty() {
        output::note(&format!(
            "images of charts are not counted; the build finds them by rendering the charts: {}",
            report.charts_to_render.join(", ")
        ))?;
    }
    if !report.os_packages_to_look_up.is_empty() {
        let names: Vec<_> = report.os_packages_to_look_up.iter().map(DistributionName::as_str).collect();
        output::note(&format!(
            "packages of distributions are not counted; the build looks them up in signed indexes: {}",
            names.join(", ")
        ))?;
    }
    for reason in &report.sizes_not_told {
        output::note(&format!("size unknown: {reason}"))?;
    }
    if report.total.unknown > 0 && !arguments.ask_sizes {
        output::note("`--ask-sizes` asks servers for the sizes that are unknown")?;
    }
    if !report.pinned_at_first_build.is_empty() {
        output::note(&format!(
            "pinned at the first build, which needs `--trust-on-first-use`: {}",
            report.pinned_at_first_build.join(", ")
        ))?;
    }
    Ok(())
}

/// Asks servers for unknown sizes, and enters them in the plan. Returns why some are still unknown.
fn ask_sizes(plan: &mut Plan, arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<Vec<String>> {
    let cache = Cache::open(plan.cache.directory()).explained()?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, file, plan.mirrors.clone(), &cache)?;
    let questions = plan.source.questions(&plan.demand);
    let answers = source::online(&fetcher, &plan.upstream, &Interrupt::watch()?, fetcher.ask_sizes(questions))?;
    progress.finish();
    plan.demand = plan.source.demand(&cache, &answers);
    Ok(answers.failed)
}

impl Report {
    fn of(plan: Plan, split: Option<Split>, sizes_not_told: Vec<String>) -> anyhow::Result<Self> {
        let Plan { source, mirrors, path, destination, bases, cache, demand, .. } = plan;
        let in_a_base: HashSet<_> = bases.iter().flat_map(|base| base.carried().into_keys()).collect();
        let total = Total {
            known_bytes: demand.known_bytes(),
            to_fetch_bytes: demand.to_fetch_bytes(),
            unknown: demand.unknown(),
        };
        let output = destination.folder().map(|folder| anyhow::Ok(Place { path, free_bytes: free_bytes(folder)? }));
        let cache = Place { free_bytes: free_bytes(cache.nearest_folder())?, path: cache.directory().to_owned() };
        let (kubernetes_version, platforms, pinned_at_first_build) = match &source {
            Source::Locked(lock) => (lock.kubernetes, lock.platforms.clone(), Vec::new()),
            Source::Selected(selection) => (
                selection.kubernetes,
                selection.platforms.clone(),
                selection.loose().into_iter().map(|loose| loose.what).collect(),
            ),
        };
        let charts_to_render = match &source {
            Source::Locked(_) => Vec::new(),
            Source::Selected(selection) => {
                let charts = selection.charts.iter().flat_map(|selected| &selected.charts);
                charts.map(|chart| chart.release.clone()).collect()
            }
        };
        let os_packages_to_look_up = match &source {
            Source::Locked(_) => Vec::new(),
            Source::Selected(selection) => {
                selection.os_packages.iter().map(|packages| packages.distribution.clone()).collect()
            }
        };
        let (files, images) = match source {
            Source::Locked(lock) => of_lock(lock, &demand, &mirrors),
            Source::Selected(selection) => of_selection(selection, &demand, &mirrors),
        };
        let output = output.transpose()?;
        let hosts = HostCost::all(&demand, &platforms);
        Ok(Self {
            schema: SCHEMA,
            kubernetes_version,
            platforms,
            files,
            images,
            charts_to_render,
            os_packages_to_look_up,
            pinned_at_first_build,
            total,
            bundle: BundleCost::of(&demand, &in_a_base, split)?,
            hosts,
            sizes_not_told,
            cache,
            output,
        })
    }
}

impl From<Size> for SizeReport {
    fn from(Size { bytes, cached_bytes }: Size) -> Self {
        Self { size_bytes: bytes, cached_bytes }
    }
}

fn of_selection(selection: Selection, demand: &Demand, mirrors: &Mirrors) -> (Vec<File>, Vec<Image>) {
    let files = zip(selection.artifacts, &demand.files).map(|(file, size)| selected_file(file, *size, mirrors));
    let images = zip(selection.images, &demand.images).map(|(image, size)| selected_image(image, *size, mirrors));
    (files.collect(), images.collect())
}

fn selected_file(file: SelectedArtifact, size: Size, mirrors: &Mirrors) -> File {
    let pin = match &file.pin {
        Pin::Catalog(digest) => pinned(PinSource::Catalog, Some(*digest)),
        Pin::UpstreamChecksum(url) => {
            PinReport { published_at: Some(mirrors.rewrite(url)), ..pinned(PinSource::UpstreamChecksum, None) }
        }
        Pin::LocalFile(digest) => pinned(PinSource::LocalFile, Some(*digest)),
        Pin::Fetched(digest, source) => pinned(*source, Some(*digest)),
        Pin::FirstUse => pinned(PinSource::TrustOnFirstUse, None),
    };
    let SelectedArtifact { path, url, kind, component, platform, roles, .. } = file;
    File { path, kind, component, platform, roles, url: mirrors.rewrite(&url), pin, size: size.into() }
}

fn selected_image(image: SelectedImage, size: Size, mirrors: &Mirrors) -> Image {
    let source = image.pin_source();
    let SelectedImage { reference, digest, roles, file, .. } = image;
    let url = file.map_or_else(|| manifest_url(mirrors, &reference, digest.as_ref()), String::from);
    Image { reference, platform: None, roles, url, pin: pinned(source, digest), size: size.into() }
}

/// A lock pins everything; `source` says how it got each digest.
fn of_lock(lock: Lock, demand: &Demand, mirrors: &Mirrors) -> (Vec<File>, Vec<Image>) {
    let files = zip(lock.artifacts, &demand.files).map(|(file, size)| File {
        path: file.path,
        kind: file.kind,
        component: file.component,
        platform: file.platform,
        roles: file.roles,
        url: mirrors.rewrite(&file.url),
        pin: pinned(file.pin, Some(file.digest)),
        size: (*size).into(),
    });
    let images = zip(lock.images, &demand.images).map(|(image, size)| Image {
        url: match &image.file {
            Some(file) => file.to_string(),
            None => manifest_url(mirrors, &image.reference, Some(&image.pinned().digest)),
        },
        pin: pinned(image.pin, Some(image.pinned().digest)),
        reference: image.reference,
        platform: Some(image.platform),
        roles: image.roles,
        size: (*size).into(),
    });
    (files.collect(), images.collect())
}

fn pinned(source: PinSource, digest: Option<Digest>) -> PinReport {
    PinReport { source, digest, published_at: None }
}

fn text(report: &Report) -> String {
    let files = report.files.iter().map(|file| line(&file.pin, &file.size, &file.url));
    let images = report.images.iter().map(|image| {
        let platform = image.platform.as_ref().map(|platform| format!(" {platform}")).unwrap_or_default();
        line(&image.pin, &image.size, &format!("{}{platform} from {}", image.reference, image.url))
    });
    let mut lines: Vec<_> = files.chain(images).collect();
    let Total { known_bytes, to_fetch_bytes, unknown } = report.total;
    let items = report.files.len() + report.images.len();
    lines.push(format!(
        "\ntotal   {} known, {} of it to fetch; {unknown} of {items} files and images have no known size",
        HumanBytes(known_bytes),
        HumanBytes(to_fetch_bytes)
    ));
    lines.extend(report.bundle.lines());
    lines.extend(report.hosts.iter().map(HostCost::line));
    let place = |what: &str, place: &Place| {
        format!("{what:<7} {}: {} free", place.path.display(), HumanBytes(place.free_bytes))
    };
    lines.push(place("cache", &report.cache));
    lines.extend(report.output.as_ref().map(|output| place("output", output)));
    lines.join("\n")
}

fn line(pin: &PinReport, size: &SizeReport, from: &str) -> String {
    let size = match size.size_bytes {
        None => "size unknown".to_owned(),
        Some(bytes) if size.cached_bytes == bytes => format!("{}, in the cache", HumanBytes(bytes)),
        Some(bytes) => HumanBytes(bytes).to_string(),
    };
    format!("{} {from} ({size})", pin_text(pin))
}

fn pin_text(pin: &PinReport) -> String {
    match (&pin.digest, &pin.published_at) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(url)) => format!("(digest from {url})"),
        (None, None) => "(pinned at the first build)".to_owned(),
    }
}
