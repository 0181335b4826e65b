//! `kinstall support`: one file for the person who looks for a fault.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::HumanBytes;
use kbundle_cli::OutputFormat;
use kbundle_cli::output;
use kbundle_format::atomic_file::AtomicFile;
use schemars::JsonSchema;
use serde::Serialize;

use super::{fleet, require_root, secret_file};
use crate::cli::SupportArguments;
use crate::failure::FailureReport;
use crate::host::Host;
use crate::join_file::Moment;
use crate::report::SCHEMA;
use crate::standing::Standing;
use crate::support::{self, Contents, HostContents, HostSupport};
use crate::version::version;

/// What was collected.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Support")]
pub struct Collected {
    schema: u32,
    /// The file.
    file: PathBuf,
    /// Its size.
    bytes: u64,
    /// What is in it.
    contents: Contents,
}

/// What each host gave, or why it gave nothing.
type Answers = BTreeMap<String, Result<HostSupport, String>>;

pub fn support(arguments: &SupportArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let now = Moment::now();
    let (path, file, answers) = if let Some((spec, options)) = fleet::cluster(&arguments.cluster)? {
        let (path, file) = begin(arguments, spec.name.as_str(), now)?;
        let begun = fleet::end_connections_when_interrupted;
        let found = crate::fleet::collect_support(&spec, arguments.hours, &options, begun)?;
        let answer = |answer: Result<HostSupport, FailureReport>| answer.map_err(|report| report.error);
        (path, file, found.into_iter().map(|(host, found)| (host.to_string(), answer(found))).collect())
    } else {
        require_root()?;
        let host = Host::local()?;
        let (cluster, name) = names(&host)?;
        let (path, file) = begin(arguments, &cluster, now)?;
        (path, file, Answers::from([(name, Ok(support::collect(&host, arguments.hours)))]))
    };
    let contents = Contents::of(version().to_owned(), now.to_string(), &answers);
    let bytes = keep(file, &contents, &answers).with_context(|| format!("cannot write {}", path.display()))?;
    let collected = Collected { schema: SCHEMA, file: path, bytes, contents };
    output::result(output, &tell(&collected), &collected)?;
    Ok(ExitCode::SUCCESS)
}

/// The names of the cluster and of this host; a host that kinstall has not set up has names as well.
fn names(host: &Host) -> anyhow::Result<(String, String)> {
    if let Ok(standing) = Standing::find(host) {
        return Ok((standing.records.spec.name.to_string(), standing.inputs().node_name()));
    }
    let name = host.read_text("/proc/sys/kernel/hostname")?.unwrap_or_default();
    let name = name.trim();
    Ok((name.to_owned(), name.to_owned()))
}

/// Begins the file before anything is collected.
fn begin(arguments: &SupportArguments, cluster: &str, now: Moment) -> anyhow::Result<(PathBuf, AtomicFile)> {
    let path = match &arguments.out {
        Some(path) => path.clone(),
        None => format!("support-{cluster}-{}.tar.zst", now.in_file_names()).into(),
    };
    let file = secret_file::begin(&path, "the file for support")?;
    Ok((path, file))
}

fn keep(mut file: AtomicFile, contents: &Contents, answers: &Answers) -> io::Result<u64> {
    let mut counted = Counted { to: &mut file, bytes: 0 };
    support::write(&mut counted, contents, answers)?;
    let bytes = counted.bytes;
    file.commit_new()?;
    Ok(bytes)
}

/// Counts what is written.
struct Counted<W> {
    to: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn tell(collected: &Collected) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    for (name, host) in &collected.contents.hosts {
        let HostContents { failure, files, failures } = host;
        if let Some(failure) = failure {
            line(format!("{name}: nothing, {failure}"));
            continue;
        }
        let removed: usize = files.values().map(|notes| notes.removed_secrets).sum();
        line(format!("{name}: {} files, {removed} secrets removed", files.len()));
        for (source, reason) in failures {
            line(format!("  not collected: {source}: {reason}"));
        }
    }
    line(format!("{}: {}; look through it before you send it", collected.file.display(), HumanBytes(collected.bytes)));
    text
}
