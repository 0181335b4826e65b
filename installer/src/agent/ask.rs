//! What other hosts need of this one. Most answers are secret.

use anyhow::Context as _;

use super::behind::behind;
use super::neighbour::neighbour;
use super::protocol::{Answer, Question};
use super::store;
use super::work::{gather, wait_for_lock};
use crate::host::Host;
use crate::kubectl::Kubectl;
use crate::report::Reporter;
use crate::steps::etcd::layout::peer_url;
use crate::steps::{etcd, join, network};

/// What tokens are for that a leading kinstall asks for.
const TOKEN_PURPOSE: &str = "kinstall run: hosts of cluster.yaml join";

/// Answers one question.
pub fn answer(question: &Question, reporter: &Reporter) -> anyhow::Result<Answer> {
    let mut host = Host::local()?;
    match question {
        Question::EtcdAuthority => {
            let _lock = wait_for_lock(reporter)?;
            etcd::make_authority(&mut host, None).map(Answer::EtcdAuthority)
        }
        Question::EtcdClient => {
            let authority = etcd::authority(&host)?.context("this host does not have etcd's authority")?;
            etcd::issue_client(&authority).map(Answer::EtcdClient)
        }
        Question::EtcdMembers { here } => etcd::members(&host, *here).map(Answer::EtcdMembers),
        Question::AddEtcdMember { here, name, address } => {
            etcd::add_member(&host, *here, name, &peer_url(*address)).map(Answer::EtcdMembers)
        }
        Question::RemoveEtcdMember { here, address } => {
            etcd::remove_member(&host, *here, &peer_url(*address)).map(|()| Answer::Done)
        }
        Question::SharedFiles(work) => {
            let bundle = store::open(&work.trust)?;
            join::shared_files(&host, &gather(work, &host, &bundle)?.inputs()).map(Answer::SharedFiles)
        }
        Question::JoinCredentials(work) => {
            let bundle = store::open(&work.trust)?;
            join::credentials(&host, &gather(work, &host, &bundle)?.inputs(), join::TOKEN_LIFE, TOKEN_PURPOSE)
                .map(Answer::JoinCredentials)
        }
        Question::PodNetworks { nodes } => network::pod_networks(&host, nodes, reporter).map(Answer::PodNetworks),
        Question::Behind { balancer, name, wanted } => behind(&host, *balancer, name, wanted).map(Answer::Behind),
        Question::Neighbour { address } => neighbour(&host, *address).map(Answer::Neighbour),
        Question::DrainNode { name } => drain(&host, name).map(|()| Answer::Done),
        Question::DeleteNode { name } => {
            // One that is gone already is no error.
            Kubectl::on(&host).run(&["delete", "node", name, "--ignore-not-found"]).map(|_| Answer::Done)
        }
    }
}

/// Moves a node's pods away, and lets no new ones come. One that is gone already is no error.
fn drain(host: &Host, name: &str) -> anyhow::Result<()> {
    let api = Kubectl::on(host);
    if api.has(&["node", name])? {
        // Pods without a controller, and what pods have written to emptyDir, go with the host in any case.
        let flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s"];
        api.run(&[&["drain", name][..], &flags].concat()).context("its pods could not be moved to other nodes")?;
    }
    Ok(())
}
