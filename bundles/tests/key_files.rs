//! Keys from OpenSSL, from OpenSSH and from people: each is either read, or recognized and named with a command that makes the right file.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;
use std::process::Command;

use kbundle_format::key::KeyError;
use kbundle_format::key_file::KeyFileContent;
use kbundle_format::key_notes::{Day, Validity};
use kbundle_format::{KeyNotes, SigningKey, VerifyingKey};

/// Runs `script` in a separate folder, in which it makes files.
fn made_by(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), script);
    folder
}

fn run(folder: &Path, script: &str) {
    let output = Command::new("sh").args(["-euc", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

fn bytes(folder: &tempfile::TempDir, name: &str) -> Vec<u8> {
    fs_err::read(folder.path().join(name)).unwrap()
}

const KEY: &str = "openssl ecparam -name prime256v1 -genkey -noout -out sec1.pem
    openssl pkcs8 -topk8 -nocrypt -in sec1.pem -out good.pem
    openssl pkey -in good.pem -pubout -out good.pub
    ";

#[test]
fn private_keys_in_every_usual_form_are_read() {
    let folder = made_by(&format!(
        "{KEY}
        (openssl ecparam -name prime256v1; cat sec1.pem) > with-parameters.pem
        openssl pkey -in good.pem -text -out text-behind.pem
        (printf 'Bag Attributes\\n    friendlyName: site\\n'; cat good.pem) > text-before.pem
        (printf '\\357\\273\\277'; sed 's/$/ \\r/' good.pem) > windows.pem
        openssl pkey -in good.pem -outform DER -out pkcs8.der
        openssl ec -in sec1.pem -outform DER -out sec1.der 2>&1
        openssl req -x509 -new -key good.pem -subj /CN=site -days 10 -out certificate.pem
        cat certificate.pem good.pem > with-certificate.pem
        sed 's/^/    /' good.pem > indented.pem"
    ));
    let key = SigningKey::from_file(&bytes(&folder, "good.pem")).unwrap().verifying_key();
    for name in [
        "sec1.pem",
        "with-parameters.pem",
        "text-behind.pem",
        "text-before.pem",
        "windows.pem",
        "pkcs8.der",
        "sec1.der",
        "with-certificate.pem",
        "indented.pem",
    ] {
        let read = SigningKey::from_file(&bytes(&folder, name));
        assert_eq!(read.unwrap_or_else(|error| panic!("{name}: {error}")).verifying_key(), key, "{name}");
    }
}

#[test]
fn public_keys_in_every_usual_form_are_read() {
    let folder = made_by(&format!(
        "{KEY}
        (echo '# key of the site: releases'; cat good.pub) > comment.pub
        (printf '# Schl\\374ssel\n'; cat good.pub) > latin1.pub
        sed 's/$/ /' good.pub > spaces.pub
        (printf '\\357\\273\\277'; sed 's/$/\\r/' good.pub) > windows.pub
        openssl pkey -in good.pem -pubout -outform DER -out good.der
        openssl ec -in sec1.pem -pubout -conv_form compressed -out compressed.pub 2>&1
        openssl req -x509 -new -key good.pem -subj /CN=site -days 10 -out certificate.pem
        openssl x509 -in certificate.pem -outform DER -out certificate.der
        openssl x509 -in certificate.pem -text -out certificate-with-text.pem
        cat good.pub certificate.pem > twice.pub
        printf '%s' \"$(cat good.pub)\" > no-last-line-end.pub"
    ));
    let key = VerifyingKey::from_file(&bytes(&folder, "good.pub")).unwrap();
    for name in [
        "comment.pub",
        "latin1.pub",
        "spaces.pub",
        "windows.pub",
        "good.der",
        "compressed.pub",
        "certificate.pem",
        "certificate.der",
        "certificate-with-text.pem",
        "twice.pub",
        "no-last-line-end.pub",
    ] {
        let read = VerifyingKey::from_file(&bytes(&folder, name));
        assert_eq!(read.unwrap_or_else(|error| panic!("{name}: {error}")).id(), key.id(), "{name}");
    }
}

#[test]
fn ed25519_keys_and_certificates_are_read() {
    let folder = made_by(
        "openssl genpkey -algorithm ed25519 -out key.pem
        openssl pkey -in key.pem -outform DER -out key.der
        openssl pkey -in key.pem -pubout -out key.pub
        openssl req -x509 -new -key key.pem -subj /CN=site -days 10 -out certificate.pem",
    );
    let key = VerifyingKey::from_file(&bytes(&folder, "key.pub")).unwrap();
    assert_eq!(VerifyingKey::from_file(&bytes(&folder, "certificate.pem")).unwrap(), key);
    for name in ["key.pem", "key.der"] {
        assert_eq!(SigningKey::from_file(&bytes(&folder, name)).unwrap().verifying_key(), key);
    }
}

#[test]
fn a_passphrase_opens_what_is_read_and_an_old_encryption_is_no_wrong_passphrase() {
    let folder = made_by(&format!(
        "{KEY}
        openssl pkcs8 -topk8 -in good.pem -passout pass:abc -out pbes2.pem
        openssl pkcs8 -topk8 -in good.pem -passout pass:abc -outform DER -out pbes2.der
        openssl pkcs8 -topk8 -in good.pem -scrypt -passout pass:abc -out scrypt.pem
        openssl pkcs8 -topk8 -in good.pem -v1 PBE-SHA1-3DES -passout pass:abc -out pbes1.pem
        openssl pkcs8 -topk8 -in good.pem -v2 des3 -passout pass:abc -out des3.pem
        openssl ec -in sec1.pem -aes128 -passout pass:abc -out traditional.pem 2>&1"
    ));
    let key = SigningKey::from_file(&bytes(&folder, "good.pem")).unwrap().verifying_key();
    for name in ["pbes2.pem", "pbes2.der", "scrypt.pem"] {
        let file = bytes(&folder, name);
        assert!(matches!(SigningKey::from_file(&file), Err(KeyError::Encrypted)), "{name}");
        assert_eq!(SigningKey::from_encrypted_file(&file, "abc").unwrap().verifying_key(), key, "{name}");
        assert!(matches!(SigningKey::from_encrypted_file(&file, "abd"), Err(KeyError::Passphrase)), "{name}");
    }
    // No passphrase is asked for if it could not help.
    for name in ["pbes1.pem", "traditional.pem"] {
        let error = SigningKey::from_file(&bytes(&folder, name)).unwrap_err();
        assert!(matches!(error, KeyError::Found { found: KeyFileContent::OldEncryption, .. }), "{name}: {error}");
    }
    let error = SigningKey::from_encrypted_file(&bytes(&folder, "des3.pem"), "abc").unwrap_err();
    assert!(matches!(error, KeyError::Found { found: KeyFileContent::OldEncryption, .. }), "{error}");
}

fn private_refusal(folder: &tempfile::TempDir, name: &str) -> (String, String) {
    let error = SigningKey::from_file(&bytes(folder, name)).map(drop).unwrap_err();
    (error.to_string(), error.advice(Path::new(name)).unwrap())
}

fn public_refusal(folder: &tempfile::TempDir, name: &str) -> (String, String) {
    let error = VerifyingKey::from_file(&bytes(folder, name)).unwrap_err();
    (error.to_string(), error.advice(Path::new(name)).unwrap())
}

#[test]
fn what_is_not_read_is_named() {
    let folder = made_by(&format!(
        "{KEY}
        openssl genrsa -traditional -out rsa.pem 2048 2>&1
        openssl pkey -in rsa.pem -pubout -out rsa.pub
        openssl ecparam -name secp384r1 -genkey -noout -out p384-sec1.pem
        openssl pkcs8 -topk8 -nocrypt -in p384-sec1.pem -out p384.pem
        openssl genpkey -algorithm ed448 -out ed448.pem
        openssl req -x509 -new -key rsa.pem -subj /CN=site -days 10 -out rsa-certificate.pem
        openssl req -new -key good.pem -subj /CN=site -out request.pem
        openssl req -x509 -new -key good.pem -subj /CN=site -days 10 -out certificate.pem
        openssl pkcs12 -export -inkey good.pem -in certificate.pem -passout pass:abc -out site.p12
        (printf '\\377\\376'; iconv -t UTF-16LE good.pub) > utf16.pub
        openssl ecparam -name prime256v1 -genkey -noout | openssl pkey -pubout | cat good.pub - > two.pub
        sed '2s/....$//' good.pub > cut.pub
        : > empty
        printf -- '-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\\neyJrZGYiOnt9fQ==\\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\\n' > cosign.key
        printf -- '-----BEGIN PGP PUBLIC KEY BLOCK-----\\n\\nmDMEZ\\n=abcd\\n-----END PGP PUBLIC KEY BLOCK-----\\n' > pgp.asc
        printf 'untrusted comment: minisign public key 1\\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\\n' > minisign.pub
        printf 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE5 me@site\\n' > ssh.pub
        printf '{{\"kty\":\"EC\",\"crv\":\"P-256\"}}' > key.jwk
        printf '<!DOCTYPE html><title>login</title>' > page.html"
    ));
    for (name, words) in [
        ("rsa.pem", "a key for RSA"),
        ("p384.pem", "a key for ECDSA P-384"),
        ("p384-sec1.pem", "a key for ECDSA P-384"),
        ("ed448.pem", "a key for Ed448"),
        ("good.pub", "a public key or certificate"),
        ("certificate.pem", "a public key or certificate"),
        ("cosign.key", "cosign's own encrypted format"),
        ("site.p12", "PKCS#12"),
        ("empty", "the file is empty"),
        ("page.html", "no key in it"),
    ] {
        let (error, advice) = private_refusal(&folder, name);
        assert!(error.contains(words), "{name}: {error}");
        assert!(!advice.is_empty(), "{name}");
    }
    for (name, words) in [
        ("good.pem", "it is a private key"),
        ("rsa.pub", "a key for RSA"),
        ("rsa-certificate.pem", "a key for RSA"),
        ("request.pem", "a certificate request"),
        ("site.p12", "PKCS#12"),
        ("utf16.pub", "UTF-16"),
        ("two.pub", "2 different keys"),
        ("cut.pub", "damaged"),
        ("empty", "the file is empty"),
        ("cosign.key", "cosign's own encrypted format"),
        ("pgp.asc", "PGP"),
        ("minisign.pub", "minisign"),
        ("ssh.pub", "an OpenSSH key"),
        ("key.jwk", "a JSON Web Key"),
        ("page.html", "no key in it"),
    ] {
        let (error, advice) = public_refusal(&folder, name);
        assert!(error.contains(words), "{name}: {error}");
        assert!(!advice.is_empty(), "{name}");
    }
}

/// The text between the first backquotes in an advice.
fn command(advice: &str) -> &str {
    advice.split('`').nth(1).unwrap()
}

#[test]
fn the_commands_in_the_advice_make_keys_that_are_read() {
    let folder = made_by(&format!(
        "{KEY}
        openssl pkcs8 -topk8 -in good.pem -v1 PBE-SHA1-3DES -passout pass:abc -out 'old key.pem'
        openssl ecparam -name prime256v1 -genkey -noout -param_enc explicit -out explicit.pem
        openssl pkey -in explicit.pem -pubout -out explicit.pub
        openssl req -new -key good.pem -subj /CN=site -out request.pem
        (printf '\\377\\376'; iconv -t UTF-16LE good.pub) > utf16.pub"
    ));
    let key = SigningKey::from_file(&bytes(&folder, "good.pem")).unwrap().verifying_key();
    let with_passphrases = |command: &str| format!("{command} -passin pass:abc -passout pass:def");

    run(folder.path(), &with_passphrases(command(&private_refusal(&folder, "old key.pem").1)));
    let again = SigningKey::from_encrypted_file(&bytes(&folder, "old key.pem.pkcs8"), "def").unwrap();
    assert_eq!(again.verifying_key(), key);

    run(folder.path(), command(&private_refusal(&folder, "explicit.pem").1));
    run(folder.path(), command(&public_refusal(&folder, "explicit.pub").1));
    let private = SigningKey::from_file(&bytes(&folder, "explicit.pem.named")).unwrap();
    assert_eq!(VerifyingKey::from_file(&bytes(&folder, "explicit.pub.named")).unwrap(), private.verifying_key());

    for (name, made) in
        [("good.pem", "good.pem.pub"), ("request.pem", "request.pem.pub"), ("utf16.pub", "utf16.pub.utf8")]
    {
        run(folder.path(), command(&public_refusal(&folder, name).1));
        assert_eq!(VerifyingKey::from_file(&bytes(&folder, made)).unwrap(), key, "{name}");
    }
}

#[test]
fn a_key_of_openssh_is_converted_by_openssh() {
    let folder = made_by("ssh-keygen -q -t ecdsa -b 256 -N '' -f id && ssh-keygen -q -t ed25519 -N '' -f other");
    run(folder.path(), command(&public_refusal(&folder, "id.pub").1));
    run(folder.path(), &format!("{} -N ''", command(&private_refusal(&folder, "id").1)));
    let private = SigningKey::from_file(&bytes(&folder, "id.pem")).unwrap();
    assert_eq!(VerifyingKey::from_file(&bytes(&folder, "id.pub.pem")).unwrap(), private.verifying_key());
    // OpenSSH cannot convert Ed25519 keys.
    assert!(!private_refusal(&folder, "other").1.contains("ssh-keygen"));
    assert!(!public_refusal(&folder, "other.pub").1.contains("ssh-keygen"));
}

#[test]
fn a_certificate_says_from_when_until_when_its_key_is_valid() {
    let folder = made_by(&format!(
        "{KEY}
        openssl req -new -key good.pem -subj /CN=site -out request.pem
        openssl x509 -req -in request.pem -signkey good.pem -days -1 -out expired.pem 2>&1
        openssl x509 -in expired.pem -outform DER -out expired.der
        openssl req -x509 -new -key good.pem -subj /CN=site -days 10 -out certificate.pem
        (echo 'Valid-Until: 2001-12-31'; cat certificate.pem) > cut-down.pem"
    ));
    let validity = |name: &str| KeyNotes::of_file(&bytes(&folder, name)).unwrap().validity(Day::today());
    for name in ["expired.pem", "expired.der", "cut-down.pem"] {
        assert!(matches!(validity(name), Validity::Over(_)), "{name}: {:?}", validity(name));
    }
    for name in ["certificate.pem", "good.pub"] {
        assert_eq!(validity(name), Validity::Current, "{name}");
    }
}
