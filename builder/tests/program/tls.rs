//! TLS as behind a company's proxy: a server whose certificate only the company's own authority vouches for.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use kbundle_format::Digest;

use crate::upstream::{failure, kbundle_in, success};

/// `openssl s_server`, which serves the files of its directory.
struct TlsServer {
    process: Child,
    port: u16,
}

impl TlsServer {
    fn start(directory: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("openssl")
            .args(["s_server", "-quiet", "-WWW", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", "server.pem", "-key", "server.key"])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is needed");
        let server = Self { process, port };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "openssl s_server did not start");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().expect("openssl is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a certificate by it for `localhost`.
fn make_certificates(directory: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let ca = ["req", "-x509", "-subj", "/CN=Company CA", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(directory, &[ca.as_slice(), &key].concat());
    let server = ["req", "-x509", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.pem"];
    let by_ca = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost"];
    openssl(directory, &[server.as_slice(), &key, &by_ca, &["-addext", "basicConstraints=critical,CA:FALSE"]].concat());
}

#[test]
fn a_companys_authority_is_trusted_only_when_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    make_certificates(directory.path());
    fs::write(directory.path().join("kubelet"), "the kubelet").unwrap();
    let catalog = format!(
        "schema: 1
components:
  kubelet:
    kind: binary
    roles: [worker]
    versions:
      1.30.0: {{platforms: {{linux/amd64: {{url: 'https://dl.k8s.io/kubelet', sha256: {}}}}}}}
releases:
  1.30.0: {{components: {{kubelet: 1.30.0}}, images: []}}
",
        Digest::of(b"the kubelet").hex()
    );
    fs::write(directory.path().join("catalog.yaml"), catalog).unwrap();
    let server = TlsServer::start(directory.path());
    let mirror = format!("--mirror=dl.k8s.io=https://localhost:{}", server.port);
    let build = [
        "build",
        "--k8s=1.30.0",
        "--catalog=catalog.yaml",
        "--cni=bridge",
        "--unsigned",
        "--cache=cache",
        "--retries=0",
    ];
    let build: Vec<&str> = build.into_iter().chain([mirror.as_str()]).collect();

    let (code, text) = failure(&kbundle_in(directory.path()).args(&build).output().unwrap());
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("certificate") && text.contains("--ca-file"), "{text}");
    success(&kbundle_in(directory.path()).args(&build).arg("--ca-file=ca.pem").output().unwrap());
}
