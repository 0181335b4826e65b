//! Servers that lie, fail and stall: what is refused, what is retried, and what stays in the cache.

use fs_err as fs;
use kbundle::catalog::Catalog;
use kbundle::lock::{Artifact, Lock};
use kbundle::resolve::Pin;
use kbundle::spec::{BundleSpec, Unpinned};
use kbundle_format::{Digest, PinSource};

use crate::server::Answer;
use crate::upstream::{Image, KUBELET, Upstream, failure, success};

#[test]
fn wrong_bytes_stop_the_build_and_leave_nothing() {
    let upstream = Upstream::new();
    let mut other = upstream.kubelet.clone();
    other[1000] ^= 1;
    upstream.server.serve(KUBELET, &other);
    let (code, text) = failure(&upstream.build(&["--key=signing.key"]));
    assert_eq!(code, 3, "{text}");
    let (expected, actual) = (Digest::of(&upstream.kubelet), Digest::of(&other));
    let port = upstream.server.port();
    assert!(
        text.contains(&format!(
            "error: http://127.0.0.1:{port}{KUBELET} has digest {actual} instead of {expected}\nhint: "
        )),
        "{text}"
    );
    assert_eq!(upstream.server.requests(KUBELET).len(), 1, "wrong content is not asked for again");
    let index = Image::path("manifests", &upstream.image.index);
    assert_eq!(upstream.server.requests(&index), [], "no image is asked for once a program is refused");
    assert!(!upstream.cached("sha256").contains(&expected.hex()));
    assert!(!upstream.cached("sha256").contains(&actual.hex()));
    assert!(!upstream.cached("partial").iter().any(|name| name.contains(&expected.hex())));
    assert!(!upstream.path("k8s-1.30.0-amd64.tar.zst").exists());
}

#[test]
fn every_blob_of_an_image_is_checked() {
    for part in ["index", "manifest", "config", "layer"] {
        let upstream = Upstream::new();
        let image = &upstream.image;
        let (kind, content) = match part {
            "index" => ("manifests", &image.index),
            "manifest" => ("manifests", &image.manifest),
            "config" => ("blobs", &image.config),
            _ => ("blobs", &image.layer),
        };
        let mut other = content.clone();
        let place = other.len() - 3;
        other[place] ^= 1;
        upstream.server.serve(&Image::path(kind, content), &other);
        let (code, text) = failure(&upstream.build(&["--key=signing.key"]));
        assert_eq!(code, 3, "{part}: {text}");
        assert!(
            text.contains(&format!("has digest {} instead of {}", Digest::of(&other), Digest::of(content))),
            "{text}"
        );
    }
}

#[test]
fn a_broken_off_download_is_resumed_where_it_stopped() {
    let upstream = Upstream::new();
    let kubelet = upstream.kubelet.clone();
    upstream.server.answer(KUBELET, [Answer::CutOff(kubelet.clone(), 250_000), Answer::Content(kubelet)]);
    success(&upstream.build(&["--key=signing.key"]));
    let requests = upstream.server.requests(KUBELET);
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].range.as_deref(), Some("bytes=250000-"));
    assert_eq!(requests[1].if_range.as_deref(), Some("\"cut\""));
    assert!(upstream.cached("partial").is_empty());
}

#[test]
fn the_next_run_resumes_what_the_last_one_left() {
    let upstream = Upstream::new();
    let kubelet = upstream.kubelet.clone();
    upstream.server.answer(KUBELET, [Answer::CutOff(kubelet.clone(), 250_000)]);
    let (code, text) = failure(&upstream.build(&["--key=signing.key", "--retries=0"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("gave up on") && text.contains("the next run resumes there"), "{text}");
    upstream.server.serve(KUBELET, &kubelet);
    success(&upstream.build(&["--key=signing.key"]));
    assert_eq!(upstream.server.requests(KUBELET)[1].range.as_deref(), Some("bytes=250000-"));
}

#[test]
fn a_spoiled_beginning_is_thrown_away_and_the_whole_fetched() {
    let upstream = Upstream::new();
    success(&upstream.run("lock", &[]));
    let partial = format!("cache/partial/{}.partial", Digest::of(&upstream.kubelet).hex());
    for beginning in [vec![7; 1000], vec![7; 900_000]] {
        fs::write(upstream.path(&partial), beginning).unwrap();
        success(&upstream.build(&["--key=signing.key"]));
        let whole = upstream.path("cache/sha256").join(Digest::of(&upstream.kubelet).hex());
        assert_eq!(fs::read(&whole).unwrap(), upstream.kubelet);
        fs::remove_file(whole).unwrap();
    }
}

#[test]
fn a_server_that_does_not_continue_a_download_is_named_so() {
    let upstream = Upstream::new();
    let kubelet = upstream.kubelet.clone();
    upstream.server.answer(KUBELET, [Answer::CutOff(kubelet.clone(), 250_000), Answer::Status(416)]);
    let (code, text) = failure(&upstream.build(&["--key=signing.key", "--retries=1"]));
    assert_eq!(code, 1, "{text}");
    let said = "at byte 250000; the download starts again from the beginning";
    assert!(text.contains("the server cannot resume") && text.contains(said), "{text}");
    assert!(!text.contains("instead of 0"), "{text}");
    // Its beginning is gone, so the next run asks for the whole file.
    upstream.server.answer(KUBELET, [Answer::Content(kubelet)]);
    success(&upstream.build(&["--key=signing.key"]));
    assert_eq!(upstream.server.requests(KUBELET)[2].range, None);
}

#[test]
fn a_server_without_ranges_gives_the_whole_again() {
    let upstream = Upstream::new();
    let kubelet = upstream.kubelet.clone();
    upstream.server.answer(KUBELET, [Answer::CutOff(kubelet.clone(), 250_000), Answer::WithoutRange(kubelet)]);
    success(&upstream.build(&["--key=signing.key"]));
    assert_eq!(upstream.server.requests(KUBELET).len(), 2);
}

#[test]
fn what_may_pass_is_tried_again() {
    let upstream = Upstream::new();
    let kubelet = upstream.kubelet.clone();
    let answers =
        [Answer::Status(503), Answer::Status(429), Answer::Stalls(kubelet.clone(), 1000), Answer::Content(kubelet)];
    upstream.server.answer(KUBELET, answers);
    success(&upstream.build(&["--key=signing.key"]));
    assert_eq!(upstream.server.requests(KUBELET).len(), 4);
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    let upstream = Upstream::new();
    upstream.server.answer(KUBELET, [Answer::Status(404)]);
    let (code, text) = failure(&upstream.build(&["--key=signing.key"]));
    assert_eq!(code, 1);
    assert!(text.contains("answered 404 Not Found") && text.contains("hint: check the version"), "{text}");
    assert_eq!(upstream.server.requests(KUBELET).len(), 1);

    upstream.server.answer(KUBELET, [Answer::Redirect(KUBELET.to_owned())]);
    let (code, text) = failure(&upstream.build(&["--key=signing.key"]));
    assert_eq!(code, 1);
    assert!(text.contains("too many redirects"), "{text}");
}

#[test]
fn gives_up_after_as_many_attempts_as_it_was_told() {
    let upstream = Upstream::new();
    upstream.server.answer(KUBELET, [Answer::Status(500)]);
    let (code, text) = failure(&upstream.build(&["--key=signing.key", "--retries=2"]));
    assert_eq!(code, 1);
    assert!(text.contains("after 3 attempts") && text.contains("500 Internal Server Error"), "{text}");
    assert_eq!(upstream.server.requests(KUBELET).len(), 3);
}

#[test]
fn a_body_longer_than_its_descriptor_is_refused() {
    let upstream = Upstream::new();
    let mut longer = upstream.image.layer.clone();
    longer.extend(b"more");
    upstream.server.serve(&Image::path("blobs", &upstream.image.layer), &longer);
    let (code, text) = failure(&upstream.build(&["--key=signing.key"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("has 300004 bytes or more instead of 300000"), "{text}");
}

#[test]
fn an_image_for_another_architecture_is_refused() {
    let upstream = Upstream::with_foreign_image();
    let (code, text) = failure(&upstream.build(&["--key=signing.key"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("is for linux/arm64 instead of linux/amd64"), "{text}");
}

/// Upstream's own images for arm64 were like this for years.
#[test]
fn an_image_whose_config_contradicts_its_index_is_taken_with_a_warning() {
    let upstream = Upstream::with_mislabelled_image();
    let built = upstream.build(&["--key=signing.key"]);
    success(&built);
    let said = String::from_utf8(built.stderr).unwrap();
    let warning = "warning: registry.k8s.io/pause:3.9: its config says linux/arm64, its index linux/amd64; kbundle uses the index";
    assert!(said.contains(warning), "{said}");
}

#[test]
fn content_in_the_cache_is_not_fetched_again_unless_damaged() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key"]));
    let asked = upstream.server.requests(KUBELET).len();
    success(&upstream.build(&["--key=signing.key"]));
    assert_eq!(upstream.server.requests(KUBELET).len(), asked);
    fs::write(upstream.path("cache/sha256").join(Digest::of(&upstream.kubelet).hex()), "damaged").unwrap();
    success(&upstream.build(&["--key=signing.key"]));
    assert_eq!(upstream.server.requests(KUBELET).len(), asked + 1);
}

#[test]
fn a_registry_that_wants_a_token_gets_one() {
    let upstream = Upstream::new();
    let image = &upstream.image;
    upstream.server.serve("/token", br#"{"token": "secret"}"#);
    for (kind, content) in
        [("manifests", &image.index), ("manifests", &image.manifest), ("blobs", &image.config), ("blobs", &image.layer)]
    {
        upstream.server.answer(&Image::path(kind, content), [Answer::Behind("secret", content.clone())]);
    }
    upstream.server.answer("/v2/", [Answer::Behind("secret", b"{}".to_vec())]);
    success(&upstream.build(&["--key=signing.key"]));
    assert_eq!(upstream.server.requests("/token").len(), 1);
}

/// The lab's mirror serves files of another origin under the genuine names, as a careless or hostile mirror would.
#[test]
fn the_built_in_catalog_refuses_files_of_another_origin() {
    let upstream = Upstream::new();
    let port = upstream.server.port();
    upstream.server.answer_all_else(b"somebody else built this");
    let mirrors = ["dl.k8s.io", "github.com", "registry.k8s.io"]
        .map(|host| format!("--mirror={host}=http://127.0.0.1:{port}/{host}"));
    let mirrors = mirrors.each_ref().map(String::as_str);
    let lock = ["lock", "--cache=cache", "--jobs=1", "--k8s=1.25.2", "--cni=bridge", "--load-balancer=none"];
    let build = ["build", "--unsigned", "--cache=cache", "--jobs=1", "--locked=one.lock"];

    let (code, text) = failure(&upstream.kbundle(lock.into_iter().chain(mirrors)));
    assert_eq!(code, 3, "{text}");
    let pause = "sha256:9001185023633d17a2f98ff69b6ff2615b8ea02a825adffa40422f51dfdcde9d";
    assert!(text.contains(&format!("instead of {pause}")), "{text}");

    for name in ["kubelet", "containerd"] {
        let expected = lock_of_one(&upstream.path("one.lock"), name);
        let (code, text) = failure(&upstream.kbundle(build.into_iter().chain(mirrors)));
        assert_eq!(code, 3, "{text}");
        let actual = Digest::of(b"somebody else built this");
        assert!(text.contains(&format!("has digest {actual} instead of {expected}")), "{text}");
    }
}

/// Writes a lock with one file of the built-in catalog and returns its pin.
fn lock_of_one(path: &std::path::Path, name: &str) -> Digest {
    let platforms = ["linux/amd64".parse().unwrap()].into();
    let spec = BundleSpec { unpinned: Unpinned::Refuse, ..BundleSpec::bare("1.25.2".parse().unwrap(), platforms) };
    let selection = Catalog::built_in().unwrap().resolve(&spec).unwrap();
    let file = selection.artifacts.into_iter().find(|file| file.component.name == name).unwrap();
    let Pin::Catalog(digest) = file.pin else { panic!("{name} is not pinned") };
    let artifact = Artifact {
        path: file.path,
        url: file.url,
        digest,
        size: None,
        kind: file.kind,
        component: file.component,
        platform: file.platform,
        roles: file.roles,
        licence: file.licence,
        pin: PinSource::Catalog,
        pinned_by: file.pinned_by,
        host_file: None,
    };
    let lock = Lock {
        schema: kbundle::lock::SCHEMA,
        kubernetes: selection.kubernetes,
        platforms: selection.platforms,
        sources: selection.sources,
        after: selection.after,
        artifacts: vec![artifact],
        images: Vec::new(),
    };
    fs::write(path, lock.to_yaml().unwrap()).unwrap();
    digest
}
