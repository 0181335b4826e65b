//! Test bundles, and reading them in both ways, which have to agree.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::Cursor;

use kbundle_format::head::SignatureCheck;
use kbundle_format::stream::{Carriage, Summary};
use kbundle_format::{BundleStream, IndexedBundle, ReadError, TrustPolicy};

/// Bytes that are somewhat compressible and depend on `seed`.
pub fn content(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|index| ((index / 7 * 31 + index % 5) % 251).to_le_bytes()[0] ^ seed).collect()
}

/// Reads a whole bundle in one pass, checks everything, and checks that the reader by entry gives the same result.
pub fn verify(bytes: Vec<u8>, trust: &TrustPolicy) -> Result<Summary, ReadError> {
    let by_entry = verify_by_entry(&bytes, trust);
    let check = SignatureCheck::Required { trust, detached: &[] };
    let in_one_pass = BundleStream::open(Cursor::new(bytes), check).and_then(|stream| stream.verify_rest(|_| {}));
    match (&in_one_pass, &by_entry) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(_), Err(_)) => {}
        _ => panic!("the readers disagree: {in_one_pass:?} in one pass, {by_entry:?} by entry"),
    }
    in_one_pass
}

/// Checks a whole bundle by its seek table; the first damage is the error.
fn verify_by_entry(bytes: &[u8], trust: &TrustPolicy) -> Result<Summary, ReadError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), bytes).unwrap();
    let bundle = IndexedBundle::open(file.path(), SignatureCheck::Required { trust, detached: &[] })?;
    let findings = bundle.check_entries(Carriage::Full, &|_| {})?;
    match findings.damage.into_iter().next() {
        Some(damage) => Err(damage.error),
        None => Ok(findings.summary),
    }
}
