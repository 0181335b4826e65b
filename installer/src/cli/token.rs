//! `kinstall token`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::DnsName;
use crate::steps::join::TOKEN_LIFE;

const TOKEN_CREATE_EXAMPLES: &str = "\
Examples:
  kinstall token create --host worker-3 --address 192.0.2.23
  kinstall token create --host worker-3 --address 192.0.2.23 --ttl 8h --label disk=ssd --taint dedicated=database:NoSchedule
  ssh root@192.0.2.11 kinstall token create --host worker-3 --address 192.0.2.23 --out - | \\
      kinstall run k8s-1.25.2-amd64.tar.zst --key signing.pub --join -";

/// How long a token may work: a week, for a courier.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// A shorter time is over before anybody has typed the other command.
const SHORTEST: Duration = Duration::from_mins(1);

/// What to do with tokens. kubeadm lists and deletes them: `kubeadm token list`, `kubeadm token delete`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a file that lets a host join this cluster as a worker
    ///
    /// On a control plane, as root. The file holds a secret, and only root can read it. Standard output says what to type on the other
    /// host, which needs the same bundle, kinstall and the key. To add a control plane or a member of etcd, add the host to cluster.yaml
    /// and run `kinstall run` with it.
    ///
    /// `kubeadm token list` and `kubeadm token delete` know the tokens too.
    #[command(after_long_help = TOKEN_CREATE_EXAMPLES)]
    Create(TokenCreateArguments),
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub struct TokenCreateArguments {
    /// Name of the host's node, which no other node has
    #[arg(long, value_name = "NAME")]
    pub host: DnsName,
    /// Address at which the other hosts reach the host
    #[arg(long, value_name = "ADDRESS")]
    pub address: IpAddr,
    /// Its address of the other IP family, in a cluster that has both
    #[arg(long, value_name = "ADDRESS")]
    pub second_address: Option<IpAddr>,
    /// Let the file expire after this time: a number and `s`, `m`, `h` or `d`; at most 7d
    #[arg(long, value_name = "TIME", default_value_t)]
    pub ttl: TimeToLive,
    /// A label for its node; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// A taint for its node, such as `dedicated=database:NoSchedule`; repeatable
    #[arg(long = "taint", value_name = "TAINT")]
    pub taints: Vec<String>,
    /// Write the join file to this file, or - for standard output [default: NAME.join.yaml]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl TokenCreateArguments {
    /// The labels by key.
    ///
    /// # Errors
    /// The key that is given twice.
    pub fn labels(&self) -> Result<BTreeMap<String, String>, &str> {
        let mut labels = BTreeMap::new();
        for (key, value) in &self.labels {
            if labels.insert(key.clone(), value.clone()).is_some() {
                return Err(key);
            }
        }
        Ok(labels)
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("it is written `key=value`")?;
    Ok((parts.0.to_owned(), parts.1.to_owned()))
}

/// How long a token works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeToLive(Duration);

impl TimeToLive {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl Default for TimeToLive {
    fn default() -> Self {
        Self(TOKEN_LIFE)
    }
}

impl std::fmt::Display for TimeToLive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let (unit, letter) = UNITS.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, "s"));
        write!(f, "{}{letter}", seconds / unit)
    }
}

/// Seconds of a unit, and its letter; the largest first.
pub(super) const UNITS: [(u64, &str); 4] = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")];

/// A number and the letter of a unit; `None` for other text.
pub(super) fn duration(text: &str) -> Option<Duration> {
    UNITS.into_iter().find_map(|(seconds, letter)| {
        let count: u64 = text.strip_suffix(letter)?.parse().ok()?;
        count.checked_mul(seconds).map(Duration::from_secs)
    })
}

impl FromStr for TimeToLive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match duration(text) {
            None => Err("it is a number and `s`, `m`, `h` or `d`, such as `8h`".to_owned()),
            Some(time) if time < SHORTEST => Err("it is at least one minute, `1m`".to_owned()),
            Some(time) if time > LONGEST => {
                Err("it is at most a week, `7d`: whoever finds the file until then can join the cluster".to_owned())
            }
            Some(time) => Ok(Self(time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_a_unit() {
        for (text, seconds, again) in
            [("90s", 90, "90s"), ("60s", 60, "1m"), ("8h", 28800, "8h"), ("24h", 86400, "1d"), ("7d", 604_800, "7d")]
        {
            let time: TimeToLive = text.parse().unwrap();
            assert_eq!((time.duration().as_secs(), time.to_string().as_str()), (seconds, again));
        }
        for wrong in
            ["", "1", "h", "-1h", "1.5h", "0h", "59s", "8d", "1h30m", "99999999999999999999d", "500000000000000d"]
        {
            assert!(wrong.parse::<TimeToLive>().is_err(), "{wrong}");
        }
        assert_eq!(TimeToLive::default().to_string(), "1h");
    }
}
