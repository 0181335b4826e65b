//! What must not be installed is refused, and the host is left as it was.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use fs_err as fs;
use lab::{Host, Lab, mirror_tree};

use lab::connected::{KUBERNETES, STICK, carried, copy_in, kbundle};
use lab::files::Snapshot;

/// Runs the installation of `bundle` and returns what it said; it has to end with 3, refused.
fn refused(host: &Host, bundle: &str, key: &str) -> anyhow::Result<String> {
    let output = host.exec(&["sh", "-c", &format!("cd {STICK} && ./kinstall run {bundle} --key {key}")])?;
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.status.code(), Some(3), "{bundle}: {said}");
    Ok(said)
}

/// A copy of the bundle with the byte at `position` (of 1000) flipped.
fn flipped(bundle: &Path, to: &Path, position: u64) -> anyhow::Result<()> {
    let mut bytes = fs::read(bundle)?;
    let index = usize::try_from(bytes.len() as u64 * position / 1000)?;
    bytes[index] ^= 0xFF;
    Ok(fs::write(to, bytes)?)
}

#[test]
fn bad_bundles_are_refused_and_the_host_stays_as_it_was() -> anyhow::Result<()> {
    let carried = carried();
    let lab = Lab::boot("one-refusals", 1)?;
    let host = &lab.hosts()[0];
    carried.carry_into(host)?;
    copy_in(host, &carried.file("unsigned.tar.zst"), "unsigned.tar.zst")?;
    copy_in(host, &carried.file("stranger.pub"), "stranger.pub")?;
    let bundle = carried.file("bundle.tar.zst");
    let length = bundle.metadata()?.len();
    for (name, position) in [("head", 0), ("middle", 500), ("last", 990)] {
        let damaged = carried.file(&format!("flipped-{name}.tar.zst"));
        flipped(&bundle, &damaged, position)?;
        copy_in(host, &damaged, &format!("flipped-{name}.tar.zst"))?;
        fs::remove_file(damaged)?;
    }
    host.sh(&format!("cd {STICK} && head -c {} bundle.tar.zst > truncated.tar.zst", length - 1000))?;
    let before = Snapshot::of(host)?;

    let said = refused(host, "unsigned.tar.zst", "signing.pub")?;
    assert!(said.contains("not signed"), "{said}");
    let said = refused(host, "bundle.tar.zst", "stranger.pub")?;
    assert!(said.contains("not by a trusted key"), "{said}");
    for name in ["flipped-head", "flipped-middle", "flipped-last", "truncated"] {
        let said = refused(host, &format!("{name}.tar.zst"), "signing.pub")?;
        assert!(said.contains("hint:"), "{name}: {said}");
    }
    before.assert_same(&Snapshot::of(host)?, "after refusals");
    lab.down()
}

/// The built-in catalog's pins are the genuine ones, so what the lab serves is not taken for upstream's.
/// Images are resolved first, so the refusal is that of a manifest; a program's would come after it.
#[test]
fn what_the_lab_serves_is_refused_against_the_genuine_pins() -> anyhow::Result<()> {
    let tree = mirror_tree()?;
    let kubelet = tree.join(format!("http/dl.k8s.io/release/v{KUBERNETES}/bin/linux/amd64/kubelet"));
    let catalog = tree.join("catalog.yaml");
    let server = TcpListener::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    thread::spawn(move || server.incoming().flatten().try_for_each(|connection| serve(connection, &kubelet, &catalog)));
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("never.tar.zst");
    let error = kbundle(&[
        "build",
        "--k8s",
        "1.25.2",
        "--unsigned",
        "--retries",
        "0",
        "--jobs",
        "1",
        "--cache",
        &folder.path().join("cache").display().to_string(),
        "--mirror",
        &format!("dl.k8s.io=http://{address}"),
        "--mirror",
        &format!("github.com=http://{address}"),
        "--mirror",
        &format!("registry.k8s.io=http://{address}"),
        "--mirror",
        &format!("docker.io=http://{address}"),
        "--mirror",
        &format!("raw.githubusercontent.com=http://{address}"),
        "--out",
        &out.display().to_string(),
    ]);
    let error = error.expect_err("a build from the lab's files succeeded").to_string();
    assert!(error.contains("instead of sha256:") || error.contains("expected sha256:"), "{error}");
    assert!(!out.exists());
    Ok(())
}

/// Answers one request: a registry's with `manifest`, any other with `file`.
fn serve(mut connection: TcpStream, file: &Path, manifest: &Path) -> io::Result<()> {
    let mut request = BufReader::new(connection.try_clone()?).lines();
    let line = request.next().transpose()?.unwrap_or_default();
    let file = if line.contains(" /v2/") { manifest } else { file };
    while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = file.metadata()?.len();
    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    // A client that has seen enough hangs up.
    drop(io::copy(&mut fs::File::open(file)?, &mut connection));
    Ok(())
}
