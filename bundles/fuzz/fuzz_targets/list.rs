//! A list that can be parsed has exactly one form in bytes.
#![no_main]

use kbundle_format::BundleList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = BundleList::parse(bytes) {
        assert_eq!(list.to_bytes(), bytes);
    }
});
