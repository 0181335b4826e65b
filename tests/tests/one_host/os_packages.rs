//! A bare host, without conntrack, socat, ethtool and iptables, gets them from the bundle as packages of its distribution.
//!
//! The packages are Debian's own, which apt fetches and verifies on this machine. The archive around them, its key and its server are the test's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::cluster::Cluster;
use lab::connected::{NEWEST, STICK, carried, copy_in};
use lab::{Host, Lab};

/// What hosts lose, and get back. systemd needs iptables' other library, libip4tc2, so that every host has it.
const PACKAGES: &str = "conntrack ethtool iptables socat libip6tc2 libnetfilter-conntrack3 libnfnetlink0";
const PROGRAMS: &str = "conntrack ethtool iptables socat";
const RUN: &str = "./kinstall run bundle.tar.zst --key signing.pub";

/// Runs a line of shell on this machine.
fn run(script: &str) -> anyhow::Result<()> {
    let output = Command::new("bash").args(["-euc", script]).output()?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Fetches the packages, and makes an archive of them below `folder`, signed by a key that is made for it.
fn archive(folder: &Path) -> anyhow::Result<()> {
    let place = folder.display();
    run(&format!(
        "mkdir -p {place}/pool {place}/dists/bookworm/main/binary-amd64 && cd {place}/pool && apt-get -qq download {PACKAGES} && cd .. && \
         for deb in pool/*.deb; do dpkg-deb --field $deb; echo Filename: $deb; echo Size: $(stat -c %s $deb); \
         echo SHA256: $(sha256sum <$deb | cut -d' ' -f1); echo; done | xz >dists/bookworm/main/binary-amd64/Packages.xz"
    ))?;
    run(&format!(
        "cd {place}/dists/bookworm && index=main/binary-amd64/Packages.xz && {{ echo Codename: bookworm; echo SHA256:; \
         echo \" $(sha256sum <$index | cut -d' ' -f1) $(stat -c %s $index) $index\"; }} >Release && mkdir -m 700 {place}/keys && \
         gpg='gpg --homedir {place}/keys --batch --pinentry-mode loopback --passphrase-file /dev/null' && \
         $gpg --quick-generate-key archive@example.com ed25519 sign never && $gpg --export >{place}/archive.gpg && \
         $gpg --clear-sign --output InRelease Release && gpgconf --homedir {place}/keys --kill all"
    ))?;
    Ok(())
}

/// Serves the files below `folder` on loopback until the test ends; the port.
fn serve(folder: PathBuf) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            // The request has to be read to its end, or closing the connection resets it.
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
            let content = fs::read(folder.join(path));
            let status = if content.is_ok() { "200 OK" } else { "404 Not Found" };
            let content = content.unwrap_or_default();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
            // A client that hangs up fails by itself.
            drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content)));
        }
    });
    Ok(port)
}

fn present(host: &Host) -> anyhow::Result<String> {
    host.sh(&format!(
        "for program in {PROGRAMS}; do command -v $program >/dev/null && echo -n \"$program \"; done; true"
    ))
}

#[test]
#[ignore = "three minutes, and fetches packages of Debian: ./ci/test nightly"]
fn a_host_without_conntrack_socat_ethtool_and_iptables_is_made_ready_by_the_bundle() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::boot("one-os-packages", 1)?;
    let host = &lab.hosts()[0];
    host.sh(&format!("dpkg --purge {PACKAGES}"))?;
    ensure!(present(host)?.trim().is_empty(), "{} are still there", present(host)?);
    fs::write(folder.path().join("installed"), host.sh("dpkg-query --show --showformat '${Package}\\n'")?)?;

    archive(folder.path())?;
    let port = serve(folder.path().to_owned())?;
    let settings = format!(
        "schema: 1\nos-packages:\n- {{distribution: debian-12, keyring: archive.gpg, mirror: 'http://127.0.0.1:{port}', \
         suites: [bookworm], installed: installed}}\n"
    );
    fs::write(folder.path().join("bundle.yaml"), settings)?;
    let carried = carried(NEWEST, "bridge");
    let plain = carried.file("bundle.tar.zst");
    let bundle = carried.build_with_site(&folder.path().join("bundle.yaml"))?;
    carried.carry_into(host)?;

    // The plain bundle is refused, and nothing has changed.
    let refused = host.sh(&format!("cd {STICK} && {RUN} 2>&1 && echo installed; true"))?;
    ensure!(refused.contains("failed the check programs") && !refused.contains("installed\n"), "{refused}");
    ensure!(plain != bundle, "the site's bundle is another file");
    copy_in(host, &bundle, "bundle.tar.zst")?;
    let planned = host.sh(&format!("cd {STICK} && {RUN} --dry-run 2>&1"))?;
    ensure!(planned.contains("conntrack is not installed"), "{planned}");
    ensure!(present(host)?.trim().is_empty(), "a dry run installs nothing");

    host.sh(&format!("cd {STICK} && {RUN} 2>&1"))?;
    let found = present(host)?;
    ensure!(found.trim() == PROGRAMS, "{found}");
    host.sh("conntrack --version && iptables --version && test ! -e /usr/sbin/policy-rc.d")?;
    let audit = host.sh("dpkg --audit")?;
    ensure!(audit.trim().is_empty(), "{audit}");
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    cluster.assert_nothing_was_pulled()?;
    host.sh(&format!("cd {STICK} && {RUN} --assert-no-op 2>&1"))?;

    let reset = host.sh(&format!("{STICK}/kinstall reset --yes 2>&1")).context("the reset")?;
    ensure!(reset.contains("packages that kinstall has installed stay: conntrack, ethtool"), "{reset}");
    ensure!(present(host)?.trim() == PROGRAMS, "the packages stay");
    lab.down()
}
