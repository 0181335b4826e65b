//! Reads a bundle, a policy and advisories, and judges the bundle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use kbundle::audit::{AdvisoriesEvidence, Evidence, FoundObject, Input as RegoInput, Policy, judge};
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
use kbundle_format::{Digest, Entry, EntryKind, EntryPath, IndexedBundle, KeyId, Moment, ReadError};
use kbundle_sbom::{Bom, CYCLONEDX_PATH, Inventory, PrivilegedFile, describe};
use serde_json::Value;

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
        let Read { policy, digest, asked, input, bundle, bom, seen } = Read::of(arguments, Objects::AsAsked)?;
        let time = seen.time;
        let evidence = seen.evidence(&bundle, &bom);
        let (verdicts, unused) = judge(&policy, &evidence).usage().hint("correct the rules; nothing was judged")?;
        let rego = policy.rego_files();
        let policy = AppliedPolicy { name: arguments.policy.display().to_string(), digest, rego };
        let report = Report::new(input.name.clone(), policy, time, verdicts, &unused, evidence);
        let provenance = asked.provenance(bundle.head()).explained()?;
        Ok(Self { opened: Opened { input, bundle, bom: Some(bom) }, provenance, report })
    }
}

/// What rules in Rego get as `input`, as JSON.
pub fn input(arguments: &JudgingArgs) -> anyhow::Result<Value> {
    let Read { bundle, bom, seen, .. } = Read::of(arguments, Objects::Always)?;
    Ok(serde_json::to_value(RegoInput::of(&seen.evidence(&bundle, &bom)))?)
}

/// Whether manifests are read where no rule of the policy looks at them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Objects {
    AsAsked,
    Always,
}

/// A verified bundle with all that is judged.
struct Read {
    policy: Policy,
    /// Of the policy.
    digest: Digest,
    asked: Asked,
    input: Input,
    bundle: IndexedBundle,
    bom: Bom,
    seen: Seen,
}

/// What was read of a bundle, beside its lists.
struct Seen {
    key_days: BTreeMap<KeyId, Day>,
    bom_source: BomSource,
    privileged: Option<BTreeMap<Digest, Vec<PrivilegedFile>>>,
    users: BTreeMap<Digest, String>,
    objects: Vec<FoundObject>,
    advisories: Option<AdvisoriesEvidence>,
    time: Moment,
}

impl Read {
    fn of(arguments: &JudgingArgs, wanted: Objects) -> anyhow::Result<Self> {
        let (policy, digest) = Policy::find(&arguments.policy).explained()?;
        let asked = Asked::of(&arguments.trust)?;
        let reader = open_advisories(arguments)?;
        let input = Input::find(&arguments.bundle)?;
        let bundle = input.open_completed(asked.check(), &arguments.base)?;
        let Inside { bom, bom_source, privileged } = Inside::verified(&input, &bundle, &policy)?;
        let asks_for_objects = wanted == Objects::Always || policy.asks_for_objects();
        let seen = Seen {
            key_days: key_days(&asked, bundle.list().signers()),
            bom_source,
            privileged,
            users: users(&input, &bundle)?,
            objects: if asks_for_objects { objects(&input, &bundle)? } else { Vec::new() },
            advisories: reader.map(|(name, reader)| match_advisories(name, reader, &bom)).transpose()?,
            time: Moment::now(),
        };
        input.warn_of_mended()?;
        Ok(Self { policy, digest, asked, input, bundle, bom, seen })
    }
}

impl Seen {
    fn evidence<'a>(self, bundle: &'a IndexedBundle, bom: &'a Bom) -> Evidence<'a> {
        Evidence {
            list: bundle.list(),
            list_digest: Digest::of(&bundle.head().list_bytes),
            signers: bundle.list().signers().to_vec(),
            key_days: self.key_days,
            users: self.users,
            privileged: self.privileged,
            objects: self.objects,
            advisories: self.advisories,
            bom,
            bom_source: self.bom_source,
            today: self.time.day(),
        }
    }
}

/// The first days of use of the keys that signed.
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
    let contents = reading(read).with_context(|| format!("refused {name}"))?;
    let ecosystems = manifest.ecosystems.into_keys().collect();
    let findings = matching.finish(contents);
    Ok(AdvisoriesEvidence { name, digest, signers, day: manifest.day, ecosystems, findings })
}

/// Refuses a bundle that does not carry all of its content.
fn refuse_missing(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<()> {
    let Some(missing) = bundle.list().entries.iter().find(|entry| !bundle.carries(entry)) else { return Ok(()) };
    let error = ReadError::Missing { path: missing.path.clone() };
    Err(input.failure(error.into(), Bases::of(bundle.head()).as_ref()))
}

/// What `read` gives. Where it fails, all is verified, which mends what parity mends and otherwise reports every damage, and `read` is tried again.
fn or_after_verifying<T>(
    input: &Input,
    bundle: &IndexedBundle,
    read: impl Fn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    match read() {
        Ok(found) => Ok(found),
        Err(_) => verify(input, bundle, |_| true).and_then(|()| read()),
    }
}

/// Compares the content of all entries that are `wanted` with the list.
fn verify(input: &Input, bundle: &IndexedBundle, wanted: impl Fn(&Entry) -> bool) -> anyhow::Result<()> {
    let entries: Vec<_> = bundle.list().entries.iter().filter(|entry| wanted(entry)).collect();
    let bar = progress::bar("verifying", entries.iter().map(|entry| entry.size).sum());
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
    /// Verifies all content, and looks into it where the bundle carries no list of packages or the policy asks for what only the content says.
    fn verified(input: &Input, bundle: &IndexedBundle, policy: &Policy) -> anyhow::Result<Self> {
        refuse_missing(input, bundle)?;
        let carried = or_after_verifying(input, bundle, || sbom::carried(input, bundle, CYCLONEDX_PATH))?;
        if let Some(bytes) = &carried
            && !policy.asks_for_list_again()
            && !policy.asks_for_files()
        {
            verify(input, bundle, |_| true)?;
            let bom = Bom::parse(bytes).with_context(|| format!("cannot read {CYCLONEDX_PATH} of {}", input.name))?;
            return Ok(Self { bom, bom_source: BomSource::Carried, privileged: None });
        }
        // Looking inside compares the digests of what it reads.
        let inventory = or_after_verifying(input, bundle, || sbom::look_inside(input, bundle))?;
        verify(input, bundle, |entry| !Inventory::reads(entry))?;
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
