//! A list that parses has exactly the bytes it was parsed from.
#![no_main]

use kbundle_format::BundleList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = BundleList::parse(bytes) {
        assert_eq!(list.to_bytes(), bytes);
    }
});
