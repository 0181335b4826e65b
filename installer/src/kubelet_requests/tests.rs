use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use serde_json::json;

use super::*;
use crate::fixture::Cluster;
use crate::fixture::bench::Bench;
use crate::host::Command;
use crate::pki::PrivateKey;

fn known() -> Vec<KnownHost> {
    let host = |name: &str, addresses: &[&str]| KnownHost {
        name: name.to_owned(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    };
    vec![host("w1", &["192.0.2.11", "2001:db8::11"]), host("w2", &["192.0.2.12"])]
}

/// The content of a request, in a kubelet's form.
fn content(common_name: &str, organisation: &str, names: &[&str], addresses: &[&str]) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organisation);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names.iter().map(|&name| SanType::DnsName(name.try_into().unwrap())).collect();
    params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(address.parse().unwrap())));
    params.serialize_request(&PrivateKey::generate().unwrap()).unwrap().pem().unwrap()
}

fn request(user: &str, content: &str) -> Value {
    json!({
        "metadata": {"name": "csr-1"},
        "spec": {
            "username": user,
            "groups": ["system:nodes", "system:authenticated"],
            "usages": ["digital signature", "server auth"],
            "request": BASE64.encode(content),
        },
        "status": {},
    })
}

fn of_w1() -> Value {
    request("system:node:w1", &content("system:node:w1", "system:nodes", &["w1"], &["192.0.2.11", "2001:db8::11"]))
}

#[test]
fn what_a_known_host_asks_for_itself_is_approved() {
    assert_eq!(judge(&of_w1(), &known()), Ok(()));
    let mut rsa = of_w1();
    rsa["spec"]["usages"] = json!(["key encipherment", "digital signature", "server auth"]);
    assert_eq!(judge(&rsa, &known()), Ok(()));
}

#[test]
fn whatever_else_is_asked_for_is_left() {
    let edited = |edit: fn(&mut Value)| {
        let mut request = of_w1();
        edit(&mut request["spec"]);
        judge(&request, &known()).unwrap_err()
    };
    assert_eq!(edited(|spec| spec["username"] = "ana".into()), Refusal::NoKubelet);
    assert_eq!(edited(|spec| spec["groups"] = json!(["system:authenticated"])), Refusal::NoKubelet);
    assert_eq!(edited(|spec| spec["username"] = "system:node:w3".into()), Refusal::UnknownHost);
    assert_eq!(edited(|spec| spec["usages"] = json!(["server auth", "client auth"])), Refusal::Usages);
    assert_eq!(edited(|spec| spec["usages"] = json!(["digital signature"])), Refusal::Usages);
    assert_eq!(edited(|spec| spec["request"] = "%".into()), Refusal::Unreadable);
    assert_eq!(edited(|spec| spec["request"] = BASE64.encode("nonsense").into()), Refusal::Unreadable);

    let asked = |common_name: &str, organisation: &str, names: &[&str], addresses: &[&str]| {
        let request = request("system:node:w1", &content(common_name, organisation, names, addresses));
        judge(&request, &known()).unwrap_err()
    };
    let own = ["192.0.2.11", "2001:db8::11"];
    let subject = |refusal| matches!(refusal, Refusal::Subject { .. });
    assert!(subject(asked("system:node:w2", "system:nodes", &["w1"], &own)));
    assert!(subject(asked("system:node:w1", "system:masters", &["w1"], &own)));
    for (names, addresses) in [
        (&["w1", "w2"][..], &own[..]),
        (&["w2"], &own),
        (&[], &own),
        (&["w1"], &own[..1]),
        (&["w1"], &["192.0.2.11", "2001:db8::11", "192.0.2.1"]),
        (&["w1", "api.plant.internal"], &own),
    ] {
        let refusal = asked("system:node:w1", "system:nodes", names, addresses);
        assert!(matches!(refusal, Refusal::Names { .. }), "{names:?} {addresses:?}: {refusal}");
    }
    let refusal = asked("system:node:w1", "system:nodes", &["w1"], &["192.0.2.12"]);
    assert_eq!(refusal.to_string(), "it asks for 192.0.2.12, w1, and the host has 192.0.2.11, 2001:db8::11, w1");
}

#[test]
fn a_request_that_is_not_signed_by_its_own_key_is_left() {
    let (_, pem) = x509_parser::pem::parse_x509_pem(
        content("system:node:w1", "system:nodes", &["w1"], &["192.0.2.11", "2001:db8::11"]).as_bytes(),
    )
    .map(|(rest, pem)| (rest.to_vec(), pem))
    .unwrap();
    let mut der = pem.contents;
    // The last byte belongs to the signature.
    *der.last_mut().unwrap() ^= 1;
    let text =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", BASE64.encode(der));
    assert_eq!(judge(&request("system:node:w1", &text), &known()), Err(Refusal::Signature));
}

/// A request that was answered is skipped, and a host of a join file is known.
#[test]
fn open_requests_of_known_hosts_are_approved_and_the_rest_is_told() {
    fn kubectl(_: &std::path::Path, command: &Command) -> Option<String> {
        let line = command.to_string();
        line.contains("get certificatesigningrequests").then(|| {
            let name = |request: Value, name: &str| {
                let mut request = request;
                request["metadata"]["name"] = name.into();
                request
            };
            let user = "system:node:w9";
            let invited = request(user, &content(user, "system:nodes", &["w9"], &["192.0.2.19"]));
            let mut answered = name(of_w1(), "csr-answered");
            answered["status"]["conditions"] = json!([{"type": "Approved"}]);
            json!({"items": [name(invited, "csr-w9"), name(of_w1(), "csr-w1"), answered]}).to_string()
        })
    }
    let bench = Bench::with_programs(kubectl);
    let cluster = Cluster::of_three_and_two();
    let newcomer =
        HostSpec::new("w9".parse().unwrap(), "192.0.2.19".parse().unwrap(), [kbundle_format::Role::Worker].into());
    invite(&bench.host(), &newcomer).unwrap();
    let host = bench.host();
    let known = known_hosts(&host, &cluster.inputs(&cluster.seen_from("c1"))).unwrap();
    assert_eq!(known.len(), 6);
    bench.ran();
    let approval = approve(&Kubectl::on(&host), &known).unwrap();
    assert_eq!(approval.approved, [Asked { request: "csr-w9".into(), user: "system:node:w9".into() }]);
    let [left] = approval.left.as_slice() else { panic!("{approval:?}") };
    assert_eq!(left.asked.request, "csr-w1");
    assert_eq!(left.reason, "it asks for 192.0.2.11, 2001:db8::11, w1, and the host has 192.0.2.11, w1");
    let ran = bench.ran();
    assert!(ran[0].contains("--field-selector=spec.signerName=kubernetes.io/kubelet-serving"), "{ran:?}");
    assert!(ran[1].ends_with("certificate approve csr-w9") && ran.len() == 2, "{ran:?}");
}
