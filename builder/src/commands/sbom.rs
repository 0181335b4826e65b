//! `kbundle sbom`

use std::fmt::Write as _;

use anyhow::Context as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{failure, progress};
use kbundle_commands::input::{Asked, Input};
use kbundle_format::{Digest, EntryKind, IndexedBundle, ReadError};
use kbundle_sbom::cyclonedx::{Component, Kind, PATH, PLATFORM, REFERENCE};
use kbundle_sbom::{Bom, CYCLONEDX_PATH, Inventory, SPDX_PATH, SbomError, describe, spdx};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::{SbomArgs, SbomFormat};

/// What `--output json` prints of the table.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PackagesOfBundle")]
pub struct Report {
    schema: u32,
    bundle: String,
    source: Source,
    images: Vec<Subject>,
    files: Vec<Subject>,
}

/// Where the list of packages comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The bundle carries it.
    Carried,
    /// It was made from the content, because the bundle carries none.
    Computed,
}

/// An image or a file.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Subject {
    /// An image's reference, or a file's path in the bundle.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    /// The distribution that the image is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    operating_system: Option<String>,
    /// Where packages may be that were not read, and why.
    not_read: Vec<String>,
    packages: Vec<Package>,
}

/// A package.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Package {
    /// The type in its package URL, such as `deb` or `golang`.
    ecosystem: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    /// The files that say so.
    paths: Vec<String>,
}

/// What `--verify --output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PackagesVerified")]
pub struct Verification {
    schema: u32,
    bundle: String,
    /// Both documents are the same, byte for byte, as those made from the content.
    identical: bool,
    images: usize,
    files: usize,
    packages: usize,
    cyclonedx_digest: Digest,
    spdx_digest: Digest,
}

pub fn run(arguments: &SbomArgs, output: OutputFormat) -> anyhow::Result<()> {
    let asked = Asked::of(&arguments.trust)?;
    let input = Input::find(&arguments.bundle)?;
    let bundle = input.open_completed(asked.check(), &arguments.base)?;
    if arguments.verify {
        return verify(input, &bundle, output);
    }
    if let (None, Some(path)) = (&arguments.entry, path_of(arguments.format))
        && let Some(bytes) = carried(&input, &bundle, path)?
    {
        input.warn_of_mended()?;
        return Ok(output::content(&mut &bytes[..])?);
    }
    let (bom, source) = carried_or_computed(&input, &bundle)?;
    let bom = match &arguments.entry {
        None => bom,
        Some(name) => bom.only(name).ok_or_else(|| {
            failure::usage(format!("{} has no image or file {name}", input.name), "`kbundle inspect` shows what it has")
        })?,
    };
    input.warn_of_mended()?;
    match arguments.format {
        SbomFormat::Cyclonedx => Ok(output::content(&mut &bom.to_bytes()[..])?),
        SbomFormat::Spdx => Ok(output::content(&mut &spdx::to_bytes(&bom)[..])?),
        SbomFormat::Table => {
            let report = report(input.name, source, &bom);
            Ok(output::result(output, &text(&report), &report)?)
        }
    }
}

/// The list of packages that the bundle carries; else the list made from its content, with a warning.
pub fn carried_or_computed(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<(Bom, Source)> {
    if let Some(bytes) = carried(input, bundle, CYCLONEDX_PATH)? {
        let bom = Bom::parse(&bytes).with_context(|| format!("cannot read {CYCLONEDX_PATH}"))?;
        return Ok((bom, Source::Carried));
    }
    let bom = computed(input, bundle)?;
    output::warning("WARNING: the bundle carries no list of packages; this one was made from its content now")?;
    Ok((bom, Source::Computed))
}

/// The path of the document in this form in a bundle; `None` for a form that bundles do not carry.
fn path_of(format: SbomFormat) -> Option<&'static str> {
    match format {
        SbomFormat::Table => None,
        SbomFormat::Cyclonedx => Some(CYCLONEDX_PATH),
        SbomFormat::Spdx => Some(SPDX_PATH),
    }
}

/// The document that the bundle carries at `path`.
pub fn carried(input: &Input, bundle: &IndexedBundle, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(entry) = bundle.list().entry(path).filter(|entry| entry.kind == EntryKind::Sbom && bundle.carries(entry))
    else {
        return Ok(None);
    };
    bundle.read_entry(entry).map(Some).map_err(|error| input.refusal(error))
}

/// The document made from the bundle's content.
pub fn computed(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<Bom> {
    Ok(describe(bundle.list(), &look_inside(input, bundle)?))
}

/// Examines the content of the bundle.
pub fn look_inside(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<Inventory> {
    let list = bundle.list();
    let bar = progress::bar("looking inside", list.size_bytes());
    let inventory = Inventory::of(list, bundle, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    looked_into(input, inventory)
}

/// Exit code and hint for an error of examining a bundle.
pub fn looked_into<T>(input: &Input, result: Result<T, SbomError<ReadError>>) -> anyhow::Result<T> {
    result.map_err(|error| match error {
        SbomError::Content(error) => input.refusal(error),
        other => anyhow::Error::new(other).context(format!("cannot look inside of {}", input.name)),
    })
}

fn verify(input: Input, bundle: &IndexedBundle, output: OutputFormat) -> anyhow::Result<()> {
    let documents = carried(&input, bundle, CYCLONEDX_PATH)?.zip(carried(&input, bundle, SPDX_PATH)?);
    let (cyclonedx, spdx) = documents.ok_or_else(|| {
        failure::refused(
            format!("{} carries no list of packages to compare with", input.name),
            "leave --verify out: the list then is made from its content",
        )
    })?;
    let again = computed(&input, bundle)?;
    if again.to_bytes() != cyclonedx {
        return Err(differs(&input, &cyclonedx, &again));
    }
    if spdx::to_bytes(&again) != spdx {
        return Err(failure::refused(
            format!("{} carries an SPDX document that says something else than its content", input.name),
            "ask who built it",
        ));
    }
    input.warn_of_mended()?;
    let is_image = |component: &&Component| component.kind == Kind::Container;
    let images = again.components.iter().filter(is_image).count();
    let report = Verification {
        schema: SCHEMA,
        bundle: input.name,
        identical: true,
        images,
        files: again.components.len() - images,
        packages: again.components.iter().map(|component| component.components.len()).sum(),
        cyclonedx_digest: Digest::of(&cyclonedx),
        spdx_digest: Digest::of(&spdx),
    };
    let text = format!(
        "{}: the list of packages is the one that its content gives, byte for byte\n  {} images and {} files with {} packages",
        report.bundle, report.images, report.files, report.packages
    );
    Ok(output::result(output, &text, &report)?)
}

/// Names the first image or file in which the two documents differ.
fn differs(input: &Input, carried: &[u8], again: &Bom) -> anyhow::Error {
    let Ok(carried) = Bom::parse(carried) else {
        return failure::refused(
            format!("{} carries a list of packages that cannot be read", input.name),
            "ask who built it",
        );
    };
    let version = |bom: &Bom| bom.metadata.tools.components.first().and_then(|tool| tool.version.clone());
    let (theirs, ours) = (version(&carried), version(again));
    let pairs = carried.components.iter().zip(&again.components);
    let place = pairs.into_iter().find(|(one, other)| one != other).and_then(|(_, other)| other.reference.clone());
    let place = place.unwrap_or_else(|| "what it says of the bundle".to_owned());
    let hint = match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            format!("kbundle {theirs} made the list and this is kbundle {ours}; verify it with kbundle {theirs}")
        }
        _ => "ask who built it".to_owned(),
    };
    failure::refused(
        format!(
            "{} carries a list of packages that its content does not give; the first difference is in {place}",
            input.name
        ),
        hint,
    )
}

fn report(bundle: String, source: Source, bom: &Bom) -> Report {
    let (images, files): (Vec<_>, Vec<_>) =
        bom.components.iter().partition(|component| component.kind == Kind::Container);
    let subjects = |components: Vec<&Component>| components.into_iter().map(subject).collect();
    Report { schema: SCHEMA, bundle, source, images: subjects(images), files: subjects(files) }
}

fn subject(component: &Component) -> Subject {
    let (systems, packages): (Vec<_>, Vec<_>) =
        component.components.iter().partition(|component| component.kind == Kind::OperatingSystem);
    let name = component.property(REFERENCE).or_else(|| component.property(PATH)).unwrap_or(&component.name);
    Subject {
        name: name.to_owned(),
        version: component.version.clone(),
        platform: component.property(PLATFORM).map(str::to_owned),
        licence: component.licence(),
        operating_system: systems.first().map(|os| match &os.version {
            Some(version) => format!("{} {version}", os.name),
            None => os.name.clone(),
        }),
        not_read: component.not_read().map(str::to_owned).collect(),
        packages: packages.into_iter().map(package).collect(),
    }
}

fn package(component: &Component) -> Package {
    Package {
        ecosystem: component.ecosystem().unwrap_or("unknown").to_owned(),
        name: component.full_name(),
        version: component.version.clone(),
        licence: component.licence(),
        purl: component.purl.clone(),
        paths: component
            .evidence
            .iter()
            .flat_map(|evidence| &evidence.occurrences)
            .map(|place| place.location.clone())
            .collect(),
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for (heading, subjects) in [("IMAGES", &report.images), ("FILES", &report.files)] {
        if subjects.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{heading}");
        for subject in subjects {
            let facts = [subject.platform.clone(), subject.operating_system.clone(), subject.licence.clone()];
            let facts: Vec<_> = facts.into_iter().flatten().collect();
            let _ = writeln!(text, "{}  ({})", subject.name, facts.join(", "));
            for reason in &subject.not_read {
                let _ = writeln!(text, "  NOT READ {reason}");
            }
            for package in &subject.packages {
                let _ = writeln!(
                    text,
                    "  {:<8} {:<52} {:<32} {}",
                    package.ecosystem,
                    package.name,
                    package.version.as_deref().unwrap_or("-"),
                    package.licence.as_deref().unwrap_or("-")
                );
            }
        }
        text.push('\n');
    }
    text
}
