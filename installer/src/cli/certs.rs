//! `kinstall certs` and `kinstall kubeconfig`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::ClusterArguments;
use super::token::{UNITS, duration};
use crate::certificates::Renewable;

const RENEW_EXAMPLES: &str = "\
Examples:
  kinstall certs renew --all
  kinstall certs renew --all --config cluster.yaml --dry-run
  kinstall certs renew apiserver admin.conf
  kinstall certs renew --due 30d";

const ADD_SAN_EXAMPLES: &str = "\
Examples:
  kinstall certs add-san k8s.plant-7.example
  kinstall certs add-san k8s.plant-7.example 192.0.2.80 --config cluster.yaml";

/// A user's certificate cannot be revoked, so its lifetime is limited.
const LONGEST: Duration = Duration::from_hours(3650 * 24);
/// A shorter one is over before it is used.
const SHORTEST: Duration = Duration::from_mins(10);

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// List every certificate that the cluster uses on this host, or on the hosts of cluster.yaml
    ///
    /// Certificates of kubeadm, etcd and the kubelet, and those in kubeconfigs, with the days that each has left and whether its authority
    /// signed it. Exits with 1 if a certificate has too few days left, is not valid, or cannot be read. Changes nothing.
    #[command(
        after_long_help = "Examples:\n  kinstall certs list\n  kinstall certs list --config cluster.yaml --warn-days 90 --output json"
    )]
    List(CertsListArguments),
    /// Renew certificates from the same authority, and restart what uses them
    ///
    /// Restarts a host's member of etcd, API server, controller manager and scheduler one after another, each when the one before is
    /// healthy; with several hosts, one host after another. Users' pods keep running. If it is interrupted, the next renewal completes it.
    /// A timer on every node runs `kinstall certs renew --due 30d` once a day.
    #[command(after_long_help = RENEW_EXAMPLES)]
    Renew(CertsRenewArguments),
    /// Add names or addresses to the certificate of the API server
    ///
    /// The names are also written to the cluster's configuration, so that joins and renewals keep them. Add them to `api.certificate-sans`
    /// of cluster.yaml as well, or the next `kinstall run` with that file removes them.
    #[command(after_long_help = ADD_SAN_EXAMPLES)]
    AddSan(CertsAddSanArguments),
    /// Approve the certificates that kubelets of known hosts ask for
    ///
    /// For clusters with `serverTLSBootstrap: true` under `kubelet.config` in cluster.yaml, on a control plane. A request is approved if it
    /// comes from a host of the cluster, or from one that a join file was made for here, and asks for exactly that host's name and
    /// addresses. Other requests stay pending, and the reason is printed. `kinstall run` does the same for the hosts that it sets up, and a
    /// timer on control planes does so once a day.
    #[command(after_long_help = "Examples:\n  kinstall certs approve\n  kinstall certs approve --output json")]
    Approve,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the users that `kinstall kubeconfig --user` made credentials for, and everybody who may do everything
    ///
    /// On a control plane, as root. Of each user: groups, when the credential expires, how many days are left, and by which bindings the user is an
    /// administrator of the whole cluster. Then all bindings of `cluster-admin`, and of roles that allow as much, with their users, groups and service
    /// accounts. Changes nothing.
    #[command(after_long_help = "Examples:\n  kinstall user list\n  kinstall user list --output json")]
    List,
}

/// Arguments of `certs list`.
#[derive(Debug, Args)]
pub struct CertsListArguments {
    /// How many days a certificate should have left
    #[arg(long, value_name = "DAYS", default_value = "30")]
    pub warn_days: u32,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Arguments of `certs renew`.
#[derive(Debug, Args)]
pub struct CertsRenewArguments {
    /// A certificate, named as in `kinstall certs list`
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "due"], conflicts_with_all = ["all", "due"])]
    pub names: Vec<Renewable>,
    /// Renew every certificate that kinstall renews
    #[arg(long, conflicts_with = "due")]
    pub all: bool,
    /// Renew those with less time left than this, such as 30d, and those that are not valid
    #[arg(long, value_name = "TIME")]
    pub due: Option<Days>,
    /// Print what would be renewed and restarted, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Arguments of `certs add-san`.
#[derive(Debug, Args)]
pub struct CertsAddSanArguments {
    /// A DNS name or an address; with `--config`, those of `api.certificate-sans` are added too
    #[arg(value_name = "NAME", required_unless_present = "hosts_file")]
    pub names: Vec<String>,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Arguments of `kubeconfig`.
#[derive(Debug, Args)]
pub struct KubeconfigArguments {
    /// Make a credential for this user, instead of a copy of the administrator's
    #[arg(long, value_name = "NAME", value_parser = subject)]
    pub user: Option<String>,
    /// A group that the user is in; repeatable
    #[arg(long = "group", value_name = "GROUP", requires = "user", value_parser = subject)]
    pub groups: Vec<String>,
    /// How long the user's credential works: a number and `m`, `h` or `d`; at most 3650d
    #[arg(long, value_name = "TIME", requires = "user", default_value_t)]
    pub ttl: UserLife,
    /// Where to write the file; default: `NAME.kubeconfig` in the current folder
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A user or a group, as a certificate names it.
fn subject(text: &str) -> Result<String, String> {
    if text.starts_with("system:") {
        return Err("Kubernetes keeps names that begin with `system:` for itself".to_owned());
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_:@/".contains(letter);
    if text.is_empty() || text.len() > 64 || text.starts_with(['.', '-', '/']) || !text.chars().all(is_plain) {
        return Err(
            "it has 1 to 64 letters, digits and `.`, `-`, `_`, `:`, `@`, `/`, and begins with a letter or digit"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// A number of days, as `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub u32);

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').and_then(|count| count.parse().ok());
        days.map(Self).ok_or_else(|| "it is a number of days and `d`, such as `30d`".to_owned())
    }
}

/// How long a user's credential works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserLife(Duration);

impl UserLife {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl Default for UserLife {
    fn default() -> Self {
        Self(Duration::from_hours(30 * 24))
    }
}

impl std::fmt::Display for UserLife {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let (unit, letter) = UNITS.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, "s"));
        write!(f, "{}{letter}", seconds / unit)
    }
}

impl FromStr for UserLife {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match duration(text) {
            None => Err("it is a number and `m`, `h` or `d`, such as `30d`".to_owned()),
            Some(time) if time < SHORTEST => Err("it is at least ten minutes, `10m`".to_owned()),
            Some(time) if time > LONGEST => Err("it is at most ten years, `3650d`".to_owned()),
            Some(time) => Ok(Self(time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_kubernetes_own_are_refused() {
        for good in ["ana", "ana@plant-7.example", "kubeadm:cluster-admins", "team/dev"] {
            assert_eq!(subject(good).as_deref(), Ok(good));
        }
        for wrong in ["system:masters", "", "-x", "a,b", "a b", "a\nb", &"a".repeat(65)] {
            assert!(subject(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn times_of_users_and_days_have_a_unit() {
        assert_eq!("30d".parse(), Ok(Days(30)));
        assert!(["30", "d", "-1d", "1h"].iter().all(|wrong| wrong.parse::<Days>().is_err()));
        assert_eq!("8h".parse::<UserLife>().unwrap().to_string(), "8h");
        assert_eq!(UserLife::default().to_string(), "30d");
        assert!(["9m", "3651d", "1", ""].iter().all(|wrong| wrong.parse::<UserLife>().is_err()));
    }
}
