//! Runs the helm that the catalog pins, to render a chart. It gets nothing but the chart, its values and the Kubernetes version: no
//! environment, an empty home, no cluster. `helm template` asks no server.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use kbundle_format::KubeVersion;
use tempfile::TempDir;

use super::ChartError;

/// Large charts take some seconds.
const LIMIT: Duration = Duration::from_mins(2);
/// The pause between two checks whether helm has ended.
const PERIOD: Duration = Duration::from_millis(20);
/// Most bytes of a rendered chart.
const MAX_RENDERED_BYTES: u64 = 64 << 20;
/// How many lines of helm's messages are shown.
const SHOWN_LINES: usize = 8;

/// helm, unpacked into a folder of its own.
pub(crate) struct Helm {
    folder: TempDir,
    limit: Duration,
}

/// What to render.
pub(crate) struct Rendering<'a> {
    /// The name of the release.
    pub release: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The chart's archive.
    pub chart: &'a Path,
    /// Files of values; later ones override earlier ones.
    pub values: Vec<PathBuf>,
    /// The Kubernetes version to render for.
    pub kubernetes: KubeVersion,
}

impl Helm {
    /// Unpacks the release archive of helm into a folder below `place`.
    pub fn unpack(archive: &Path, place: &Path) -> Result<Self, ChartError> {
        let unpack = || -> io::Result<TempDir> {
            let folder = tempfile::tempdir_in(fs::canonicalize(place)?)?;
            let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(archive)?));
            for entry in archive.entries()? {
                let mut entry = entry?;
                if entry.header().entry_type().is_file() && entry.path()?.file_name().is_some_and(|name| name == "helm")
                {
                    let program = folder.path().join("helm");
                    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(program)?;
                    io::copy(&mut entry, &mut file)?;
                    return Ok(folder);
                }
            }
            Err(io::Error::new(io::ErrorKind::NotFound, "its archive has no program `helm`"))
        };
        Ok(Self { folder: unpack().map_err(|source| ChartError::Run { source })?, limit: LIMIT })
    }

    /// Renders the chart: Kubernetes objects as YAML, including those of hooks and without those of tests.
    pub fn render(&self, wanted: &Rendering<'_>) -> Result<String, ChartError> {
        let run = |source| ChartError::Run { source };
        let work = tempfile::tempdir_in(self.folder.path()).map_err(run)?;
        let chart = work.path().join("chart.tgz");
        fs::copy(wanted.chart, &chart).map_err(run)?;
        let file = |name: &str| fs::File::create(work.path().join(name)).map_err(run);
        let mut command = Command::new(self.folder.path().join("helm"));
        command.env_clear().env("HOME", work.path()).current_dir(work.path());
        command.args(["template", wanted.release]).arg(&chart).args(["--namespace", wanted.namespace]);
        command.arg(format!("--kube-version={}", wanted.kubernetes)).args(["--include-crds", "--skip-tests"]);
        for values in &wanted.values {
            command.arg("--values").arg(fs::canonicalize(values).map_err(run)?);
        }
        let (rendered, said) = (file("rendered")?, file("said")?);
        command.stdin(Stdio::null()).stdout(rendered.into_file()).stderr(said.into_file());
        let succeeded = self.end_of(start(&mut command).map_err(run)?, &work.path().join("rendered"))?;
        let mut text = String::new();
        let shown = if succeeded { "rendered" } else { "said" };
        let file = fs::File::open(work.path().join(shown)).map_err(run)?;
        file.take(MAX_RENDERED_BYTES).read_to_string(&mut text).map_err(run)?;
        if succeeded { Ok(text) } else { Err(ChartError::Render { said: shortened(&text, &chart) }) }
    }

    /// Waits until helm ends; returns whether it succeeded.
    fn end_of(&self, mut child: Child, rendered: &Path) -> Result<bool, ChartError> {
        let run = |source| ChartError::Run { source };
        let end = Instant::now() + self.limit;
        loop {
            if let Some(status) = child.try_wait().map_err(run)? {
                return Ok(status.success());
            }
            let reason = if fs::metadata(rendered).map_err(run)?.len() > MAX_RENDERED_BYTES {
                format!("it wrote more than {} MiB", MAX_RENDERED_BYTES >> 20)
            } else if Instant::now() > end {
                format!("it took longer than {} s", self.limit.as_secs())
            } else {
                thread::sleep(PERIOD);
                continue;
            };
            child.kill().and_then(|()| child.wait()).map_err(run)?;
            return Err(ChartError::Stopped { reason });
        }
    }
}

/// Starts a program that was just written. If another thread starts a process at this moment, that process holds the program's file open
/// until it has begun.
fn start(command: &mut Command) -> io::Result<Child> {
    let end = Instant::now() + LIMIT;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < end => {
                thread::sleep(PERIOD);
            }
            result => return result,
        }
    }
}

/// The end of helm's messages on one line, without the name of the temporary file.
fn shortened(said: &str, chart: &Path) -> String {
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("; ");
    let last = last.replace(&chart.display().to_string(), "the chart");
    last.strip_prefix("Error: ").unwrap_or(&last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for helm that misbehaves.
    fn program(script: &str) -> Helm {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helm");
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(path).unwrap();
        io::Write::write_all(&mut file, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        Helm { folder, limit: LIMIT }
    }

    fn render(helm: &Helm) -> Result<String, ChartError> {
        let chart = helm.folder.path().join("helm");
        let kubernetes = KubeVersion::new(1, 36, 3);
        helm.render(&Rendering { release: "app", namespace: "team", chart: &chart, values: Vec::new(), kubernetes })
    }

    #[test]
    fn it_is_given_the_chart_and_nothing_of_the_environment() {
        let said = render(&program("echo \"$@\"; env | cut -d = -f 1 | sort | tr '\\n' ' '; ls -A")).unwrap();
        assert!(said.starts_with("template app /") && said.contains("--kube-version=1.36.3 --include-crds"), "{said}");
        // The shell itself sets HOME and PWD last.
        assert!(said.contains("\nHOME PWD"), "{said}");
        assert!(said.ends_with("chart.tgz\nrendered\nsaid\n"), "{said}");
    }

    #[test]
    fn what_it_says_is_shown() {
        let error = render(&program("echo 'Error: no such value' >&2; exit 1")).unwrap_err();
        assert_eq!(error.to_string(), "helm cannot render the chart: no such value");
    }

    #[test]
    fn a_chart_without_an_end_is_stopped() {
        let helm = Helm { limit: Duration::ZERO, ..program("exec sleep 600") };
        let error = render(&helm).unwrap_err();
        assert_eq!(error.to_string(), "helm was stopped while it rendered the chart: it took longer than 0 s");
    }
}
