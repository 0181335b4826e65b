use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, SanType, SerialNumber};
use time::Duration;

use super::*;
use crate::fixture::bench::{Bench, KUBECONFIG};
use crate::pki::PrivateKey;

const CA: &str = "/etc/kubernetes/pki/ca.crt";
const LEAF: &str = "/etc/kubernetes/pki/apiserver.crt";

/// An authority of this test.
struct Signer {
    key: PrivateKey,
    params: CertificateParams,
}

impl Signer {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serial_number = Some(SerialNumber::from(1));
        Self { key: PrivateKey::generate().unwrap(), params }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// A certificate for `kube-apiserver` that begins and ends the given numbers of days from `now`.
    fn sign(&self, now: OffsetDateTime, begins: i64, ends: i64) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.serial_number = Some(SerialNumber::from(2));
        params.subject_alt_names = vec![SanType::DnsName("api.example".try_into().unwrap())];
        (params.not_before, params.not_after) = (now + Duration::days(begins), now + Duration::days(ends));
        let issuer = Issuer::new(self.params.clone(), &self.key);
        params.signed_by(&PrivateKey::generate().unwrap(), &issuer).unwrap().pem()
    }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn place(path: &str) -> CertificatePlace {
    CertificatePlace {
        name: "apiserver".into(),
        path: path.into(),
        authority: Authority::File(CA),
        renewed_by: RenewedBy::Kinstall,
    }
}

fn judged(bench: &Bench, path: &str) -> CertificateReport {
    judge(&bench.host(), &place(path), Moment { now: now(), warn_days: 30 })
}

/// A host with an authority, and a certificate of it with these days.
fn host(begins: i64, ends: i64) -> Bench {
    let (bench, signer) = (Bench::new(), Signer::new());
    bench.file(&CA[1..], &signer.pem());
    bench.file(&LEAF[1..], &signer.sign(now(), begins, ends));
    bench
}

#[test]
fn time_that_is_left_decides() {
    for (begins, ends, state, left, problem) in [
        (-1, 364, State::Good, 364, None),
        (-1, 30, State::Good, 30, None),
        (-1, 29, State::Expiring, 29, Some("it ends in 29 days")),
        (-9, -2, State::Expired, -2, Some("it ended on 2027-01-13")),
        (2, 364, State::Invalid, 364, Some("it is not valid before 2027-01-17")),
    ] {
        let report = judged(&host(begins, ends), LEAF);
        let content = report.content.as_ref().unwrap();
        assert_eq!((report.state, content.days_left, report.problem.as_deref()), (state, left, problem));
        assert_eq!(report.verified, Some(true));
        assert_eq!(
            (content.subject.as_str(), content.names.as_slice()),
            ("CN=kube-apiserver", &["api.example".to_owned()][..])
        );
    }
}

#[test]
fn a_foreign_authority_of_the_same_name_makes_it_invalid() {
    let bench = host(-1, 364);
    bench.file(&CA[1..], &Signer::new().pem());
    let report = judged(&bench, LEAF);
    assert_eq!((report.state, report.verified), (State::Invalid, Some(false)));
    assert_eq!(report.problem.as_deref(), Some("its authority did not sign it"));
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let bench = host(-1, 364);
    let problem = |path: &str| {
        let report = judged(&bench, path);
        assert_eq!((report.state, report.verified), (State::Unknown, None), "{path}");
        report.problem.unwrap()
    };
    assert_eq!(problem("/etc/kubernetes/pki/gone.crt"), "it is not there");
    bench.file("etc/kubernetes/pki/half.crt", "-----BEGIN CERTIFICATE-----\nMIIB");
    assert_eq!(problem("/etc/kubernetes/pki/half.crt"), "it holds no certificate that can be read");
    assert!(problem("/etc/kubernetes/pki").contains("cannot read /etc/kubernetes/pki"), "a directory");
    bench.file(&CA[1..], "nonsense");
    let report = judged(&bench, LEAF);
    assert_eq!((report.state, report.verified), (State::Unknown, None));
    assert_eq!(
        report.problem.as_deref(),
        Some("the authority in /etc/kubernetes/pki/ca.crt: it holds no certificate that can be read")
    );
    assert!(report.content.is_some(), "what it says is told all the same");
}

#[test]
fn the_client_certificate_of_a_kubeconfig_is_looked_at() {
    let (bench, signer) = (Bench::new(), Signer::new());
    bench.file(&CA[1..], &signer.pem());
    let data = BASE64.encode(signer.sign(now(), -1, 364));
    bench.file("etc/kubernetes/admin.conf", &KUBECONFIG.replace("TUlJQg==", &data));
    assert_eq!(judged(&bench, "/etc/kubernetes/admin.conf").state, State::Good);
    bench.file("etc/kubernetes/admin.conf", KUBECONFIG);
    assert_eq!(judged(&bench, "/etc/kubernetes/admin.conf").state, State::Unknown);
    bench.file("etc/kubernetes/admin.conf", "");
    let problem = judged(&bench, "/etc/kubernetes/admin.conf").problem;
    assert_eq!(problem.as_deref(), Some("it is not a kubeconfig with a client certificate"));
}

#[test]
fn every_certificate_of_a_control_plane_is_looked_at_also_those_that_are_gone() {
    let cluster = crate::fixture::Cluster::of_three_and_two();
    let bench = host(-1, 364);
    let names = |host: &str| {
        let topology = cluster.seen_from(host);
        let reports = look(&bench.host(), topology.this(), Moment { now: now(), warn_days: 30 }).unwrap();
        let unknown = reports.iter().filter(|report| report.state == State::Unknown).count();
        (reports.iter().map(|report| report.name.clone()).collect::<Vec<_>>().join(" "), unknown)
    };
    let (found, unknown) = names("c1");
    insta::assert_snapshot!(found, @"etcd-ca etcd-server etcd-peer ca front-proxy-ca apiserver-etcd-ca apiserver-etcd-client apiserver apiserver-kubelet-client front-proxy-client admin.conf controller-manager.conf scheduler.conf kubelet-client");
    assert_eq!(unknown, 12, "only the authority and the API server's certificate are there");
    insta::assert_snapshot!(names("w1").0, @"ca kubelet-client");
}

#[test]
fn a_report_comes_back_as_it_was_sent() {
    let bench = host(-1, 364);
    for path in [LEAF, "/gone"] {
        let report = judged(&bench, path);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<CertificateReport>(&text).unwrap(), report, "{text}");
    }
}
