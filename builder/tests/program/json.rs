//! Every command with `--output json`, in a success and in a refusal: each prints one document that matches its published schema.

use std::process::{Output, Stdio};

use fs_err as fs;
use jsonschema::Validator;
use kbundle::Arguments;
use kbundle_cli::definition::commands;
use serde_json::Value;

use crate::audit::write_osv;
use crate::catalog::{with_fault, with_next_patch};
use crate::check::write_fitting_bundle;
use crate::timestamps::stamp;
use crate::upstream::{Upstream, kbundle_in};

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundles/fixtures/v1");
const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schemas/kbundle");

/// The runs of a command, in this order and all in one folder. `UPSTREAM` stands for the flags that lead to the server, `REGISTRY` for its
/// address.
struct Case {
    command: &'static str,
    /// Each run ends with 0 and prints one document; empty if the result is content.
    successes: &'static [&'static str],
    /// This run ends with this code and prints one document, with `error`.
    refusal: (i32, &'static str),
}

const fn case(command: &'static str, successes: &'static [&'static str], code: i32, refusal: &'static str) -> Case {
    Case { command, successes, refusal: (code, refusal) }
}

const CASES: [Case; 37] = [
    case(
        "build",
        &[
            "build UPSTREAM --unsigned --out new.tar.zst",
            "build UPSTREAM --unsigned --dry-run",
            "build UPSTREAM --key signing.key --out cut.tar.zst --split 512KiB",
            "build MIRRORS --cache cache --reproduce new.tar.zst",
        ],
        2,
        "build UPSTREAM",
    ),
    case("lock", &["lock UPSTREAM"], 2, "lock --k8s 1.30.0 --catalog absent.yaml"),
    case("catalog list", &["catalog list"], 2, "catalog list --catalog absent.yaml"),
    case("catalog show", &["catalog show 1.25.2"], 2, "catalog show 1.9"),
    case("catalog export", &["catalog export --out site.yaml"], 3, "catalog export --out site.yaml"),
    case("catalog check", &["catalog check"], 1, "catalog check --catalog faulty.yaml --no-builtin-catalog"),
    case(
        "catalog add",
        &[
            "catalog add kubernetes 1.30.7 --from-upstream --no-builtin-catalog --catalog drafted.yaml MIRRORS --cache cache --out next.yaml",
        ],
        2,
        "catalog add kubernetes 1.9.0 --from-upstream",
    ),
    case("images find", &["images find pod.yaml"], 2, "images find absent.yaml"),
    case("config init", &["config init"], 2, "config init surplus"),
    case("config schema", &["config schema", "config schema config init"], 2, "config schema nothing"),
    case("config validate", &["config validate bundle.yaml"], 2, "config validate absent.yaml"),
    case("keygen", &["keygen --out new.key"], 3, "keygen --out new.key"),
    case(
        "sign",
        &[
            "sign bundle.tar.zst --print-digest",
            "sign bundle.tar.zst --key signing.key --detached",
            "sign new.tar.zst --key signing.key",
        ],
        2,
        "sign bundle.tar.zst --key signing.pub",
    ),
    case(
        "verify",
        &["verify bundle.tar.zst --key ecdsa.pub", "verify differential.tar.zst --base bundle.tar.zst --key ecdsa.pub"],
        3,
        "verify differential.tar.zst --key ecdsa.pub",
    ),
    case("inspect", &["inspect bundle.tar.zst", "inspect new.tar.zst --key signing.pub"], 2, "inspect absent.tar.zst"),
    case(
        "extract",
        &["extract bundle.tar.zst --directory all --key ecdsa.pub"],
        3,
        "extract bundle.tar.zst --directory all --key ecdsa.pub",
    ),
    case("cat", &[], 2, "cat bundle.tar.zst nothing --unsigned"),
    case(
        "sbom",
        &[
            "sbom bundle.tar.zst --unsigned",
            "sbom new.tar.zst kubelet --key signing.pub",
            "sbom new.tar.zst --verify --key signing.pub",
        ],
        3,
        "sbom bundle.tar.zst --verify --key ecdsa.pub",
    ),
    case(
        "licences",
        &["licences new.tar.zst --key signing.pub", "licences bundle.tar.zst --unsigned --texts licences"],
        3,
        "licences bundle.tar.zst --unsigned --texts licences",
    ),
    case("diff", &["diff new.tar.zst new.tar.zst --key signing.pub"], 2, "diff absent.tar.zst new.tar.zst --unsigned"),
    case(
        "check",
        &["check fits.tar.zst --cluster one-host.yaml --unsigned"],
        3,
        "check bundle.tar.zst --cluster one-host.yaml --key ecdsa.pub",
    ),
    case(
        "advisories pack",
        &["advisories pack --osv osv --key signing.key --out advisories.tar.zst"],
        3,
        "advisories pack --osv osv --key signing.key --out advisories.tar.zst",
    ),
    case(
        "revocations add",
        &[
            "revocations add revocations.json --revoke-key ecdsa.pub --reason stolen --key signing.key",
            "revocations add revocations.json --revoke-bundle differential.tar.zst --superseded-by new.tar.zst --reason old --key signing.key",
        ],
        3,
        "revocations add revocations.json --revoke-key ecdsa.pub --reason stolen --key new.key",
    ),
    case(
        "revocations show",
        &["revocations show revocations.json --key signing.pub"],
        3,
        "revocations show revocations.json --key ecdsa.pub",
    ),
    case(
        "timestamp request",
        &["timestamp request bundle.tar.zst --out request.tsq --force"],
        3,
        "timestamp request bundle.tar.zst --out request.tsq",
    ),
    case(
        "timestamp add",
        &["timestamp add bundle.tar.zst --answer answer.tsr --timestamp-authority tsa.pem"],
        3,
        "timestamp add new.tar.zst --answer answer.tsr --timestamp-authority tsa.pem",
    ),
    case(
        "audit",
        &[
            "audit new.tar.zst --key signing.pub",
            "audit new.tar.zst --advisories advisories.tar.zst --key signing.pub",
            "audit new.tar.zst --key signing.pub --record new.tar.zst.audit.json --sign-key signing.key",
        ],
        3,
        "audit new.tar.zst --policy strict --key signing.pub",
    ),
    case(
        "report",
        &[
            "report new.tar.zst --key signing.pub --out report.html",
            "report new.tar.zst --since new.tar.zst --key signing.pub --out since.html",
        ],
        3,
        "report new.tar.zst --key signing.pub --out signing.pub",
    ),
    case(
        "export",
        &["export bundle.tar.zst --oci images --key ecdsa.pub"],
        3,
        "export bundle.tar.zst --oci images --key ecdsa.pub",
    ),
    case(
        "join",
        &["join differential.tar.zst bundle.tar.zst --out joined.tar.zst"],
        3,
        "join differential.tar.zst bundle.tar.zst --out joined.tar.zst",
    ),
    case(
        "subset",
        &["subset bundle.tar.zst --role worker --out worker.tar.zst"],
        3,
        "subset bundle.tar.zst --role worker --out worker.tar.zst",
    ),
    case(
        "split",
        &["split bundle.tar.zst --size 16KiB --parity 1 --out pieces.tar.zst"],
        3,
        "split bundle.tar.zst --size 16KiB --parity 1 --out pieces.tar.zst",
    ),
    case("repair", &["repair sticks", "repair sticks"], 2, "repair absent"),
    case(
        "seal",
        &["seal bundle.tar.zst --passphrase-file passphrase"],
        3,
        "seal bundle.tar.zst --passphrase-file passphrase",
    ),
    case("push", &["push new.tar.zst REGISTRY --unsigned --dry-run"], 2, "push absent.tar.zst r.example --unsigned"),
    case("completion", &["completion bash"], 2, "completion nothing"),
    case("man", &["man man1"], 1, "man signing.pub/man1"),
];

/// A folder with the first bundles, and an upstream.
fn folder() -> Upstream {
    let upstream = Upstream::new();
    for file in fs::read_dir(V1).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), upstream.path("").join(file.file_name())).unwrap();
    }
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'registry.k8s.io/pause:3.9'}]}\n";
    fs::write(upstream.path("pod.yaml"), pod).unwrap();
    let catalog = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
    with_next_patch(&upstream);
    fs::rename(upstream.path("catalog.yaml"), upstream.path("drafted.yaml")).unwrap();
    fs::write(upstream.path("faulty.yaml"), with_fault(&catalog)).unwrap();
    fs::write(upstream.path("catalog.yaml"), catalog).unwrap();
    let settings = "schema: 1\nkubernetes: 1.25.2\ncni: bridge\nload-balancer: none\n";
    fs::write(upstream.path("bundle.yaml"), settings).unwrap();
    write_fitting_bundle(&upstream.path(""));
    write_osv(&upstream);
    stamp(&upstream, "bundle.tar.zst");
    fs::write(upstream.path("passphrase"), "correct horse battery\n").unwrap();
    fs::create_dir(upstream.path("sticks")).unwrap();
    for volume in ["001", "003", "p01"] {
        let name = format!("volumes.tar.zst.{volume}");
        fs::rename(upstream.path(&name), upstream.path("sticks").join(name)).unwrap();
    }
    upstream
}

fn run(upstream: &Upstream, line: &str) -> Output {
    let flags = upstream.flags();
    let mirrors: Vec<_> = flags.iter().filter(|flag| flag.starts_with("--mirror")).cloned().collect();
    let line = line.replace("UPSTREAM", &flags.join(" ")).replace("MIRRORS", &mirrors.join(" "));
    let line = line.replace("REGISTRY", &format!("http://127.0.0.1:{}", upstream.server.port()));
    let mut kbundle = kbundle_in(upstream.directory.path());
    kbundle.args(line.split(' ')).args(["--output", "json"]).stdin(Stdio::null()).output().unwrap()
}

fn schema(command: &str) -> Value {
    let name = format!("{SCHEMAS}/{}.schema.json", command.replace(' ', "-"));
    serde_json::from_slice(&fs::read(name).unwrap()).unwrap()
}

/// The only document in `printed`, which has to match `validator`.
fn document(line: &str, printed: &[u8], validator: &Validator) -> Value {
    let text = String::from_utf8_lossy(printed);
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"));
    if let Err(error) = validator.validate(&document) {
        panic!("{line}: {error}: {document:#}");
    }
    document
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_command_prints_one_document_of_its_schema() {
    let mut covered = CASES.map(|case| case.command.to_owned());
    covered.sort();
    let mut all = commands::<Arguments>();
    all.sort();
    assert_eq!(covered.as_slice(), all, "every command needs a case, and every case a command");

    let upstream = folder();
    for Case { command, successes, refusal: (code, refusal) } in CASES {
        let validator = jsonschema::validator_for(&schema(command)).unwrap();
        for line in successes {
            let output = run(&upstream, line);
            assert_eq!(output.status.code(), Some(0), "{line}: {}", errors(&output));
            let document = document(line, &output.stdout, &validator);
            assert!(document.get("error").is_none(), "{line}: {document:#}");
            assert!(command == "config schema" || document["schema"] == 1, "{line}: {document:#}");
        }
        let output = run(&upstream, refusal);
        assert_eq!(output.status.code(), Some(code), "{refusal}: {}", errors(&output));
        let document = document(refusal, &output.stdout, &validator);
        assert_eq!(document["error"]["exitCode"], code, "{refusal}: {document:#}");
        assert!(errors(&output).is_empty(), "{refusal}: {}", errors(&output));
    }
}

#[test]
fn a_damaged_bundle_is_refused_with_what_is_damaged() {
    let upstream = folder();
    let mut bytes = fs::read(upstream.path("bundle.tar.zst")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(upstream.path("bad.tar.zst"), bytes).unwrap();
    let line = "verify bad.tar.zst --key ecdsa.pub";
    let output = run(&upstream, line);
    assert_eq!(output.status.code(), Some(3));
    let schema = schema("verify");
    // Any failure matches the schema as a whole; this one has to match the details.
    let details = serde_json::json!({ "$ref": "#/$defs/Damage", "$defs": schema["$defs"] });
    let document = document(line, &output.stdout, &jsonschema::validator_for(&details).unwrap());
    assert_eq!(document["damagedEntries"].as_array().unwrap().len(), 1, "{document:#}");
}

/// A schema that accepts everything would prove nothing.
#[test]
fn a_document_without_a_field_is_not_of_its_schema() {
    for command in CASES.map(|case| case.command) {
        let validator = jsonschema::validator_for(&schema(command)).unwrap();
        for wrong in [serde_json::json!({}), serde_json::json!({ "schema": 1 }), serde_json::json!([])] {
            assert!(!validator.is_valid(&wrong), "{command}: {wrong}");
        }
    }
}

/// No reader gets both of these in one stream.
#[test]
fn content_goes_to_standard_output_and_the_document_beside_it() {
    let upstream = folder();
    let output = run(&upstream, "cat bundle.tar.zst bundle.json --unsigned");
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(list["entries"].is_array() && errors(&output).is_empty(), "{}", errors(&output));

    for (line, command) in [
        ("build UPSTREAM --unsigned --out - --quiet", "build"),
        ("lock UPSTREAM --out - --quiet", "lock"),
        ("join differential.tar.zst bundle.tar.zst --out -", "join"),
        ("subset bundle.tar.zst --role worker --out -", "subset"),
    ] {
        let output = run(&upstream, line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", errors(&output));
        document(line, &output.stderr, &jsonschema::validator_for(&schema(command)).unwrap());
        assert!(output.stdout.len() > 100 && output.stdout[0] != b'{', "{line}");
    }
}

#[test]
fn what_went_to_standard_output_is_not_named_in_the_next_command() {
    let upstream = folder();
    for line in ["build UPSTREAM --key signing.key --out -", "lock UPSTREAM --out -"] {
        let line = line.replace("UPSTREAM", &upstream.flags().join(" "));
        let output = kbundle_in(upstream.directory.path()).args(line.split(' ')).output().unwrap();
        let said = errors(&output);
        assert!(output.status.success() && said.contains("standard output"), "{said}");
        assert!(!said.contains("next:"), "{said}");
    }
}
