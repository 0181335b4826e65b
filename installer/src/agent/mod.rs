//! What runs on each host when another kinstall leads: it reads a question, does what the question asks, and sends the answer.
//!
//! It is the same program and the same code as on a single host; see [`protocol`] for the conversation and [`questions`] for
//! what can be asked.

mod audit;
mod balancer;
mod certificates;
mod cluster;
mod leader_link;
mod neighbour;
pub mod protocol;
pub mod questions;
mod reach;
mod recovery;
mod remove;
mod restoration;
mod rollback;
mod store;
mod survey;
mod upgrade;
mod work;

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context as _, anyhow};

use crate::drain;
use crate::failure::Advise;
use crate::host::Host;
use crate::report::print_text;
use crate::status::Status;
use crate::support;
use crate::upgrade::cluster_state::ClusterState;
use leader_link::LeaderLink;
use protocol::{GREETING, next_line, skip_to_greeting};
use questions::Request;

pub use store::{DIRECTORY, PROGRAM, is_kept, needs, open};

/// Answers the question that comes on `input`, on standard output.
///
/// # Errors
/// When the answer could not be written. Work that failed is an answer as well.
pub fn serve(input: impl Read + Send + 'static) -> anyhow::Result<()> {
    print_text(&format!("{GREETING}\n")).context("cannot send the greeting")?;
    let leader = LeaderLink::default();
    let mut input = BufReader::with_capacity(1 << 18, input);
    let sent = match read_request(&mut input) {
        Ok(request) => answer(request, input, &leader),
        Err(error) => leader.fail(&error),
    };
    sent.context("cannot send the answer")
}

fn read_request(input: &mut impl BufRead) -> anyhow::Result<Request> {
    skip_to_greeting(input).context("no request arrived").usage()?;
    let line = next_line(input)?.ok_or_else(|| anyhow!("no request arrived")).usage()?;
    // The line may hold secrets; serde's errors repeat no value.
    serde_json::from_slice(&line).context("the request cannot be read").usage()
}

/// Answers `request`; `rest` is the input after it.
fn answer(request: Request, rest: impl Read + Send + 'static, leader: &LeaderLink) -> io::Result<()> {
    match request {
        Request::SurveyHost(asked) => leader.answer(&asked, survey::survey),
        Request::ReceiveBundle(asked) => leader.answer(&asked, |asked| store::receive(rest, &asked.trust, leader)),
        Request::BeginRestoration(asked) => leader.answer(&asked, |asked| restoration::begin(asked, rest, leader)),
        Request::PreviewPlan(asked) => leader.answer(&asked, |asked| work::look(&asked.work, leader)),
        Request::ApplyPhase(asked) => leader.answer(&asked, |asked| work::apply(&asked.work, asked.phase, leader)),
        Request::ListenOnPorts(asked) => leader.answer(&asked, |asked| reach::listen(&asked.ports, rest, leader)),
        Request::TryConnections(asked) => leader.answer(&asked, |asked| Ok(reach::unreachable(&asked.targets))),
        Request::MakeEtcdAuthority(asked) => leader.answer(&asked, |_| cluster::make_etcd_authority(leader)),
        Request::IssueEtcdClient(asked) => leader.answer(&asked, |_| cluster::issue_etcd_client()),
        Request::ListEtcdMembers(asked) => leader.answer(&asked, cluster::list_etcd_members),
        Request::AddEtcdMember(asked) => leader.answer(&asked, cluster::add_etcd_member),
        Request::RemoveEtcdMember(asked) => leader.answer(&asked, cluster::remove_etcd_member),
        Request::ReadSharedFiles(asked) => leader.answer(&asked, cluster::read_shared_files),
        Request::CreateJoinCredentials(asked) => leader.answer(&asked, cluster::create_join_credentials),
        Request::ReadPodNetworks(asked) => leader.answer(&asked, |asked| cluster::read_pod_networks(asked, leader)),
        Request::ProbeBalancer(asked) => leader.answer(&asked, balancer::probe),
        Request::FindNeighbour(asked) => leader.answer(&asked, neighbour::find),
        Request::DrainNode(asked) => leader.answer(&asked, cluster::drain),
        Request::ReopenNode(asked) => leader.answer(&asked, |asked| drain::reopen(&Host::local()?, &asked.name)),
        Request::DeleteNode(asked) => leader.answer(&asked, |asked| cluster::delete(&asked.name)),
        Request::ReadStanding(asked) => leader.answer(&asked, upgrade::read_standing),
        Request::ReadClusterState(asked) => {
            leader.answer(&asked, |asked| ClusterState::read(&Host::local()?, asked.kubernetes))
        }
        Request::CheckEtcdMember(asked) => leader.answer(&asked, cluster::check_etcd_member),
        Request::ApplyPart(asked) => leader.answer(&asked, |asked| upgrade::apply(asked, leader)),
        Request::PreviewRollback(asked) => leader.answer(&asked, |_| rollback::preview()),
        Request::RollBackHost(asked) => leader.answer(&asked, |_| rollback::roll_back(leader)),
        Request::EndRollback(asked) => leader.answer(&asked, |_| rollback::end(leader)),
        Request::LookAtMember(asked) => leader.answer(&asked, recovery::look),
        Request::Recover(asked) => leader.answer(&asked, |asked| recovery::recover(asked, leader)),
        Request::PromoteEtcdMember(asked) => leader.answer(&asked, |asked| cluster::promote_etcd_member(asked, leader)),
        Request::ListCertificates(asked) => leader.answer(&asked, |asked| certificates::list(asked.warn_days)),
        Request::PreviewRenewal(asked) => leader.answer(&asked, certificates::preview),
        Request::RenewCertificates(asked) => leader.answer(&asked, |asked| certificates::renew(asked, leader)),
        Request::AddSans(asked) => leader.answer(&asked, |asked| certificates::add_sans(asked, leader)),
        Request::CollectSupport(asked) => {
            leader.answer(&asked, |asked| Ok(support::collect(&Host::local()?, asked.hours)))
        }
        Request::ReadStatus(asked) => {
            leader.answer(&asked, |asked| Status::read(&Host::local()?, Some(&asked.spec), asked.deep))
        }
        Request::AuditHost(asked) => leader.answer(&asked, |asked| audit::audit(asked, leader)),
        Request::ResetHost(asked) => leader.answer(&asked, |_| remove::reset(leader)),
        Request::RemoveKinstall(asked) => leader.answer(&asked, |_| remove::withdraw()),
    }
}
