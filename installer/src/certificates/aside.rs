//! Lets kubeadm make certificates in a separate directory. kubeadm writes in place, where a power cut would leave half a file. kinstall
//! checks what kubeadm made, and then puts it in place by a rename.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};

use super::look::read;
use super::place::Renewable;
use crate::host::{Command, Host};
use crate::kubeadm::run::PROGRAM;
use crate::kubeadm::{CONFIG_PATH, DIRECTORY, PKI};
use crate::pki::Signature;

/// Below kubeadm's directory, which a reset removes.
const ASIDE: &str = "/etc/kubernetes/renewal";
/// Authorities to link there, so that their keys are not copied.
const AUTHORITIES: [&str; 2] = ["ca", "front-proxy-ca"];

/// Where the API server's names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names<'a> {
    /// The certificate that is there, or kubeadm's configuration if that certificate cannot be read.
    Kept,
    /// kubeadm's configuration, which has every name of the certificate that is there.
    Configured,
    /// kubeadm's configuration, which may lack these names.
    Without(&'a BTreeSet<String>),
}

/// Renews one of kubeadm's certificates and puts it in place.
pub fn renew(host: &mut Host, name: Renewable, names: Names<'_>) -> anyhow::Result<()> {
    let made = prepare(host).and_then(|()| make(host, name, names));
    // It holds a key, so it is removed even if the renewal failed.
    let removed = host.remove_claimed(ASIDE);
    made?;
    removed?;
    Ok(())
}

/// Renews the certificate of this host's API server with the names of kubeadm's configuration, which may lack those in `gone`. The API
/// server does not read it before a restart.
pub fn remake_apiserver(host: &mut Host, gone: &BTreeSet<String>) -> anyhow::Result<()> {
    renew(host, Renewable::Apiserver, Names::Without(gone))
}

fn prepare(host: &mut Host) -> anyhow::Result<()> {
    host.remove_claimed(ASIDE)?;
    host.make_directory(ASIDE, 0o700)?;
    for authority in AUTHORITIES {
        for extension in ["crt", "key"] {
            host.make_link(&format!("{ASIDE}/{authority}.{extension}"), &format!("{PKI}/{authority}.{extension}"))?;
        }
    }
    let configuration = host.read_text(CONFIG_PATH)?.with_context(|| format!("there is no {CONFIG_PATH}"))?;
    Ok(host.write_file(&format!("{ASIDE}/kubeadm.yaml"), aside(&configuration)?.as_bytes(), 0o600)?)
}

/// The configuration with the separate directory as the directory of the certificates.
fn aside(configuration: &str) -> anyhow::Result<String> {
    const KIND: &str = "kind: ClusterConfiguration\n";
    if !configuration.contains(KIND) || configuration.contains("\ncertificatesDir:") {
        bail!("{CONFIG_PATH} is not as kinstall wrote it");
    }
    Ok(configuration.replacen(KIND, &format!("{KIND}certificatesDir: {ASIDE}\n"), 1))
}

fn make(host: &mut Host, name: Renewable, names: Names<'_>) -> anyhow::Result<()> {
    let configuration = format!("--config={ASIDE}/kubeadm.yaml");
    if let Some(phase) = name.as_str().strip_suffix(".conf") {
        // `certs renew` cannot write kubeconfigs to another directory.
        let directory = format!("--kubeconfig-dir={ASIDE}");
        kubeadm(host, &["init", "phase", "kubeconfig", phase, &directory, &configuration])?;
        return take(host, &format!("{DIRECTORY}/{name}"), &[name.as_str()], names);
    }
    // `certs renew` needs a present certificate that can be read.
    if names == Names::Kept && read(host, &format!("{PKI}/{name}.crt")).is_ok() {
        for file in [format!("{name}.crt"), format!("{name}.key")] {
            let present = host.read(&format!("{PKI}/{file}"))?.unwrap_or_default();
            host.write_file(&format!("{ASIDE}/{file}"), &present, 0o600)?;
        }
        kubeadm(host, &["certs", "renew", name.as_str(), &configuration])?;
    } else {
        kubeadm(host, &["init", "phase", "certs", name.as_str(), &configuration])?;
    }
    // The key first: an API server that reads both in between keeps the pair that it has; one that starts in between is started again.
    take(host, &format!("{PKI}/{name}.crt"), &[&format!("{name}.key"), &format!("{name}.crt")], names)
}

fn kubeadm(host: &Host, arguments: &[&str]) -> anyhow::Result<()> {
    host.run(&Command::new(PROGRAM, arguments.iter().copied()))?;
    Ok(())
}

/// Checks the new certificate, whose final place is `path`, and puts the files in place.
fn take(host: &mut Host, path: &str, files: &[&str], names: Names<'_>) -> anyhow::Result<()> {
    let directory = path.rsplit_once('/').map_or(DIRECTORY, |(directory, _)| directory);
    let (_, file) = path.rsplit_once('/').unwrap_or_default();
    let made = format!("{ASIDE}/{file}");
    refuse_unfit(host, path, &made, names).with_context(|| format!("kubeadm made {made}, and it is not used"))?;
    for file in files {
        let content =
            host.read(&format!("{ASIDE}/{file}"))?.with_context(|| format!("kubeadm made no {ASIDE}/{file}"))?;
        let mode = if has_extension(file, "crt") { 0o644 } else { 0o600 };
        host.write_file(&format!("{directory}/{file}"), &content, mode)?;
    }
    Ok(())
}

fn has_extension(file: &str, extension: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, found)| found == extension)
}

/// Refuses a certificate that was not signed by the authority of the one in place, or that lacks one of its names.
fn refuse_unfit(host: &Host, present: &str, made: &str, names: Names<'_>) -> anyhow::Result<()> {
    let new = read(host, made).map_err(anyhow::Error::msg)?;
    let signed = AUTHORITIES.iter().any(|authority| {
        let authority = read(host, &format!("{PKI}/{authority}.crt"));
        authority.is_ok_and(|authority| new[0].signature_by(&authority[0]) == Signature::Good)
    });
    if !signed {
        bail!("no authority of the cluster signed it");
    }
    // A certificate that cannot be read has no names to keep.
    let Ok(old) = read(host, present) else { return Ok(()) };
    let may_go = |name: &String| matches!(names, Names::Without(gone) if gone.contains(name));
    let lost = old[0].names.iter().filter(|name| !new[0].names.contains(name) && !may_go(name));
    let lost: Vec<_> = lost.cloned().collect();
    if !lost.is_empty() {
        bail!("it lacks {}, which {present} has; keep these names with `kinstall certs add-san`", lost.join(", "));
    }
    Ok(())
}
