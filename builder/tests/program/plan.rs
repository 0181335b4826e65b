//! What is checked before the first byte is fetched, in a build and in a dry run alike; and interrupted work.

use std::process::{Command, Stdio};

use fs_err as fs;
use kbundle_format::Digest;

use crate::server::Answer;
use crate::upstream::{Image, KUBELET, Upstream, failure, kbundle_in, noise, success};

/// Builds with these flags, for real and as a dry run; both have to end with `code` and print `words` before the server is asked.
fn refused(upstream: &Upstream, flags: &[&str], code: i32, words: &str) {
    for dry in [&[][..], &["--dry-run"]] {
        let (ended, text) = failure(&upstream.build(&[flags, dry].concat()));
        assert_eq!(ended, code, "{flags:?} {dry:?}: {text}");
        assert!(text.contains(words), "{text}");
    }
    assert!(upstream.server.requests(KUBELET).is_empty(), "{flags:?}");
    assert!(!upstream.path("cache/partial").exists(), "{flags:?}");
}

#[test]
fn key_output_cache_and_settings_are_checked_first() {
    let upstream = Upstream::new();
    refused(&upstream, &[], 2, "no key to sign the bundle with was given");
    refused(&upstream, &["--key=none.key"], 2, "none.key");
    refused(&upstream, &["--key=signing.pub"], 2, "signing.pub cannot be used as a key: it is a public key");
    refused(&upstream, &["--key=signing.key", "--out=none/b.tar.zst"], 2, "there is no folder none");
    refused(&upstream, &["--key=signing.key", "--out=."], 3, "is a folder");
    refused(&upstream, &["--key=signing.key", "--since=none.tar.zst"], 2, "none.tar.zst");
    fs::write(upstream.path("cache"), "a file").unwrap();
    refused(&upstream, &["--key=signing.key"], 1, "cannot use the cache at cache");
    fs::remove_file(upstream.path("cache")).unwrap();
    refused(
        &upstream,
        &["--key=signing.key", "--mirror=dl.k8s.oi=http://127.0.0.1:1"],
        2,
        "nothing is fetched from dl.k8s.oi",
    );
    fs::write(upstream.path("bundle.yaml"), "schema: 1\nlevel: 23\n").unwrap();
    refused(&upstream, &["--key=signing.key", "--file=bundle.yaml"], 2, "integer `23`, expected a level from 1 to 22");
    fs::write(upstream.path("bundle.yaml"), "schema: 1\nmirrors: {dl.k8s.oi: 'http://127.0.0.1:1'}\n").unwrap();
    refused(&upstream, &["--key=signing.key", "--file=bundle.yaml"], 2, "nothing is fetched from dl.k8s.oi");
}

/// A site's settings name the mirrors for everything that it ever builds.
#[test]
fn a_mirror_of_another_bundle_of_the_catalog_is_taken() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--unsigned", "--mirror=docker.io=http://127.0.0.1:1"]));
}

/// A layer that is larger than any disk works everywhere; `/dev/shm` or another small file system does not exist everywhere.
#[test]
fn too_little_room_is_noticed_before_anything_is_fetched() {
    let upstream = Upstream::new();
    success(&upstream.run("lock", &[]));
    let lock = fs::read_to_string(upstream.path("kbundle.lock")).unwrap();
    let huge = lock.replace(&format!("size: {}", upstream.image.layer.len()), "size: 9000000000000000");
    assert_ne!(huge, lock);
    fs::write(upstream.path("huge.lock"), huge).unwrap();
    fs::remove_dir_all(upstream.path("cache")).unwrap();
    for more in [&[][..], &["--dry-run"]] {
        let command = ["build", "--locked=huge.lock", "--unsigned", "--cache=cache"];
        let (code, text) = failure(&upstream.kbundle(command.into_iter().chain(more.iter().copied())));
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("free, and at least 7.99 PiB are needed"), "{text}");
    }
    assert!(!upstream.path("cache").exists() && upstream.server.requests(KUBELET).is_empty());
}

#[test]
fn a_dry_run_says_sizes_and_the_address_that_is_asked() {
    let upstream = Upstream::new();
    let port = upstream.server.port();
    let report = || -> serde_json::Value {
        let output = upstream.build(&["--unsigned", "--dry-run", "--output=json"]);
        serde_json::from_str(&success(&output)).unwrap()
    };
    let before = report();
    let pinned = Digest::of(&upstream.image.index);
    assert_eq!(before["images"][0]["url"], format!("http://127.0.0.1:{port}/v2/pause/manifests/{pinned}"));
    assert_eq!(before["files"][0]["url"], format!("http://127.0.0.1:{port}{KUBELET}"));
    assert_eq!(before["total"], serde_json::json!({ "knownBytes": 0, "toFetchBytes": 0, "unknown": 2 }));
    assert!(before["cache"]["freeBytes"].as_u64().unwrap() > 0 && before["output"]["freeBytes"].as_u64().unwrap() > 0);

    // Everything that a lock has fetched is known: all documents of the image, and so the size of its layer.
    success(&upstream.run("lock", &[]));
    let layer = upstream.image.layer.len() as u64;
    let locked = report();
    assert_eq!(locked["total"]["toFetchBytes"], layer);
    assert_eq!(locked["total"]["unknown"], 1);
    assert_eq!(locked["images"][0]["sizeBytes"], locked["total"]["knownBytes"]);

    success(&upstream.build(&["--unsigned"]));
    let after = report();
    let whole = layer + upstream.kubelet.len() as u64;
    assert!(after["total"]["knownBytes"].as_u64().unwrap() > whole);
    assert_eq!((&after["total"]["toFetchBytes"], &after["total"]["unknown"]), (&0.into(), &0.into()));
    assert_eq!(after["files"][0]["cachedBytes"], upstream.kubelet.len());
}

#[test]
fn servers_are_asked_for_sizes_and_for_no_content() {
    let upstream = Upstream::new();
    let config =
        serde_json::json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] } });
    let large = Image::of(&config, noise(3, 8_000_000));
    upstream.add_image("3.10", &large);
    let dry = |more: &[&str]| -> serde_json::Value {
        let flags = ["--unsigned", "--dry-run", "--output=json"];
        serde_json::from_str(&success(&upstream.build(&[&flags[..], more].concat()))).unwrap()
    };
    let blind = dry(&["--split=1MiB"]);
    assert!(blind["bundle"].get("mostBytes").is_none() && blind["bundle"]["volumes"].get("most").is_none());
    assert_eq!(blind["hosts"][0]["unknown"], 3);

    let report = dry(&["--ask-sizes", "--split=1MiB", "--parity=2"]);
    let content = (upstream.kubelet.len() + upstream.image.layer.len() + large.layer.len()) as u64;
    assert_eq!(report["files"][0]["sizeBytes"], upstream.kubelet.len());
    assert_eq!((&report["total"]["unknown"], &report["total"]["toFetchBytes"]), (&0.into(), &content.into()));
    assert_eq!(report["sizesNotTold"], serde_json::json!([]));
    let methods: Vec<_> = upstream.server.requests(KUBELET).into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["HEAD"]);
    assert!(upstream.server.requests(&Image::path("blobs", &large.layer)).is_empty());

    // Control planes get both images, workers the small one. A program takes its own size, a layer five times its size.
    let of = |host: usize, directory: &str| {
        let uses = report["hosts"][host]["disk"].as_array().unwrap();
        uses.iter().find(|found| found["directory"] == directory).map(|found| found["neededBytes"].as_u64().unwrap())
    };
    assert_eq!(of(0, "/usr/local/bin"), Some(upstream.kubelet.len() as u64));
    assert!(of(0, "/var/lib/containerd") > Some(5 * large.layer.len() as u64));
    assert!(of(1, "/var/lib/containerd") < Some(6 * upstream.image.layer.len() as u64));
    assert_eq!(of(2, "/var/lib/containerd"), None);

    success(&upstream.build(&["--unsigned", "--out=b.tar.zst"]));
    let size = fs::metadata(upstream.path("b.tar.zst")).unwrap().len();
    let bound = |key: &str| report["bundle"][key].as_u64().unwrap();
    assert!(bound("leastBytes") <= size && size <= bound("mostBytes"), "{size}: {}", report["bundle"]);
    assert!(bound("leastBytes") < bound("likelyBytes") && bound("likelyBytes") < bound("mostBytes"));
    let volumes = &report["bundle"]["volumes"];
    success(&upstream.build(&["--unsigned", "--out=cut.tar.zst", "--split=1MiB", "--parity=2"]));
    let count =
        (1..=99).take_while(|number| upstream.path(&format!("cut.tar.zst.{number:03}")).exists()).count() as u64;
    assert!(volumes["least"].as_u64().unwrap() <= count && count <= volumes["most"].as_u64().unwrap(), "{volumes}");
    assert_eq!(volumes["parity"], 2);
}

#[test]
fn a_size_that_no_server_tells_stays_unknown() {
    let upstream = Upstream::new();
    upstream.server.answer(KUBELET, [Answer::Status(405)]);
    let output = upstream.build(&["--unsigned", "--dry-run", "--ask-sizes"]);
    let text = success(&output);
    assert!(text.contains("bundle  at least ") && text.contains("of memory; not counted: 1 of unknown size"), "{text}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("size unknown: ") && said.contains("405") && said.contains(KUBELET), "{said}");

    let (code, text) = failure(&upstream.build(&["--unsigned", "--ask-sizes"]));
    assert!(code == 2 && text.contains("--dry-run"), "{text}");
    let (code, text) = failure(&upstream.build(&["--unsigned", "--dry-run", "--split=100"]));
    assert!(code == 2 && text.contains("a volume of 100 bytes has no room beside its header"), "{text}");
}

/// The server stalls in the middle of a file, and the signal comes then.
#[test]
fn an_interrupted_download_says_what_is_kept_and_is_resumed() {
    for (signal, expected, name) in [("INT", 130, "SIGINT (Ctrl-C)"), ("TERM", 143, "SIGTERM")] {
        let upstream = Upstream::new();
        let kubelet = upstream.kubelet.clone();
        upstream.server.answer(KUBELET, [Answer::Stalls(kubelet.clone(), 250_000), Answer::Content(kubelet)]);
        let mut command = kbundle_in(upstream.directory.path());
        let flags = upstream.flags().into_iter().filter(|flag| !flag.starts_with("--timeout"));
        command.arg("build").args(flags).args(["--unsigned", "--timeout=60", "--out=b.tar.zst"]);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let partial = upstream.path("cache/partial").join(format!("{}.partial", Digest::of(&upstream.kubelet).hex()));
        let begun = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            fs::metadata(&partial).is_ok_and(|file| file.len() == 250_000)
        });
        assert!(begun, "the download did not begin");
        let killed = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let (code, text) = failure(&child.wait_with_output().unwrap());
        assert_eq!(code, expected, "{text}");
        let said =
            format!("error: interrupted by {name}; what was fetched is kept in cache, and the next run resumes there");
        assert!(text.contains(&said) && text.contains("hint: run the same command again"), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        assert!(!upstream.path("b.tar.zst").exists());
        success(&upstream.build(&["--unsigned", "--out=b.tar.zst"]));
        assert_eq!(upstream.server.requests(KUBELET)[1].range.as_deref(), Some("bytes=250000-"));
    }
}

/// A pipe that nobody reads stops the program in the middle of writing.
#[test]
fn an_interrupted_writer_leaves_nothing() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=b.tar.zst"]));
    let bytes = fs::read(upstream.path("b.tar.zst")).unwrap();
    let mut command = kbundle_in(upstream.directory.path());
    command.args(["export", "-", "--oci=layout", "--key=signing.pub"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut pipe, &bytes[..bytes.len() - 100_000]).unwrap();
    let begun = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        upstream.incomplete() > 0
    });
    assert!(begun, "nothing was written yet");
    let killed = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    // Reading the rest lets the writer continue, which then checks for a signal; or the program has ended already.
    let _ = std::io::Write::write_all(&mut pipe, &bytes[bytes.len() - 100_000..]);
    drop(pipe);
    let (code, text) = failure(&child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{text}");
    assert!(text.contains("nothing was written"), "{text}");
    assert!(!upstream.path("layout").exists());
    assert_eq!(upstream.incomplete(), 0);
}
