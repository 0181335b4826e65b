//! What stands in front of the API servers: a load balancer of the site's own, or an address that moves.

use fs_err as fs;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::stubs::{Said, Stubs};
use super::{SERVER, WORKER};

/// Three control planes and a worker behind a load balancer that lets these be seen.
fn behind(seen: &[&str]) -> Stubs {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    stubs.write_spec("api: {load-balancer: external, address: 192.0.2.100}");
    for number in 1..=3 {
        let said = seen.is_empty().then_some("EOF");
        let answer = json!({ "behind": { "seen": seen, "tries": 20, "said": said } });
        let answer = json!({ "reply": "answer", "answer": answer });
        stubs.set(number, "reply-behind", &format!("{answer}\n"));
    }
    stubs
}

fn moving_address(owner: &Value) -> (Stubs, Said) {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    stubs.write_spec("api: {load-balancer: vip, address: 192.0.2.100}");
    let answer = json!({ "reply": "answer", "answer": { "neighbour": owner } });
    stubs.set(2, "reply-neighbour", &format!("{answer}\n"));
    let said = stubs.run(&[]);
    (stubs, said)
}

#[test]
fn one_host_asks_where_every_api_server_is_reached() {
    let stubs = behind(&["192.0.2.2:6443", "192.0.2.3:6443", "192.0.2.4:6443"]);
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let asked = |number| stubs.requests(number).matches("behind").count();
    assert_eq!([1, 2, 3, 4].map(asked), [1, 0, 0, 0]);
    let told = fs::read_to_string(stubs.host(1, "told")).unwrap();
    let question = told.lines().find(|line| line.contains("\"behind\"")).unwrap();
    let question: Value = serde_json::from_str(question).unwrap();
    assert_eq!(
        question["question"]["behind"]["balancer"], "192.0.2.100:6443",
        "the address itself, not the API's name"
    );
}

#[test]
fn an_api_server_that_the_load_balancer_lacks_is_named_when_all_else_is_done() {
    let stubs = behind(&["192.0.2.2:6443", "192.0.2.4:6443"]);
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(1));
    assert!(stubs.requests(2).ends_with("network finish") && stubs.requests(4).ends_with("network finish"));
    assert_snapshot!(said.end(), @"
    h2 failed in stage `load balancer`: its API server 192.0.2.3:6443 never answered through the load balancer 192.0.2.100:6443, which was asked 60 times
      do: add it to the load balancer; `kinstall config load-balancer` prints a configuration for HAProxy that does. The cluster runs, and does not use it as long as the load balancer does not
    error: 1 of 4 hosts failed: h2; the others are done
    hint: do what is said at each, and run the same command again: it goes on from there
    ");
}

#[test]
fn nobody_joins_through_a_load_balancer_that_reaches_no_api_server() {
    let stubs = behind(&[]);
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(1));
    assert!(!stubs.requests(4).contains("worker"), "{}", stubs.requests(4));
    assert_snapshot!(said.end(), @"
    h1 failed in stage `load balancer`: no API server is reached through the load balancer 192.0.2.100:6443
      caused by: EOF
      do: let it pass TCP connections on to port 6443 of every control plane; `kinstall config load-balancer` prints a configuration for HAProxy that does
    error: 1 of 4 hosts failed: h1; the others stopped, since hosts reach the API through the load balancer
    hint: do what is said at each, and run the same command again: it goes on from there
    ");
}

#[test]
fn a_load_balancer_that_takes_no_connection_yet_is_told_and_does_not_stop() {
    let stubs = behind(&["192.0.2.2:6443", "192.0.2.3:6443", "192.0.2.4:6443"]);
    let refused = json!({ "reply": "unreached", "failures": [["192.0.2.100:6443", "Connection refused"]] });
    stubs.set(1, "reply-connect-balancer", &format!("{refused}\n"));
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
fn an_address_that_moves_is_nobodys_before() {
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
    error: no cluster comes of these hosts as they are: free-address on h2
    hint: do what is said at each; if you know better, add `--ignore free-address`
    ");
}
