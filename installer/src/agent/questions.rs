//! The questions that a host can be asked, each with the type of its answer.

mod etcd;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use kbundle_format::{Digest, KubeVersion, Role};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backup::BackupList;
use crate::certificates::CertificateReport;
use crate::config::{ClusterSpec, DnsName};
use crate::drain::Purpose;
use crate::facts::HostFacts;
use crate::host::StepState;
use crate::host_audit::{HostAudit, ImageDepth};
use crate::join_material::{EtcdClient, JoinCredentials, JoinMaterial, Pair, PodNetwork, SharedFile};
use crate::recovery::look::MemberState;
use crate::renewal::sans::SansReport;
use crate::renewal::{RenewalReport, Selection};
use crate::restoration_records::{RestorationMark, Share};
use crate::rollback::Act;
use crate::stage::Phase;
use crate::status::Status;
use crate::steps::etcd::EtcdMember;
use crate::support::HostSupport;
use crate::trust::Trust;
use crate::upgrade::cluster_state::ClusterState;
use crate::upgrade::part::Part;
use crate::upgrade::standing::Standing;

pub use etcd::{
    AddEtcdMember, CheckEtcdMember, IssueEtcdClient, ListEtcdMembers, LookAtMember, MakeEtcdAuthority,
    PromoteEtcdMember, Recover, RemoveEtcdMember,
};

/// A question to a host, or a request to do something. Its type fixes the type of the answer.
pub trait Ask: Into<Request> {
    /// What the host answers.
    type Answer: Serialize + DeserializeOwned;
    /// Its name in logs.
    const NAME: &'static str;
}

macro_rules! questions {
    ($($question:ident -> $answer:ty,)*) => {
        /// Any question, as it is sent to a host.
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(tag = "request", rename_all = "kebab-case")]
        pub enum Request {
            $(#[doc = concat!("See [`", stringify!($question), "`].")] $question($question),)*
        }

        $(
            impl Ask for $question {
                type Answer = $answer;
                const NAME: &'static str = stringify!($question);
            }

            impl From<$question> for Request {
                fn from(question: $question) -> Self {
                    Self::$question(question)
                }
            }
        )*
    };
}

questions! {
    SurveyHost -> Survey,
    ReceiveBundle -> (),
    BeginRestoration -> (),
    PreviewPlan -> (),
    ApplyPhase -> Vec<String>,
    ListenOnPorts -> (),
    TryConnections -> Vec<(SocketAddr, String)>,
    MakeEtcdAuthority -> Pair,
    IssueEtcdClient -> EtcdClient,
    ListEtcdMembers -> Vec<EtcdMember>,
    AddEtcdMember -> Vec<EtcdMember>,
    RemoveEtcdMember -> (),
    ReadSharedFiles -> Vec<SharedFile>,
    CreateJoinCredentials -> JoinCredentials,
    ReadPodNetworks -> BTreeMap<String, PodNetwork>,
    ProbeBalancer -> BalancerProbe,
    FindNeighbour -> Option<String>,
    DrainNode -> (),
    ReopenNode -> (),
    DeleteNode -> (),
    ReadStanding -> Standing,
    ReadClusterState -> ClusterState,
    CheckEtcdMember -> Option<String>,
    ApplyPart -> Vec<String>,
    PreviewRollback -> RollbackPreview,
    RollBackHost -> Vec<String>,
    EndRollback -> (),
    LookAtMember -> MemberState,
    Recover -> (),
    PromoteEtcdMember -> (),
    ListCertificates -> Vec<CertificateReport>,
    PreviewRenewal -> RenewalReport,
    RenewCertificates -> RenewalReport,
    AddSans -> SansReport,
    CollectSupport -> HostSupport,
    ReadStatus -> Status,
    AuditHost -> HostAudit,
    ResetHost -> (),
    RemoveKinstall -> (),
}

/// Reports the host's facts and how far its installation is. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SurveyHost {
    /// The roles that the host is to have.
    pub roles: Vec<Role>,
    /// The list of the bundle to install, if one was given.
    pub list: Option<Digest>,
}

/// A host's facts, and how far its installation is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// The host's facts.
    pub facts: HostFacts,
    /// Milliseconds since 1970 by the host's clock, at the moment of the answer.
    pub clock_milliseconds: u64,
    /// Whether the host holds every entry of the bundle that its roles need.
    pub holds_bundle: bool,
    /// The list of the bundle that the host was installed from.
    pub installed: Option<Digest>,
    /// The cluster that it was set up as part of, as far as the host knows it.
    pub standing: Option<ClusterSpec>,
    /// The state of its control plane.
    pub control_plane: StepState,
    /// The state of its member of etcd.
    pub etcd: StepState,
    /// The state of its join as a worker.
    pub join: StepState,
    /// The restoration that it takes part in.
    pub restoration: Option<RestorationMark>,
}

/// Verifies and keeps the part of the bundle that follows the question on standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReceiveBundle {
    /// The keys to verify the bundle with.
    pub trust: Trust,
}

/// Records which backup the host is set up from. If its share has the data of etcd, the snapshot follows the question on standard input; it
/// is verified before it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BeginRestoration {
    /// The backup's list.
    pub list: Box<BackupList>,
    /// The part of the backup that the host gets.
    pub share: Share,
}

/// Where a cluster comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It is newly made, or exists already.
    #[default]
    Installation,
    /// A backup.
    Backup,
}

/// What a host has to know to do its part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// The host's name in cluster.yaml.
    pub host: DnsName,
    /// The cluster, as far as it concerns this host.
    pub spec: ClusterSpec,
    /// Where it comes from.
    pub origin: Origin,
    /// The keys to verify the bundle with.
    pub trust: Trust,
    /// Keys, credentials and addresses that come from other hosts.
    pub material: JoinMaterial,
}

/// Reports as events what every phase would do. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviewPlan {
    /// The host's part.
    pub work: Box<Work>,
}

/// Does the host's work of a phase. The answer is the ids of the steps that changed something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyPhase {
    /// The phase.
    pub phase: Phase,
    /// The host's part.
    pub work: Box<Work>,
}

/// Listens on those of these TCP ports that are free, until standard input ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListenOnPorts {
    /// The ports.
    pub ports: Vec<u16>,
}

/// Connects to these addresses. The answer is those that cannot be reached, each with the reason.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TryConnections {
    /// Address and TCP port of each.
    pub targets: Vec<SocketAddr>,
}

/// Reads the files that are the same on every control plane.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadSharedFiles {
    /// The host's part.
    pub work: Box<Work>,
}

/// Creates credentials with which hosts join the cluster for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateJoinCredentials {
    /// The host's part.
    pub work: Box<Work>,
}

/// Waits until these nodes have networks for their pods, and reads them. The answer is by node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadPodNetworks {
    /// The nodes.
    pub nodes: Vec<DnsName>,
}

/// Connects through the site's own load balancer until each of the API servers has answered, for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbeBalancer {
    /// The load balancer.
    pub balancer: SocketAddr,
    /// The name in the API servers' certificates.
    pub api_name: String,
    /// The API servers that should answer.
    pub servers: BTreeSet<SocketAddr>,
}

/// What was found behind a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BalancerProbe {
    /// The API servers that answered.
    pub seen: BTreeSet<SocketAddr>,
    /// How many requests were made.
    pub tries: usize,
    /// The error of the last request that failed.
    pub error: Option<String>,
}

/// Finds the machine in the host's own network that has an address. The answer is its hardware address.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FindNeighbour {
    /// The address.
    pub address: IpAddr,
}

/// Moves a node's pods to other nodes, and lets no new ones start there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DrainNode {
    /// The node.
    pub name: DnsName,
    /// What follows the drain.
    pub purpose: Purpose,
    /// The longest that it may take.
    pub timeout_seconds: u64,
}

/// Lets pods start again on a node that was drained for an upgrade.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReopenNode {
    /// The node.
    pub name: DnsName,
}

/// Deletes a node from the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteNode {
    /// The node.
    pub name: DnsName,
}

/// Reports what the host was set up from, and how far it is in an upgrade. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadStanding {
    /// The host's name in cluster.yaml.
    pub host: DnsName,
    /// The cluster, as far as it concerns this host; it has to be the one that the host is part of.
    pub spec: Box<ClusterSpec>,
}

/// Reports what the host's API server says about the cluster. Changes nothing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReadClusterState {
    /// The version that the cluster is to have.
    pub kubernetes: KubeVersion,
}

/// Does a part of an upgrade. The answer is the ids of the steps that changed something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyPart {
    /// The part.
    pub part: Part,
    /// The host's part.
    pub work: Box<Work>,
}

/// Reports what a rollback of the host does. Changes nothing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PreviewRollback {}

/// What a rollback of a host does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPreview {
    /// The Kubernetes that the upgrade led to.
    pub from: KubeVersion,
    /// The Kubernetes that the host returns to.
    pub to: KubeVersion,
    /// In order; empty if nothing that runs was changed.
    pub acts: Vec<Act>,
}

/// Takes the host back to what it ran before an upgrade that is not finished. The answer is the ids of the acts. The host counts as
/// upgraded in part until [`EndRollback`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RollBackHost {}

/// Forgets the upgrade of a host that was rolled back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EndRollback {}

/// Reports every certificate that the cluster uses on the host. Changes nothing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ListCertificates {
    /// A certificate with fewer days left is reported as expiring.
    pub warn_days: u32,
}

/// Reports what a renewal would change. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviewRenewal {
    /// Which certificates.
    pub selection: Selection,
}

/// Renews certificates, restarts the programs that use them one after another, and waits until each is healthy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RenewCertificates {
    /// Which certificates.
    pub selection: Selection,
    /// The API server's certificate for etcd, for a host without etcd's authority.
    pub etcd_client: Option<EtcdClient>,
}

/// Adds names and addresses to the certificate of the API server, restarts it, and waits until it is healthy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddSans {
    /// The names and addresses.
    pub names: Vec<String>,
}

/// Collects what somebody elsewhere needs to find a fault, without secrets. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CollectSupport {
    /// How many hours of logs.
    pub hours: u32,
}

/// Reports the host's state, and where cluster.yaml differs from the one that it was set up from. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadStatus {
    /// The cluster, as far as it concerns this host, in the version of the one who asks.
    pub spec: Box<ClusterSpec>,
    /// Whether unpacked images are compared with their layers.
    pub deep: bool,
}

/// Compares the host with the bundle that it was set up from. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditHost {
    /// The cluster, as far as it concerns this host, in the version of the one who asks.
    pub spec: Box<ClusterSpec>,
    /// The keys to verify the host's part of the bundle with.
    pub trust: Trust,
    /// The list of the bundle that the host has to be set up from, if one was given.
    pub list: Option<Digest>,
    /// How deeply images are compared.
    pub depth: ImageDepth,
}

/// Removes the cluster and kinstall from the host.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ResetHost {}

/// Removes kinstall from a host that it has not changed; from any other host it removes nothing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RemoveKinstall {}

#[cfg(test)]
mod tests {
    use kbundle_format::fixtures;

    use super::*;
    use crate::fixture::Cluster;

    fn sent(question: impl Ask) -> String {
        serde_json::to_string(&question.into()).unwrap()
    }

    #[test]
    fn a_question_names_itself_and_comes_back_as_it_was() {
        assert_eq!(sent(ResetHost {}), r#"{"request":"reset-host"}"#);
        assert!(matches!(serde_json::from_str(&sent(ResetHost {})).unwrap(), Request::ResetHost(_)));
        let address = [192, 0, 2, 1].into();
        assert_eq!(sent(FindNeighbour { address }), r#"{"request":"find-neighbour","address":"192.0.2.1"}"#);
        let read = r#"{"request":"drain-node","name":"w1","purpose":"upgrade","timeout_seconds":300}"#;
        let read = serde_json::from_str(read).unwrap();
        assert!(matches!(read, Request::DrainNode(DrainNode { name, .. }) if name.as_str() == "w1"));
    }

    #[test]
    fn a_hosts_part_arrives_whole() {
        let spec = Cluster::of_three_and_two().spec;
        let trust = Trust::new(vec![fixtures::key().0.verifying_key()], 1, vec![]).unwrap();
        let material = JoinMaterial { absent: ["w2".to_owned()].into(), ..JoinMaterial::default() };
        let work = Work { host: "w1".parse().unwrap(), spec, origin: Origin::Backup, trust, material };
        let question = ApplyPhase { phase: Phase::Worker, work: Box::new(work.clone()) };
        let Request::ApplyPhase(read) = serde_json::from_str(&sent(question)).unwrap() else {
            panic!("another question")
        };
        assert_eq!((read.phase, &read.work.host), (Phase::Worker, &work.host));
        assert_eq!((&read.work.spec, &read.work.material), (&work.spec, &work.material));
        assert_eq!(read.work.origin, Origin::Backup);
    }
}
