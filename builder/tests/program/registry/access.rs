//! Challenges in all places, credentials in the forms that Docker and containers/image document; and that no credential is ever shown.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fs_err as fs;
use serde_json::{Value, json};

use super::Site;
use super::server::{Demand, SECRET};
use crate::upstream::{failure, kbundle_in, success};

fn basic(user: &str, password: &str) -> String {
    BASE64.encode(format!("{user}:{password}"))
}

/// A site whose registry demands `demand`, and a Docker configuration.
fn site(demand: Demand, config: &Value) -> Site {
    let site = Site::new();
    site.plain("team/app");
    site.registry.state().demand = demand;
    fs::write(site.path("config.json"), config.to_string()).unwrap();
    site
}

fn with_password(site: &Site, key: &str) {
    let config =
        json!({ "auths": { key.replace("HOST", &site.registry.host()): { "username": "user", "password": SECRET } } });
    fs::write(site.path("config.json"), config.to_string()).unwrap();
}

#[test]
fn the_most_specific_entry_is_sent_and_no_other() {
    let site = site(Demand::Basic, &json!({}));
    let host = site.registry.host();
    let entry = |user: &str| json!({ "auth": basic(user, SECRET) });
    let auths = json!({
        format!("{host}/team"): entry("right"),
        host.clone(): entry("host"),
        format!("{host}/team/other"): entry("other"),
        format!("{host}/zother"): entry("zother"),
        "r.example": entry("upstream"),
    });
    fs::write(site.path("config.json"), json!({ "auths": auths }).to_string()).unwrap();
    success(&site.build("r.example/team/app:1", &[]));
    let right = format!("Basic {}", basic("right", SECRET));
    assert_eq!(site.registry.authorizations("/v2/"), BTreeSet::from([right]));
    assert_eq!(site.upstream.server.requests("/v2/"), [], "no other host is asked");
}

#[test]
fn entries_of_other_namespaces_are_never_sent() {
    let site = site(Demand::Basic, &json!({}));
    for key in ["HOST/zother", "HOST/team/app/more", "HOST/tea", "r.example"] {
        with_password(&site, key);
        let (code, text) = failure(&site.build("r.example/team/app:1", &[]));
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("401 Unauthorized") && text.contains("`--registry-config FILE`"), "{text}");
    }
    assert_eq!(site.registry.authorizations("/"), BTreeSet::new());
}

#[test]
fn every_challenge_is_answered_wherever_it_comes() {
    for demand in [Demand::Basic, Demand::Bearer, Demand::BearerForBlobs, Demand::Both] {
        let site = site(demand.clone(), &json!({}));
        with_password(&site, "HOST");
        success(&site.build("r.example/team/app:1", &[]));
        let tokens: Vec<_> = site
            .registry
            .state()
            .requests
            .iter()
            .filter(|request| request.path.starts_with("/token"))
            .cloned()
            .collect();
        match demand {
            Demand::Bearer | Demand::Both => {
                assert_eq!(tokens.len(), 1, "one token serves all: {tokens:?}");
                assert_eq!(tokens[0].query, "service=test&scope=repository%3Ateam%2Fapp%3Apull");
            }
            // The challenge says what the token is for.
            Demand::BearerForBlobs => {
                assert_eq!(tokens[0].query, "service=test&scope=repository%3Aof-blobs%3Apull&scope=other");
            }
            Demand::Basic | Demand::Nothing => assert_eq!(tokens.len(), 0),
        }
    }
}

#[test]
fn identity_tokens_registry_tokens_and_helpers_are_used() {
    let site = site(Demand::Bearer, &json!({}));
    let host = site.registry.host();
    let helper = site.path("docker-credential-test");
    let answer = json!({ "ServerURL": host, "Username": "user", "Secret": SECRET });
    fs::write(&helper, format!("#!/bin/sh\nread -r server\necho \"$server\" >>asked\necho '{answer}'\n")).unwrap();
    fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", site.upstream.directory.path().display(), std::env::var("PATH").unwrap());
    for config in [
        json!({ "auths": { host.clone(): { "auth": "Ojo=", "identitytoken": SECRET } } }),
        json!({ "auths": { host.clone(): { "registrytoken": SECRET } } }),
        json!({ "auths": { host.clone(): {} }, "credsStore": "test" }),
        json!({ "credHelpers": { host.clone(): "test" }, "credsStore": "absent" }),
    ] {
        fs::write(site.path("config.json"), config.to_string()).unwrap();
        drop(fs::remove_dir_all(site.path("cache")));
        success(&site.command(&["r.example/team/app:1"], &[]).env("PATH", &path).output().unwrap());
    }
    assert_eq!(fs::read_to_string(site.path("asked")).unwrap(), format!("{host}\n{host}\n"));

    let broken = json!({ "auths": {}, "credsStore": "absent" });
    fs::write(site.path("config.json"), broken.to_string()).unwrap();
    drop(fs::remove_dir_all(site.path("cache")));
    let (code, text) = failure(&site.build("r.example/team/app:1", &[]));
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains(&format!(
            "the credential helper `docker-credential-absent` has no credential for {host}: it cannot be run"
        )),
        "{text}"
    );
}

#[test]
fn files_are_taken_in_their_order_and_a_named_one_alone() {
    let site = site(Demand::Basic, &json!({}));
    let host = site.registry.host();
    let file = |user: &str| json!({ "auths": { host.clone(): { "auth": basic(user, SECRET) } } }).to_string();
    fs::create_dir(site.path("containers")).unwrap();
    fs::write(site.path("config.json"), file("docker")).unwrap();
    fs::write(site.path("containers/auth.json"), file("podman")).unwrap();
    fs::write(site.path("variable.json"), file("variable")).unwrap();
    fs::write(site.path("flag.json"), file("flag")).unwrap();
    let sent = |more: &[&str], variable: bool| {
        drop(fs::remove_dir_all(site.path("cache")));
        site.registry.state().requests.clear();
        let mut command = site.command(&["r.example/team/app:1"], more);
        if variable {
            command.env("REGISTRY_AUTH_FILE", site.path("variable.json"));
        }
        success(&command.output().unwrap());
        site.registry.authorizations("/v2/")
    };
    let only = |user: &str| BTreeSet::from([format!("Basic {}", basic(user, SECRET))]);
    assert_eq!(sent(&[], false), only("podman"));
    assert_eq!(sent(&[], true), only("variable"));
    assert_eq!(sent(&["--registry-config=flag.json"], true), only("flag"));
    fs::remove_file(site.path("containers/auth.json")).unwrap();
    assert_eq!(sent(&[], false), only("docker"));
    let (code, text) = failure(&site.build("r.example/team/app:1", &["--registry-config=absent.json"]));
    assert_eq!(code, 2, "{text}");
}

#[test]
fn a_redirect_takes_no_authorization_along() {
    let site = site(Demand::Bearer, &json!({}));
    with_password(&site, "HOST");
    let blobs: Vec<_> = site.registry.state().blobs.keys().map(|(_, digest)| digest.clone()).collect();
    site.registry.state().elsewhere.extend(blobs);
    success(&site.build("r.example/team/app:1", &[]));
    assert!(site.registry.asked().iter().any(|asked| asked.starts_with("GET /elsewhere/")));
    assert_eq!(site.registry.authorizations("/elsewhere/"), BTreeSet::new());
}

/// Everything that a run printed and left behind, except the cache's copies of what servers sent, and the file of credentials.
fn everything(site: &Site, outputs: &[Output]) -> String {
    let mut all: Vec<u8> =
        outputs.iter().flat_map(|output| [output.stdout.clone(), output.stderr.clone()]).flatten().collect();
    for entry in fs::read_dir(site.upstream.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("config.json") {
            all.extend(fs::read(path).unwrap());
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn no_credential_ever_shows() {
    let site = site(Demand::Bearer, &json!({}));
    let mut outputs = Vec::new();
    let encoded = basic("user", SECRET);
    let run = |more: &[&str]| {
        drop(fs::remove_dir_all(site.path("cache")));
        site.command(&["r.example/team/app:1"], more).env("KBUNDLE_LOG", "trace").output().unwrap()
    };
    with_password(&site, "HOST");
    for more in [[].as_slice(), &["--dry-run"], &["--output=json"], &["--log-format=json"]] {
        outputs.push(run(more));
        assert!(outputs.last().unwrap().status.success(), "{more:?}");
    }
    let inspected = ["inspect", "out.tar.zst", "--key=signing.pub", "--output=json"];
    outputs.push(site.upstream.kbundle(inspected));
    let flags: Vec<_> = site
        .command(&["r.example/team/app:1"], &[])
        .get_args()
        .skip(1)
        .map(|flag| flag.to_str().unwrap().to_owned())
        .collect();
    let flags =
        flags.iter().map(String::as_str).filter(|flag| !flag.starts_with("--key") && !flag.starts_with("--out"));
    outputs.push(
        kbundle_in(site.upstream.directory.path())
            .arg("lock")
            .args(flags)
            .env("KBUNDLE_LOG", "trace")
            .output()
            .unwrap(),
    );
    assert!(site.path("kbundle.lock").exists());
    let push = format!("http://{}/copy", site.registry.host());
    let pushed = kbundle_in(site.upstream.directory.path())
        .args(["push", "out.tar.zst", &push, "--key=signing.pub"])
        .env("KBUNDLE_LOG", "trace")
        .output()
        .unwrap();
    success(&pushed);
    outputs.push(pushed);
    // Refusals: by the token server, by the registry, and of a file with mistakes.
    for config in [
        json!({ "auths": { site.registry.host(): { "identitytoken": format!("wrong-{SECRET}") } } }),
        json!({ "auths": { site.registry.host(): { "registrytoken": format!("wrong-{SECRET}") } } }),
        json!({ "auths": { site.registry.host(): format!("user:{SECRET}") } }),
        json!({ "auths": { site.registry.host(): { "auth": format!("{encoded}!") } } }),
    ] {
        fs::write(site.path("config.json"), config.to_string()).unwrap();
        for more in [["--output=text"], ["--output=json"]] {
            outputs.push(run(&more));
            assert!(!outputs.last().unwrap().status.success(), "{config}");
        }
    }
    let all = everything(&site, &outputs);
    for secret in [SECRET, &encoded, &BASE64.encode(SECRET)] {
        let place = all.find(secret).map(|at| &all[at.saturating_sub(200)..at]);
        assert_eq!(place, None, "{secret} shows");
    }
}

#[test]
fn a_dry_run_reads_credentials_and_authorities() {
    let site = site(Demand::Nothing, &json!({ "auths": 7 }));
    let (code, text) = failure(&site.build("r.example/team/app:1", &["--dry-run"]));
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("config.json does not hold credentials for registries") && text.contains("line 1 column"),
        "{text}"
    );
    fs::write(site.path("config.json"), "{}").unwrap();
    fs::write(site.path("ca.pem"), "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n").unwrap();
    for ca_file in ["ca.pem", "absent.pem"] {
        let (code, text) =
            failure(&site.build("r.example/team/app:1", &["--dry-run", &format!("--ca-file={ca_file}")]));
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(&format!("cannot set up the HTTP client with {ca_file}")), "{text}");
    }
    success(&site.build("r.example/team/app:1", &["--dry-run"]));
    assert_eq!(site.registry.asked(), Vec::<String>::new());
}
