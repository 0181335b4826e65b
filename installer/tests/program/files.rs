//! Files as people have them: with a byte order mark and Windows line ends, in other encodings, keys in every form, and files that are not
//! bundles.

use std::process::Command;

use fs_err as fs;
use kbundle_format::Platform;

use crate::folder::{Folder, Signature};

fn folder() -> Folder {
    let folder = Folder::new();
    folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    folder
}

fn shell(folder: &Folder, script: &str) {
    let output = Command::new("sh").args(["-euc", script]).current_dir(folder.path("")).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn cluster_yaml_and_inventory_may_come_from_windows() {
    let folder = Folder::new();
    fs::write(folder.path("cluster.yaml"), "\u{FEFF}name: plant\r\nkubelet:\r\n  max-pods: 100\r\n").unwrap();
    let said = folder.kinstall(&["config", "validate", "cluster.yaml"]);
    assert_eq!(said.code, Some(0), "{said}");
    let inventory = "\u{FEFF}[all]\r\nn1 ansible_host=192.0.2.1 ip=192.0.2.1\r\n\r\n[kube_control_plane]\r\nn1\r\n\r\n[etcd]\r\nn1\r\n\r\n[kube_node]\r\nn1\r\n";
    fs::write(folder.path("inventory.ini"), inventory).unwrap();
    let said = folder.kinstall(&["config", "import", "inventory.ini"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.contains("192.0.2.1"), "{said}");
}

#[test]
fn utf16_is_named_with_the_command_that_converts_it() {
    let folder = Folder::new();
    let bytes: Vec<u8> = "\u{FEFF}name: plant\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path("cluster.yaml"), bytes).unwrap();
    let said = folder.kinstall(&["config", "validate", "cluster.yaml"]);
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.stderr.contains("UTF-16") && said.stderr.contains("`iconv -f UTF-16 -t UTF-8 cluster.yaml"), "{said}");
}

#[test]
fn keys_are_read_or_named_with_what_to_do() {
    let folder = folder();
    shell(
        &folder,
        "(printf '\\357\\273\\277'; echo '# key of the site'; sed 's/$/\\r/' signing.pub) > windows.pub
        openssl pkey -pubin -in signing.pub -outform DER -out signing.der
        openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -out rsa.pub",
    );
    for key in ["windows.pub", "signing.der"] {
        let said = folder.kinstall(&["verify", "good.tar.zst", "--key", key]);
        assert_eq!(said.code, Some(0), "{key}: {said}");
    }
    let said = folder.kinstall(&["verify", "good.tar.zst", "--key", "rsa.pub"]);
    assert_eq!(said.code, Some(2), "{said}");
    assert!(
        said.stderr.contains("a key for RSA") && said.stderr.contains("hint: give the signer's public key"),
        "{said}"
    );
}

#[test]
fn what_is_no_bundle_is_named() {
    let folder = folder();
    fs::create_dir(folder.path("empty")).unwrap();
    shell(
        &folder,
        "tar -czf archive.tar.gz signing.pub
        tar --zstd -cf archive.tar.zst signing.pub
        printf '<!DOCTYPE html><title>Sign in</title>' > page.html
        : > nothing",
    );
    for (name, words) in [
        ("archive.tar.gz", "a gzip file"),
        ("archive.tar.zst", "a .tar.zst that another program made"),
        ("page.html", "an HTML page"),
        ("nothing", "an empty file"),
        ("empty", "no volumes in empty"),
    ] {
        let said = folder.kinstall(&["verify", name, "--key", "signing.pub"]);
        assert_eq!(said.code, Some(3), "{said}");
        assert!(said.stderr.contains(words) && said.stderr.contains("hint: give the bundle file"), "{said}");
    }
}

/// kbundle is installed where bundles are built, not on hosts.
#[test]
fn no_advice_names_a_program_that_is_not_there() {
    let folder = folder();
    let good = fs::read(folder.path("good.tar.zst")).unwrap();
    let middle = good.len() / 2;
    for (at, byte) in [(5, 0x10), (middle, 1), (good.len() - 20, 1)] {
        let mut bytes = good.clone();
        bytes[at] ^= byte;
        fs::write(folder.path("flipped.tar.zst"), bytes).unwrap();
        let said = folder.kinstall(&["verify", "flipped.tar.zst", "--key", "signing.pub"]);
        assert_eq!(said.code, Some(3), "{said}");
        assert!(said.stderr.contains("hint: ") && !said.stderr.contains("kbundle"), "{said}");
    }
    let said = folder.kinstall(&["verify", "good.tar.zst", "--key", "stranger.pub"]);
    assert!(said.stderr.contains("hint: ") && !said.stderr.contains("kbundle"), "{said}");
}
