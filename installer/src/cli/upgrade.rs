//! `kinstall upgrade`.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::token::{UNITS, duration};
use super::{BundleArguments, ClusterArguments};
use crate::preflight::CheckId;

pub(super) const EXAMPLES: &str = "\
Examples:
  kinstall upgrade k8s-1.36.3-amd64.tar.zst --key signing.pub --dry-run
  kinstall upgrade k8s-1.36.3-amd64.tar.zst --key signing.pub
  kinstall upgrade update.tar.zst --base k8s-1.35.4-amd64.tar.zst --key signing.pub
  kinstall upgrade k8s-1.36.3-amd64.tar.zst --key signing.pub --config cluster.yaml --max-unavailable 25%";

/// Arguments of `upgrade`.
#[derive(Debug, Args)]
pub struct UpgradeArguments {
    /// The new bundle.
    #[command(flatten)]
    pub bundle: BundleArguments,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// Upgrade this many workers at the same time, as a number or as a share of them such as `25%`
    ///
    /// A share is rounded down, to one worker at least. Control planes and members of etcd are always upgraded one by one.
    #[arg(long, value_name = "N", default_value_t, requires = "hosts_file")]
    pub max_unavailable: MaxUnavailable,
    /// Give up when the pods of a node are not moved within this time: a number and `s`, `m` or `h`
    ///
    /// Pods are evicted, so every PodDisruptionBudget is respected. If one allows no eviction, the time runs out: the node takes pods
    /// again, and the upgrade stops.
    #[arg(long, value_name = "TIME", default_value_t, requires = "hosts_file")]
    pub drain_timeout: DrainTimeout,
    /// Print the plan and change nothing
    ///
    /// Verifies the bundle and shows every version before and after, what restarts, what users notice, what cannot be undone, and which
    /// APIs that Kubernetes removes are in use, also by stored objects; for one host the steps, for several the order of hosts.
    #[arg(long)]
    pub dry_run: bool,
    /// Continue although this preflight check rejects; repeatable
    #[arg(long = "ignore", value_name = "CHECK")]
    pub ignored: Vec<CheckId>,
}

pub(super) const ROLLBACK_EXAMPLES: &str = "\
Examples:
  kinstall rollback --dry-run
  kinstall rollback
  kinstall rollback --restore-etcd --yes
  kinstall rollback --config cluster.yaml";

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// Give up when the pods of a node are not moved within this time: a number and `s`, `m` or `h`
    #[arg(long, value_name = "TIME", default_value_t, requires = "hosts_file")]
    pub drain_timeout: DrainTimeout,
    /// Restore etcd from the snapshot even if its data could stay
    ///
    /// All objects are then as they were before the upgrade, those of the network and the add-ons too, and later writes to the API are
    /// lost. Without it, the snapshot is restored only if the former etcd cannot read the data.
    #[arg(long, conflicts_with = "hosts_file")]
    pub restore_etcd: bool,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// How many workers may be drained at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUnavailable {
    /// This number of workers.
    Hosts(NonZeroUsize),
    /// This share of all workers, in percent, 1 to 100.
    Percent(u8),
}

impl MaxUnavailable {
    /// The number of workers, out of so many; at least one.
    #[must_use]
    pub fn of(self, workers: usize) -> usize {
        match self {
            Self::Hosts(hosts) => hosts.get(),
            Self::Percent(percent) => (workers * usize::from(percent) / 100).max(1),
        }
    }
}

impl Default for MaxUnavailable {
    fn default() -> Self {
        Self::Hosts(NonZeroUsize::MIN)
    }
}

impl fmt::Display for MaxUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(hosts) => hosts.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for MaxUnavailable {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "it is a number of at least 1, such as `2`, or a share of 1% to 100%, such as `25%`";
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Hosts).map_err(|_| FORM),
            Some(share) => match share.parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(FORM),
            },
        }
    }
}

/// How long a node's pods may take to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTimeout(pub Duration);

impl Default for DrainTimeout {
    fn default() -> Self {
        Self(Duration::from_mins(5))
    }
}

impl fmt::Display for DrainTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (unit, letter) = UNITS.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, "s"));
        write!(f, "{}{letter}", seconds / unit)
    }
}

impl FromStr for DrainTimeout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match duration(text) {
            // kubectl takes zero as no limit.
            Some(time) if !time.is_zero() => Ok(Self(time)),
            _ => Err("it is a number of at least 1 and `s`, `m` or `h`, such as `10m`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_counted_or_a_share_of_them() {
        let of = |text: &str, workers| text.parse::<MaxUnavailable>().unwrap().of(workers);
        assert_eq!([of("1", 50), of("3", 50), of("25%", 50), of("25%", 3), of("100%", 7)], [1, 3, 12, 1, 7]);
        assert_eq!("25%".parse::<MaxUnavailable>().unwrap().to_string(), "25%");
        for wrong in ["", "0", "-1", "0%", "101%", "%", "1.5", "a"] {
            assert!(wrong.parse::<MaxUnavailable>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_drain_has_a_limit() {
        assert_eq!("90s".parse::<DrainTimeout>().unwrap().0.as_secs(), 90);
        assert_eq!(DrainTimeout::default().to_string(), "5m");
        for wrong in ["", "0s", "5", "m"] {
            assert!(wrong.parse::<DrainTimeout>().is_err(), "{wrong}");
        }
    }
}
