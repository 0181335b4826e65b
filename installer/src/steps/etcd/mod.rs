//! etcd as a systemd service with its own authority. Clients and peers authenticate by certificate.
//!
//! For kubeadm it is an external etcd. So a cluster's state does not depend on the kubelet, and members can be added and removed one at a
//! time.

mod authority;
mod certificates;
mod client;
mod config;
mod members;
pub mod snapshot;

use std::collections::BTreeMap;

use anyhow::Context as _;
use kbundle_format::{ComponentName, Role};

use super::{Check, Context, Step, needed};
use crate::host::{Host, Owner};
use crate::inputs::Inputs;
use crate::pki::PrivateKey;
use crate::template::render;

use snapshot::restore::has_data;

pub use crate::etcd_layout as layout;
pub use authority::{authority, make_authority};
pub use certificates::{MemberCertificate, renew_member};
pub use client::{EtcdClient, issue_client, renew_client};
pub use config::Start;
pub use members::{
    ETCDCTL, EtcdMember, NewMember, add_member, connection, etcdctl, illness, members, promote_member, remove_member,
    revision, wait_until_healthy, wait_until_healthy_at,
};
use members::{Health, health};

/// Sets up a member of etcd.
pub struct Etcd;

impl Step for Etcd {
    fn id(&self) -> &'static str {
        "etcd"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let version = inputs.version_of(ComponentName::Etcd).unwrap_or_default();
        match inputs.topology.with(Role::Etcd).count() {
            0 | 1 => format!("set up etcd {version} with its own certificate authority"),
            members => format!("set up a member of etcd {version}, one of {members}"),
        }
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::Etcd)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let host = &context.host;
        let wanted = MemberFiles::new(context)?;
        let Some(user) = host.user(layout::USER)? else { return needed("the user etcd is not there") };
        if host.owner(layout::DATA_DIRECTORY)? != Some(user) {
            return needed(format!("{} is not there or not etcd's", layout::DATA_DIRECTORY));
        }
        if let Some(flaw) = certificates::flaw(host, &context.node_name(), context.address(), user)? {
            return needed(flaw);
        }
        if !wanted.files_are_in_place(host)? {
            return needed("its configuration is not in place");
        }
        if !host.unit_is_up(layout::UNIT)? {
            return needed("its service does not run");
        }
        match health(host, context.address())? {
            Health::Good => Ok(Check::Done),
            Health::Bad(said) => needed(format!("it is not healthy: {said}")),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let wanted = MemberFiles::new(context)?;
        let (name, address) = (context.node_name(), context.address());
        let host = &mut context.host;
        let user = make_data_directory(host)?;
        let authority = make_authority(host, context.material.etcd_authority.as_ref())?;
        certificates::make(host, &PrivateKey::from_pem(&authority.key)?, &name, address, user)?;
        for (path, content) in wanted.files() {
            host.write_file(path, content.as_bytes(), 0o644)?;
        }
        context.progress.detail("waiting for etcd to start");
        // A running etcd is restarted: this is called only if something was wrong.
        context.host.restart_unit(layout::UNIT).context("while starting etcd; `journalctl -u etcd` has its log")?;
        wait_until_healthy(context.progress, &context.host, address).context("etcd was started but is not healthy")
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        Ok(host.stop_unit(layout::UNIT)?)
    }
}

/// The files of this host's member in their wanted state.
struct MemberFiles {
    config: String,
    unit: String,
}

impl MemberFiles {
    fn new(context: &Context<'_>) -> anyhow::Result<Self> {
        let version = version(context)?;
        let config = config_of(context, &start(context)?)?;
        let template = include_str!("../../../../manifests/templates/etcd.service");
        let unit = render(template, &[("version", version), ("config", layout::CONFIG_PATH)]);
        Ok(Self { config, unit })
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

fn version<'a>(inputs: &'a Inputs<'_>) -> anyhow::Result<&'a str> {
    inputs.version_of(ComponentName::Etcd).context("the bundle has no etcd for this platform")
}

fn config_of(inputs: &Inputs<'_>, start: &Start) -> anyhow::Result<String> {
    Ok(config::config(version(inputs)?, inputs.spec.name.as_str(), inputs.topology.this(), start))
}

/// Has this host's member, which was set up before, start otherwise from now on.
pub fn configure(host: &mut Host, inputs: &Inputs<'_>, start: &Start) -> anyhow::Result<()> {
    Ok(host.write_file(layout::CONFIG_PATH, config_of(inputs, start)?.as_bytes(), 0o644)?)
}

/// How the member starts for the first time. Afterwards etcd knows its cluster from its data, and the written members stay.
fn start(context: &Context<'_>) -> anyhow::Result<Start> {
    if let (true, Some(text)) = (has_data(&context.host), context.host.read_text(layout::CONFIG_PATH)?) {
        return Start::read(&text).with_context(|| format!("while reading {}", layout::CONFIG_PATH));
    }
    if let Some(members) = &context.material.etcd_members {
        return Ok(Start::Existing(members.clone()));
    }
    let members = context.topology.with(Role::Etcd);
    let members: BTreeMap<_, _> =
        members.map(|member| (member.name.clone(), layout::peer_url(member.address))).collect();
    Ok(Start::New(members))
}

/// Makes the user that runs etcd, and the directory of its data.
pub fn make_data_directory(host: &mut Host) -> anyhow::Result<Owner> {
    host.claim_tree(layout::DATA_DIRECTORY)?;
    let user = host.make_system_user(layout::USER, layout::DATA_DIRECTORY)?;
    host.make_directory(layout::DATA_DIRECTORY, 0o700)?;
    host.own(layout::DATA_DIRECTORY, user)?;
    Ok(user)
}
