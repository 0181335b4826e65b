//! Errors between kinstall and a host, and what to do about them.

use std::io;

use super::advice::{self, Speaker};
use super::program::missing_for;
use crate::agent::PROGRAM;
use crate::agent::protocol::GREETING;
use crate::failure::FailureReport;

/// Why a host did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContactError {
    /// `ssh` itself could not be run.
    #[error("cannot run `{program}`")]
    Start {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// There was no connection, or it was cut.
    #[error("{} {destination}: {said}", if *begun { "the connection was cut to" } else { "cannot connect to" })]
    Connection {
        /// The host's destination, for messages.
        destination: String,
        /// What `ssh` said.
        said: String,
        /// Whether the host had answered before.
        begun: bool,
    },
    /// The user could not become root.
    #[error("the user cannot become root on {destination}: {said}")]
    Sudo {
        /// The host's destination, for messages.
        destination: String,
        /// What `sudo` said.
        said: String,
    },
    /// This program cannot run on the host.
    #[error("the host is {found}, and this kinstall is for {here}")]
    Platform {
        /// The output of `uname -sm` on the host.
        found: String,
        /// The platform of this program.
        here: String,
    },
    /// A command on the host failed.
    #[error("{act} failed on {destination}: {said}")]
    Command {
        /// What the command was for.
        act: &'static str,
        /// The host's destination, for messages.
        destination: String,
        /// What the command said.
        said: String,
    },
    /// kinstall is on the host and cannot be run there.
    #[error("{destination} does not run {PROGRAM}: {reason}")]
    NotRun {
        /// The host's destination, for messages.
        destination: String,
        /// The mount option in the way, or what the host said.
        reason: String,
        /// The mount in the way, if that is the reason.
        mount: Option<String>,
    },
    /// Another program answered.
    #[error("the answer from {destination} is not kinstall's: {said}")]
    Reply {
        /// The host's destination, for messages.
        destination: String,
        /// The beginning of the answer.
        said: String,
    },
    /// A kinstall of another version answered.
    #[error("the kinstall on {destination} is another version: it says `{found}` instead of `{GREETING}`")]
    Version {
        /// The host's destination, for messages.
        destination: String,
        /// Its greeting.
        found: String,
    },
    /// The host answered that the work of the question failed.
    #[error("{}", .0.error)]
    Failed(FailureReport),
    /// Reading or writing failed on this side.
    #[error("cannot exchange data with {destination}")]
    Exchange {
        /// The host's destination, for messages.
        destination: String,
        /// The cause.
        source: io::Error,
    },
}

impl ContactError {
    /// What to do about the error.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let (speaker, said) = match self {
            Self::Start { .. } => return Some("install OpenSSH's client".to_owned()),
            Self::Platform { found, .. } => {
                return Some(match missing_for(found) {
                    Some(name) => format!(
                        "put the kinstall of this version for that architecture beside this one, called `{name}`, and take a bundle \
                         for both architectures"
                    ),
                    None => "take the host out of cluster.yaml: there is no kinstall for it".to_owned(),
                });
            }
            Self::Version { .. } => {
                return Some("a kinstall was replaced while this one ran; run the same command again".to_owned());
            }
            Self::Failed(report) => return report.hint.clone(),
            Self::NotRun { mount: Some(mount), .. } => {
                return Some(format!(
                    "`mount -o remount,exec {mount}` on the host, and the same in its fstab or mount unit; or give /var/lib/kinstall a file \
                     system of its own"
                ));
            }
            Self::Connection { said, .. } => (Speaker::Ssh, said),
            Self::Sudo { said, .. } => (Speaker::Sudo, said),
            Self::NotRun { reason: said, .. } | Self::Command { said, .. } => (Speaker::Host, said),
            Self::Reply { .. } | Self::Exchange { .. } => return None,
        };
        let known = advice::about(speaker, said).map(str::to_owned);
        known.or_else(|| match self {
            Self::Connection { begun: true, .. } => {
                Some("the host may still be working on its current step; the next run waits for it".to_owned())
            }
            Self::NotRun { .. } => Some(
                "find out what forbids it there: SELinux, AppArmor or fapolicyd (`journalctl --since -5min`, `ausearch -ts recent`)".to_owned(),
            ),
            _ => None,
        })
    }

    /// Whether the connection was cut, so that another try may succeed.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Connection { begun: true, .. })
    }
}

/// The lines of `text` that give the cause, joined into one.
#[must_use]
pub fn gist(text: &str) -> String {
    const LINES: usize = 3;
    // Without empty lines and OpenSSH's frame of `@` around a warning.
    let has_text = |line: &&str| !line.is_empty() && !line.chars().all(|letter| letter == '@');
    let lines: Vec<_> = text.lines().map(|line| line.trim().trim_matches('@').trim()).filter(has_text).collect();
    // A banner may be long, and may contain such words as well: the most specific line counts, and the later one of two.
    let ranked = lines.iter().filter_map(|line| Some((advice::rank(line)?, line)));
    let important = ranked.rev().min_by_key(|(rank, _)| *rank).map(|(_, line)| line);
    let last = &lines[lines.len().saturating_sub(LINES)..];
    match important {
        Some(line) if !last.contains(line) => format!("{line}; {}", last.join("; ")),
        _ if last.is_empty() => "it said nothing".to_owned(),
        _ => last.join("; "),
    }
}

impl From<ContactError> for FailureReport {
    fn from(error: ContactError) -> Self {
        match error {
            ContactError::Failed(report) => report,
            error => {
                let hint = error.hint();
                Self { hint, ..Self::from(&anyhow::Error::new(error)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGED: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\n\
        @    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\n\
        IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\n\
        Add correct host key in /root/.ssh/known_hosts to get rid of this message.\n\
        Offending ED25519 key in /root/.ssh/known_hosts:3\n\
        Host key for 192.0.2.1 has changed and you have requested strict checking.\n\
        Host key verification failed.\n";

    #[test]
    fn a_long_message_of_ssh_becomes_one_line_with_a_hint() {
        let said = gist(CHANGED);
        insta::assert_snapshot!(said, @"WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; Offending ED25519 key in /root/.ssh/known_hosts:3; Host key for 192.0.2.1 has changed and you have requested strict checking.; Host key verification failed.");
        let error = ContactError::Connection { destination: "192.0.2.1".into(), said, begun: false };
        assert!(error.hint().unwrap().contains("ssh-keygen -R"));
        assert_eq!(gist("\n"), "it said nothing");
    }

    #[test]
    fn a_cut_connection_differs_from_a_refused_one() {
        let error = |begun| ContactError::Connection { destination: "a".into(), said: "closed".into(), begun };
        assert_eq!(error(true).to_string(), "the connection was cut to a: closed");
        assert_eq!(error(false).to_string(), "cannot connect to a: closed");
        assert!(error(true).is_cut() && !error(false).is_cut());
        assert!(error(true).hint().unwrap().contains("still be working") && error(false).hint().is_none());
    }
}
