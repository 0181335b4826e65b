use std::io;
use std::path::PathBuf;

use age::secrecy::SecretString;
use fs_err as fs;
use kbundle_format::key::Algorithm;
use kbundle_format::sealed::OpenError;
use kbundle_format::{Digest, SigningKey, VerifyingKey};
use proptest::prelude::*;

use super::list::{SCHEMA, name_of};
use super::read::BackupError;
use super::*;
use crate::cli::SealingArguments;

const SNAPSHOT_BYTES: usize = 200_000;

struct Keys {
    sign: SigningKey,
    identity: age::x25519::Identity,
}

impl Keys {
    fn new() -> Self {
        Self { sign: SigningKey::generate(Algorithm::EcdsaP256).unwrap(), identity: age::x25519::Identity::generate() }
    }

    fn trusted(&self) -> Vec<VerifyingKey> {
        vec![self.sign.verifying_key()]
    }

    fn seal(&self) -> Seal {
        Seal::Recipients(vec![self.identity.to_public()])
    }

    fn opener(&self) -> Opener {
        Opener::Identities(vec![Box::new(self.identity.clone())])
    }
}

fn contents() -> (BackupList, Vec<Vec<u8>>, Vec<u8>) {
    let files = vec![b"name: plant-7\n".to_vec(), b"secret".to_vec()];
    let snapshot: Vec<u8> = (0..SNAPSHOT_BYTES).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let names = [SPEC.to_owned(), name_of("/etc/kubernetes/pki/ca.key")];
    let mut entries: Vec<_> = names.iter().zip(&files).map(|(name, file)| BackupEntry::of(name, file)).collect();
    entries.push(BackupEntry::of(SNAPSHOT, &snapshot));
    let list = BackupList {
        schema: SCHEMA,
        created: "2026-11-27T12:00:00Z".parse().unwrap(),
        cluster: "plant-7".into(),
        host: "node-1".into(),
        kubernetes_version: "1.36.3".parse().unwrap(),
        etcd_version: "3.6.8".into(),
        bundle: Digest::of(b"list"),
        entries,
    };
    (list, files, snapshot)
}

fn written(keys: &Keys, seal: &Seal) -> Vec<u8> {
    let (list, files, snapshot) = contents();
    write::write(Vec::new(), &list, &files, snapshot.as_slice(), &keys.sign, seal).unwrap()
}

fn opened(backup: &[u8], opener: &Opener, trusted: &[VerifyingKey]) -> Result<(Opened, Vec<u8>), BackupError> {
    let mut snapshot = Vec::new();
    let opened = read::read(backup, opener, trusted, &mut snapshot)?;
    Ok((opened, snapshot))
}

#[test]
fn what_was_written_is_read_and_is_nowhere_in_the_clear() {
    let keys = Keys::new();
    let (list, files, snapshot) = contents();
    let backup = written(&keys, &keys.seal());
    let (found, read) = opened(&backup, &keys.opener(), &keys.trusted()).unwrap();
    assert_eq!((found.list, read), (list, snapshot));
    assert_eq!(found.files.into_values().collect::<Vec<_>>(), files);
    for secret in [b"secret".as_slice(), b"plant-7", b"backup.json"] {
        assert!(!backup.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn a_passphrase_opens_what_was_encrypted_to_it_alone() {
    let keys = Keys::new();
    let passphrase = |text: &str| SecretString::from(text.to_owned());
    let backup = written(&keys, &Seal::Passphrase(passphrase("correct horse battery")));
    let open = |opener: &Opener| opened(&backup, opener, &keys.trusted()).map(|_| ());
    open(&Opener::of_passphrase(passphrase("correct horse battery"))).unwrap();
    let wrong = open(&Opener::of_passphrase(passphrase("correct horse batterz"))).unwrap_err();
    insta::assert_snapshot!(wrong, @"the passphrase does not open it: it was encrypted to another, or its beginning is damaged");
    assert!(matches!(open(&keys.opener()), Err(BackupError::Open(OpenError::NeedsPassphrase))));
    let to_recipient = written(&keys, &keys.seal());
    let opener = Opener::of_passphrase(passphrase("correct horse battery"));
    assert!(matches!(
        opened(&to_recipient, &opener, &keys.trusted()),
        Err(BackupError::Open(OpenError::NeedsIdentity))
    ));
}

#[test]
fn a_backup_of_others_is_refused_whoever_it_was_encrypted_to() {
    let (ours, theirs) = (Keys::new(), Keys::new());
    // Anyone can encrypt to a recipient.
    let forged = written(&theirs, &ours.seal());
    assert!(matches!(opened(&forged, &ours.opener(), &ours.trusted()), Err(BackupError::Unsigned)));
    let for_others = written(&ours, &theirs.seal());
    assert!(matches!(
        opened(&for_others, &ours.opener(), &ours.trusted()),
        Err(BackupError::Open(OpenError::Closed { .. }))
    ));
    assert!(matches!(
        opened(b"PK something", &ours.opener(), &ours.trusted()),
        Err(BackupError::Open(OpenError::NotSealed))
    ));
    assert!(matches!(opened(b"", &ours.opener(), &ours.trusted()), Err(BackupError::Open(OpenError::NotSealed))));
}

#[test]
fn what_the_list_does_not_have_is_refused_although_it_is_signed() {
    let keys = Keys::new();
    let refused = |change: fn(&mut BackupList)| {
        let (mut list, files, snapshot) = contents();
        change(&mut list);
        let backup = write::write(Vec::new(), &list, &files, snapshot.as_slice(), &keys.sign, &keys.seal()).unwrap();
        opened(&backup, &keys.opener(), &keys.trusted()).map(|_| ()).unwrap_err().to_string()
    };
    insta::assert_snapshot!(refused(|list| list.schema = 2), @"its list cannot be used: it has schema 2, this program knows 1");
    insta::assert_snapshot!(refused(|list| list.entries[1].digest = Digest::of(b"other")), @"it is damaged or not complete: files/etc/kubernetes/pki/ca.key is not what was signed");
    insta::assert_snapshot!(refused(|list| list.entries[1].path = "elsewhere".into()), @"its list cannot be used: it lists elsewhere, which this program does not know");
    insta::assert_snapshot!(refused(|list| list.entries[1].path = SPEC.into()), @"its list cannot be used: it lists cluster.yaml twice");
}

#[test]
fn a_snapshot_that_became_shorter_makes_no_backup() {
    let keys = Keys::new();
    let (list, files, snapshot) = contents();
    let error = write::write(Vec::new(), &list, &files, &snapshot[1..], &keys.sign, &keys.seal()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_flipped_bit_or_a_missing_end_is_always_noticed(place in any::<prop::sample::Index>(), bit in 0..8u8) {
        let keys = Keys::new();
        let mut backup = written(&keys, &keys.seal());
        let place = place.index(backup.len());
        prop_assert!(opened(&backup[..place], &keys.opener(), &keys.trusted()).is_err(), "cut at {place}");
        backup[place] ^= 1 << bit;
        prop_assert!(opened(&backup, &keys.opener(), &keys.trusted()).is_err(), "changed at {place}");
    }
}

#[test]
fn keys_and_passphrases_that_will_not_do_are_mistakes_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let message = |result: anyhow::Result<()>| crate::failure::message(&result.unwrap_err());
    let short = file("short", "too short\n");
    let sealing =
        SealingArguments { recipients: vec![], passphrase_file: Some(short), sign_key: Some("backup.key".into()) };
    let said = message(sealing.seal().map(|_| ()));
    assert!(said.contains("has less than 12 characters"), "{said}");
    let encrypted = file("key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let said = message(keys::sign_key(&encrypted).map(|_| ()));
    assert!(said.contains("needs its passphrase") && said.contains("hint: give a key for backups"), "{said}");
}
