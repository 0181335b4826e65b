//! Every command with `--output json`, in a success and in a refusal: documents and events match their published schema.

use std::io::Write as _;

use fs_err as fs;
use jsonschema::Validator;
use kbundle_cli::definition::commands;
use kbundle_format::volume::{Split, VolumeWriter};
use kinstall::cli::Cli;
use serde_json::{Value, json};

use crate::fleet::stubs::{Said, Stubs, set_up};
use crate::fleet::{SERVER, WORKER};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The runs of a command, each in a separate folder with hosts for which a stub of `ssh` stands in.
struct Case {
    command: &'static str,
    success: Success,
    /// This run ends with this code and prints one document, with `error`.
    refusal: (i32, &'static str),
}

enum Success {
    /// Each run ends with 0, and prints one document or events.
    Lines(&'static [&'static str]),
    /// The command needs a real host. This file of the lab validates the document there.
    Lab(&'static str),
    /// The output is content.
    Content,
}

const fn case(command: &'static str, success: Success, code: i32, refusal: &'static str) -> Case {
    Case { command, success, refusal: (code, refusal) }
}

const RUN: &str = "run cluster.tar.zst --key signing.pub --config cluster.yaml";

const CASES: [Case; 37] = [
    case(
        "run",
        Success::Lines(&[RUN, "run cluster.tar.zst --key signing.pub --config cluster.yaml --dry-run"]),
        2,
        "run cluster.tar.zst --config cluster.yaml",
    ),
    case("upgrade", Success::Lab("tests/tests/one_host/upgrade.rs"), 2, "upgrade cluster.tar.zst"),
    case("rollback", Success::Lab("tests/tests/one_host/upgrade.rs"), 3, "rollback"),
    case(
        "verify",
        Success::Lines(&["verify cluster.tar.zst --key signing.pub"]),
        2,
        "verify absent.tar.zst --key signing.pub",
    ),
    case(
        "inspect",
        Success::Lines(&["inspect cluster.tar.zst", "inspect cluster.tar.zst --key signing.pub"]),
        2,
        "inspect absent.tar.zst",
    ),
    case(
        "extract",
        Success::Lines(&["extract cluster.tar.zst --directory all --key signing.pub"]),
        2,
        "extract cluster.tar.zst nothing --unsigned",
    ),
    case("join", Success::Lines(&["join sticks --out joined.tar.zst"]), 3, "join sticks --out signing.pub"),
    case("repair", Success::Lines(&["repair sticks"]), 2, "repair absent"),
    case("preflight", Success::Lines(&["preflight --config cluster.yaml"]), 2, "preflight --config absent.yaml"),
    case("status", Success::Lines(&["status --config cluster.yaml"]), 2, "status --nothing"),
    case(
        "audit",
        Success::Lines(&["audit cluster.tar.zst --key signing.pub --config cluster.yaml"]),
        2,
        "audit cluster.tar.zst",
    ),
    case("reset", Success::Lines(&["reset --all --config cluster.yaml --yes"]), 3, "reset --all --config cluster.yaml"),
    case(
        "remove",
        Success::Lines(&["remove h3 --config cluster.yaml --yes"]),
        2,
        "remove h9 --config cluster.yaml --yes",
    ),
    case(
        "token create",
        Success::Lab("tests/tests/ha/join.rs"),
        2,
        "token create --host w1 --address 192.0.2.2 --ttl 9d",
    ),
    case("certs list", Success::Lines(&["certs list --config cluster.yaml"]), 2, "certs list --config absent.yaml"),
    case(
        "certs renew",
        Success::Lines(&[
            "certs renew --all --config cluster.yaml",
            "certs renew --all --config cluster.yaml --dry-run",
        ]),
        3,
        "certs renew etcd-peer --config cluster.yaml",
    ),
    case(
        "certs add-san",
        Success::Lines(&["certs add-san k8s.example --config cluster.yaml"]),
        2,
        "certs add-san --config cluster.yaml",
    ),
    case("certs approve", Success::Lab("tests/tests/one_host/hardening.rs"), 2, "certs approve --nothing"),
    case("kubeconfig", Success::Lab("tests/tests/one_host/certificates.rs"), 2, "kubeconfig --user system:admin"),
    case("user list", Success::Lab("tests/tests/one_host/certificates.rs"), 2, "user list --nothing"),
    case("backup", Success::Lab("tests/tests/one_host/backup.rs"), 2, "backup --out plant-7.backup"),
    case("backup schedule", Success::Lab("tests/tests/one_host/backup.rs"), 2, "backup schedule --to . --every 1s"),
    case("backup unschedule", Success::Lab("tests/tests/one_host/backup.rs"), 2, "backup unschedule --nothing"),
    case("recover", Success::Lab("tests/tests/ha/recover.rs"), 3, "recover --config cluster.yaml"),
    case(
        "restore",
        Success::Lab("tests/tests/one_host/backup.rs"),
        2,
        "restore plant-7.backup cluster.tar.zst --key signing.pub --backup-key signing.pub --passphrase-file absent",
    ),
    case(
        "support",
        Success::Lines(&["support --config cluster.yaml --out found.tar.zst"]),
        3,
        "support --config cluster.yaml --out cluster.yaml",
    ),
    case("config init", Success::Lines(&["config init"]), 2, "config init surplus"),
    case("config schema", Success::Lines(&["config schema", "config schema token create"]), 2, "config schema nothing"),
    case("config validate", Success::Lines(&["config validate cluster.yaml"]), 2, "config validate wrong.yaml"),
    case("config print", Success::Lines(&["config print cluster.yaml"]), 2, "config print absent.yaml"),
    case("config import", Success::Lines(&["config import inventory.ini"]), 2, "config import absent.ini"),
    case(
        "config load-balancer",
        Success::Lines(&["config load-balancer --config balanced.yaml"]),
        2,
        "config load-balancer --config cluster.yaml",
    ),
    // Its answers are only for the kinstall that leads.
    case("agent", Success::Content, 2, "agent --nothing"),
    case("images restore", Success::Lab("tests/src/cluster.rs"), 2, "images restore --nothing"),
    case("manual", Success::Lines(&["manual", "manual carry", "manual --out pages"]), 2, "manual nothing"),
    case("completion", Success::Lines(&["completion bash"]), 2, "completion nothing"),
    case("man", Success::Lines(&["man man1"]), 1, "man signing.pub/man1"),
];

/// A cluster that was set up, and files that describe others.
fn stubs() -> Stubs {
    let stubs = Stubs::new(&[SERVER, WORKER, WORKER]);
    set_up(&stubs, &[1]);
    let write = |name: &str, text: &str| fs::write(stubs.path(name), text).unwrap();
    let spec = fs::read_to_string(stubs.path("cluster.yaml")).unwrap();
    write("balanced.yaml", &format!("api: {{load-balancer: external, address: 192.0.2.100}}\n{spec}"));
    fs::create_dir(stubs.path("sticks")).unwrap();
    let split = Split { file_bytes: 10_000, parity: 1 };
    let mut volumes = VolumeWriter::new(&stubs.path("sticks/cluster.tar.zst"), split).unwrap();
    volumes.write_all(&fs::read(stubs.path("cluster.tar.zst")).unwrap()).unwrap();
    fs::remove_file(&volumes.finish().unwrap()[0]).unwrap();
    write("wrong.yaml", "hosts: []\nnothing: 1\n");
    write("inventory.ini", "[kube_control_plane]\na ip=192.0.2.1\n[etcd]\na\n[kube_node]\nb ip=192.0.2.2\n");
    stubs
}

fn run(stubs: &Stubs, line: &str) -> Said {
    let words: Vec<_> = line.split(' ').chain(["--output", "json"]).collect();
    stubs.kinstall(&words, &[])
}

fn schema(command: &str) -> Value {
    let name = format!("{ROOT}/docs/schemas/kinstall/{}.schema.json", command.replace(' ', "-"));
    serde_json::from_slice(&fs::read(name).unwrap()).unwrap()
}

/// Everything that was printed: one document, or events, one on each line. Each has to match `validator`.
fn documents(line: &str, printed: &str, validator: &Validator) -> Vec<Value> {
    let read = serde_json::Deserializer::from_str(printed).into_iter::<Value>();
    let documents: Vec<_> = read.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{line}: {error}: {printed}"));
    for document in &documents {
        if let Err(error) = validator.validate(document) {
            panic!("{line}: {error}: {document:#}");
        }
    }
    let are_events = documents.iter().all(|document| document["event"].is_string());
    assert!(if are_events { printed.lines().count() } else { 1 } == documents.len(), "{line}: {printed}");
    assert!(!documents.is_empty(), "{line} prints nothing");
    documents
}

#[test]
fn every_command_prints_documents_of_its_schema() {
    let mut covered = CASES.map(|case| case.command.to_owned());
    covered.sort();
    let mut all = commands::<Cli>();
    all.sort();
    assert_eq!(covered.as_slice(), all, "every command needs a case, and every case a command");

    for Case { command, success, refusal: (code, refusal) } in CASES {
        let validator = jsonschema::validator_for(&schema(command)).unwrap();
        match success {
            Success::Lines(lines) => {
                for line in lines {
                    let said = run(&stubs(), line);
                    assert_eq!(said.code, Some(0), "{line}: {}{}", said.stdout, said.stderr);
                    for document in documents(line, &said.stdout, &validator) {
                        assert!(document.get("error").is_none_or(|_| document["event"].is_string()), "{document:#}");
                        assert!(command == "config schema" || document["schema"] == 1, "{line}: {document:#}");
                    }
                }
            }
            Success::Lab(file) => {
                let text = fs::read_to_string(format!("{ROOT}/{file}")).unwrap();
                let validates = format!("document_of(\"kinstall\", \"{command}\"");
                assert!(text.contains(&validates), "{file} has no `{validates}`");
            }
            Success::Content => {}
        }
        let said = run(&stubs(), refusal);
        assert_eq!(said.code, Some(code), "{refusal}: {}{}", said.stdout, said.stderr);
        let documents = documents(refusal, &said.stdout, &validator);
        assert_eq!(documents.len(), 1, "{refusal}: {}", said.stdout);
        assert_eq!(documents[0]["error"]["exitCode"], code, "{refusal}: {}", said.stdout);
    }
}

/// Of the machine that the tests run on, which is left alone: what it prints does not depend on how the machine is.
#[test]
fn what_is_said_of_this_host_is_of_the_schema() {
    let stubs = stubs();
    for command in ["preflight", "status"] {
        let said = run(&stubs, command);
        documents(command, &said.stdout, &jsonschema::validator_for(&schema(command)).unwrap());
    }
}

/// Any failure matches the schema as a whole; these have to match their details.
#[test]
fn details_beside_an_error_are_of_their_schema() {
    let stubs = stubs();
    let details = |command: &str, name: &str| {
        let definitions = schema(command)["$defs"].clone();
        jsonschema::validator_for(&json!({ "$ref": format!("#/$defs/{name}"), "$defs": definitions })).unwrap()
    };
    let line = "config validate wrong.yaml";
    let found = documents(line, &run(&stubs, line).stdout, &details("config validate", "Validation"));
    assert_eq!(found[0]["valid"], false);
    documents("preflight", &run(&stubs, "preflight").stdout, &details("preflight", "Examination"));
}

/// The failure of one host is an event, and the end of the whole a document.
#[test]
fn events_of_hosts_that_fail_are_of_the_schema() {
    let stubs = stubs();
    stubs.set(2, "says", "ssh: connect to host 192.0.2.3 port 22: Connection refused\n");
    stubs.set(2, "code", "255");
    let said = run(&stubs, RUN);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let validator = jsonschema::validator_for(&schema("run")).unwrap();
    let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert!(validator.is_valid(line), "{line:#}");
    }
    let failed = lines.iter().find(|line| line["event"] == "host-failed").unwrap();
    assert_eq!((&failed["host"], &failed["stage"]), (&json!("h2"), &json!("connect")));
    assert_eq!(lines.last().unwrap()["error"]["exitCode"], 1);
}

#[test]
fn a_host_that_is_removed_or_reset_is_an_event() {
    let events = |line: &str| -> Vec<String> {
        let said = run(&stubs(), line);
        let events = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone());
        events.map(|event| event.as_str().unwrap().to_owned()).collect()
    };
    let reset = events("reset --all --config cluster.yaml --yes");
    assert_eq!(reset.iter().filter(|event| *event == "host-reset").count(), 3, "{reset:?}");
    let removed = events("remove h3 --config cluster.yaml --yes");
    assert_eq!(removed.last().map(String::as_str), Some("host-removed"), "{removed:?}");
}

/// A schema that accepts everything would prove nothing.
#[test]
fn a_document_without_a_field_is_not_of_its_schema() {
    for command in CASES.map(|case| case.command) {
        let validator = jsonschema::validator_for(&schema(command)).unwrap();
        for wrong in [json!({}), json!({ "schema": 1 }), json!({ "schema": 1, "event": "nothing" }), json!([])] {
            assert!(!validator.is_valid(&wrong), "{command}: {wrong}");
        }
    }
}
