//! The state of a host: its files, its units, and the content of its kernel, to be compared before and after.

use std::collections::BTreeMap;

use crate::{Remote, kernel};

/// Trees that change by themselves, or that contain what the test itself brings.
const PASSED_OVER: [&str; 10] = [
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/log",
    "/var/lib/systemd",
    "/media",
    "/var/cache/ldconfig",
];

/// Files by path, with all that is known of them, the units, and what [`kernel`] finds.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    entries: BTreeMap<String, String>,
}

impl Snapshot {
    /// Looks at every file of the host's root and at every unit that systemd knows.
    pub fn of(host: &Remote) -> anyhow::Result<Self> {
        let passed: Vec<_> = PASSED_OVER.iter().map(|path| format!("-path {path} -prune -o")).collect();
        let passed = passed.join(" ");
        let mut entries = BTreeMap::new();
        let files = host.sh(&format!(r"find / -xdev {passed} -printf '%p\t%y %m %U:%G %l\n'"))?;
        entries.extend(files.lines().filter_map(|line| line.split_once('\t')).map(owned));
        let sums = host.sh(&format!("find / -xdev {passed} -type f -print0 | xargs -0 sha256sum"))?;
        let sums = sums.lines().filter_map(|line| line.split_once("  "));
        entries.extend(sums.map(|(sum, path)| (format!("content {path}"), sum.to_owned())));
        let units = host.sh("systemctl list-unit-files --no-legend --no-pager")?;
        // Transient units live in /run; systemd forgets them when their processes have ended.
        let units = words(&units).filter(|words| words[1] != "transient");
        entries.extend(units.map(|words| (format!("unit {}", words[0]), words[1].to_owned())));
        let active =
            host.sh("systemctl list-units --no-legend --no-pager --plain --type=service,timer,socket,path,slice")?;
        let lasting = words(&active)
            .filter(|words| words.len() > 3 && ["running", "waiting", "listening", "active"].contains(&words[3]))
            // Systemd makes a slice for each kind of unit with instances, when the first one starts.
            .filter(|words| !words[0].starts_with("system-"))
            // Systemd starts timedated for whoever asks for the time's source, and ends it soon after.
            .filter(|words| !["session", "user", "systemd-timedated"].iter().any(|name| words[0].starts_with(name)));
        entries.extend(lasting.map(|words| (format!("active {}", words[0]), words[3].to_owned())));
        // What lies deeper there changes on its own.
        let top = host.sh("find /run -mindepth 1 -maxdepth 1 ! -name motd.dynamic ! -name nologin; \
             find /var/log -mindepth 1 -maxdepth 1 -type d")?;
        entries.extend(top.lines().map(|path| (format!("top {path}"), String::new())));
        entries.extend(kernel::entries(host)?);
        anyhow::ensure!(entries.contains_key("content /etc/passwd"), "the look at the host found next to nothing");
        anyhow::ensure!(entries.keys().any(|key| key.starts_with("unit ")), "the look at the host found no units");
        Ok(Self { entries })
    }

    /// Fails naming each difference.
    pub fn assert_same(&self, after: &Self, when: &str) {
        let mut differences = Vec::new();
        for (key, value) in &self.entries {
            match after.entries.get(key) {
                None => differences.push(format!("gone: {key} ({value})")),
                Some(now) if now != value => differences.push(format!("changed: {key}: {value} -> {now}")),
                Some(_) => {}
            }
        }
        // A kernel module that was loaded meanwhile brings its settings, and may be in use elsewhere by now.
        let of_module = |key: &&String| key.starts_with(kernel::SETTING);
        let new = after.entries.keys().filter(|key| !self.entries.contains_key(*key) && !of_module(key));
        differences.extend(new.map(|key| format!("new: {key}")));
        assert!(differences.is_empty(), "{when}, the host differs:\n{}", differences.join("\n"));
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// The lines of a systemctl table, each as its words; lines of fewer than two words are none of the table's.
fn words(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|words| words.len() >= 2)
}
