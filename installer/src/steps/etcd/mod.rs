//! etcd as a systemd service, with an authority of its own, clients and peers known by certificate.
//!
//! kubeadm sees it as an external etcd, so that a cluster's state does not hang on the kubelet, and members can be added
//! and removed one at a time.

mod certificates;
mod config;
pub mod layout;

use std::net::IpAddr;

use anyhow::Context as _;

use super::{Check, Context, Inputs, Step, needed};
use crate::host::{Command, Host, Owner};
use crate::kubeadm;
use crate::template::render;
use config::Member;

/// See the module.
pub struct Etcd;

impl Step for Etcd {
    fn id(&self) -> &'static str {
        "etcd"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("set up etcd {} with its own certificate authority", inputs.version_of("etcd").unwrap_or_default())
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let host = &context.host;
        let wanted = Wanted::new(context)?;
        let Some(user) = host.user(layout::USER)? else { return needed("the user etcd is not there") };
        if host.owner(layout::DATA_DIRECTORY)? != Some(user) {
            return needed(format!("{} is not there or not etcd's", layout::DATA_DIRECTORY));
        }
        if let Some(flaw) = certificates::flaw(host, &wanted.member.name, wanted.member.address, user)? {
            return needed(flaw);
        }
        if !wanted.files_are_in_place(host)? {
            return needed("its configuration is not in place");
        }
        if !host.unit_is_up(layout::UNIT)? {
            return needed("its service does not run");
        }
        match health(host, wanted.member.address)? {
            Health::Good => Ok(Check::Done),
            Health::Bad(said) => needed(format!("it is not healthy: {said}")),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let wanted = Wanted::new(context)?;
        let host = &mut context.host;
        host.claim_tree(layout::DATA_DIRECTORY)?;
        host.claim_tree(kubeadm::DIRECTORY)?;
        let user = host.make_system_user(layout::USER, layout::DATA_DIRECTORY)?;
        make_data_directory(host, user)?;
        certificates::make(host, &wanted.member.name, wanted.member.address, user)?;
        for (path, content) in wanted.files() {
            host.write_file(path, content.as_bytes(), 0o644)?;
        }
        context.progress.detail("waiting for etcd to start");
        // Anew, where it runs already: this is called only when something was not as it should be.
        context.host.restart_unit(layout::UNIT).context("while starting etcd; `journalctl -u etcd` has its log")?;
        match health(&context.host, wanted.member.address)? {
            Health::Good => Ok(()),
            Health::Bad(said) => anyhow::bail!("etcd was started but is not healthy: {said}"),
        }
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        Ok(host.stop_unit(layout::UNIT)?)
    }
}

/// What this host's member should be.
struct Wanted {
    member: Member,
    config: String,
    unit: String,
}

impl Wanted {
    fn new(inputs: &Inputs<'_>) -> anyhow::Result<Self> {
        let address = inputs.address();
        let version = inputs.version_of("etcd").context("the bundle has no etcd for this platform")?;
        let member = Member { name: inputs.node_name(), address };
        let config = config::config(version, inputs.spec.name.as_str(), &member, std::slice::from_ref(&member));
        let template = include_str!("../../../../manifests/templates/etcd.service");
        let unit = render(template, &[("version", version), ("config", layout::CONFIG_PATH)]);
        Ok(Self { member, config, unit })
    }

    fn files(&self) -> [(&'static str, &str); 2] {
        [(layout::CONFIG_PATH, &self.config), (layout::UNIT_PATH, &self.unit)]
    }

    fn files_are_in_place(&self, host: &Host) -> anyhow::Result<bool> {
        for (path, content) in self.files() {
            if !host.has_file(path, content.as_bytes(), 0o644)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn make_data_directory(host: &mut Host, user: Owner) -> anyhow::Result<()> {
    host.make_directory(layout::DATA_DIRECTORY, 0o700)?;
    Ok(host.own(layout::DATA_DIRECTORY, user)?)
}

enum Health {
    Good,
    Bad(String),
}

/// Asks the member at `address` through its API, with the API server's certificate: a write that etcd agrees on.
fn health(host: &Host, address: IpAddr) -> anyhow::Result<Health> {
    let output = host.run_if_installed(&etcdctl(address, &["endpoint", "health"]))?;
    Ok(match output {
        Some(output) if output.code == Some(0) => Health::Good,
        Some(output) => Health::Bad(output.stderr.trim().to_owned()),
        None => Health::Bad("etcdctl is not installed".to_owned()),
    })
}

/// `etcdctl` speaking to the member at `address` as the API server does.
fn etcdctl(address: IpAddr, arguments: &[&str]) -> Command {
    let endpoint = format!("--endpoints={}", layout::client_url(address));
    let credentials = [
        format!("--cacert={}", layout::CLIENT_CA_PATH),
        format!("--cert={}", layout::CLIENT_CERTIFICATE_PATH),
        format!("--key={}", layout::CLIENT_KEY_PATH),
    ];
    let all = [endpoint].into_iter().chain(credentials).chain(arguments.iter().map(|&argument| argument.to_owned()));
    Command::new("/usr/local/bin/etcdctl", all).environment("ETCDCTL_API", "3")
}
