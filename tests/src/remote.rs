//! What a host is to an administrator: a machine where root works over SSH.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{self, Output, quote};

/// A machine that is reached over SSH as root.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The name that the machine has for itself.
    pub(crate) name: String,
    /// Its IPv4 address, as the machine itself knows it.
    pub(crate) address: String,
    /// How SSH reaches it.
    pub(crate) route: Route,
    /// The private key that root lets in.
    pub(crate) key: PathBuf,
    /// Where its SSH host key is kept once it was seen.
    pub(crate) known_hosts: PathBuf,
    /// How many times as long as on an ordinary host its work may take.
    pub(crate) slowness: u32,
}

/// How a machine's SSH is reached from here.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// At the machine's own address, in this network namespace.
    Namespace(String),
    /// At this port of the loopback, which is forwarded to the machine.
    ForwardedPort(u16),
}

impl Route {
    /// A command that runs this program where the machine is reached.
    fn command(&self, program: &str) -> Command {
        match self {
            Self::Namespace(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, program]);
                command
            }
            Self::ForwardedPort(_) => Command::new(program),
        }
    }
}

impl Remote {
    /// The name that the host has for itself, such as `host-1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's IPv4 address, as it has it itself.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The limit for what an ordinary host does within `usual`.
    #[must_use]
    pub fn at_most(&self, usual: Duration) -> Duration {
        usual * self.slowness
    }

    /// Runs a program with these arguments as root and returns what it said, whatever its status.
    ///
    /// The arguments reach the program as they are: no shell looks at them. Its input is empty.
    pub fn exec(&self, argv: &[&str]) -> Result<Output> {
        let words: Vec<String> = argv.iter().map(|word| quote(word)).collect();
        command::output(self.ssh().arg("-n").arg(words.join(" ")))
            .with_context(|| format!("while running {argv:?} on {}", self.name))
    }

    /// Runs a shell script as root and returns its output; an error when it fails.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.exec(&["sh", "-euc", script])?.success().with_context(|| format!("on {}: {script}", self.name))
    }

    /// An `ssh` command that lacks only the remote command, to be run with a terminal or with pipes.
    #[must_use]
    pub fn ssh(&self) -> Command {
        let mut command = self.route.command("ssh");
        command.args(self.ssh_options()).arg(format!("root@{}", self.ssh_address()));
        command
    }

    /// Copies a file or directory of this machine into the host, over SSH.
    pub fn copy_in(&self, local: &Path, remote: &str) -> Result<()> {
        self.scp(&[local.display().to_string(), format!("root@{}:{remote}", self.ssh_address())])
    }

    /// Copies a file or directory of the host to this machine, over SSH.
    pub fn copy_out(&self, remote: &str, local: &Path) -> Result<()> {
        self.scp(&[format!("root@{}:{remote}", self.ssh_address()), local.display().to_string()])
    }

    fn scp(&self, ends: &[String; 2]) -> Result<()> {
        let mut scp = self.route.command("scp");
        scp.args(["-q", "-r", "-p"]).args(self.ssh_options()).args(ends);
        command::output(&mut scp)?.success().with_context(|| format!("while copying {} to {}", ends[0], ends[1]))?;
        Ok(())
    }

    fn ssh_address(&self) -> &str {
        match self.route {
            Route::Namespace(_) => &self.address,
            Route::ForwardedPort(_) => "127.0.0.1",
        }
    }

    fn ssh_options(&self) -> Vec<String> {
        let connects_within = self.at_most(Duration::from_secs(5)).as_secs();
        let mut options = vec!["-F".to_owned(), "none".to_owned(), "-i".to_owned(), self.key.display().to_string()];
        let mut settings = vec![
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=accept-new".to_owned(),
            "LogLevel=ERROR".to_owned(),
            format!("ConnectTimeout={connects_within}"),
            format!("UserKnownHostsFile={}", self.known_hosts.display()),
        ];
        if let Route::ForwardedPort(port) = self.route {
            settings.push(format!("Port={port}"));
        }
        for setting in settings {
            options.extend(["-o".to_owned(), setting]);
        }
        options
    }
}
