//! No content of a signature file satisfies a policy unless the algorithms are broken; keys with any bytes are refused or read.
#![no_main]

use std::sync::LazyLock;

use kbundle_format::key::Algorithm;
use kbundle_format::{SignatureFile, SigningKey, TrustPolicy, VerifyingKey};
use libfuzzer_sys::fuzz_target;

static TRUST: LazyLock<TrustPolicy> = LazyLock::new(|| {
    let keys = [Algorithm::EcdsaP256, Algorithm::Ed25519].map(|algorithm| {
        SigningKey::generate(algorithm).expect("the system gives random numbers").verifying_key()
    });
    TrustPolicy::new(keys, 1).expect("two keys, one of them enough")
});

fuzz_target!(|content: &[u8]| {
    let file = SignatureFile { name: "signatures/fuzz.sig".into(), content: content.to_vec() };
    assert!(TRUST.check(b"list", &[file]).is_err());
    if let Ok(text) = std::str::from_utf8(content) {
        let _ = VerifyingKey::from_pem(text);
        let _ = SigningKey::from_pem(text);
    }
    let _ = VerifyingKey::from_file(content);
    let _ = SigningKey::from_file(content);
});
