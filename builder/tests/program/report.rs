//! `kbundle report --since`: the differences from an older bundle.

use fs_err as fs;
use serde_json::{Value, json};

use crate::audit::{PACK, write_osv};
use crate::diff::{diff, two};
use crate::upstream::{Upstream, failure, success};

const REPORT: [&str; 4] = ["report", "new.tar.zst", "--key", "signing.pub"];

fn page(upstream: &Upstream) -> String {
    fs::read_to_string(upstream.path("report.html")).unwrap()
}

#[test]
fn the_page_has_what_differs_from_the_older_bundle() {
    let upstream = two();
    success(&upstream.kbundle(REPORT));
    assert!(!page(&upstream).contains("What differs from"));
    let said =
        success(&upstream.kbundle([&REPORT[..], &["--since", "old.tar.zst", "--force", "--output", "json"]].concat()));
    let said: Value = serde_json::from_str(&said).unwrap();
    let (_, compared) = diff(&upstream, &["old.tar.zst", "new.tar.zst", "--output", "json"]);
    let compared: Value = serde_json::from_str(&compared).unwrap();
    assert_eq!(said["since"]["old"], compared["old"]);
    assert_eq!(said["since"]["differences"], json!(compared["differences"].as_array().unwrap().len()));
    let page = page(&upstream);
    for part in ["What differs from old.tar.zst", "2.36-10", ">upgraded<", "Compared with"] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches(">upgraded<").count(), compared.to_string().matches("\"upgraded\"").count());
}

#[test]
fn an_older_bundle_that_is_not_trusted_is_refused_and_no_page_is_written() {
    let upstream = two();
    success(&upstream.build(&["--out", "bare.tar.zst", "--unsigned"]));
    let (code, text) = failure(&upstream.kbundle([&REPORT[..], &["--since", "bare.tar.zst"]].concat()));
    assert_eq!((code, text.contains("bare.tar.zst")), (3, true), "{text}");
    let (code, text) = failure(&upstream.kbundle([&REPORT[..], &["--since", "absent.tar.zst"]].concat()));
    assert_eq!((code, text.contains("absent.tar.zst")), (2, true), "{text}");
    assert!(!upstream.path("report.html").exists());
    assert_eq!(upstream.incomplete(), 0);
}

#[test]
#[ignore = "makes a page for a browser: ./ci/report-page"]
fn page_for_a_browser() {
    let folder = std::env::var("KBUNDLE_PAGES").expect("$KBUNDLE_PAGES: ./ci/report-page sets it");
    let upstream = two();
    write_osv(&upstream);
    success(&upstream.kbundle(PACK));
    let more = ["--policy", "strict", "--advisories", "advisories.tar.zst", "--since", "old.tar.zst"];
    success(&upstream.kbundle([&REPORT[..], &more, &["--out", &format!("{folder}/kbundle.html")]].concat()));
}
