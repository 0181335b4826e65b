//! The published schema of `bundle.yaml` matches the types. Run with `UPDATE_SCHEMA=1` to write it again.

use fs_err as fs;
use kbundle::Arguments;
use kbundle::spec::{SpecFile, schema};
use kbundle_cli::Program as _;
use kbundle_cli::definition::commands;
use kbundle_manual::examples::assert_current;
use serde_json::Value;

use crate::upstream::{kbundle_in, success};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

#[test]
fn the_published_schema_is_that_of_the_types() {
    assert_current("bundle.schema.json", &format!("{:#}\n", schema()));
}

#[test]
fn the_published_schemas_of_documents_are_those_of_the_types() {
    let mut described: Vec<_> = Arguments::documents().iter().map(|documents| documents.command().to_owned()).collect();
    described.sort();
    let mut all = commands::<Arguments>();
    all.sort();
    assert_eq!(described, all, "every command says what it prints with `--output json`");
    for documents in Arguments::documents() {
        let name = format!("schemas/kbundle/{}.schema.json", documents.command().replace(' ', "-"));
        assert_current(&name, &format!("{:#}\n", documents.schema("kbundle")));
    }
    assert_eq!(fs::read_dir(format!("{DOCS}/schemas/kbundle")).unwrap().count(), all.len(), "a file without a command");
}

#[test]
fn the_page_has_every_key() {
    const BEGIN: &str = "program reference`. -->\n";
    const END: &str = "<!-- end of keys -->";
    let page = fs::read_to_string(format!("{DOCS}/reference/bundle-yaml.md")).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut table = vec!["| key | meaning | value |".to_owned(), "|---|---|---|".to_owned()];
    let schema = schema();
    for (key, property) in schema["properties"].as_object().unwrap() {
        let meaning = property["description"].as_str().unwrap().replace('\n', " ");
        table.push(format!("| `{key}` | {meaning} | {} |", value(property)));
    }
    let table = table.join("\n");
    assert_current("reference/bundle-yaml.md", &format!("{before}{BEGIN}\n{table}\n\n{END}{after}"));
}

/// The values that may be written.
fn value(property: &Value) -> &'static str {
    let kind = property["type"].as_str().or(property["type"][0].as_str());
    match kind {
        Some("array") => "list of texts",
        Some("object") => "map of texts",
        Some("boolean") => "`true`, `false`",
        Some("integer") => "number",
        _ => "text",
    }
}

#[test]
fn examples_in_the_manual_can_be_read() {
    let blocks = kbundle_manual::examples::yaml_of("bundle.yaml");
    assert!(blocks.len() > 3, "{blocks:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.yaml");
    for block in blocks {
        fs::write(&path, &block.text).unwrap();
        SpecFile::read(&path).unwrap_or_else(|error| panic!("{}: {error:?}", block.place));
    }
}

#[test]
fn validate_reports_every_mistake_of_a_file_and_what_the_catalog_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let validate = |text: &str| {
        fs::write(folder.path().join("bundle.yaml"), text).unwrap();
        let output = kbundle_in(folder.path()).args(["config", "validate", "bundle.yaml"]).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        format!("exit code {}\n{stdout}{stderr}", output.status.code().unwrap())
    };
    insta::assert_snapshot!(validate("schema: 1\nkubernets: 1.25.2\nlevel: 99\nmirrors: {dl.k8s.io: a}\n"), @"
    exit code 2
    error: bundle.yaml is not valid
      caused by: line 2, column 1: unknown field `kubernets`; did you mean `kubernetes`?
        line 3, column 8: level: invalid value: integer `99`, expected a level from 1 to 22
        line 4, column 22: mirrors.dl.k8s.io: `a` is not a mirror; expected `HOST=http(s)://ADDRESS`, such as `dl.k8s.io=https://mirror.example/dl.k8s.io`
    ");
    insta::assert_snapshot!(validate("schema: 1\nkubernetes: 1.25.2\ncni: callico\n"), @"
    exit code 2
    error: the catalog has no add-on `callico` for Kubernetes 1.25.2 (did you mean `calico`?); it has calico, cert-manager, flannel, haproxy, ingress-nginx, kube-vip, local-path-provisioner, metallb, metrics-server
    ");
    insta::assert_snapshot!(validate("schema: 1\nkubernetes: 1.25.2\ncni: bridge\nload-balancer: none\nafter: {shop: metallb}\n"), @"
    exit code 2
    error: `after` has `shop`, which is not in the bundle; the bundle has none
    hint: correct the name under `after`, or add what it stands for; the pod network runs before all add-ons
    ");
    insta::assert_snapshot!(validate("schema: 1\nkubernetes: 1.25.2\ncni: bridge\nload-balancer: none\n"), @"
    exit code 0
    bundle.yaml is good: Kubernetes 1.25.2 for linux/amd64, 8 files and 6 images
    ");
}

#[test]
fn config_prints_what_a_build_reads() {
    let folder = tempfile::tempdir().unwrap();
    let kbundle = |words: &str| success(&kbundle_in(folder.path()).args(words.split(' ')).output().unwrap());
    fs::write(folder.path().join("bundle.yaml"), kbundle("config init")).unwrap();
    let shown = kbundle("build --file bundle.yaml --k8s 1.25.2 --cni bridge --load-balancer none --unsigned --dry-run");
    assert!(shown.contains("v1.25.2/bin/linux/amd64/kubelet"), "{shown}");
    let printed: Value = serde_json::from_str(&kbundle("config schema")).unwrap();
    assert_eq!(printed, schema());
}
