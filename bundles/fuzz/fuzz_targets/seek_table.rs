//! A seek table that can be decoded is encoded to the same bytes again.
#![no_main]

use kbundle_format::frame::skippable;
use kbundle_format::seek_table::{SKIPPABLE_KIND, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    if let Ok(frames) = decode(payload) {
        assert_eq!(encode(&frames), skippable(SKIPPABLE_KIND, payload));
    }
});
