//! What the leading kinstall and the one on a host say to each other.
//!
//! One request a process. To the host goes a line [`GREETING`], then a line of JSON with the [`Request`], and after
//! [`Request::Receive`] the bundle's bytes to the end of input. Whatever comes before the greeting is skipped: a password that
//! `sudo` did not ask for. Back comes the greeting as well, after whatever the login shell printed, then events a line
//! ([`report`](crate::report)), and last a line with the [`Reply`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _};
use std::net::{IpAddr, SocketAddr};

use kbundle_format::{Digest, Role};
use serde::{Deserialize, Serialize};

use super::Behind;
use crate::config::ClusterSpec;
use crate::facts::HostFacts;
use crate::failure::Told;
use crate::join_material::{EtcdClient, JoinCredentials, JoinMaterial, Pair, PodNetwork, SharedFile};
use crate::plan::Phase;
use crate::steps::etcd::EtcdMember;
use crate::trust::Trust;

/// Begins what is said in either direction; its number grows when the protocol changes.
pub const GREETING: &str = "kinstall-agent 1";
/// What may come before the greeting.
const MAX_NOISE_BYTES: u64 = 1 << 20;
/// The longest line: a cluster's keys and description are far below it.
pub const MAX_LINE_BYTES: u64 = 64 << 20;

/// What a host is asked to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Say what the host is. Changes nothing.
    Survey(Wanted),
    /// Verify and keep the part of the bundle that follows.
    Receive {
        /// Whom to believe.
        trust: Trust,
    },
    /// Say what would be done in every phase. Changes nothing.
    Look(Box<Work>),
    /// Do what a phase asks of this host.
    Apply {
        /// The phase.
        phase: Phase,
        /// What with.
        work: Box<Work>,
    },
    /// Tell something that others need.
    Ask {
        /// What.
        question: Question,
    },
    /// Listen on those of these ports that are free, until the end of input.
    Listen {
        /// TCP ports.
        ports: Vec<u16>,
    },
    /// Say which of these cannot be reached.
    Connect {
        /// Where to.
        targets: Vec<SocketAddr>,
    },
    /// Remove the cluster from the host.
    Reset,
    /// Remove kinstall from a host that it has not changed.
    Withdraw,
}

/// What the host is wanted for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wanted {
    /// The roles that it needs a bundle's entries for.
    pub roles: Vec<Role>,
    /// The bundle's list.
    pub list: Option<Digest>,
}

/// What a host has to know to do its part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// The host's name in cluster.yaml.
    pub host: String,
    /// The cluster, as far as it concerns this host.
    pub spec: ClusterSpec,
    /// Whom to believe.
    pub trust: Trust,
    /// What others know.
    pub handed: JoinMaterial,
}

/// What others need of a host, and what the host needs to know for it. Where it speaks of members of etcd, `here` is the address
/// of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// etcd's authority, made where there is none.
    EtcdAuthority,
    /// A certificate for an API server whose host has no etcd.
    EtcdClient,
    /// The members of etcd.
    EtcdMembers {
        /// Its own address.
        here: IpAddr,
    },
    /// Room for a member of etcd.
    AddEtcdMember {
        /// Its own address.
        here: IpAddr,
        /// The new member's name.
        name: String,
        /// Where the new member is.
        address: IpAddr,
    },
    /// A member of etcd less.
    RemoveEtcdMember {
        /// Its own address.
        here: IpAddr,
        /// Where the member is.
        address: IpAddr,
    },
    /// What all control planes have alike.
    SharedFiles(Box<Work>),
    /// Credentials to join with.
    JoinCredentials(Box<Work>),
    /// The networks of these nodes' pods.
    PodNetworks {
        /// The nodes.
        nodes: Vec<String>,
    },
    /// The API servers that are reached through a load balancer of the site's own.
    Behind {
        /// The load balancer.
        balancer: SocketAddr,
        /// The name that API servers prove to have.
        name: String,
        /// Those that should be reached.
        wanted: BTreeSet<SocketAddr>,
    },
    /// Who has an address of the host's own network.
    Neighbour {
        /// The address.
        address: IpAddr,
    },
    /// A node without pods.
    DrainNode {
        /// Its name.
        name: String,
    },
    /// A node less.
    DeleteNode {
        /// Its name.
        name: String,
    },
}

/// How a request ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The answer to [`Request::Survey`].
    Survey(Box<Survey>),
    /// The answer to [`Request::Ask`].
    Answer {
        /// As the question asks.
        answer: Answer,
    },
    /// The answer to [`Request::Apply`].
    Applied {
        /// The steps that changed something.
        changed: Vec<String>,
    },
    /// The answer to [`Request::Connect`].
    Unreached {
        /// What could not be reached, and why.
        failures: Vec<(SocketAddr, String)>,
    },
    /// It is done.
    Done,
    /// It failed.
    Failed(Told),
}

impl Reply {
    /// What it is, without what it says, which may be secret.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Survey(_) => "survey",
            Self::Answer { .. } => "answer",
            Self::Applied { .. } => "applied",
            Self::Unreached { .. } => "unreached",
            Self::Done => "done",
            Self::Failed(_) => "failed",
        }
    }
}

/// What a host answers to a question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Question::EtcdAuthority`].
    EtcdAuthority(Pair),
    /// To [`Question::EtcdClient`].
    EtcdClient(EtcdClient),
    /// To [`Question::EtcdMembers`] and [`Question::AddEtcdMember`].
    EtcdMembers(Vec<EtcdMember>),
    /// To [`Question::SharedFiles`].
    SharedFiles(Vec<SharedFile>),
    /// To [`Question::JoinCredentials`].
    JoinCredentials(JoinCredentials),
    /// To [`Question::PodNetworks`].
    PodNetworks(BTreeMap<String, PodNetwork>),
    /// To [`Question::Behind`].
    Behind(Behind),
    /// To [`Question::Neighbour`]: a hardware address.
    Neighbour(Option<String>),
    /// To the others.
    Done,
}

/// What a host is, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// What it is.
    pub facts: HostFacts,
    /// Milliseconds since 1970 by its clock, at the moment of the answer.
    pub clock_milliseconds: u64,
    /// Whether it holds all of the bundle that its roles need.
    pub holds_bundle: bool,
    /// The list of the bundle that it was set up from.
    pub installed: Option<Digest>,
    /// How far its control plane is.
    pub control_plane: Progress,
    /// How far its member of etcd is.
    pub etcd: Progress,
    /// How far its joining as a worker is.
    pub join: Progress,
}

/// How far a step is, by the host's own record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Never begun.
    None,
    /// Begun and cut off.
    Begun,
    /// Completed once.
    Done,
}

/// Skips what comes before the greeting.
///
/// # Errors
/// When the input ends, or goes on for too long, without it.
pub fn skip_to_greeting(input: &mut impl BufRead) -> io::Result<()> {
    let mut noise = input.take(MAX_NOISE_BYTES);
    let mut line = Vec::new();
    loop {
        line.clear();
        if noise.read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("no line `{GREETING}` came")));
        }
        if line.trim_ascii_end() == GREETING.as_bytes() {
            return Ok(());
        }
    }
}

/// The next line; `None` at the end.
pub fn next_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a line was cut off")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_password_that_nobody_read_is_skipped() {
        let mut input = Cursor::new("secret\nkinstall-agent 1\n{\"request\":\"withdraw\"}\nrest".as_bytes());
        skip_to_greeting(&mut input).unwrap();
        let line = next_line(&mut input).unwrap().unwrap();
        assert!(matches!(serde_json::from_slice(&line).unwrap(), Request::Withdraw));
        assert_eq!(next_line(&mut input).unwrap_err().to_string(), "a line was cut off");
        assert_eq!(next_line(&mut Cursor::new(b"")).unwrap(), None);
    }

    #[test]
    fn input_without_a_greeting_is_refused() {
        for input in ["", "kinstall-agent 2\n{}\n", "kinstall-agent 1 \u{0}"] {
            let error = skip_to_greeting(&mut Cursor::new(input.as_bytes())).unwrap_err();
            assert_eq!(error.to_string(), "no line `kinstall-agent 1` came", "{input}");
        }
        let endless = io::repeat(b'x');
        assert!(skip_to_greeting(&mut io::BufReader::new(endless)).is_err());
    }

    proptest! {
        /// Whatever is said before the greeting, the request arrives.
        #[test]
        fn noise_changes_nothing(noise in "([^k\n]{0,40}\n){0,5}", phase in 0..Phase::ALL.len()) {
            let sent = serde_json::to_string(&Phase::ALL[phase]).unwrap();
            let mut input = Cursor::new(format!("{noise}{GREETING}\n{sent}\n").into_bytes());
            skip_to_greeting(&mut input).unwrap();
            prop_assert_eq!(next_line(&mut input).unwrap().unwrap(), sent.into_bytes());
        }
    }

    #[test]
    fn what_goes_to_a_host_shows_no_secret_when_it_is_printed() {
        let pair = Pair { certificate: "visible".into(), key: "secret".into() };
        let reply = Reply::Answer { answer: Answer::EtcdAuthority(pair) };
        assert!(!format!("{reply:?}").contains("secret"));
        let text = serde_json::to_string(&reply).unwrap();
        let Reply::Answer { answer: Answer::EtcdAuthority(pair) } = serde_json::from_str(&text).unwrap() else {
            panic!("{text}");
        };
        assert_eq!(pair.key, "secret");
    }
}
