//! The lab for people: `./ci/lab`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lab::{Lab, Mirror};

/// Real Debian hosts without a way out, and the upstream mirror
#[derive(Parser)]
#[command(name = "lab")]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Boot hosts named host-1, host-2, … and leave them running
    Up {
        /// How many hosts
        #[arg(default_value_t = 1)]
        count: usize,
        /// Name of the lab; several may run at once
        #[arg(long, default_value = "lab")]
        name: String,
    },
    /// Run a command on a host, over SSH; without one, open a shell
    Exec {
        /// Name of the lab
        #[arg(long, default_value = "lab")]
        name: String,
        /// Name of the host
        host: String,
        /// Passed to the host's shell as it is
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Copy a file or directory into a host
    Push {
        /// Name of the lab
        #[arg(long, default_value = "lab")]
        name: String,
        /// Name of the host
        host: String,
        /// What to copy
        local: std::path::PathBuf,
        /// Where to, on the host
        remote: String,
    },
    /// End and remove a lab
    Down {
        /// Name of the lab
        #[arg(long, default_value = "lab")]
        name: String,
    },
    /// Show running labs and their hosts
    Status,
    /// Save the logs of a lab's hosts in target/lab-logs
    Logs {
        /// Name of the lab
        #[arg(long, default_value = "lab")]
        name: String,
    },
    /// Serve the upstream mirror until Enter or the end of input, and print the options for kbundle
    Mirror,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Action::Up { count, name } => {
            let started = std::time::Instant::now();
            let lab = Lab::boot(&name, count)?;
            for host in lab.hosts() {
                say(&format!("{} {}", host.name(), host.address()));
            }
            say(&format!("lab `{name}` is up after {:.1} s", started.elapsed().as_secs_f64()));
            lab.keep()?;
        }
        Action::Exec { name, host, command } => {
            let lab = Lab::open(&name)?;
            let status = lab.host(&host)?.ssh().args(command).status().context("cannot run ssh")?;
            return Ok(status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .map_or(ExitCode::FAILURE, ExitCode::from));
        }
        Action::Push { name, host, local, remote } => Lab::open(&name)?.host(&host)?.copy_in(&local, &remote)?,
        Action::Down { name } => Lab::open(&name)?.down()?,
        Action::Logs { name } => say(&Lab::open(&name)?.save_logs()?.display().to_string()),
        Action::Status => {
            for name in Lab::names()? {
                for host in Lab::open(&name)?.hosts() {
                    let state = if host.is_running() { "running" } else { "down" };
                    say(&format!("{name} {} {} {state}", host.name(), host.address()));
                }
            }
        }
        Action::Mirror => {
            let mirror = Mirror::start()?;
            let settings: Vec<String> =
                mirror.settings()?.iter().map(|setting| format!("--mirror {setting}")).collect();
            say(&format!("--catalog {} {}", mirror.catalog().display(), settings.join(" ")));
            std::io::stdin().read_line(&mut String::new())?;
            mirror.stop()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the one printer of this program")]
fn say(line: &str) {
    println!("{line}");
}
