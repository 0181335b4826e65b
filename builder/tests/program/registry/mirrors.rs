//! The order of mirrors, servers that ask to wait, registries without TLS, and proxies.

use std::net::TcpListener;

use kbundle_format::Digest;

use super::Site;
use super::server::Registry;
use crate::server::Answer;
use crate::upstream::{KUBELET, Upstream, failure, success};

/// An address where nothing listens.
fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[test]
fn mirrors_of_one_host_are_asked_in_their_order() {
    let site = Site::new();
    let digest = site.plain("app");
    let empty = Registry::start();
    let (nobody, empty_host, host) = (nobody(), empty.host(), site.registry.host());
    let mirrors = [nobody.clone(), format!("http://{empty_host}"), format!("http://{host}")]
        .map(|to| format!("--mirror=o.example={to}"));
    let mirrors = mirrors.each_ref().map(String::as_str);
    success(&site.build("o.example/app:1", &mirrors));
    assert_eq!(site.list()["images"][0]["pinned"], digest.to_string());
    assert!(empty.asked().contains(&"GET /v2/app/manifests/1".to_owned()), "the one before is asked first");

    let (code, text) = failure(&site.build("o.example/none:1", &mirrors));
    assert_eq!(code, 1, "{text}");
    for said in
        [&nobody, &format!("http://{empty_host}/v2/none/manifests/1 answered 404"), &format!("http://{host}/v2/none")]
    {
        assert!(text.contains(said.as_str()), "{said}: {text}");
    }
}

#[test]
fn a_mirror_with_other_content_is_passed_over() {
    let upstream = Upstream::new();
    let other = Upstream::new();
    let mut wrong = upstream.kubelet.clone();
    wrong[7] ^= 1;
    other.server.serve(KUBELET, &wrong);
    let flags = [other.server.port(), upstream.server.port()]
        .map(|port| format!("--mirror=dl.k8s.io=http://127.0.0.1:{port}/dl"));
    let registry = format!("--mirror=registry.k8s.io=http://127.0.0.1:{}", upstream.server.port());
    let build = [
        "build",
        "--k8s=1.30.0",
        "--catalog=catalog.yaml",
        "--cni=bridge",
        "--cache=cache",
        "--key=signing.key",
        "--retry-pause=0.01",
    ];
    let flags: Vec<_> = build.into_iter().chain(flags.iter().map(String::as_str)).chain([registry.as_str()]).collect();
    success(&upstream.kbundle(flags));
    assert_eq!(other.server.requests(KUBELET).len(), 1, "it is asked once");
    assert!(upstream.cached("sha256").contains(&Digest::of(&upstream.kubelet).hex()));
}

#[test]
fn several_mirrors_can_be_in_a_file_and_flags_win() {
    let site = Site::new();
    site.plain("app");
    let (nobody, host) = (nobody(), site.registry.host());
    let file = format!("schema: 1\nmirrors:\n  o.example: ['{nobody}', 'http://{host}']\n  p.example: '{nobody}'\n");
    fs_err::write(site.path("bundle.yaml"), file).unwrap();
    let flag = format!("--mirror=p.example=http://{host}");
    success(&site.command(&["o.example/app:1", "p.example/app:1"], &["--file=bundle.yaml", &flag]).output().unwrap());
}

#[test]
fn a_server_that_asks_to_wait_long_is_not_waited_for() {
    let upstream = Upstream::new();
    upstream.server.answer(KUBELET, [Answer::TooMany(3600)]);
    let (code, text) = failure(&upstream.build(&["--key=signing.key"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("answered 429 Too Many Requests and asks to wait 3600 s"), "{text}");
    assert_eq!(upstream.server.requests(KUBELET).len(), 1);
    upstream.server.answer(KUBELET, [Answer::TooMany(0), Answer::Content(upstream.kubelet.clone())]);
    success(&upstream.build(&["--key=signing.key"]));
}

#[test]
fn a_registry_without_tls_is_named_so_with_the_flag_to_use() {
    let site = Site::new();
    site.plain("plain");
    let host = site.registry.host();
    let image = format!("{host}/plain:1");
    let (code, text) = failure(&site.build(&image, &[]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("it answers without TLS, as a plain HTTP server does"), "{text}");
    let flag = format!("--mirror {host}=http://{host}");
    assert!(
        text.contains(&format!("if the server is meant to work without TLS, give its address with http: `{flag}`")),
        "{text}"
    );
    success(&site.build(&image, &[&flag.replace("--mirror ", "--mirror=")]));
    assert_eq!(site.list()["images"][0]["reference"], image);
}

#[test]
fn a_proxy_is_named_in_errors_without_its_password() {
    let site = Site::new();
    let nobody = nobody();
    let address = nobody.strip_prefix("http://").unwrap();
    for scheme in ["http", "socks5"] {
        let mut command = site.command(&["q.example/app:1"], &["--retries=0"]);
        command.env("HTTPS_PROXY", format!("{scheme}://user:pr0xy-s3cret@{address}"));
        let (code, text) = failure(&command.output().unwrap());
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(&format!("through the proxy {scheme}://{address}")), "{text}");
        assert!(text.contains("NO_PROXY") && !text.contains("pr0xy-s3cret"), "{text}");
    }
}

#[test]
fn a_proxy_is_used_unless_no_proxy_says_otherwise() {
    let upstream = Upstream::new();
    let port = upstream.server.port();
    upstream.server.serve("http://files.example/dl/release/v1.30.0/bin/linux/amd64/kubelet", &upstream.kubelet);
    let mut command = crate::upstream::kbundle_in(upstream.directory.path());
    command.args([
        "build",
        "--k8s=1.30.0",
        "--catalog=catalog.yaml",
        "--cni=bridge",
        "--cache=cache",
        "--key=signing.key",
    ]);
    command.args([
        "--mirror=dl.k8s.io=http://files.example/dl",
        &format!("--mirror=registry.k8s.io=http://127.0.0.1:{port}"),
    ]);
    command.env("HTTP_PROXY", format!("http://127.0.0.1:{port}"));
    success(&command.output().unwrap());
}
