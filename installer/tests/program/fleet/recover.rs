//! `kinstall recover`: whose data etcd goes on with, who joins it and when, and what is refused. What hosts do themselves is tested on real ones.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::leaving::unreachable;
use super::stubs::{Said, Stubs, answer, failed, set_up};
use super::{SERVER, WORKER};

/// Three control planes and a worker. No member of etcd has a majority.
fn cluster() -> Stubs {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    set_up(&stubs, &[1, 2, 3]);
    for number in 1..=3 {
        member(&stubs, number, Some("context deadline exceeded"), 40, None);
    }
    members(&stubs, &[1]);
    stubs
}

fn member(stubs: &Stubs, number: usize, illness: Option<&str>, revision: u64, unfinished: Option<&str>) {
    let data = json!({ "readable": { "revision": revision, "needed_bytes": 300, "free_bytes": 1000 } });
    let state = json!({ "illness": illness, "data": data, "unfinished": unfinished, "members": ["h1", "h2", "h3"] });
    stubs.set(number, "member", &answer(&state));
}

fn without_data(stubs: &Stubs, number: usize, data: &Value) {
    let state = json!({ "illness": "refused", "data": data, "unfinished": null, "members": ["h1", "h2", "h3"] });
    stubs.set(number, "member", &answer(&state));
}

/// Which hosts etcd has members on.
fn members(stubs: &Stubs, numbers: &[usize]) {
    let member = |number: &usize| {
        json!({ "id": number.to_string(), "name": format!("h{number}"),
        "peer-url": format!("https://192.0.2.{}:2380", number + 1) })
    };
    let members: Vec<_> = numbers.iter().map(member).collect();
    fs_err::write(stubs.path("hosts/members"), answer(&json!(members))).unwrap();
}

fn recover(stubs: &Stubs, more: &[&str]) -> Said {
    stubs.kinstall(&[&["recover", "--config", "cluster.yaml", "--yes"], more].concat(), &[])
}

/// What was asked since kinstall connected, besides how the member is.
fn asked(stubs: &Stubs, number: usize) -> String {
    let all = stubs.requests(number);
    let words: Vec<_> = all.split(' ').filter(|word| !["survey", "look", ""].contains(word)).collect();
    words.join(" ")
}

fn forget(stubs: &Stubs) {
    for number in 1..=4 {
        drop(fs_err::remove_file(stubs.host(number, "requests")));
    }
}

fn refused(stubs: &Stubs, more: &[&str]) -> String {
    let said = recover(stubs, more);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    for number in 1..=4 {
        let changing = asked(stubs, number);
        assert!(changing.is_empty() || changing.split(' ').all(|word| word == "members"), "h{number}: {changing}");
    }
    said.stderr[said.stderr.find("error: ").unwrap()..].to_owned()
}

#[test]
fn one_member_that_is_left_goes_on_alone() {
    let stubs = cluster();
    unreachable(&stubs, 2);
    unreachable(&stubs, 3);
    let said = recover(&stubs, &["--lost", "h2", "--lost", "h3"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(asked(&stubs, 1), "stop save restore start");
    assert_eq!(stubs.requests(4), "", "a worker has nothing to do");
    assert!(said.stderr.contains("etcd goes on with the data of h1, revision 40"), "{}", said.stderr);
    assert!(said.stdout.contains("kinstall remove h2 --dead --config cluster.yaml"), "{}", said.stdout);
}

#[test]
fn the_others_that_are_there_join_it_one_by_one_as_learners() {
    let stubs = cluster();
    without_data(&stubs, 1, &json!({ "unreadable": { "reason": "the file is cut off" } }));
    member(&stubs, 2, Some("context deadline exceeded"), 41, None);
    without_data(&stubs, 3, &json!("none"));
    members(&stubs, &[2]);
    let said = recover(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot!(asked(&stubs, 1), @"stop set-aside rejoin start");
    assert_snapshot!(asked(&stubs, 2), @"stop save restore start members add-member promote members add-member promote");
    assert_snapshot!(asked(&stubs, 3), @"stop set-aside rejoin start");
    let told = fs_err::read_to_string(stubs.host(2, "told")).unwrap();
    assert_eq!(told.matches(r#""new":"learner""#).count(), 2, "{told}");
    let told = fs_err::read_to_string(stubs.host(3, "told")).unwrap();
    assert!(told.contains(r#"{"rejoin":{"h2":"https://192.0.2.3:2380"}}"#), "{told}");
}

#[test]
fn a_host_that_came_back_joins_etcd_that_runs() {
    let stubs = cluster();
    member(&stubs, 1, None, 50, None);
    member(&stubs, 2, None, 50, None);
    members(&stubs, &[1, 2]);
    let said = recover(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(asked(&stubs, 3), "stop set-aside rejoin start");
    assert_eq!(asked(&stubs, 2), "members");
    members(&stubs, &[1, 2, 3]);
    forget(&stubs);
    assert_snapshot!(refused(&stubs, &[]), @"
    error: etcd does its work on h1, h2: there is nothing to recover
    hint: take hosts that are lost out of the cluster with `kinstall remove HOST --dead`; add new ones with `kinstall run`
    ");
}

#[test]
fn what_was_cut_off_is_gone_on_with() {
    let stubs = cluster();
    // h3 has the newest data, and h1 was begun with.
    member(&stubs, 1, Some("connection refused"), 40, Some("survivor"));
    member(&stubs, 3, Some("connection refused"), 90, Some("rejoins"));
    assert_eq!(recover(&stubs, &[]).code, Some(0));
    assert!(asked(&stubs, 1).starts_with("stop save restore start members"), "{}", asked(&stubs, 1));

    // Cut off among those that join: h2 is a member already, and its control plane does not run.
    member(&stubs, 1, None, 50, None);
    member(&stubs, 2, None, 50, Some("rejoins"));
    member(&stubs, 3, Some("connection refused"), 90, Some("rejoins"));
    members(&stubs, &[1, 2]);
    forget(&stubs);
    assert_eq!(recover(&stubs, &[]).code, Some(0));
    assert_eq!(asked(&stubs, 2), "members start");
    assert_eq!(asked(&stubs, 3), "stop set-aside rejoin start");

    // A member that was added and has not all data yet.
    member(&stubs, 3, Some("rpc not supported for learner"), 50, Some("rejoins"));
    members(&stubs, &[1, 2, 3]);
    forget(&stubs);
    assert_eq!(recover(&stubs, &[]).code, Some(0));
    assert_eq!(asked(&stubs, 3), "stop rejoin start", "its data are of the new etcd");
}

#[test]
fn nobody_joins_after_one_that_does_not_come_up() {
    let stubs = cluster();
    without_data(&stubs, 2, &json!("none"));
    without_data(&stubs, 3, &json!("none"));
    let report = json!({ "error": "step 3 of 4, `etcd-rejoin`, failed", "causes": ["etcd ended"], "hint": null });
    stubs.set(2, "reply-rejoin", &failed(&report));
    let said = recover(&stubs, &[]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.end(), @"
    h2 failed in stage `recovery`: step 3 of 4, `etcd-rejoin`, failed
      caused by: etcd ended
    error: 1 of 3 hosts failed: h2; the others stopped, since etcd takes a new member only when the one before has all data
    hint: fix what each host reports, then run the same command again to resume
    ");
    assert_eq!(asked(&stubs, 3), "stop");
}

#[test]
fn a_survivor_that_fails_ends_it() {
    let stubs = cluster();
    without_data(&stubs, 2, &json!("none"));
    without_data(&stubs, 3, &json!("none"));
    let report = json!({ "error": "step 2 of 4, `etcd-save`, failed", "causes": ["no space left"], "hint": null });
    stubs.set(1, "reply-save", &failed(&report));
    let said = recover(&stubs, &[]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.end(), @"
    h1 failed in stage `recovery`: step 2 of 4, `etcd-save`, failed
      caused by: no space left
    error: 1 of 3 hosts failed: h1; the others stopped, since they join the etcd of that host
    hint: fix what each host reports, then run the same command again to resume
    ");
    assert_eq!([1, 2, 3].map(|number| asked(&stubs, number)), ["stop save", "stop", "stop"]);
}

#[test]
fn a_dry_run_shows_what_each_host_does_and_changes_nothing() {
    let stubs = cluster();
    unreachable(&stubs, 3);
    without_data(&stubs, 2, &json!("none"));
    let said =
        stubs.kinstall(&["recover", "--config", "cluster.yaml", "--lost", "h3", "--dry-run", "--output", "json"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let events = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let planned = events.filter(|event| event["event"] == "step-planned");
    let steps: Vec<_> = planned.map(|event| format!("{} {}", event["host"], event["step"]).replace('"', "")).collect();
    assert_eq!(
        steps,
        [
            "h1 stop",
            "h1 etcd-save",
            "h1 etcd-restore",
            "h1 start",
            "h2 stop",
            "h2 etcd-set-aside",
            "h2 etcd-rejoin",
            "h2 start"
        ]
    );
    assert_eq!((asked(&stubs, 1), asked(&stubs, 2)), (String::new(), String::new()));
}

#[test]
fn what_is_not_safe_is_refused_and_nothing_is_changed() {
    let stubs = cluster();
    assert_snapshot!(refused(&stubs, &[]), @"
    error: 3 of etcd's 3 members are here with their data (h1, h2, h3), which is a majority: nothing is lost, and nothing was changed
    hint: find out why they do not run: `systemctl status etcd` and `journalctl -u etcd` on these hosts
    ");
    unreachable(&stubs, 3);
    assert_snapshot!(refused(&stubs, &[]), @"
    error: h3 cannot be reached: cannot connect to 192.0.2.4: ssh: connect to host: Connection timed out; nothing was changed
    hint: bring the host up; or, if it is off and stays off: `--lost h3`
    ");
    assert_snapshot!(refused(&stubs, &["--lost", "h3", "--lost", "h2"]), @"
    error: h2 is called lost, and it answers; nothing was changed
    hint: leave out `--lost h2`: its member joins the others
    ");
    without_data(&stubs, 1, &json!({ "unreadable": { "reason": "the file is cut off" } }));
    without_data(&stubs, 2, &json!("none"));
    assert_snapshot!(refused(&stubs, &["--lost", "h3"]), @"
    error: no member of etcd has data to go on with: h1: the file is cut off; h2: there are no data; nothing was changed
    hint: restore the cluster from a backup: `kinstall restore`, see `kinstall manual how-to/backup`
    ");
    let said = recover(&stubs, &["--survivor", "h9"]);
    assert_eq!((said.code, said.end()), (Some(2), "error: cluster.yaml has no host h9".to_owned()));
    let said = stubs.kinstall(&["recover", "--config", "cluster.yaml"], &[]);
    assert_eq!(said.code, Some(3));
    assert_snapshot!(said.end(), @"
    error: this starts etcd anew from the data of one member: what only lost members have is lost, and there is no terminal to ask on; nothing was changed
    hint: add `--yes`
    ");
}

#[test]
fn two_clusters_that_both_run_are_not_mixed() {
    let stubs = cluster();
    for number in 1..=3 {
        member(&stubs, number, None, 50, None);
    }
    let alone = json!([{ "id": "a", "name": "h1", "peer-url": "https://192.0.2.2:2380" }]);
    stubs.set(1, "reply-members", &answer(&alone));
    members(&stubs, &[1, 2, 3]);
    assert_snapshot!(refused(&stubs, &[]), @"
    error: there are 2 clusters of etcd that do their work, each without the others: on h2, h3, and on h1; nothing was changed
    hint: decide which data to go on with, and run `systemctl stop etcd` on the other hosts; then run the same command again
    ");
}
