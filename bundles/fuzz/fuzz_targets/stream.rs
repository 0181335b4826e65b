//! A whole file of any bytes: an error is fine, a panic or endless memory is a bug.
#![no_main]

use std::io::Cursor;

use kbundle_format::head::SignatureCheck;
use kbundle_format::stream::Carriage;
use kbundle_format::BundleStream;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(stream) = BundleStream::open(Cursor::new(bytes.to_vec()), SignatureCheck::Skipped) {
        let _ = stream.carriage(Carriage::Partial).verify_rest(|_| {});
    }
});
