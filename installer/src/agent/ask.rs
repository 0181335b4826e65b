//! What other hosts need of this one. Most answers are secret.

use anyhow::Context as _;

use super::protocol::{Answer, Question, Work};
use super::work::{Place, wait_for_lock};
use crate::host::Host;
use crate::kubectl::Kubectl;
use crate::report::Reporter;
use crate::steps::etcd::layout::peer_url;
use crate::steps::{etcd, join, network};
use crate::topology::Topology;

/// Answers one question.
pub fn answer(question: &Question, work: &Work, reporter: &Reporter) -> anyhow::Result<Answer> {
    let mut host = Host::local()?;
    let here = || Topology::of(&work.spec, &work.host).map(|topology| topology.this().address);
    Ok(match question {
        Question::EtcdAuthority => {
            let _lock = wait_for_lock(reporter)?;
            Answer::EtcdAuthority(etcd::make_authority(&mut host, None)?)
        }
        Question::EtcdClient => {
            let authority = etcd::authority(&host)?.context("this host does not have etcd's authority")?;
            Answer::EtcdClient(etcd::issue_client(&authority)?)
        }
        Question::EtcdMembers => Answer::EtcdMembers(etcd::members(&host, here()?)?),
        Question::AddEtcdMember { name, address } => {
            Answer::EtcdMembers(etcd::add_member(&host, here()?, name, &peer_url(*address))?)
        }
        Question::RemoveEtcdMember { address } => {
            etcd::remove_member(&host, here()?, &peer_url(*address))?;
            Answer::Done
        }
        Question::SharedFiles => {
            let place = Place::find(work, &host)?;
            Answer::SharedFiles(join::shared_files(&host, &place.inputs())?)
        }
        Question::JoinCredentials => {
            let place = Place::find(work, &host)?;
            Answer::JoinCredentials(join::credentials(&host, &place.inputs())?)
        }
        Question::PodNetworks { nodes } => Answer::PodNetworks(network::pod_networks(&host, nodes)?),
        Question::RemoveNode { name, drain } => {
            remove_node(&host, name, *drain)?;
            Answer::Done
        }
    })
}

/// Moves a node's pods away, and deletes it from the cluster. One that is gone already is no error.
fn remove_node(host: &Host, name: &str, drain: bool) -> anyhow::Result<()> {
    let api = Kubectl::on(host);
    if drain && api.has(&["node", name])? {
        // Pods without a controller, and what pods have written to emptyDir, go with the host in any case.
        let flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s"];
        api.run(&[&["drain", name][..], &flags].concat()).context("its pods could not be moved to other nodes")?;
    }
    api.run(&["delete", "node", name, "--ignore-not-found"])?;
    Ok(())
}
