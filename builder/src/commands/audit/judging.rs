//! Reads a bundle, a policy and advisories, and judges the bundle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use kbundle::audit::{AdvisoriesEvidence, Evidence, FoundObject, Policy, judge};
use kbundle::diff::ImageSettings;
use kbundle::site::parse_objects;
use kbundle_advisories::{Matching, Reader};
use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::{Advise as _, Explained as _, failure, progress};
use kbundle_commands::input::{Asked, Input};
use kbundle_commands::signers::Trusted;
use kbundle_format::audit_record::{AppliedPolicy, BomSource};
use kbundle_format::bases::Bases;
use kbundle_format::key_notes::Day;
use kbundle_format::oci::Document;
use kbundle_format::{Digest, EntryKind, EntryPath, IndexedBundle, KeyId, Moment, ReadError};
use kbundle_sbom::{Bom, CYCLONEDX_PATH, PrivilegedFile, describe};

use super::super::advisories::reading;
use super::super::comparing::Opened;
use super::super::sbom;
use super::Report;
use crate::cli::JudgingArgs;

/// A bundle that was judged.
pub struct Judged {
    /// The bundle, whose content was verified completely, and its packages.
    pub opened: Opened,
    /// How far the provenance can be trusted, in words.
    pub provenance: String,
    /// The result.
    pub report: Report,
}

impl Judged {
    /// Verifies the bundle and judges it.
    pub fn of(arguments: &JudgingArgs) -> anyhow::Result<Self> {
        let (policy, digest) = Policy::find(&arguments.policy).explained()?;
        let asked = Asked::of(&arguments.trust)?;
        let reader = open_advisories(arguments)?;
        let input = Input::find(&arguments.bundle)?;
        let bundle = input.open_completed(asked.check(), &arguments.base)?;
        verify(&input, &bundle)?;
        let Inside { bom, bom_source, privileged } = Inside::of(&input, &bundle, &policy)?;
        let time = Moment::now();
        let evidence = Evidence {
            list: bundle.list(),
            list_digest: Digest::of(&bundle.head().list_bytes),
            signers: bundle.list().signers().to_vec(),
            key_days: key_days(&asked, bundle.list().signers()),
            users: users(&input, &bundle)?,
            privileged,
            objects: if policy.asks_for_objects() { objects(&input, &bundle)? } else { Vec::new() },
            advisories: reader.map(|(name, reader)| match_advisories(name, reader, &bom)).transpose()?,
            bom: &bom,
            bom_source,
            today: time.day(),
        };
        input.warn_of_mended()?;
        let (verdicts, unused) = judge(&policy, &evidence).usage().hint("correct the rules; nothing was judged")?;
        let rego = policy.rego_files();
        let policy = AppliedPolicy { name: arguments.policy.display().to_string(), digest, rego };
        let report = Report::new(input.name.clone(), policy, time, verdicts, &unused, evidence);
        let provenance = asked.provenance(bundle.head()).explained()?;
        Ok(Self { opened: Opened { input, bundle, bom: Some(bom) }, provenance, report })
    }
}

/// The first day of use of each key that signed, from the key's file.
fn key_days(asked: &Asked, signers: &[KeyId]) -> BTreeMap<KeyId, Day> {
    let signers = asked.signers(signers).into_iter();
    signers.filter_map(|signer| Some((signer.key_id, signer.notes.valid_from()?))).collect()
}

/// Opens the file of advisories. Its signers are checked even if the bundle's are not.
fn open_advisories(arguments: &JudgingArgs) -> anyhow::Result<Option<(String, Reader)>> {
    let Some(path) = &arguments.advisories else { return Ok(None) };
    let keys = if arguments.advisories_key.is_empty() { &arguments.trust.key } else { &arguments.advisories_key };
    let trusted = if arguments.advisories_unsigned { None } else { Some(trusted(keys, arguments)?) };
    let name = path.display().to_string();
    let opened = Reader::open(path, trusted.as_ref().map(|trusted| &trusted.policy));
    let reader = reading(opened).with_context(|| format!("refused {name}"))?;
    Ok(Some((name, reader)))
}

fn trusted(keys: &[PathBuf], arguments: &JudgingArgs) -> anyhow::Result<Trusted> {
    if keys.is_empty() {
        return Err(failure::usage(
            "no key to verify the advisories with; `--unsigned` is about the bundle",
            "name the public key of whoever packed them with `--advisories-key FILE`",
        ));
    }
    let strict = arguments.trust.signatures.strict;
    // The signers of advisories need not be trusted for revocations: these are read with the keys for the bundle.
    Trusted::read(keys, &SignatureArguments { threshold: 1, strict, detached: Vec::new(), revocations: Vec::new() })
}

fn match_advisories(name: String, reader: Reader, bom: &Bom) -> anyhow::Result<AdvisoriesEvidence> {
    let (digest, signers, manifest) = (reader.digest(), reader.signers().to_vec(), reader.manifest().clone());
    let mut matching = Matching::new(bom);
    let read = reader.read(&mut |record| matching.see(record));
    let documents = reading(read).with_context(|| format!("refused {name}"))?;
    let ecosystems = manifest.ecosystems.into_keys().collect();
    let findings = matching.finish(&documents);
    Ok(AdvisoriesEvidence { name, digest, signers, day: manifest.day, ecosystems, findings })
}

/// Compares all content with the list.
fn verify(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<()> {
    let entries: Vec<_> = bundle.list().entries.iter().collect();
    if let Some(missing) = entries.iter().find(|entry| !bundle.carries(entry)) {
        let error = ReadError::Missing { path: missing.path.clone() };
        return Err(input.failure(error.into(), Bases::of(bundle.head()).as_ref()));
    }
    let bar = progress::bar("verifying", bundle.list().size_bytes());
    let damage = bundle.check_each(&entries, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    input.refuse_damage(bundle, damage)
}

/// What is inside a bundle's images and files.
struct Inside {
    bom: Bom,
    bom_source: BomSource,
    /// Files that give rights, by the manifest of their image; `None` if the content was not examined.
    privileged: Option<BTreeMap<Digest, Vec<PrivilegedFile>>>,
}

impl Inside {
    /// Examines the content if the bundle carries no list of packages, or if the policy needs facts that only the content has.
    fn of(input: &Input, bundle: &IndexedBundle, policy: &Policy) -> anyhow::Result<Self> {
        let carried = sbom::carried(input, bundle, CYCLONEDX_PATH)?;
        if let Some(bytes) = &carried
            && !policy.asks_for_list_again()
            && !policy.asks_for_files()
        {
            let bom = Bom::parse(bytes).with_context(|| format!("cannot read {CYCLONEDX_PATH} of {}", input.name))?;
            return Ok(Self { bom, bom_source: BomSource::Carried, privileged: None });
        }
        let inventory = sbom::look_inside(input, bundle)?;
        let bom = describe(bundle.list(), &inventory);
        let bom_source = match carried {
            None => BomSource::Computed,
            Some(bytes) if bom.to_bytes() == bytes => BomSource::MadeAgain,
            Some(_) => BomSource::Differs,
        };
        let images = inventory.images.into_iter().map(|found| (found.image.manifest, found.view.privileged));
        Ok(Self { bom, bom_source, privileged: Some(images.collect()) })
    }
}

/// The Kubernetes objects of all manifests.
fn objects(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<Vec<FoundObject>> {
    let mut found = Vec::new();
    for entry in bundle.list().entries.iter().filter(|entry| entry.kind == EntryKind::Manifest) {
        let bytes = bundle.read_entry(entry).map_err(|error| input.refusal(error))?;
        let (path, digest) = (entry.path.clone(), entry.digest);
        let objects = parse_objects(&String::from_utf8_lossy(&bytes), Path::new(path.as_str()));
        let objects = objects.with_context(|| format!("cannot judge the manifests of {}", input.name))?;
        found.extend(objects.into_iter().map(|object| FoundObject { path: path.clone(), digest, object }));
    }
    Ok(found)
}

/// The user of each image, from its config.
fn users(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<BTreeMap<Digest, String>> {
    let blob = |digest: &Digest| {
        let path = EntryPath::blob(digest);
        let entry = bundle.list().entry(path.as_str()).ok_or_else(|| anyhow!("{} does not list {path}", input.name))?;
        bundle.read_entry(entry).map_err(|error| input.refusal(error))
    };
    let mut users = BTreeMap::new();
    for image in &bundle.list().images {
        if let Ok(Document::Manifest { config, .. }) = Document::parse(&blob(&image.manifest)?) {
            let mut settings = ImageSettings::of(Vec::new(), &blob(&config.digest)?).settings;
            users.insert(image.manifest, settings.remove("user").unwrap_or_default());
        }
    }
    Ok(users)
}
