//! etcd's configuration file. Source: `etcd.conf.yml.sample` of etcd 3.5 and 3.6.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::layout;
use crate::kubeadm::CIPHER_SUITES;
use crate::topology::Member;
use crate::version_rules::Release;
use crate::version_rules::etcd::FEATURE_GATES;

/// The members with which a member starts: names and peer URLs, including its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// They start a cluster together.
    New(BTreeMap<String, String>),
    /// The others run already; this one joins them.
    Existing(BTreeMap<String, String>),
    /// It goes on alone with the data that it has, for kinstall to save them, and serves nobody else.
    Private(BTreeMap<String, String>),
}

impl Start {
    fn members(&self) -> &BTreeMap<String, String> {
        match self {
            Self::New(members) | Self::Existing(members) | Self::Private(members) => members,
        }
    }

    fn state(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Existing(_) | Self::Private(_) => "existing",
        }
    }

    /// Reads the members from a configuration.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Written {
            initial_cluster: String,
            initial_cluster_state: String,
        }
        let written: Written = serde_yaml::from_str(text)?;
        let pair = |part: &str| {
            let (name, url) = part.split_once('=').with_context(|| format!("`{part}` is not a member"))?;
            Ok((name.to_owned(), url.to_owned()))
        };
        let members = written.initial_cluster.split(',').map(pair).collect::<anyhow::Result<_>>()?;
        match written.initial_cluster_state.as_str() {
            "new" => Ok(Self::New(members)),
            "existing" => Ok(Self::Existing(members)),
            other => bail!("initial-cluster-state is `{other}`"),
        }
    }
}

/// Where a member listens, and what it tells others of that.
struct Urls {
    listen: String,
    advertised: String,
    peer: String,
}

impl Urls {
    fn of(member: &Member, start: &Start) -> Self {
        if let Start::Private(_) = start {
            let (client, peer) = (layout::private_client_url(), layout::private_peer_url());
            return Self { listen: client.clone(), advertised: client, peer };
        }
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let client = layout::client_url(member.address);
        Self {
            listen: format!("{client},{}", layout::client_url(loopback)),
            advertised: client,
            peer: layout::peer_url(member.address),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Config<'a> {
    name: &'a str,
    data_dir: &'static str,
    listen_client_urls: String,
    advertise_client_urls: String,
    listen_peer_urls: String,
    initial_advertise_peer_urls: String,
    listen_metrics_urls: String,
    initial_cluster: String,
    initial_cluster_token: &'a str,
    initial_cluster_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    force_new_cluster: Option<bool>,
    logger: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    experimental_initial_corrupt_check: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feature_gates: Option<&'static str>,
    cipher_suites: [&'static str; 4],
    client_transport_security: Transport,
    peer_transport_security: Transport,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Transport {
    cert_file: String,
    key_file: String,
    trusted_ca_file: &'static str,
    client_cert_auth: bool,
}

impl Transport {
    fn of(name: &str) -> Self {
        Self {
            cert_file: format!("{}/{name}.crt", layout::PKI_DIRECTORY),
            key_file: format!("{}/{name}.key", layout::PKI_DIRECTORY),
            trusted_ca_file: layout::CA_PATH,
            client_cert_auth: true,
        }
    }
}

/// The configuration for etcd `version` of `member`, which is one of the members in `start`.
pub fn config(version: &str, cluster: &str, member: &Member, start: &Start) -> String {
    // A member whose data differs from the others' does not start. A version that is not upstream's counts as new.
    let has_gates = Release::read(version).is_none_or(|version| FEATURE_GATES.holds(version));
    let urls = Urls::of(member, start);
    let initial: Vec<_> = start.members().iter().map(|(name, url)| format!("{name}={url}")).collect();
    let config = Config {
        name: &member.name,
        data_dir: layout::DATA_DIRECTORY,
        listen_client_urls: urls.listen,
        advertise_client_urls: urls.advertised,
        listen_peer_urls: urls.peer.clone(),
        initial_advertise_peer_urls: urls.peer,
        listen_metrics_urls: layout::metrics_url(),
        initial_cluster: initial.join(","),
        initial_cluster_token: cluster,
        initial_cluster_state: start.state(),
        force_new_cluster: matches!(start, Start::Private(_)).then_some(true),
        logger: "zap",
        experimental_initial_corrupt_check: (!has_gates).then_some(true),
        feature_gates: has_gates.then_some("InitialCorruptCheck=true"),
        cipher_suites: CIPHER_SUITES,
        client_transport_security: Transport::of("server"),
        peer_transport_security: Transport::of("peer"),
    };
    let text = serde_yaml::to_string(&config).expect("a structure of texts can be written");
    format!("# Written by kinstall.\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn member(number: u8) -> Member {
        Member {
            name: format!("node-{number}"),
            address: IpAddr::from([10, 0, 0, number]),
            second_address: None,
            roles: BTreeSet::new(),
        }
    }

    fn members(numbers: std::ops::RangeInclusive<u8>) -> BTreeMap<String, String> {
        numbers.map(|number| (format!("node-{number}"), format!("https://10.0.0.{number}:2380"))).collect()
    }

    #[test]
    fn one_member() {
        insta::assert_snapshot!(config("3.5.4", "kubernetes", &member(1), &Start::New(members(1..=1))), @"
        # Written by kinstall.
        name: node-1
        data-dir: /var/lib/etcd
        listen-client-urls: https://10.0.0.1:2379,https://127.0.0.1:2379
        advertise-client-urls: https://10.0.0.1:2379
        listen-peer-urls: https://10.0.0.1:2380
        initial-advertise-peer-urls: https://10.0.0.1:2380
        listen-metrics-urls: http://127.0.0.1:2381
        initial-cluster: node-1=https://10.0.0.1:2380
        initial-cluster-token: kubernetes
        initial-cluster-state: new
        logger: zap
        experimental-initial-corrupt-check: true
        cipher-suites:
        - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        client-transport-security:
          cert-file: /etc/etcd/pki/server.crt
          key-file: /etc/etcd/pki/server.key
          trusted-ca-file: /etc/etcd/pki/ca.crt
          client-cert-auth: true
        peer-transport-security:
          cert-file: /etc/etcd/pki/peer.crt
          key-file: /etc/etcd/pki/peer.key
          trusted-ca-file: /etc/etcd/pki/ca.crt
          client-cert-auth: true
        ");
    }

    #[test]
    fn one_of_three_members_of_3_6() {
        let text = config("3.6.10", "kubernetes", &member(2), &Start::New(members(1..=3)));
        let of_interest = ["name:", "initial-cluster:", "feature-gates", "experimental"];
        let lines = text.lines().filter(|line| of_interest.iter().any(|key| line.starts_with(key)));
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
        name: node-2
        initial-cluster: node-1=https://10.0.0.1:2380,node-2=https://10.0.0.2:2380,node-3=https://10.0.0.3:2380
        feature-gates: InitialCorruptCheck=true
        ");
    }

    #[test]
    fn a_member_that_is_saved_goes_on_alone_and_nobody_else_finds_it() {
        let text = config("3.6.8", "kubernetes", &member(1), &Start::Private(members(1..=1)));
        let of_interest = ["listen-", "advertise-", "initial-", "force-"];
        let lines = text.lines().filter(|line| of_interest.iter().any(|key| line.starts_with(key)));
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
        listen-client-urls: https://127.0.0.1:22379
        advertise-client-urls: https://127.0.0.1:22379
        listen-peer-urls: https://127.0.0.1:22380
        initial-advertise-peer-urls: https://127.0.0.1:22380
        listen-metrics-urls: http://127.0.0.1:2381
        initial-cluster: node-1=https://10.0.0.1:2380
        initial-cluster-token: kubernetes
        initial-cluster-state: existing
        force-new-cluster: true
        ");
    }

    #[test]
    fn what_a_member_started_with_is_read_back() {
        for start in [Start::New(members(1..=3)), Start::Existing(members(1..=2))] {
            assert_eq!(Start::read(&config("3.5.6", "kubernetes", &member(2), &start)).unwrap(), start);
        }
        assert!(Start::read("initial-cluster: a\ninitial-cluster-state: new\n").is_err());
    }
}
