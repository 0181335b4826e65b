//! Files of the site that the bundle carries for hosts of this one's roles.
//!
//! `site-files.json` among kinstall's records has their paths before they are written, and their digests after the unit of a file was
//! restarted: a run that was cut off in between is repeated. The ledger has the former files.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use kbundle_format::host_file::{FileOwner, HostFile, UnitName};
use kbundle_format::{Digest, Entry};

use super::{Check, Context, Step, needed};
use crate::host::{Change, Host, Owner};
use crate::inputs::Inputs;

/// The record.
const RECORD: &str = "site-files.json";
/// The path of the record.
const RECORD_PATH: &str = "/var/lib/kinstall/site-files.json";

/// The files that were put in place, by path; without a digest if that began and was not completed.
type Record = BTreeMap<String, Option<Digest>>;

/// Puts files of the site in place.
pub struct SiteFiles;

/// The files for this host, with their places.
fn wanted<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = (&'a Entry, &'a HostFile)> {
    let roles = &inputs.topology.this().roles;
    let for_this = move |entry: &&Entry| !entry.roles.is_disjoint(roles);
    inputs.list.entries.iter().filter(for_this).filter_map(|entry| Some((entry, entry.host_file.as_ref()?)))
}

impl Step for SiteFiles {
    fn id(&self) -> &'static str {
        "site-files"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let paths: Vec<_> = wanted(inputs).map(|(_, file)| file.path.as_str()).collect();
        format!("put files of the site in place: {}", paths.join(", "))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        wanted(inputs).next().is_some()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let record = read_record(&context.host)?;
        for (entry, file) in wanted(context) {
            if let Some(reason) = unlike(&context.host, entry, file, &record)? {
                return needed(reason);
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let mut record = read_record(&context.host)?;
        let inputs = context.inputs;
        let changed = wanted(&inputs)
            .filter_map(|(entry, file)| match unlike(&context.host, entry, file, &record) {
                Ok(reason) => reason.map(|_| Ok((entry, file))),
                Err(error) => Some(Err(error)),
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        for (_, file) in &changed {
            refuse_foreign(&context.host, file, &record)?;
            owner(&context.host, &file.owner)?;
        }
        record.extend(changed.iter().map(|(_, file)| (file.path.to_string(), None)));
        write_record(&context.host, &record)?;
        for (entry, file) in &changed {
            context.progress.detail(file.path.as_str());
            let content = context.bundle.read_entry(entry)?;
            context.host.write_file(file.path.as_str(), &content, file.mode.bits())?;
            let owner = owner(&context.host, &file.owner)?;
            context.host.own(file.path.as_str(), owner)?;
        }
        let units: BTreeSet<&str> =
            changed.iter().filter_map(|(_, file)| file.restart.as_ref()).map(UnitName::as_str).collect();
        for unit in units {
            context
                .host
                .restart_unit(unit)
                .with_context(|| format!("while restarting {unit}, whose file has changed"))?;
        }
        record.extend(changed.iter().map(|(entry, file)| (file.path.to_string(), Some(entry.digest))));
        write_record(&context.host, &record)
    }
}

fn read_record(host: &Host) -> anyhow::Result<Record> {
    let Some(text) = host.read(RECORD_PATH)? else { return Ok(Record::new()) };
    serde_json::from_slice(&text).with_context(|| format!("while reading {RECORD_PATH}"))
}

fn write_record(host: &Host, record: &Record) -> anyhow::Result<()> {
    Ok(host.keep_record(RECORD, &serde_json::to_vec(record)?)?)
}

/// Why the host does not have the file in the bundle's version.
fn unlike(host: &Host, entry: &Entry, file: &HostFile, record: &Record) -> anyhow::Result<Option<String>> {
    let path = file.path.as_str();
    let Some((digest, mode)) = host.digest(path)? else { return Ok(Some(format!("{path} is not there"))) };
    Ok(if digest != entry.digest {
        Some(format!("{path} has other content"))
    } else if mode != file.mode.bits() {
        Some(format!("{path} has mode {mode:04o} instead of {}", file.mode))
    } else if host.owner(path)? != Some(owner(host, &file.owner)?) {
        Some(format!("{path} does not belong to {}", file.owner))
    } else if record.get(path) != Some(&Some(entry.digest)) {
        Some(format!("{path} is not on record yet"))
    } else {
        None
    })
}

/// Refuses a path that other steps have changed, and anything that is not a regular file.
fn refuse_foreign(host: &Host, file: &HostFile, record: &Record) -> anyhow::Result<()> {
    let path = file.path.as_str();
    if host.exists(path) && host.digest(path)?.is_none() {
        bail!("{path} is not a regular file on this host, so a file of the site does not replace it");
    }
    let (ledger, edited) = (host.ledger(), Change::EditedFile { path: path.to_owned() });
    let is_others = ledger.claims(path) || ledger.changes().contains(&edited) || ledger.knows(path);
    if is_others && !record.contains_key(path) {
        bail!("{path} is a file that kinstall itself writes on this host, so a file of the site does not replace it");
    }
    Ok(())
}

/// The ids of an owner; the user and the group have to exist.
fn owner(host: &Host, owner: &FileOwner) -> anyhow::Result<Owner> {
    let user = host.user(owner.user())?.with_context(|| format!("this host has no user {}", owner.user()))?;
    let group = match owner.group() {
        None => user.group,
        Some(name) => host.group(name)?.with_context(|| format!("this host has no group {name}"))?,
    };
    Ok(Owner { group, ..user })
}

#[cfg(test)]
mod tests {
    use kbundle_format::{EntryKind, Role};

    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::join_material::JoinMaterial;

    /// A cluster whose bundle has a file for workers at `path`.
    fn cluster(path: &str) -> Cluster {
        let mut cluster = Cluster::of_three_and_two();
        let host_file = HostFile {
            path: path.parse().unwrap(),
            owner: FileOwner::default(),
            mode: "0640".parse().unwrap(),
            restart: Some("chrony.service".parse().unwrap()),
        };
        let mut entry = crate::fixture::chart("files/001", EntryKind::HostFile);
        (entry.roles, entry.host_file) = ([Role::Worker].into(), Some(host_file));
        entry.digest = Digest::of(b"site");
        cluster.list.entries.push(entry);
        cluster
    }

    /// A host with users.
    fn bench() -> Bench {
        let bench = Bench::new();
        let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
        bench.file("etc/passwd", &format!("root:x:{user}:{group}::/root:/bin/sh\n"));
        bench
    }

    #[test]
    fn a_file_goes_to_hosts_of_its_roles() {
        let cluster = cluster("/etc/site.conf");
        for (name, concerned) in [("c1", false), ("w1", true)] {
            assert_eq!(SiteFiles.concerns(&cluster.inputs(&cluster.seen_from(name))), concerned, "{name}");
        }
        let topology = cluster.seen_from("w1");
        assert_eq!(SiteFiles.title(&cluster.inputs(&topology)), "put files of the site in place: /etc/site.conf");
    }

    #[test]
    fn paths_of_the_cluster_are_refused_in_the_plan() {
        for path in ["/etc/kubernetes/admin.conf", "/var/lib/etcd/x", "/var/lib/kinstall/ledger.jsonl"] {
            let cluster = cluster(path);
            let topology = cluster.seen_from("w1");
            let refusals = crate::plan::refusals(&cluster.inputs(&topology));
            assert!(refusals.iter().any(|error| error.to_string().contains(path)), "{path}");
        }
    }

    #[test]
    fn a_file_is_unchanged_when_content_mode_and_record_are_the_bundles() {
        let cluster = cluster("/etc/site.conf");
        let bench = bench();
        let check = |bench: &Bench| {
            let look = |context: &Context<'_>| SiteFiles.check(context);
            bench.look_as(&cluster, "w1", &JoinMaterial::default(), look).unwrap()
        };
        let reason = |text: &str| Check::Needed(text.to_owned());
        assert_eq!(check(&bench), reason("/etc/site.conf is not there"));
        bench.file("etc/site.conf", "other");
        assert_eq!(check(&bench), reason("/etc/site.conf has other content"));
        bench.file("etc/site.conf", "site");
        assert!(matches!(check(&bench), Check::Needed(text) if text.starts_with("/etc/site.conf has mode")));
        bench.host().write_file("/etc/site.conf", b"site", 0o640).unwrap();
        assert_eq!(check(&bench), reason("/etc/site.conf is not on record yet"));
        let record = Record::from([("/etc/site.conf".to_owned(), Some(Digest::of(b"site")))]);
        bench.file("var/lib/kinstall/site-files.json", &serde_json::to_string(&record).unwrap());
        assert_eq!(check(&bench), Check::Done);
    }

    #[test]
    fn files_of_other_steps_and_what_is_no_file_stay() {
        let bench = bench();
        let record = Record::new();
        let refused = |path: &str| {
            let cluster = cluster(path);
            let topology = cluster.seen_from("w1");
            let inputs = cluster.inputs(&topology);
            let (_, file) = wanted(&inputs).next().unwrap();
            refuse_foreign(&bench.host(), file, &record).map_err(|error| error.to_string())
        };
        bench.host().write_file("/etc/systemd/system/kubelet.service", b"", 0o644).unwrap();
        let error = refused("/etc/systemd/system/kubelet.service").unwrap_err();
        assert!(error.contains("is a file that kinstall itself writes on this host"), "{error}");
        fs_err::create_dir_all(bench.path("etc/folder")).unwrap();
        assert!(refused("/etc/folder").unwrap_err().contains("is not a regular file"));
        fs_err::os::unix::fs::symlink("/etc/passwd", bench.path("etc/link")).unwrap();
        assert!(refused("/etc/link").unwrap_err().contains("is not a regular file"));
        assert_eq!(refused("/etc/other"), Ok(()));
    }
}
