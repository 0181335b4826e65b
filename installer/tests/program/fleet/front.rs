//! In front of the API servers: a load balancer of the site's own, or a virtual IP.

use fs_err as fs;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::stubs::{Said, Stubs, answer};
use super::{SERVER, WORKER};

/// Three control planes and a worker behind a load balancer that reaches only those in `seen`.
fn behind(seen: &[&str]) -> Stubs {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    stubs.write_spec("api: {load-balancer: external, address: 192.0.2.100}");
    for number in 1..=3 {
        let error = seen.is_empty().then_some("EOF");
        stubs.set(number, "reply-behind", &answer(&json!({ "seen": seen, "tries": 20, "error": error })));
    }
    stubs
}

fn moving_address(owner: &Value) -> (Stubs, Said) {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    stubs.write_spec("api: {load-balancer: vip, address: 192.0.2.100}");
    stubs.set(2, "reply-neighbour", &answer(owner));
    let said = stubs.run(&[]);
    (stubs, said)
}

#[test]
fn one_host_probes_a_load_balancer_that_reaches_every_api_server() {
    let stubs = behind(&["192.0.2.2:6443", "192.0.2.3:6443", "192.0.2.4:6443"]);
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let asked = |number| stubs.requests(number).matches("behind").count();
    assert_eq!([1, 2, 3, 4].map(asked), [1, 0, 0, 0]);
    let told = fs::read_to_string(stubs.host(1, "told")).unwrap();
    let question = told.lines().find(|line| line.contains("probe-balancer")).unwrap();
    let question: Value = serde_json::from_str(question).unwrap();
    assert_eq!(question["balancer"], "192.0.2.100:6443", "the address itself, not the API's name");
}

#[test]
fn an_api_server_missing_from_the_load_balancer_is_named_at_the_end() {
    let stubs = behind(&["192.0.2.2:6443", "192.0.2.4:6443"]);
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(1));
    assert!(stubs.requests(2).ends_with("network finish") && stubs.requests(4).ends_with("network finish"));
    assert_snapshot!(said.end(), @"
    h2 failed in stage `load balancer`: its API server 192.0.2.3:6443 did not answer any of 60 requests through the load balancer 192.0.2.100:6443
      hint: add it to the load balancer; `kinstall config load-balancer` prints a configuration for HAProxy that does. The cluster runs, but without this API server until the load balancer has it
    error: 1 of 4 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn no_host_joins_through_a_load_balancer_that_reaches_no_api_server() {
    let stubs = behind(&[]);
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(1));
    assert!(!stubs.requests(4).contains("worker"), "{}", stubs.requests(4));
    assert_snapshot!(said.end(), @"
    h1 failed in stage `load balancer`: no API server is reached through the load balancer 192.0.2.100:6443
      caused by: EOF
      hint: let it forward TCP connections to port 6443 of every control plane; `kinstall config load-balancer` prints a configuration for HAProxy that does
    error: 1 of 4 hosts failed: h1; the others stopped, since hosts reach the API through the load balancer
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn a_load_balancer_that_is_not_up_yet_is_only_a_warning() {
    let stubs = behind(&["192.0.2.2:6443", "192.0.2.3:6443", "192.0.2.4:6443"]);
    let refused = json!([["192.0.2.100:6443", "Connection refused"]]);
    stubs.set(1, "reply-connect-balancer", &answer(&refused));
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let warning: Vec<_> = said.stderr.lines().skip_while(|line| !line.contains("load-balancer")).take(4).collect();
    assert_snapshot!(warning.join("\n"), @"
    warn     load-balancer    192.0.2.100:6443 does not accept connections (Connection refused)
             required: the load balancer of the site's own (api.address)
             do: start it before hosts join; some load balancers refuse connections until an API server answers, which is fine
             on: h1
    ");
}

#[test]
fn a_virtual_address_must_be_free_before_the_installation() {
    let (stubs, said) = moving_address(&Value::Null);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(stubs.requests(2).contains("neighbour") && !stubs.requests(4).contains("neighbour"));

    let (stubs, said) = moving_address(&json!("02:00:00:00:00:07"));
    assert_eq!(said.code, Some(3));
    assert!(!stubs.requests(1).contains("receive"), "{}", stubs.requests(1));
    let found: Vec<_> = said.stderr.lines().skip_while(|line| !line.starts_with("reject")).collect();
    assert_snapshot!(found.join("\n"), @"
    reject   free-address     192.0.2.100 belongs to the machine 02:00:00:00:00:07
             required: a free address for kube-vip (api.address)
             do: set `address` under `api` in cluster.yaml to a free address, or give that machine another one
             on: h2
    error: h2 failed the check free-address; nothing was changed
    hint: fix what each check reports, or ignore it with `--ignore free-address`
    ");
}
