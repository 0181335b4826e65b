//! What other hosts need of this one: etcd's members and keys, credentials to join with, changes to nodes. Most answers are
//! secret.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;

use super::leader_link::LeaderLink;
use super::questions::{
    AddEtcdMember, CheckEtcdMember, CreateJoinCredentials, DrainNode, ListEtcdMembers, PromoteEtcdMember,
    ReadPodNetworks, ReadSharedFiles, RemoveEtcdMember,
};
use super::store;
use super::work::{gather, wait_for_lock};
use crate::config::DnsName;
use crate::drain;
use crate::host::Host;
use crate::join_material::{EtcdClient, JoinCredentials, Pair, PodNetwork, SharedFile};
use crate::kubectl::Kubectl;
use crate::steps::etcd::EtcdMember;
use crate::steps::etcd::layout::peer_url;
use crate::steps::{etcd, join, network, shared_keys};

/// The purpose of tokens that a leading kinstall asks for, as `kubeadm token list` shows it.
const TOKEN_PURPOSE: &str = "kinstall run: hosts of cluster.yaml join";

pub fn make_etcd_authority(leader: &LeaderLink) -> anyhow::Result<Pair> {
    let mut host = Host::local()?;
    let _lock = wait_for_lock(leader)?;
    etcd::make_authority(&mut host, None)
}

pub fn issue_etcd_client() -> anyhow::Result<EtcdClient> {
    let authority = etcd::authority(&Host::local()?)?.context("this host does not have etcd's authority")?;
    etcd::issue_client(&authority)
}

pub fn list_etcd_members(asked: &ListEtcdMembers) -> anyhow::Result<Vec<EtcdMember>> {
    etcd::members(&Host::local()?, asked.here)
}

pub fn add_etcd_member(asked: &AddEtcdMember) -> anyhow::Result<Vec<EtcdMember>> {
    etcd::add_member(&Host::local()?, asked.here, asked.name.as_str(), &peer_url(asked.address), asked.new)
}

pub fn promote_etcd_member(asked: &PromoteEtcdMember, leader: &LeaderLink) -> anyhow::Result<()> {
    etcd::promote_member(leader, &Host::local()?, asked.here, &peer_url(asked.address))
}

pub fn remove_etcd_member(asked: &RemoveEtcdMember) -> anyhow::Result<()> {
    etcd::remove_member(&Host::local()?, asked.here, &peer_url(asked.address))
}

pub fn read_shared_files(asked: &ReadSharedFiles) -> anyhow::Result<Vec<SharedFile>> {
    let host = Host::local()?;
    let bundle = store::open(&asked.work.trust)?;
    shared_keys::read(&host, &gather(&asked.work, &host, &bundle)?.inputs())
}

pub fn create_join_credentials(asked: &CreateJoinCredentials) -> anyhow::Result<JoinCredentials> {
    let host = Host::local()?;
    let bundle = store::open(&asked.work.trust)?;
    join::credentials(&host, &gather(&asked.work, &host, &bundle)?.inputs(), join::TOKEN_LIFE, TOKEN_PURPOSE)
}

pub fn read_pod_networks(asked: &ReadPodNetworks, leader: &LeaderLink) -> anyhow::Result<BTreeMap<String, PodNetwork>> {
    let nodes: Vec<_> = asked.nodes.iter().map(ToString::to_string).collect();
    network::pod_networks(&Host::local()?, &nodes, leader)
}

pub fn drain(asked: &DrainNode) -> anyhow::Result<()> {
    let within = Duration::from_secs(asked.timeout_seconds);
    drain::drain(&Host::local()?, &asked.name, asked.purpose, within)
}

pub fn check_etcd_member(asked: &CheckEtcdMember) -> anyhow::Result<Option<String>> {
    etcd::illness(&Host::local()?, asked.here)
}

/// Deletes a node. A node that is gone already is not an error.
pub fn delete(name: &DnsName) -> anyhow::Result<()> {
    Kubectl::on(&Host::local()?).run(&["delete", "node", name.as_str(), "--ignore-not-found"]).map(|_| ())
}
