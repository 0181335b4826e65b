//! Packages of the host's own distribution that the bundle carries, for hosts that lack programs such as conntrack.
//!
//! dpkg installs those that are missing or older than the bundle's. A `policy-rc.d` keeps their services from starting during the
//! installation; an existing one is left as it is. Installed packages stay after a reset: other programs may need them by then.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use debversion::Version;
use kbundle_format::{Component, Entry};

use super::{Check, Context, Step, needed};
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::os_packages::{distribution, for_host};

/// Read by `invoke-rc.d` and `deb-systemd-invoke`: exit code 101 forbids the requested action (Debian's `policy-rc.d` specification).
const POLICY_PATH: &str = "/usr/sbin/policy-rc.d";
const POLICY: &str = "#!/bin/sh\n# Written by kinstall while it installs packages: no service starts by that. It is removed afterwards.\nexit 101\n";

/// The names of the installed packages, among kinstall's records.
const RECORD: &str = "os-packages.json";
const RECORD_PATH: &str = "/var/lib/kinstall/os-packages.json";
/// The folder from which dpkg reads the packages, among kinstall's records.
const FOLDER: &str = "os-packages";

/// dpkg asks no questions: a configuration file that the host has changed stays.
const ENVIRONMENT: [&str; 4] = [
    "DEBIAN_FRONTEND=noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN=true",
    "LC_ALL=C",
    // dpkg requires programs in the administrator's folders, which are not in every login's path.
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
];

/// Installs packages of the distribution.
pub struct OsPackages;

impl Step for OsPackages {
    fn id(&self) -> &'static str {
        "os-packages"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let names: Vec<_> = for_host(inputs.list, inputs.facts).filter_map(name).collect();
        let distribution = distribution(inputs.facts).map(|name| name.to_string()).unwrap_or_default();
        format!("install missing packages for {distribution}: {}", names.join(", "))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        for_host(inputs.list, inputs.facts).next().is_some()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let lacking = lacking(&context.host, context)?;
        if !lacking.is_empty() {
            let reasons: Vec<_> = lacking.into_iter().map(|(_, reason)| reason).collect();
            return needed(reasons.join(", "));
        }
        if context.host.has_file(POLICY_PATH, POLICY.as_bytes(), 0o755)? {
            return needed(format!("{POLICY_PATH} of a run that was cut off is still there"));
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let inputs = context.inputs;
        let packages: Vec<_> = lacking(&context.host, &inputs)?.into_iter().map(|(entry, _)| entry).collect();
        let names: BTreeSet<_> = packages.iter().filter_map(|entry| name(entry)).map(str::to_owned).collect();
        let record: BTreeSet<_> = installed_by_kinstall(&context.host)?.into_iter().chain(names).collect();
        context.host.keep_record(RECORD, &serde_json::to_vec(&record)?)?;
        let mut files = Vec::new();
        for entry in packages {
            context.progress.detail(name(entry).unwrap_or(entry.path.as_str()));
            let file = format!("{FOLDER}/{}", entry.path.as_str().rsplit('/').next().unwrap_or_default());
            context.host.keep_record(&file, &context.bundle.read_entry(entry)?)?;
            files.push(file);
        }
        install(&mut context.host, &files)
    }
}

/// The names of packages that kinstall has installed on this host.
///
/// # Errors
/// When the record cannot be read.
pub fn installed_by_kinstall(host: &Host) -> anyhow::Result<BTreeSet<String>> {
    let Some(text) = host.read(RECORD_PATH)? else { return Ok(BTreeSet::new()) };
    serde_json::from_slice(&text).with_context(|| format!("while reading {RECORD_PATH}"))
}

fn name(entry: &Entry) -> Option<&str> {
    entry.component.as_ref().map(|component| component.name.as_str())
}

/// The packages that the host lacks or has in an older version, each with the reason in words.
fn lacking<'a>(host: &Host, inputs: &Inputs<'a>) -> anyhow::Result<Vec<(&'a Entry, String)>> {
    let installed = installed(host)?;
    let mut lacking = Vec::new();
    for entry in for_host(inputs.list, inputs.facts) {
        let Some(Component { name, version }) = &entry.component else {
            bail!("{} does not say which package it is", entry.path);
        };
        let wanted: Version = version
            .parse()
            .ok()
            .with_context(|| format!("{} has the version `{version}`, which is not a version", entry.path))?;
        match installed.get(name) {
            None => lacking.push((entry, format!("{name} is not installed"))),
            Some(found) if *found < wanted => {
                lacking.push((entry, format!("{name} has version {found} instead of {version}")));
            }
            Some(_) => {}
        }
    }
    Ok(lacking)
}

/// The versions of packages that are wholly installed.
fn installed(host: &Host) -> anyhow::Result<BTreeMap<String, Version>> {
    let format = "${Package} ${Version} ${db:Status-Status}\\n";
    let output = host.run(&Command::new("dpkg-query", ["--show", "--showformat", format]))?;
    let mut installed: BTreeMap<String, Version> = BTreeMap::new();
    for line in output.stdout.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if let [name, version, "installed"] = words[..] {
            let version = version.parse().ok().with_context(|| format!("dpkg has {name} in version `{version}`"))?;
            installed.insert(name.to_owned(), version);
        }
    }
    Ok(installed)
}

/// Has dpkg install the files, which lie among kinstall's records, and removes them.
fn install(host: &mut Host, files: &[String]) -> anyhow::Result<()> {
    if !host.exists(POLICY_PATH) {
        host.write_file(POLICY_PATH, POLICY.as_bytes(), 0o755)?;
    }
    if !files.is_empty() {
        let paths = files.iter().map(|file| format!("/var/lib/kinstall/{file}"));
        let fixed = ["dpkg", "--force-confdef", "--force-confold", "--install"];
        let arguments = ENVIRONMENT.into_iter().chain(fixed).map(str::to_owned).chain(paths);
        let done = host.run(&Command::new("env", arguments));
        done.context("dpkg did not install the packages of the bundle; if apt or another dpkg runs, wait for it, and run the same command again")?;
    }
    for file in files {
        host.remove_record(file)?;
    }
    if host.has_file(POLICY_PATH, POLICY.as_bytes(), 0o755)? {
        host.remove_file(POLICY_PATH)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kbundle_format::EntryKind;

    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::{Bench, FAILS};
    use crate::join_material::JoinMaterial;

    /// A cluster whose bundle has packages for two distributions.
    fn cluster() -> Cluster {
        let mut cluster = Cluster::of_three_and_two();
        for (path, version, platform) in [
            ("debian-12/libmnl0_1.0.4-3_amd64.deb", "1.0.4-3", Some("linux/amd64")),
            ("debian-12/conntrack_1-1.4.7-1_amd64.deb", "1:1.4.7-1", Some("linux/amd64")),
            ("debian-12/conntrack_1-1.4.7-1_arm64.deb", "1:1.4.7-1", Some("linux/arm64")),
            ("debian-12/netbase_6.4_all.deb", "6.4", None),
            ("ubuntu-24.04/socat_1.8_amd64.deb", "1.8", Some("linux/amd64")),
        ] {
            let mut entry = crate::fixture::chart(&format!("os-packages/{path}"), EntryKind::OsPackage);
            let (_, file) = path.split_once('/').unwrap();
            let name = file.split('_').next().unwrap().to_owned();
            entry.component = Some(Component { name, version: version.to_owned() });
            entry.platform = platform.map(|platform| platform.parse().unwrap());
            cluster.list.entries.push(entry);
        }
        cluster
    }

    fn check(bench: &Bench, cluster: &Cluster) -> Result<Check, String> {
        let look = |context: &Context<'_>| OsPackages.check(context);
        bench.look_as(cluster, "w1", &JoinMaterial::default(), look).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_host_gets_the_packages_of_its_distribution_and_architecture() {
        let mut cluster = cluster();
        let title = |cluster: &Cluster| {
            let topology = cluster.seen_from("w1");
            let inputs = cluster.inputs(&topology);
            OsPackages.concerns(&inputs).then(|| OsPackages.title(&inputs))
        };
        assert_eq!(title(&cluster).unwrap(), "install missing packages for debian-12: libmnl0, conntrack, netbase");
        cluster.facts.os.version_id = "13".to_owned();
        assert_eq!(title(&cluster), None);
        cluster.facts.os.version_id = String::new();
        assert_eq!(title(&cluster), None);
    }

    #[test]
    fn a_host_that_has_them_in_these_or_later_versions_is_unchanged() {
        let cluster = cluster();
        let needed = |bench: &Bench| check(bench, &cluster).unwrap();
        let untouched = Bench::with_programs(|_, _| Some("netbase 6.4 installed\n".to_owned()));
        assert_eq!(
            needed(&untouched),
            Check::Needed("libmnl0 is not installed, conntrack is not installed".to_owned())
        );
        let half_done = Bench::with_programs(|_, _| {
            Some(
                "netbase 6.4 installed\nlibmnl0 1.0.4-3 half-configured\nconntrack 1:1.4.7-1~rc1 installed\n"
                    .to_owned(),
            )
        });
        let reason = "libmnl0 is not installed, conntrack has version 1:1.4.7-1~rc1 instead of 1:1.4.7-1";
        assert_eq!(needed(&half_done), Check::Needed(reason.to_owned()));
        let finished = Bench::with_programs(|_, _| {
            Some("netbase 6.4 installed\nlibmnl0 1.0.5-1 installed\nconntrack 1:1.4.7-1 installed\n".to_owned())
        });
        assert_eq!(needed(&finished), Check::Done);
        assert_eq!(finished.ran(), ["dpkg-query --show --showformat ${Package} ${Version} ${db:Status-Status}\\n"]);
        // A run was cut off after dpkg and before the end.
        finished.host().write_file(POLICY_PATH, POLICY.as_bytes(), 0o755).unwrap();
        assert!(matches!(needed(&finished), Check::Needed(reason) if reason.contains("policy-rc.d")));
    }

    #[test]
    fn dpkg_installs_without_questions_and_without_services() {
        let bench = Bench::with_programs(|root, command| {
            let policy = fs_err::read_to_string(root.join("usr/sbin/policy-rc.d")).unwrap();
            assert!(policy.ends_with("exit 101\n") && command.program == "env");
            assert!(root.join("var/lib/kinstall/os-packages/a.deb").exists());
            None
        });
        let mut host = bench.host();
        host.keep_record("os-packages/a.deb", b"deb").unwrap();
        install(&mut host, &["os-packages/a.deb".to_owned()]).unwrap();
        let ran = bench.ran();
        assert!(ran[0].starts_with("env DEBIAN_FRONTEND=noninteractive "), "{ran:?}");
        assert!(
            ran[0].ends_with(" dpkg --force-confdef --force-confold --install /var/lib/kinstall/os-packages/a.deb")
        );
        assert!(!bench.path("usr/sbin/policy-rc.d").exists());
        assert!(!bench.path("var/lib/kinstall/os-packages/a.deb").exists());
    }

    #[test]
    fn a_policy_of_the_host_stays_and_dpkg_says_why_it_failed() {
        let bench = Bench::with_programs(|_, _| Some(format!("{FAILS}dpkg: error: frontend lock was locked")));
        bench.file("usr/sbin/policy-rc.d", "own");
        let error = install(&mut bench.host(), &["os-packages/a.deb".to_owned()]).unwrap_err();
        assert!(format!("{error:#}").contains("frontend lock was locked"), "{error:#}");
        assert_eq!(bench.read("usr/sbin/policy-rc.d"), "own");
        install(&mut bench.host(), &[]).unwrap();
        assert_eq!(bench.read("usr/sbin/policy-rc.d"), "own");
    }
}
