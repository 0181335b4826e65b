//! What goes wrong between kinstall and a host, and what to do about it.

use std::io;

/// Why a host could not be worked on.
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
    /// No connection came about, or the one there was ended.
    #[error("{} {destination}: {said}", if *begun { "the connection was cut to" } else { "cannot connect to" })]
    Connection {
        /// Where to.
        destination: String,
        /// What `ssh` said.
        said: String,
        /// Whether the host had answered before.
        begun: bool,
    },
    /// The user could not become root.
    #[error("the user cannot become root on {destination}: {said}")]
    Sudo {
        /// Where.
        destination: String,
        /// What `sudo` said.
        said: String,
        /// Whether it was given a password.
        password: bool,
    },
    /// A machine that this program cannot run on.
    #[error("the host is {found}, and this kinstall is for {here}")]
    Platform {
        /// What it is, by `uname -sm`.
        found: String,
        /// What this program is for.
        here: String,
    },
    /// A command that should have worked.
    #[error("{act} failed on {destination}: {said}")]
    Command {
        /// What was done.
        act: &'static str,
        /// Where.
        destination: String,
        /// What it said.
        said: String,
    },
    /// Something else answered.
    #[error("what came back from {destination} is not kinstall's: {said}")]
    Reply {
        /// Where.
        destination: String,
        /// The beginning of it.
        said: String,
    },
    /// This side of the conversation.
    #[error("cannot talk to {destination}")]
    Talk {
        /// Where.
        destination: String,
        /// The cause.
        source: io::Error,
    },
}

/// Words that OpenSSH and sudo use, and what to do when they do.
const ADVICE: [(&str, &str); 14] = [
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host shows another key than the one that is known; find out whether it was set up anew, and only then forget the old \
         key with `ssh-keygen -R`",
    ),
    (
        "Host key verification failed",
        "nobody has vouched for the host's key yet: connect once with `ssh` and compare the fingerprint, or give a file as \
         `known-hosts` under `ssh` in cluster.yaml",
    ),
    (
        "Permission denied",
        "`ssh` has no key that the host takes: look at `user` and `key` under `ssh` in cluster.yaml, or load it with `ssh-add`",
    ),
    ("Connection refused", "nobody listens there: is sshd running, and is `port` right under `ssh` in cluster.yaml?"),
    ("timed out", "nothing answers: is the host on, its address right, and the way to it open?"),
    ("No route to host", "nothing answers: is the host on, its address right, and the way to it open?"),
    ("Could not resolve", "the name is not known here; give an address under `ssh` in cluster.yaml"),
    (
        "a password is required",
        "set `sudo: password` under `ssh` in cluster.yaml, or let the user use sudo without one",
    ),
    ("no password was provided", "the password for sudo is wrong on this host"),
    ("incorrect password", "the password for sudo is wrong on this host"),
    ("not in the sudoers", "let the user use sudo on the host, or log in as root"),
    ("sudo: not found", "the host has no sudo: log in as root, with `user: root` under `ssh` in cluster.yaml"),
    ("sudo: command not found", "the host has no sudo: log in as root, with `user: root` under `ssh` in cluster.yaml"),
    ("No space left", "make room on the host in /var/lib/kinstall"),
];

impl ContactError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let said = match self {
            Self::Start { .. } => return Some("install OpenSSH's client".to_owned()),
            Self::Platform { .. } => {
                return Some("lead from a host of that kind, with a kinstall and a bundle for it".to_owned());
            }
            Self::Connection { said, .. } | Self::Sudo { said, .. } | Self::Command { said, .. } => said,
            Self::Reply { .. } | Self::Talk { .. } => return None,
        };
        let known = ADVICE.iter().find(|(words, _)| said.contains(words)).map(|(_, advice)| (*advice).to_owned());
        known.or_else(|| match self {
            Self::Connection { begun: true, .. } => {
                Some("the host may go on by itself with what it was at; the next run waits for it".to_owned())
            }
            _ => None,
        })
    }

    /// Whether another try may do.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Connection { begun: true, .. })
    }
}

/// The lines of `text` that say why, for a message of one line.
#[must_use]
pub fn gist(text: &str) -> String {
    const LINES: usize = 3;
    // What a login shows before it fails, and OpenSSH's frame around a warning.
    let dull = |line: &&str| !line.is_empty() && !line.chars().all(|letter| letter == '@');
    let lines: Vec<_> = text.lines().map(|line| line.trim().trim_matches('@').trim()).filter(dull).collect();
    let important = lines.iter().find(|line| ADVICE.iter().any(|(words, _)| line.contains(words)));
    let last = &lines[lines.len().saturating_sub(LINES)..];
    match important {
        Some(line) if !last.contains(line) => format!("{line}; {}", last.join("; ")),
        _ if last.is_empty() => "it said nothing".to_owned(),
        _ => last.join("; "),
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
    fn what_ssh_says_at_length_is_said_in_a_line_with_what_to_do() {
        let said = gist(CHANGED);
        insta::assert_snapshot!(said, @"WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; Offending ED25519 key in /root/.ssh/known_hosts:3; Host key for 192.0.2.1 has changed and you have requested strict checking.; Host key verification failed.");
        let error = ContactError::Connection { destination: "192.0.2.1".into(), said, begun: false };
        assert!(error.hint().unwrap().contains("ssh-keygen -R"));
        assert_eq!(gist("\n"), "it said nothing");
    }

    #[test]
    fn a_cut_is_told_from_a_refusal() {
        let error = |begun| ContactError::Connection { destination: "a".into(), said: "closed".into(), begun };
        assert_eq!(error(true).to_string(), "the connection was cut to a: closed");
        assert_eq!(error(false).to_string(), "cannot connect to a: closed");
        assert!(error(true).is_cut() && !error(false).is_cut());
        assert!(error(true).hint().unwrap().contains("by itself") && error(false).hint().is_none());
    }
}
