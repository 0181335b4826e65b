//! Packages of distributions, from an archive with packages by dpkg-deb, an index compressed by xz, and a suite signed by gpg.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use fs_err as fs;
use kbundle_format::Digest;
use serde_json::Value;

use crate::server::Answer;
use crate::upstream::{Upstream, failure, success};

/// A package: its fields in addition to name, architecture and priority.
struct Deb {
    name: &'static str,
    version: &'static str,
    architecture: &'static str,
    more: &'static str,
}

const fn deb(name: &'static str, version: &'static str, more: &'static str) -> Deb {
    Deb { name, version, architecture: "amd64", more }
}

const DEBS: [Deb; 6] = [
    deb("conntrack", "1:1.4.7-1+b2", "Depends: libc6 (>= 2.36), libmnl0 (>= 1.0.3~rc1) | libold0"),
    deb("libmnl0", "1.0.4~deb12u1", "Pre-Depends: libc6"),
    deb("libc6", "2.36-9", "Priority: required"),
    deb("socat", "1.7.4.4-2", "Depends: netbase, terminal-emulator"),
    Deb { name: "netbase", version: "6.4", architecture: "all", more: "Priority: optional" },
    deb("xterm", "379-1", "Provides: terminal-emulator"),
];

/// The path of the suite.
const DISTS: &str = "/debian/dists/bookworm";

/// An archive with one suite, and the folder with its key.
struct Archive {
    upstream: Upstream,
    /// `gpg --homedir`.
    keys: tempfile::TempDir,
    packages: String,
    /// Fields of the suite in addition to its digests.
    fields: String,
}

impl Drop for Archive {
    fn drop(&mut self) {
        stop_agent(self.keys.path());
    }
}

fn stop_agent(keys: &Path) {
    let _ = Command::new("gpgconf").arg("--homedir").arg(keys).args(["--kill", "all"]).status();
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn gpg(keys: &Path) -> Command {
    let mut gpg = Command::new("gpg");
    gpg.arg("--homedir").arg(keys).args(["--batch", "--pinentry-mode", "loopback", "--passphrase", ""]);
    gpg
}

/// A folder with a key that signs by a subkey, as those of archives do.
fn new_key() -> tempfile::TempDir {
    let keys = tempfile::Builder::new().prefix("gpg").tempdir().unwrap();
    run(gpg(keys.path()).args(["--quick-generate-key", "archive@example.com", "rsa2048", "cert", "never"]));
    let listed = run(gpg(keys.path()).args(["--list-keys", "--with-colons"]));
    let listed = String::from_utf8(listed).unwrap();
    let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
    let fingerprint = line.split(':').nth(9).unwrap();
    run(gpg(keys.path()).args(["--quick-add-key", fingerprint, "ed25519", "sign", "never"]));
    keys
}

/// The output of `command` for `input`.
fn filter(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    fs::write(&file, input).unwrap();
    run(command.stdin(Stdio::from(fs::File::open(file).unwrap().into_parts().0)))
}

impl Archive {
    fn new() -> Self {
        let mut archive = Self {
            upstream: Upstream::new(),
            keys: new_key(),
            packages: String::new(),
            fields: "Suite: oldstable\nCodename: bookworm\nValid-Until: Sat, 01 Jan 2089 00:00:00 UTC\n".to_owned(),
        };
        for deb in &DEBS {
            archive.add(deb);
        }
        let public = run(gpg(archive.keys.path()).arg("--export"));
        fs::write(archive.upstream.path("archive.gpg"), public).unwrap();
        let settings = format!(
            "schema: 1\nos-packages:\n- {{distribution: debian-12, keyring: archive.gpg, mirror: 'http://127.0.0.1:{}/debian', \
             suites: [bookworm], packages: [conntrack, socat]}}\n",
            archive.upstream.server.port()
        );
        fs::write(archive.upstream.path("bundle.yaml"), settings).unwrap();
        archive.publish();
        archive
    }

    fn add(&mut self, deb: &Deb) {
        let paragraph = self.make("/debian", deb);
        self.packages.push_str(&paragraph);
    }

    /// Makes a package and serves it below `root`. Returns its paragraph for an index.
    fn make(&self, root: &str, deb: &Deb) -> String {
        let folder = tempfile::tempdir().unwrap();
        let control = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: Test <test@example.com>\n{}\nDescription: made for a test\n long text\n",
            deb.name, deb.version, deb.architecture, deb.more
        );
        fs::create_dir(folder.path().join("DEBIAN")).unwrap();
        fs::write(folder.path().join("DEBIAN/control"), &control).unwrap();
        let file = self.upstream.path("made.deb");
        run(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(folder.path()).arg(&file));
        let content = fs::read(&file).unwrap();
        let path = format!("pool/main/{}.deb", deb.name);
        self.upstream.server.serve(&format!("{root}/{path}"), &content);
        format!("{control}Filename: {path}\nSize: {}\nSHA256: {}\n\n", content.len(), Digest::of(&content).hex())
    }

    /// Serves the index and the document of the suite.
    fn publish(&self) {
        let release = self.release(DISTS, &self.fields, &self.packages);
        self.serve_release(&self.sign(&release));
    }

    /// Serves an index of `packages` below `suite`. Returns the document that has its digest, unsigned.
    fn release(&self, suite: &str, fields: &str, packages: &str) -> String {
        let index = filter(Command::new("xz").arg("-9"), packages.as_bytes());
        let line = format!("{} {} main/binary-amd64/Packages.xz", Digest::of(&index).hex(), index.len());
        self.upstream.server.serve(&format!("{suite}/main/binary-amd64/Packages.xz"), &index);
        format!("{fields}Date: Sat, 28 Nov 2026 00:00:00 UTC\nSHA256:\n {line}\n")
    }

    /// Serves the document of the suite and its signatures as two files, as old archives do.
    fn serve_detached(&self, release: &str, signature: &[u8]) {
        self.upstream.server.answer(&format!("{DISTS}/InRelease"), [Answer::Status(404)]);
        self.upstream.server.serve(&format!("{DISTS}/Release"), release.as_bytes());
        self.upstream.server.serve(&format!("{DISTS}/Release.gpg"), signature);
    }

    fn sign_detached(&self, text: &str, more: &[&str]) -> Vec<u8> {
        filter(gpg(self.keys.path()).args(more).arg("--detach-sign"), text.as_bytes())
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        filter(gpg(self.keys.path()).arg("--clear-sign"), text.as_bytes())
    }

    fn serve_release(&self, document: &[u8]) {
        self.upstream.server.serve(&format!("{DISTS}/InRelease"), document);
    }

    fn build(&self, more: &[&str]) -> Output {
        let flags = ["--file=bundle.yaml", "--unsigned", "--retries=0", "--out=bundle.tar.zst"];
        self.upstream.build(&[&flags[..], more].concat())
    }

    /// The same from `kbundle.lock`.
    fn build_locked(&self) -> Output {
        let port = self.upstream.server.port();
        let mirrors = [
            format!("--mirror=dl.k8s.io=http://127.0.0.1:{port}/dl"),
            format!("--mirror=registry.k8s.io=http://127.0.0.1:{port}"),
        ];
        let flags =
            ["build", "--locked=kbundle.lock", "--unsigned", "--cache=cache", "--force", "--out=bundle.tar.zst"];
        self.upstream.kbundle(flags.into_iter().chain(mirrors.iter().map(String::as_str)))
    }

    /// The message of a refused build, after which there is no bundle.
    fn refused(&self) -> String {
        let (code, text) = failure(&self.build(&[]));
        assert_eq!(code, 3, "{text}");
        assert!(!self.upstream.path("bundle.tar.zst").exists());
        text
    }
}

/// Path, version, platform and pin of the packages in the bundle.
fn listed(upstream: &Upstream) -> Vec<String> {
    let shown = success(&upstream.kbundle(["inspect", "bundle.tar.zst", "--output=json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let entries = shown["list"]["entries"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    entries
        .filter(|entry| entry["kind"] == "os-package")
        .map(|entry| {
            let [path, version] = [&entry["path"], &entry["component"]["version"]].map(text);
            format!("{path} {version} {} {}", text(&entry["platform"]), text(&entry["origin"]["pin"]))
        })
        .collect()
}

#[test]
fn packages_come_with_all_that_they_need_and_the_base_lacks() {
    let archive = Archive::new();
    let upstream = &archive.upstream;
    success(&archive.build(&[]));
    assert_eq!(
        listed(upstream),
        [
            "os-packages/debian-12/libmnl0_1.0.4-deb12u1_amd64.deb 1.0.4~deb12u1 linux/amd64 upstream-checksum",
            "os-packages/debian-12/conntrack_1-1.4.7-1+b2_amd64.deb 1:1.4.7-1+b2 linux/amd64 upstream-checksum",
            "os-packages/debian-12/netbase_6.4_all.deb 6.4 - upstream-checksum",
            "os-packages/debian-12/xterm_379-1_amd64.deb 379-1 linux/amd64 upstream-checksum",
            "os-packages/debian-12/socat_1.7.4.4-2_amd64.deb 1.7.4.4-2 linux/amd64 upstream-checksum",
        ]
    );
    let sbom = success(&upstream.kbundle(["sbom", "bundle.tar.zst", "--unsigned", "--format", "cyclonedx"]));
    assert!(sbom.contains("pkg:deb/debian/conntrack@1:1.4.7-1%2Bb2?arch=amd64&distro=debian-12"), "{sbom}");

    // dpkg reads the packages in the bundle.
    success(&upstream.kbundle(["extract", "bundle.tar.zst", "-C", "all", "--unsigned"]));
    let deb = upstream.path("all/os-packages/debian-12/netbase_6.4_all.deb");
    let version = run(Command::new("dpkg-deb").args(["--field"]).arg(deb).arg("Version"));
    assert_eq!(String::from_utf8(version).unwrap().trim(), "6.4");
}

#[test]
fn a_lock_fetches_the_same_packages_after_the_archive_has_moved_on() {
    let mut archive = Archive::new();
    success(&archive.upstream.run("lock", &["--file=bundle.yaml", "--out=kbundle.lock"]));
    let lock = fs::read_to_string(archive.upstream.path("kbundle.lock")).unwrap();
    assert!(lock.contains("signed by the OpenPGP key ") && lock.contains("kind: os-package"), "{lock}");
    success(&archive.build_locked());
    let before = listed(&archive.upstream);

    archive.add(&deb("conntrack", "1:1.4.8-1", "Depends: libc6"));
    archive.publish();
    // The file of the old version is in the cache; no document is asked for.
    let asked = archive.upstream.server.requests("/debian/dists/bookworm/InRelease").len();
    success(&archive.build_locked());
    assert_eq!(listed(&archive.upstream), before);
    assert_eq!(archive.upstream.server.requests("/debian/dists/bookworm/InRelease").len(), asked);

    success(&archive.build(&[]));
    assert!(listed(&archive.upstream)[0].starts_with("os-packages/debian-12/conntrack_1-1.4.8-1_amd64.deb"));
}

#[test]
fn what_the_archive_did_not_sign_is_refused() {
    let mut archive = Archive::new();
    let release = "/debian/dists/bookworm/InRelease";

    let other = new_key();
    let own = std::mem::replace(&mut archive.keys, other);
    archive.publish();
    let text = archive.refused();
    assert!(
        text.contains(&format!("{release} has no signature by a key of archive.gpg: other keys signed it")),
        "{text}"
    );
    stop_agent(archive.keys.path());
    archive.keys = own;

    let document = String::from_utf8(archive.sign("Codename: bookworm\nSHA256:\n")).unwrap();
    archive.serve_release(document.replace("bookworm", "bullseye").as_bytes());
    let text = archive.refused();
    assert!(text.contains("is not of this content"), "{text}");
    archive.serve_release(b"Codename: bookworm\nSHA256:\n");
    assert!(archive.refused().contains("has no signature by a key of archive.gpg"));

    archive.fields = "Suite: stable\nCodename: trixie\n".to_owned();
    archive.publish();
    assert!(archive.refused().contains(&format!("{release} is for the suite stable, trixie instead of bookworm")));

    archive.fields = "Codename: bookworm\nValid-Until: Thu, 01 Jan 2026 00:00:00 UTC\n".to_owned();
    archive.publish();
    let text = archive.refused();
    assert!(text.contains(&format!("{release} was valid until Thu, 01 Jan 2026 00:00:00 UTC")), "{text}");
}

#[test]
fn signatures_may_lie_beside_the_document() {
    let mut archive = Archive::new();
    let release = archive.release(DISTS, &archive.fields, &archive.packages);
    for more in [&["--armor"][..], &[]] {
        archive.serve_detached(&release, &archive.sign_detached(&release, more));
        success(&archive.build(&[]));
        assert!(listed(&archive.upstream).iter().any(|line| line.contains("/conntrack_")), "{more:?}");
    }
    fs::remove_file(archive.upstream.path("bundle.tar.zst")).unwrap();

    let signature = archive.sign_detached(&release, &[]);
    archive.serve_detached(&release.replace("oldstable", "stable"), &signature);
    let text = archive.refused();
    assert!(
        text.contains(&format!("{DISTS}/Release has no signature by a key of archive.gpg: the signature by ")),
        "{text}"
    );
    assert!(text.contains("is not of this content"), "{text}");
    archive.serve_detached(&release, b"no signature");
    assert!(archive.refused().contains(&format!("{DISTS}/Release has no signature by a key of archive.gpg")));
    archive.serve_detached(&release, b"");
    assert!(archive.refused().contains(&format!("{DISTS}/Release has no signature by a key of archive.gpg")));

    let other = new_key();
    let own = std::mem::replace(&mut archive.keys, other);
    archive.serve_detached(&release, &archive.sign_detached(&release, &["--armor"]));
    assert!(archive.refused().contains("archive.gpg: other keys signed it"));
    stop_agent(archive.keys.path());
    archive.keys = own;

    archive.upstream.server.answer(&format!("{DISTS}/Release.gpg"), [Answer::Status(404)]);
    let (code, text) = failure(&archive.build(&[]));
    assert!(code == 1 && text.contains("/Release.gpg") && text.contains("404"), "{text}");
    archive.upstream.server.answer(&format!("{DISTS}/Release"), [Answer::Status(404)]);
    let (code, text) = failure(&archive.build(&[]));
    assert!(code == 1 && text.contains("/InRelease") && text.contains("404"), "{text}");
    assert!(!archive.upstream.path("bundle.tar.zst").exists());
}

#[test]
fn the_newest_package_of_all_archives_counts() {
    let archive = Archive::new();
    let suite = "/security/dists/bookworm-security";
    let newer = archive.make("/security", &deb("conntrack", "1:1.4.7-1+deb12u3", "Depends: libmnl0"));
    let older = archive.make("/security", &deb("libmnl0", "1.0.3-1", "Priority: optional"));
    let fields = "Suite: oldstable-security\nCodename: bookworm-security\n";
    let release = archive.release(suite, fields, &format!("{newer}{older}"));
    archive.upstream.server.serve(&format!("{suite}/InRelease"), &archive.sign(&release));
    let file = archive.upstream.path("bundle.yaml");
    let security = format!("security-mirror: 'http://127.0.0.1:{}/security', suites", archive.upstream.server.port());
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("suites", &security)).unwrap();
    success(&archive.build(&[]));
    let packages = listed(&archive.upstream);
    let has = |name: &str| packages.iter().any(|line| line.contains(name));
    assert!(has("/conntrack_1-1.4.7-1+deb12u3_") && has("/libmnl0_1.0.4-deb12u1_"), "{packages:?}");
    let asked = |path: &str| archive.upstream.server.requests(path).len();
    assert_eq!((asked("/security/pool/main/conntrack.deb"), asked("/debian/pool/main/conntrack.deb")), (1, 0));

    // Each archive has to be signed by its own key.
    fs::remove_file(archive.upstream.path("bundle.tar.zst")).unwrap();
    archive.upstream.server.serve(&format!("{suite}/InRelease"), release.as_bytes());
    assert!(archive.refused().contains(&format!("{suite}/InRelease has no signature by a key of archive.gpg")));
}

#[test]
fn an_altered_index_and_an_altered_package_are_refused() {
    let archive = Archive::new();
    let index = "/debian/dists/bookworm/main/binary-amd64/Packages.xz";
    let altered = archive.packages.replace("libold0", "libnew0");
    archive.upstream.server.serve(index, &filter(Command::new("xz").arg("-9"), altered.as_bytes()));
    let text = archive.refused();
    assert!(text.contains("Packages.xz has"), "{text}");
    archive.publish();
    archive.upstream.server.serve("/debian/pool/main/conntrack.deb", &[0; 700]);
    let text = archive.refused();
    assert!(text.contains("pool/main/conntrack.deb has digest "), "{text}");
}

#[test]
fn a_package_that_no_suite_has_is_a_mistake_of_the_file() {
    let archive = Archive::new();
    let file = archive.upstream.path("bundle.yaml");
    let settings = fs::read_to_string(&file).unwrap().replace("[conntrack, socat]", "[contrack]");
    fs::write(&file, settings).unwrap();
    let (code, text) = failure(&archive.build(&[]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("no suite has the package contrack for amd64"), "{text}");
    let shown = archive.build(&["--dry-run"]);
    success(&shown);
    assert!(failure(&shown).1.contains("packages of distributions are not counted"));
}
