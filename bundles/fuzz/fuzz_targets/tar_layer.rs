//! A header that can be parsed equals the one that is made from its path, size and mode.
#![no_main]

use kbundle_format::tar_layer::{Block, TarHeader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: Block| {
    if let Ok(Some(header)) = TarHeader::parse(&block) {
        assert_eq!(header.to_block(), block);
        assert!(!header.path.as_str().starts_with('/') && !header.path.as_str().contains(".."));
    }
});
