//! `kbundle push`: what it puts into a registry, what it does not send twice, and what it reports.

use fs_err as fs;
use kbundle_format::Digest;
use serde_json::{Value, json};

use super::server::{Demand, Indexes, Registry, SECRET};
use super::{Site, describe_document, index};
use crate::upstream::{failure, kbundle_in, success};

/// A bundle with two images, one by an index for two platforms, of which it has one, and one by its manifest; and an empty registry.
struct Pushed {
    site: Site,
    there: Registry,
    index: Digest,
    manifest: Digest,
}

impl Pushed {
    fn new() -> Self {
        let site = Site::new();
        let [amd64, arm64] =
            [(1, "amd64"), (2, "arm64")].map(|(seed, architecture)| site.image("team/app", seed, architecture));
        let manifest = site.registry.document("team/app", None, &amd64);
        let platforms = [("linux", "amd64", None), ("linux", "arm64", None)].map(Some);
        let entries: Vec<_> = [&amd64, &arm64]
            .into_iter()
            .zip(platforms)
            .map(|(document, platform)| describe_document(document, platform))
            .collect();
        let index = site.registry.document("team/app", Some("1"), &index(&entries));
        site.registry.document("team/app", None, &arm64);
        // Another repository with the same layers.
        site.image("tool", 1, "amd64");
        site.registry.document("tool", Some("2"), &amd64);
        success(&site.command(&["r.example/team/app:1", "r.example/tool:2"], &[]).output().unwrap());
        Self { site, there: Registry::start(), index, manifest }
    }

    fn push(&self, more: &[&str]) -> std::process::Output {
        let target = format!("http://{}/k8s", self.there.host());
        let fixed = ["push", "out.tar.zst", &target, "--key=signing.pub", "--retry-pause=0.01"];
        kbundle_in(self.site.upstream.directory.path()).args(fixed).args(more).output().unwrap()
    }

    fn json(&self, more: &[&str]) -> Value {
        serde_json::from_str(&success(&self.push(&[&["--output=json"], more].concat()))).unwrap()
    }

    fn tag(&self, repository: &str, tag: &str) -> Option<Digest> {
        let key = (repository.to_owned(), tag.to_owned());
        self.there.state().manifests.get(&key).map(|(_, content)| Digest::of(content))
    }

    fn writes(&self) -> Vec<String> {
        let asked = self.there.asked().into_iter();
        asked.filter(|asked| !asked.starts_with("HEAD") && !asked.starts_with("GET")).collect()
    }
}

#[test]
fn images_get_there_by_digest_and_a_second_run_changes_nothing() {
    let pushed = Pushed::new();
    pushed.there.state().indexes = Indexes::Sparse;
    let first = pushed.json(&[]);
    assert_eq!(pushed.tag("k8s/team/app", "1"), Some(pushed.index), "the index is kept, byte for byte");
    assert_eq!(pushed.tag("k8s/tool", "2"), Some(pushed.manifest));
    assert_eq!(first["images"][0]["state"], "created");
    assert_eq!(first["images"][0]["index"], "whole");
    assert_eq!(first["images"][0]["digest"], pushed.index.to_string());
    assert_eq!(first["images"][0]["name"], format!("http://{}/k8s/team/app:1", pushed.there.host()));
    assert_eq!(
        (&first["uploadedBlobs"], &first["mountedBlobs"]),
        (&json!(2), &json!(2)),
        "what one repository has, the other mounts"
    );
    for (key, content) in &pushed.there.state().blobs {
        assert_eq!(key.1, Digest::of(content).to_string());
    }

    pushed.there.state().requests.clear();
    let second = pushed.json(&[]);
    assert_eq!(second["images"][0]["state"], "unchanged");
    assert_eq!(second["images"][1]["state"], "unchanged");
    assert_eq!(second["uploadedBytes"], 0);
    assert_eq!(pushed.writes(), Vec::<String>::new());
}

#[test]
fn a_registry_that_takes_no_part_of_an_index_gets_what_the_bundle_carries() {
    let pushed = Pushed::new();
    let said = success(&pushed.push(&[]));
    assert_eq!(pushed.tag("k8s/team/app", "1"), Some(pushed.manifest), "{said}");
    let line = format!(
        "created    http://{}/k8s/team/app:1@{} (without the platforms that the bundle does not carry)",
        pushed.there.host(),
        pushed.manifest
    );
    assert!(said.contains(&line), "{said}");
    let again = pushed.json(&[]);
    assert_eq!(again["images"][0]["state"], "unchanged");
    assert_eq!(again["images"][0]["index"], "reduced");
}

#[test]
fn a_dry_run_says_what_would_be_sent_and_sends_nothing() {
    let pushed = Pushed::new();
    let dry = pushed.json(&["--dry-run"]);
    assert_eq!(dry["dryRun"], true);
    assert_eq!(dry["images"][0]["state"], "created");
    assert_eq!(dry["uploadedBlobs"], 2);
    assert_eq!(pushed.writes(), Vec::<String>::new());
    let real = pushed.json(&[]);
    assert_eq!(real["uploadedBytes"], dry["uploadedBytes"]);
}

#[test]
fn a_tag_that_stood_for_something_else_is_updated_and_said_so() {
    let pushed = Pushed::new();
    let other = json!({ "schemaVersion": 2, "mediaType": super::OCI_MANIFEST, "config": {}, "layers": [] });
    let before = pushed.there.document("k8s/tool", Some("2"), &other);
    let said = success(&pushed.push(&[]));
    assert!(
        said.contains(&format!(
            "updated    http://{}/k8s/tool:2@{}, was {before}",
            pushed.there.host(),
            pushed.manifest
        )),
        "{said}"
    );
    assert!(said.ends_with("mounted\n") && said.contains("1 created, 1 updated, 0 unchanged"), "{said}");
}

#[test]
fn a_piece_that_breaks_off_is_continued_and_a_run_that_was_cut_off_as_well() {
    let pushed = Pushed::new();
    pushed.there.state().broken_pieces = 1;
    let (code, text) = failure(&pushed.push(&["--retries=0", "--jobs=1"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("what was uploaded is kept"), "{text}");
    pushed.there.state().broken_pieces = 1;
    success(&pushed.push(&["--jobs=1"]));
    assert_eq!(pushed.tag("k8s/tool", "2"), Some(pushed.manifest));
}

#[test]
fn names_that_would_be_one_are_refused_before_the_registry_is_asked() {
    let pushed = Pushed::new();
    let site = &pushed.site;
    let other = site.image("library/tool", 9, "amd64");
    site.registry.document("library/tool", Some("2"), &other);
    let host = site.registry.host();
    let mirror = format!("--mirror=s.example=http://{host}/library");
    success(&site.command(&["r.example/tool:2", "s.example/tool:2"], &[&mirror]).output().unwrap());
    let (code, text) = failure(&pushed.push(&[]));
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("r.example/tool:2 and s.example/tool:2 would both be") && text.contains("`--scoped`"),
        "{text}"
    );
    assert_eq!(pushed.there.asked(), Vec::<String>::new());
    success(&pushed.push(&["--scoped"]));
    assert!(pushed.tag("k8s/r.example/tool", "2").is_some() && pushed.tag("k8s/s.example/tool", "2").is_some());
}

#[test]
fn credentials_of_the_target_are_used_and_refusals_are_explained() {
    let pushed = Pushed::new();
    pushed.there.state().demand = Demand::Bearer;
    let (code, text) = failure(&pushed.push(&[]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("token server 127.0.0.1 answered 401") && text.contains("`skopeo login`"), "{text}");
    let config =
        json!({ "auths": { format!("{}/k8s", pushed.there.host()): { "username": "user", "password": SECRET } } });
    fs::write(pushed.site.path("config.json"), config.to_string()).unwrap();
    success(&pushed.push(&[]));
    let scopes: Vec<_> = pushed.there.state().requests.iter().filter_map(|request| request.question("scope")).collect();
    assert!(scopes.iter().all(|scope| scope.contains("pull%2Cpush")), "{scopes:?}");

    let https = pushed.there.host();
    let plain = ["push", "out.tar.zst", &https, "--key=signing.pub", "--retries=0"];
    let (code, text) = failure(&pushed.site.upstream.kbundle(plain));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("answers without TLS") && text.contains("`http://REGISTRY[/PREFIX]`"), "{text}");
}

#[test]
fn a_bundle_that_nobody_trusts_is_not_pushed() {
    let pushed = Pushed::new();
    success(&pushed.site.upstream.kbundle(["keygen", "--out=other.key"]));
    let target = format!("http://{}", pushed.there.host());
    let (code, text) = failure(&pushed.site.upstream.kbundle(["push", "out.tar.zst", &target, "--key=other.pub"]));
    assert_eq!(code, 3, "{text}");
    assert_eq!(pushed.there.asked(), Vec::<String>::new());
}
