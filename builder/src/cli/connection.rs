//! How servers are reached.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Transfers, retries, TLS and credentials.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionArgs {
    /// Transfers at a time
    #[arg(long, value_name = "N", default_value = "6", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// Try again this often after a failure that may pass
    #[arg(long, value_name = "N", default_value = "5")]
    pub retries: u32,
    /// Wait this long before the first retry; each later one waits twice as long
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    pub retry_pause: Duration,
    /// Give up on a server that is silent for this long
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,
    /// Trust the certificate authorities in this PEM file as well
    ///
    /// For a company's proxy. The system's authorities and Mozilla's are trusted anyway.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Take authorities and client certificates of single hosts from this folder
    ///
    /// A folder HOST or HOST:PORT in it holds *.crt (authorities), and NAME.cert with NAME.key (the client's), as in
    /// /etc/docker/certs.d. ~/.config/containers/certs.d, /etc/containers/certs.d and /etc/docker/certs.d come after it.
    #[arg(long, value_name = "DIR")]
    pub certs_dir: Option<PathBuf>,
    /// Read credentials for registries from this file alone [default: Podman's auth.json, then Docker's config.json]
    ///
    /// The entry with the longest matching namespace counts. Credential helpers are asked. `$REGISTRY_AUTH_FILE` names the file as well.
    /// Without either, kbundle reads `$XDG_RUNTIME_DIR/containers/auth.json`, ~/.config/containers/auth.json and
    /// `$DOCKER_CONFIG/config.json`.
    #[arg(long, value_name = "FILE")]
    pub registry_config: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a number of seconds");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}
