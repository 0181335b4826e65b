//! Checks that a join file still lets its host join, before anything on the host is changed.
//!
//! The API server is asked for the node that the host will become, with the file's token and the file's authority. The answer shows whether
//! the server can be reached, whether the file is from its cluster, whether the token works, and whether the name is free. This program has
//! no HTTP client, so the bundle's kubectl asks. It runs from memory, and reads its kubeconfig from there: nothing is written to the host,
//! and no secret is on a command line.

use std::ffi::CStr;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fs_err as fs;
use kbundle_format::{ComponentName, IndexedBundle, Platform, Role};
use nix::errno::Errno;
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::json;

use super::JoinFile;
use crate::failure::Advise;
use crate::host::{Command, Host, Output};
use crate::join_material::JoinCredentials;

/// The answer of an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// The host can join.
    Welcome,
    /// There is a node of this name.
    NameTaken,
    /// The token is unknown or has expired.
    TokenUnknown,
    /// The token is known, but allows nobody to join.
    TokenForbidden(String),
    /// The server belongs to another cluster.
    AnotherAuthority(String),
    /// No server answers.
    Unreached(String),
}

/// Asks the cluster whether the host may join it, and returns the credentials to join with, with an API server that answered.
///
/// # Errors
/// A refusal for each possible reason, with what to do about it.
pub fn probe(
    host: &Host,
    bundle: &IndexedBundle,
    platform: &Platform,
    file: &JoinFile,
) -> anyhow::Result<JoinCredentials> {
    let entry = bundle
        .list()
        .component(ComponentName::Kubectl, platform)
        .context("the bundle has no kubectl for this platform")?;
    let kubectl = InMemory::new(c"kubectl", |memory| Ok(bundle.copy_entry(entry, memory).map(drop)?))?;
    let mut unreached = Vec::new();
    for server in servers(file) {
        let kubeconfig = InMemory::new(c"kubeconfig", |memory| Ok(memory.write_all(&kubeconfig(file, &server))?))?;
        let node = format!("/api/v1/nodes/{}", file.host);
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.path()),
            "--request-timeout=10s".into(),
            "get".into(),
            "--raw".into(),
            node,
        ];
        let output = host.try_run(&Command::new(&kubectl.path(), arguments));
        match verdict(&output.context("cannot ask the cluster whether this host may join it").refused()?) {
            Verdict::Unreached(said) => unreached.push(format!("{server}: {said}")),
            verdict => {
                refuse(file, &server, &verdict)?;
                return Ok(JoinCredentials { api_server: server, ..file.credentials.clone() });
            }
        }
    }
    Err(anyhow!(
        "no API server of the cluster {} answers: {}; nothing was changed",
        file.cluster.name,
        unreached.join("; ")
    ))
    .refused()
    .hint("check that the control planes run and that this host reaches them on that port (firewalls, cables, routes)")
}

/// The API servers of the cluster, as address and port: first the one that made the file, then the other control planes.
fn servers(file: &JoinFile) -> Vec<String> {
    let port = file.cluster.api.port;
    let mut servers = vec![file.credentials.api_server.clone()];
    for host in file.cluster.hosts.iter().filter(|host| host.roles.contains(&Role::ControlPlane)) {
        let server = SocketAddr::new(host.address, port).to_string();
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

fn kubeconfig(file: &JoinFile, server: &str) -> Vec<u8> {
    let cluster = json!({
        "server": format!("https://{server}"),
        "certificate-authority-data": BASE64_STANDARD.encode(&file.authority),
    });
    let named = |kind: &str, value| json!([{ "name": "join", kind: value }]);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": named("cluster", cluster),
        "users": named("user", json!({ "token": file.credentials.token })),
        "contexts": named("context", json!({ "cluster": "join", "user": "join" })),
        "current-context": "join",
    });
    config.to_string().into_bytes()
}

/// Interprets the output of kubectl.
fn verdict(output: &Output) -> Verdict {
    if output.code == Some(0) {
        return Verdict::NameTaken;
    }
    let said = output.stderr.trim();
    let is = |words: &str| said.contains(words);
    if is("(NotFound)") {
        Verdict::Welcome
    } else if is("(Unauthorized)") {
        Verdict::TokenUnknown
    } else if is("(Forbidden)") {
        Verdict::TokenForbidden(said.to_owned())
    } else if is("x509:") {
        Verdict::AnotherAuthority(said.to_owned())
    } else {
        Verdict::Unreached(said.to_owned())
    }
}

fn refuse(file: &JoinFile, server: &str, verdict: &Verdict) -> anyhow::Result<()> {
    let host = &file.host;
    let (error, hint) = match verdict {
        Verdict::Welcome | Verdict::Unreached(_) => return Ok(()),
        Verdict::NameTaken => (
            format!("the cluster has a node {host} already"),
            format!(
                "if that was this host before, remove the node on a control plane (`kubectl delete node {host}`) and run this again; \
                 if it is another, make a join file with another name"
            ),
        ),
        Verdict::TokenUnknown => (
            format!("the API server at {server} does not know the join file's token, or not any more"),
            "make another join file on a control plane: `kinstall token create`".to_owned(),
        ),
        Verdict::TokenForbidden(said) => (
            format!("the join file's token does not let this host join: {said}"),
            "make another join file on a control plane: `kinstall token create`".to_owned(),
        ),
        Verdict::AnotherAuthority(said) => (
            format!("who answers at {server} is not of the cluster that the join file is of: {said}"),
            "look which host has that address now; if the cluster was set up again, make another join file there; if certificates are \
             said not to be valid yet, or no more, compare the clocks"
                .to_owned(),
        ),
    };
    Err(anyhow!("{error}; nothing was changed")).refused().hint(hint)
}

/// A file in memory alone, that programs started from here can open and run.
struct InMemory(fs::File);

impl InMemory {
    fn new(name: &CStr, fill: impl FnOnce(&mut fs::File) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let cannot = || format!("cannot keep {} in memory", name.to_string_lossy());
        let mut memory = fs::File::from_parts(create(name).with_context(cannot)?.into(), "memory");
        let path = path_of(&memory);
        fill(&mut memory).with_context(cannot)?;
        // A program cannot be executed while a process has it open for writing.
        let reader = fs::File::open(path).with_context(cannot)?;
        Ok(Self(reader))
    }

    fn path(&self) -> String {
        path_of(&self.0)
    }
}

/// By this process, since the descriptor is closed in the programs that it starts.
fn path_of(file: &fs::File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// Marks the file as executable for kernels that ask (since 6.3). Older kernels do not know the flag.
fn create(name: &CStr) -> io::Result<OwnedFd> {
    let executable = MFdFlags::from_bits_retain(libc::MFD_EXEC);
    let made = match memfd_create(name, MFdFlags::MFD_CLOEXEC | executable) {
        Err(Errno::EINVAL) => memfd_create(name, MFdFlags::MFD_CLOEXEC),
        made => made,
    };
    Ok(made?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_memory_runs_and_a_file_in_memory_is_read() {
        let shell = fs::read("/bin/sh").unwrap();
        let program = InMemory::new(c"sh", |memory| Ok(memory.write_all(&shell)?)).unwrap();
        let script = InMemory::new(c"script", |memory| Ok(memory.write_all(b"echo said; exit 3")?)).unwrap();
        let host = Host::local().unwrap();
        let output = host.try_run(&Command::new(&program.path(), [script.path()])).unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (Some(3), "said\n"), "{}", output.stderr);
    }

    #[test]
    fn what_kubectl_says_is_understood() {
        let said = |code: i32, stderr: &str| {
            verdict(&Output { code: Some(code), stdout: String::new(), stderr: stderr.to_owned() })
        };
        assert_eq!(said(0, ""), Verdict::NameTaken);
        assert_eq!(said(1, "Error from server (NotFound): nodes \"w1\" not found"), Verdict::Welcome);
        assert_eq!(said(1, "error: You must be logged in to the server (Unauthorized)"), Verdict::TokenUnknown);
        let forbidden = "Error from server (Forbidden): nodes \"w1\" is forbidden";
        assert_eq!(said(1, forbidden), Verdict::TokenForbidden(forbidden.to_owned()));
        let unknown = "Unable to connect to the server: x509: certificate signed by unknown authority";
        assert_eq!(said(1, unknown), Verdict::AnotherAuthority(unknown.to_owned()));
        let refused =
            "The connection to the server 192.0.2.1:6443 was refused - did you specify the right host or port?";
        assert_eq!(said(1, refused), Verdict::Unreached(refused.to_owned()));
    }
}
