//! `ctr`, containerd's own client, in the namespace that the kubelet's images are in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;
use kbundle_format::{Digest, Platform};

use crate::host::{Command, Feed, Host};

const PROGRAM: &str = "/usr/local/bin/ctr";
/// The label by which containerd's CRI plugin, since 1.7, tells the kubelet that an image is pinned.
const PINNED: &str = "io.cri-containerd.pinned=pinned";
/// The label by which containerd's garbage collector knows what to keep (docs/garbage-collection.md of containerd).
const ROOT: &str = "containerd.io/gc.root";

/// A read-only snapshot that exists only while its directories are read.
const VIEW: &str = "kinstall-status";

fn ctr(arguments: &[&str]) -> Command {
    let common = ["--address=/run/containerd/containerd.sock", "--namespace=k8s.io"];
    Command::new(PROGRAM, common.iter().chain(arguments).copied())
}

/// Images whose content is complete and that are unpacked, by name.
pub struct Present(BTreeMap<String, Digest>);

impl Present {
    /// Whether `name` exists and refers to `target`.
    #[must_use]
    pub fn has(&self, name: &str, target: &Digest) -> bool {
        self.0.get(name) == Some(target)
    }
}

/// The images that could be started at present.
pub fn images(host: &Host) -> anyhow::Result<Present> {
    Ok(Present(parse_check(&host.run(&ctr(&["images", "check"]))?.stdout)?))
}

/// Reads the table that `ctr images check` prints: name, type, digest, status (`complete (3/3)`), size, unpacked.
///
/// # Errors
/// The first row of another form: the images are then unknown.
fn parse_check(table: &str) -> anyhow::Result<BTreeMap<String, Digest>> {
    let mut present = BTreeMap::new();
    for line in rows(table) {
        let row = || {
            let mut fields = line.split_whitespace();
            let (name, digest, status) = (fields.next()?, fields.nth(1)?.parse().ok()?, fields.next()?);
            let unpacked: bool = fields.next_back()?.parse().ok()?;
            Some((name, digest, status == "complete" && unpacked))
        };
        let (name, digest, is_ready) = row().with_context(|| unreadable("images check", line))?;
        if is_ready {
            present.insert(name.to_owned(), digest);
        }
    }
    Ok(present)
}

/// The lines below the heading.
fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().skip(1).filter(|line| !line.trim().is_empty())
}

fn unreadable(command: &str, line: &str) -> String {
    format!("`ctr {command}` printed a row that cannot be read: `{}`", line.trim())
}

/// The names of all images.
pub fn names(host: &Host) -> anyhow::Result<BTreeSet<String>> {
    Ok(host.run(&ctr(&["images", "list", "--quiet"]))?.stdout.lines().map(str::to_owned).collect())
}

/// Every image's name, with the index or manifest that it refers to.
pub fn targets(host: &Host) -> anyhow::Result<BTreeMap<String, Digest>> {
    parse_targets(&host.run(&ctr(&["images", "list"]))?.stdout)
}

/// Reads the table that `ctr images list` prints: name, type, digest, and more.
fn parse_targets(table: &str) -> anyhow::Result<BTreeMap<String, Digest>> {
    let target = |line: &str| {
        let mut fields = line.split_whitespace();
        let mut row = || Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?));
        row().with_context(|| unreadable("images list", line))
    };
    rows(table).map(target).collect()
}

/// Every container, including ended ones, with the name of its image: the kubelet's containers, and those that others made in its
/// namespace.
pub fn containers(host: &Host) -> anyhow::Result<BTreeMap<String, String>> {
    parse_containers(&host.run(&ctr(&["containers", "list"]))?.stdout)
}

/// Reads the table that `ctr containers list` prints: id, image (`-` if there is none), runtime.
fn parse_containers(table: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let container = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [id, image, ..] = fields[..] else { return Err(anyhow::anyhow!(unreadable("containers list", line))) };
        Ok((id.to_owned(), image.to_owned()))
    };
    rows(table).map(container).collect()
}

/// Content that the collector keeps because of kinstall's label.
pub fn kept_content(host: &Host) -> anyhow::Result<BTreeSet<Digest>> {
    parse_kept(&host.run(&ctr(&["content", "list"]))?.stdout)
}

/// Reads the table that `ctr content list` prints: digest, size, age, labels.
fn parse_kept(table: &str) -> anyhow::Result<BTreeSet<Digest>> {
    let digest = |line: &str| {
        let digest = line.split_whitespace().next().and_then(|first| first.parse().ok());
        digest.with_context(|| unreadable("content list", line))
    };
    rows(table).filter(|line| line.contains(&format!("{ROOT}="))).map(digest).collect()
}

/// `ctr images import`, with the options of this host's `ctr`.
pub struct Importer(Command);

impl Importer {
    /// Asks `ctr` which options it has.
    pub fn find(host: &Host, platform: &Platform) -> anyhow::Result<Self> {
        let help = host.run(&ctr(&["images", "import", "--help"]))?.stdout;
        Ok(Self(import_command(&help, platform)))
    }

    /// Imports an OCI archive, which `feed` writes, into containerd, and lets containerd unpack it.
    pub fn import(&self, host: &Host, feed: Feed<'_>) -> anyhow::Result<()> {
        host.feed(&self.0, feed)?;
        Ok(())
    }
}

/// The command that imports its input for `platform` only; `help` is the output of its `--help`.
///
/// - `--platform`: without it, `ctr` requires the content of related platforms too (386 on amd64), which is missing.
/// - `--local`, which 1.6 lacks and 1.7 does anyway: the transfer service of 2.0 does not unpack an image whose config states
///   another architecture than its index (`plugins/transfer`, before `check_platform_supported`).
/// - `--sync-fs`, newer still: files reach the disk before the snapshot counts as made.
fn import_command(help: &str, platform: &Platform) -> Command {
    let platform = format!("--platform={platform}");
    let mut arguments = vec!["images", "import", &platform];
    arguments.extend(["--local", "--sync-fs"].into_iter().filter(|flag| help.contains(flag)));
    arguments.push("-");
    ctr(&arguments)
}

/// Tells containerd, since 1.7, that an image is pinned; one of its names is enough.
pub fn pin(host: &Host, name: &str) -> anyhow::Result<()> {
    host.run(&ctr(&["images", "label", name, PINNED]))?;
    Ok(())
}

/// Protects an index or a manifest, and the content that it names, from containerd's collector.
pub fn keep_content(host: &Host, digest: &Digest) -> anyhow::Result<()> {
    host.run(&ctr(&["content", "label", &digest.to_string(), &format!("{ROOT}=kinstall")]))?;
    Ok(())
}

/// The directories that a committed snapshot is made of, the lowest first.
///
/// containerd shows them only for a view, so a view is made and removed.
pub fn snapshot_directories(host: &Host, snapshot: &Digest) -> anyhow::Result<Vec<PathBuf>> {
    let remove = ctr(&["snapshots", "rm", VIEW]);
    // A run that was cut off may have left the view; usually there is none.
    host.try_run(&remove)?;
    let view = ctr(&["snapshots", "view", "--target=/", VIEW, &snapshot.to_string()]);
    let mount = host.run(&view)?.stdout;
    // No lease holds the view. So the collector may remove it first, and does so if this fails.
    host.try_run(&remove)?;
    parse_mount(&mount).with_context(|| format!("`{view}` said `{}`", mount.trim()))
}

/// Reads `mount -t overlay overlay / -o …,lowerdir=TOP:…:LOWEST`, or for a single layer `mount -t bind DIRECTORY / -o …`.
fn parse_mount(mount: &str) -> Option<Vec<PathBuf>> {
    let words: Vec<_> = mount.split_whitespace().collect();
    let [.., "-t", kind, source, "/", "-o", options] = words[..] else { return None };
    if kind == "bind" {
        return Some(vec![source.into()]);
    }
    let lower = options.split(',').find_map(|option| option.strip_prefix("lowerdir="))?;
    Some(lower.split(':').rev().map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_and_unpacked_images_are_present() {
        let digest = Digest::of(b"");
        let table = format!(
            "REF TYPE DIGEST STATUS SIZE UNPACKED\n\
             r.io/whole:1 application/vnd.oci.image.manifest.v1+json {digest} complete (3/3) 1.0 MiB/1.0 MiB true\n\
             r.io/packed:1 application/vnd.oci.image.manifest.v1+json {digest} complete (3/3) 1.0 MiB/1.0 MiB false\n\
             r.io/part:1 application/vnd.oci.image.manifest.v1+json {digest} incomplete (2/3) 0.5 MiB/1.0 MiB false\n"
        );
        assert_eq!(parse_check(&table).unwrap().into_keys().collect::<Vec<_>>(), ["r.io/whole:1"]);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_an_error_and_no_missing_image() {
        let digest = Digest::of(b"");
        for row in
            ["r.io/a:1 type sha256:12 complete (3/3) 1 true", "r.io/a:1", "r.io/a:1 type DIGEST complete (3/3) 1 yes"]
        {
            let row = row.replace("DIGEST", &digest.to_string());
            let error = parse_check(&format!("REF TYPE DIGEST STATUS SIZE UNPACKED\n{row}\n")).unwrap_err();
            assert_eq!(error.to_string(), format!("`ctr images check` printed a row that cannot be read: `{row}`"));
        }
        let table =
            format!("DIGEST SIZE AGE LABELS\n{digest} 1B 1s containerd.io/gc.root=kinstall\n{digest} 1B 1s -\n\n");
        assert_eq!(parse_kept(&table).unwrap(), [digest].into());
        assert!(parse_kept(&table.replace("sha256:", "sha255:")).is_err());
    }

    #[test]
    fn images_and_containers_are_read_from_their_tables() {
        let digest = Digest::of(b"");
        let images = format!(
            "REF TYPE DIGEST SIZE PLATFORMS LABELS\n\
             r.io/a:1 application/vnd.oci.image.index.v1+json {digest} 1.0 MiB linux/amd64 io.cri-containerd.image=managed\n"
        );
        assert_eq!(parse_targets(&images).unwrap(), [("r.io/a:1".to_owned(), digest)].into());
        assert!(parse_targets("REF TYPE DIGEST\nr.io/a:1 type sha256:12\n").is_err());
        let containers = "CONTAINER    IMAGE       RUNTIME\nab12    r.io/a:1    io.containerd.runc.v2\n";
        assert_eq!(parse_containers(containers).unwrap(), [("ab12".to_owned(), "r.io/a:1".to_owned())].into());
        assert!(parse_containers("CONTAINER IMAGE RUNTIME\nab12\n").is_err());
    }

    #[test]
    fn an_import_uses_what_this_ctr_offers() {
        let command = |help| import_command(help, &"linux/arm64".parse().unwrap()).arguments[2..].join(" ");
        assert_eq!(command("--platform value"), "images import --platform=linux/arm64 -");
        let newest = "--platform value\n--local  Run import locally\n--sync-fs  Synchronize";
        assert_eq!(command(newest), "images import --platform=linux/arm64 --local --sync-fs -");
    }

    #[test]
    fn a_snapshot_is_read_from_the_mount_of_a_view() {
        let one = "mount -t bind /c/snapshots/1/fs / -o ro,rbind\n";
        assert_eq!(parse_mount(one).unwrap(), [PathBuf::from("/c/snapshots/1/fs")]);
        let two = "mount -t overlay overlay / -o index=off,lowerdir=/c/snapshots/2/fs:/c/snapshots/1/fs\n";
        assert_eq!(parse_mount(two).unwrap(), ["/c/snapshots/1/fs", "/c/snapshots/2/fs"].map(PathBuf::from));
        assert_eq!(parse_mount(""), None);
    }
}
