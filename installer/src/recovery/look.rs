//! How this host's member of etcd is, before a recovery. Changes nothing.

use anyhow::Context as _;
use kbundle_format::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::act::set_aside_path;
use super::{Part, Recovery};
use crate::etcd_layout as layout;
use crate::host::unfinished::UnfinishedWork as _;
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::steps::etcd;
use crate::steps::etcd::snapshot::restore::{ETCDUTL, member_directory};

/// The data, a copy of them that etcd reads, its snapshot, and the data that are made from it.
const COPIES: u64 = 3;
/// Under which name the store is looked at.
const COPY: &str = "etcd-looked-at.db";

/// What a host says of itself before a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemberState {
    /// What keeps its member of etcd from its work; `None` if it does it, with a majority of all.
    pub illness: Option<String>,
    /// Its data.
    pub data: Data,
    /// What it has left to do in a recovery that was cut off.
    pub unfinished: Option<Part>,
    /// The members of etcd that it was set up with, by name.
    pub members: Vec<String>,
}

/// The data of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// There are none.
    None,
    /// etcd can use them.
    Readable {
        /// How far they are.
        revision: u64,
        /// Room that a recovery from them needs.
        needed_bytes: u64,
        /// Room that there is.
        free_bytes: u64,
    },
    /// etcd cannot use them.
    Unreadable {
        /// Why not.
        reason: String,
    },
}

/// Looks at this host's member.
pub fn look(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<MemberState> {
    let members = inputs.topology.with(Role::Etcd).map(|member| member.name.clone()).collect();
    let recovery = Recovery::read(host)?;
    let unfinished = recovery.part;
    if !inputs.has(Role::Etcd) {
        return Ok(MemberState { illness: None, data: Data::None, unfinished, members });
    }
    let illness = etcd::illness(host, inputs.address())?;
    let data = data(host, inputs, &recovery)?;
    Ok(MemberState { illness, data, unfinished, members })
}

fn data(host: &Host, inputs: &Inputs<'_>, recovery: &Recovery) -> anyhow::Result<Data> {
    let aside = set_aside_path(&recovery.begun);
    let place = if recovery.part.is_some() && host.exists(&aside) { aside } else { member_directory() };
    let store = format!("{place}/snap/db");
    if !host.exists(&store) {
        return Ok(Data::None);
    }
    let answered = etcd::revision(host, inputs.address())?;
    let revision = match answered {
        Some(revision) => Ok(revision),
        None => revision_in(host, &store)?,
    };
    Ok(match revision {
        Err(reason) => Data::Unreadable { reason },
        Ok(revision) => Data::Readable {
            revision,
            needed_bytes: COPIES * host.bytes_below(&place)?,
            free_bytes: host.space(layout::DATA_DIRECTORY)?.map_or(0, |space| space.free_bytes),
        },
    })
}

/// How far the store at `path` is, or why etcd cannot read it. A copy is looked at, since a member that waits for others keeps its store locked.
fn revision_in(host: &Host, path: &str) -> anyhow::Result<Result<u64, String>> {
    let output = host.look_at_copy(path, COPY, |copy| {
        host.try_run(&Command::new(ETCDUTL, ["snapshot", "status", copy, "--write-out=json"]))
    })?;
    if output.code != Some(0) {
        let said = output.stderr.trim().lines().last().unwrap_or_default();
        return Ok(Err(format!("etcdutl cannot read {path}: {said}")));
    }
    let status: Value =
        serde_json::from_str(&output.stdout).context("while reading what `etcdutl snapshot status` wrote")?;
    Ok(status["revision"].as_u64().ok_or_else(|| format!("etcdutl says no revision of {path}")))
}
