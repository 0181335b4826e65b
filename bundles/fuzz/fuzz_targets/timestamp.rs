//! No bytes as an authority's answer cover a list, unless SHA-256 is broken; none of them makes the reader panic.
#![no_main]

use kbundle_format::timestamp::TimestampToken;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    if let Ok(token) = TimestampToken::read("answer.tsr", answer) {
        assert!(token.check_subject(b"list").is_err());
    }
});
