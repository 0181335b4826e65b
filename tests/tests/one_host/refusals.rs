//! What must not be installed is refused, and the host is left as it was.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use fs_err as fs;
use lab::{Host, Lab, mirror_tree};

use lab::connected::{NEWEST, OLDEST, STICK, carried, copy_in, kbundle};
use lab::files::Snapshot;

/// Where dl.k8s.io has the kubelet of 1.25.2, and the digest of the genuine file.
const KUBELET_1_25_2: &str = "/release/v1.25.2/bin/linux/amd64/kubelet";
const GENUINE_KUBELET_1_25_2: &str = "631e31b3ec648f920292fdc1bde46053cca5d5c71d622678d86907d556efaea3";

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
    let carried = carried(NEWEST, "bridge");
    let lab = Lab::boot("one-refusals", 1)?;
    let host = &lab.hosts()[0];
    carried.carry_into(host)?;
    copy_in(host, &carried.file("unsigned.tar.zst"), "unsigned.tar.zst")?;
    copy_in(host, &carried.file("stranger.pub"), "stranger.pub")?;
    copy_in(host, &carried.build_arm64()?, "arm64.tar.zst")?;
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
    let said = refused(host, "arm64.tar.zst", "signing.pub")?;
    assert!(said.contains("the bundle is for linux/arm64, this kinstall is for linux/amd64"), "{said}");
    for name in ["flipped-head", "flipped-middle", "flipped-last", "truncated"] {
        let said = refused(host, &format!("{name}.tar.zst"), "signing.pub")?;
        assert!(said.contains("hint:"), "{name}: {said}");
    }
    before.assert_same(&Snapshot::of(host)?, "after refusals");
    lab.down()
}

/// The built-in catalog's pins are the genuine ones, so the lab's own kubelet is not taken for upstream's.
#[test]
fn the_labs_kubelet_is_refused_against_the_genuine_pin() -> anyhow::Result<()> {
    let kubelet = mirror_tree()?.join(format!("http/dl.k8s.io/release/v{OLDEST}/bin/linux/amd64/kubelet"));
    let actual = fs::read_to_string(kubelet.with_added_extension("sha256"))?;
    let server = TcpListener::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    thread::spawn(move || server.incoming().flatten().try_for_each(|connection| serve(connection, &kubelet)));
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut arguments =
        ["build", "--k8s", OLDEST, "--cni", "bridge", "--load-balancer", "none", "--unsigned", "--jobs", "16"]
            .map(str::to_owned)
            .to_vec();
    arguments.extend(["--cache".to_owned(), path("cache"), "--out".to_owned(), path("never.tar.zst")]);
    for host in ["dl.k8s.io", "github.com", "registry.k8s.io"] {
        arguments.extend(["--mirror".to_owned(), format!("{host}=http://{address}/{host}")]);
    }

    let error = kbundle(&arguments).expect_err("a build from the lab's kubelet succeeded").to_string();
    let url = format!("http://{address}/dl.k8s.io{KUBELET_1_25_2}");
    let refusal =
        format!("error: {url} has digest sha256:{} instead of sha256:{GENUINE_KUBELET_1_25_2}", actual.trim());
    assert!(error.contains(&refusal) && error.contains("exit status: 3"), "{error}");
    assert!(!folder.path().join("never.tar.zst").exists());
    Ok(())
}

/// Answers one request: for the kubelet with `kubelet`; any other is put off, and kbundle asks for it again later.
fn serve(mut connection: TcpStream, kubelet: &Path) -> io::Result<()> {
    let mut request = BufReader::new(connection.try_clone()?).lines();
    let line = request.next().transpose()?.unwrap_or_default();
    while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    if !line.contains(&format!("{KUBELET_1_25_2} ")) {
        return write!(connection, "HTTP/1.1 503 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let length = kubelet.metadata()?.len();
    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    io::copy(&mut fs::File::open(kubelet)?, &mut connection)?;
    Ok(())
}
