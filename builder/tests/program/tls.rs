//! TLS as behind a company's proxy: the server's certificate is signed only by the company's own authority.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
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
    fn start(directory: &Path, more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("openssl")
            .args(["s_server", "-quiet", "-WWW", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", "server.pem", "-key", "server.key"])
            .args(more)
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

/// An authority, and a certificate for `localhost` that it signed.
fn make_certificates(directory: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let ca = ["req", "-x509", "-subj", "/CN=Company CA", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(directory, &[ca.as_slice(), &key].concat());
    let server = ["req", "-x509", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.pem"];
    let by_ca = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost"];
    openssl(directory, &[server.as_slice(), &key, &by_ca, &["-addext", "basicConstraints=critical,CA:FALSE"]].concat());
}

/// Certificates, a file and a catalog of that file.
fn site() -> tempfile::TempDir {
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
    directory
}

/// `kbundle build` from the server.
fn build(directory: &Path, server: &TlsServer, more: &[&str]) -> Output {
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
    kbundle_in(directory).args(build).arg(mirror).args(more).output().unwrap()
}

#[test]
fn a_companys_authority_is_trusted_only_when_it_is_given() {
    let directory = site();
    let server = TlsServer::start(directory.path(), &[]);
    let (code, text) = failure(&build(directory.path(), &server, &[]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("certificate") && text.contains("--ca-file"), "{text}");
    success(&build(directory.path(), &server, &["--ca-file=ca.pem"]));
}

#[test]
fn a_host_has_authorities_and_a_client_certificate_of_its_own() {
    let directory = site();
    let server = TlsServer::start(directory.path(), &["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"]);
    let (code, text) = failure(&build(directory.path(), &server, &["--ca-file=ca.pem"]));
    assert_eq!(code, 1, "without a certificate: {text}");
    let folder = directory.path().join(format!("certs.d/localhost:{}", server.port));
    fs::create_dir_all(&folder).unwrap();
    fs::copy(directory.path().join("ca.pem"), folder.join("ca.crt")).unwrap();
    fs::copy(directory.path().join("server.pem"), folder.join("client.cert")).unwrap();
    let (code, text) = failure(&build(directory.path(), &server, &["--certs-dir=certs.d"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("client.key for TLS"), "{text}");
    fs::copy(directory.path().join("server.key"), folder.join("client.key")).unwrap();
    success(&build(directory.path(), &server, &["--certs-dir=certs.d", "--force"]));
    // Another host is neither trusted because of that authority nor given that certificate.
    fs::rename(&folder, directory.path().join("certs.d/other.example")).unwrap();
    fs::remove_dir_all(directory.path().join("cache")).unwrap();
    let (code, text) = failure(&build(directory.path(), &server, &["--certs-dir=certs.d", "--force"]));
    assert_eq!(code, 1, "{text}");
}
