//! The upstream mirror, served: nginx for files and docker-registry for images, both on free
//! loopback ports, both ended when dropped.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use fs_err as fs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::launch::wait_until;
use crate::paths::mirror_tree;

/// A running mirror. Several may run at once: what they serve is only read.
#[derive(Debug)]
pub struct Mirror {
    tree: PathBuf,
    http_port: u16,
    registry_port: u16,
    servers: Vec<Child>,
    run_dir: TempDir,
}

impl Mirror {
    /// Serves the mirror in the cache; fills it first where it is missing.
    pub fn start() -> Result<Self> {
        let tree = mirror_tree()?;
        let run_dir = tempfile::Builder::new().prefix("kbundle-mirror-").tempdir()?;
        let (http_port, registry_port) = (free_port()?, free_port()?);
        let mut mirror = Self { tree, http_port, registry_port, servers: Vec::new(), run_dir };
        mirror.start_nginx()?;
        mirror.start_registry()?;
        for port in [http_port, registry_port] {
            wait_until(Duration::from_secs(20), || TcpStream::connect(("127.0.0.1", port)).is_ok()).with_context(
                || format!("a server of the mirror did not open port {port}; see {}", mirror.logs().display()),
            )?;
        }
        Ok(mirror)
    }

    /// The catalog of what is served, for `kbundle --catalog`.
    #[must_use]
    pub fn catalog(&self) -> PathBuf {
        self.tree.join("catalog.yaml")
    }

    /// Where a host's files are served: `http://127.0.0.1:PORT/HOST`.
    #[must_use]
    pub fn http_url(&self, host: &str) -> String {
        format!("http://127.0.0.1:{}/{host}", self.http_port)
    }

    /// Where a registry's repositories are served: `http://127.0.0.1:PORT/REGISTRY`.
    #[must_use]
    pub fn registry_url(&self, registry: &str) -> String {
        format!("http://127.0.0.1:{}/{registry}", self.registry_port)
    }

    /// `FROM=TO` for every host and registry in the mirror, as `kbundle --mirror` takes them.
    pub fn settings(&self) -> Result<Vec<String>> {
        let mut settings = Vec::new();
        for host in directories(&self.tree.join("http"))? {
            settings.push(format!("{host}={}", self.http_url(&host)));
        }
        for registry in directories(&self.tree.join("registry/docker/registry/v2/repositories"))? {
            settings.push(format!("{registry}={}", self.registry_url(&registry)));
        }
        Ok(settings)
    }

    /// One line for each HTTP request for a file so far: method, path, status, bytes, `Range`.
    pub fn requests(&self) -> Result<Vec<String>> {
        Ok(fs::read_to_string(self.logs().join("access.log"))?.lines().map(str::to_owned).collect())
    }

    /// Ends both servers. Dropping does the same.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn logs(&self) -> &Path {
        self.run_dir.path()
    }

    fn start_nginx(&mut self) -> Result<()> {
        let config = self.logs().join("nginx.conf");
        let text = include_str!("../lab/mirror/nginx.conf")
            .replace("@DIR@", &self.logs().display().to_string())
            .replace("@PORT@", &self.http_port.to_string())
            .replace("@ROOT@", &self.tree.join("http").display().to_string());
        fs::write(&config, text)?;
        let log = self.logs().join("error.log");
        self.serve(Command::new("/usr/sbin/nginx").arg("-e").arg(log).arg("-c").arg(config), "nginx")
    }

    fn start_registry(&mut self) -> Result<()> {
        let config = self.logs().join("registry.yaml");
        let text = include_str!("../lab/mirror/registry.yaml")
            .replace("@PORT@", &self.registry_port.to_string())
            .replace("@ROOT@", &self.tree.join("registry").display().to_string());
        fs::write(&config, text)?;
        self.serve(Command::new("docker-registry").arg("serve").arg(config), "registry")
    }

    fn serve(&mut self, command: &mut Command, name: &str) -> Result<()> {
        let mut log = fs::File::create(self.logs().join(format!("{name}.log")))?.into_file();
        writeln!(log, "{command:?}")?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        self.servers.push(child.with_context(|| format!("cannot start {name}; tests/lab/mirror/fill installs it"))?);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        for mut server in self.servers.drain(..) {
            // TERM and not KILL: nginx's master process has to end its workers.
            kill(Pid::from_raw(server.id().try_into()?), Signal::SIGTERM)?;
            server.wait()?;
        }
        Ok(())
    }
}

impl Drop for Mirror {
    #[expect(clippy::print_stderr, reason = "the only way left to tell")]
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("the mirror was not stopped: {error:#}");
        }
    }
}

fn directories(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A port that nobody listened on a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
