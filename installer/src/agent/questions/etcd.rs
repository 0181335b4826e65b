//! Questions about etcd: its authority, its members, and its recovery from one of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::DnsName;
use crate::recovery;
use crate::steps::etcd::NewMember;

/// Returns etcd's certificate authority, and creates it if there is none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MakeEtcdAuthority {}

/// Issues a certificate with which an API server on a host without etcd connects to it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct IssueEtcdClient {}

/// Lists the members of etcd.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ListEtcdMembers {
    /// The address of the member on the host that is asked.
    pub here: IpAddr,
}

/// Adds a member to etcd, which a host then starts. The answer is all members, the new one included.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddEtcdMember {
    /// The address of the member on the host that is asked.
    pub here: IpAddr,
    /// The new member's name.
    pub name: DnsName,
    /// The new member's address.
    pub address: IpAddr,
    /// As what it begins.
    pub new: NewMember,
}

/// Removes a member from etcd.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RemoveEtcdMember {
    /// The address of the member on the host that is asked.
    pub here: IpAddr,
    /// The address of the member to remove.
    pub address: IpAddr,
}

/// Reports why a member of etcd cannot work. Changes nothing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CheckEtcdMember {
    /// The address of the member on the host that is asked.
    pub here: IpAddr,
}

/// Reports how the host's member of etcd is, before a recovery. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LookAtMember {
    /// The host's name in cluster.yaml.
    pub host: DnsName,
}

/// Does something of a recovery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recover {
    /// What.
    pub act: recovery::act::Act,
    /// The host's part in the recovery.
    pub part: recovery::Part,
}

/// Gives a member of etcd that learns its vote, when it has all data.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PromoteEtcdMember {
    /// The address of the member on the host that is asked.
    pub here: IpAddr,
    /// The address of the member that learns.
    pub address: IpAddr,
}
