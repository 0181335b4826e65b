//! Key files as people have them: the key in a file, or the name of what the file contains instead.
//!
//! These forms are read, in PEM or DER: `SubjectPublicKeyInfo` and X.509 certificates (only their key counts), PKCS#8 plain or encrypted
//! with PBES2, and SEC 1 (`EC PRIVATE KEY`). A byte order mark, Windows line ends, spaces around lines and any text outside of the PEM
//! blocks are skipped.

mod advice;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::zeroize::Zeroizing;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use crate::key::KeyError;
pub use crate::key_found::{Half, KeyFileContent};
use crate::key_notes::{Day, KeyNotesError};
use crate::text_file::{self, TextError};
use crate::{KeyNotes, SigningKey, VerifyingKey};

/// One item in a file.
enum Item {
    Public(VerifyingKey),
    Private(SigningKey),
    /// PKCS#8 in DER, encrypted with a passphrase.
    Encrypted(Zeroizing<Vec<u8>>),
    Other(KeyFileContent),
}

impl VerifyingKey {
    /// Reads the public key in a file with `bytes`.
    ///
    /// # Errors
    /// [`KeyError::Found`] with the name of the content instead.
    ///
    /// ```
    /// # use kbundle_format::{SigningKey, VerifyingKey, key::Algorithm};
    /// # let pem = SigningKey::generate(Algorithm::Ed25519)?.verifying_key().to_pem();
    /// let file = format!("\u{FEFF}# releases of site A\r\n{pem}");
    /// let key = VerifyingKey::from_file(file.as_bytes())?;
    /// println!("trusting {}", key.id());
    /// # Ok::<(), kbundle_format::key::KeyError>(())
    /// ```
    pub fn from_file(bytes: &[u8]) -> Result<Self, KeyError> {
        let refused = |found| Err(KeyError::Found { needed: Half::Public, found });
        let (mut keys, mut other) = (Vec::new(), None);
        for item in items(bytes) {
            match item {
                Item::Public(key) if keys.contains(&key) => {}
                Item::Public(key) => keys.push(key),
                Item::Private(_) | Item::Encrypted(_) => return refused(KeyFileContent::PrivateKey),
                Item::Other(found) => other = other.or(Some(found)),
            }
        }
        match (keys.len(), keys.pop(), other) {
            (1, Some(key), None) => Ok(key),
            (_, _, Some(found)) => refused(found),
            (0, ..) => refused(KeyFileContent::Unknown),
            (count, ..) => refused(KeyFileContent::Several { count }),
        }
    }
}

impl KeyNotes {
    /// Reads the notes in a public key's file with `bytes`: the text above the key, and the days of a certificate.
    pub fn of_file(bytes: &[u8]) -> Result<Self, KeyNotesError> {
        // Notes are ASCII or UTF-8; other text in the file is skipped.
        let notes = Self::above(&text_file::decode(bytes).unwrap_or_default())?;
        Ok(match certificate_days(bytes) {
            Some(days) => notes.within(days),
            None => notes,
        })
    }
}

impl SigningKey {
    /// Reads the private key in a file with `bytes`.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`] when [`SigningKey::from_encrypted_file`] has to be called instead, or [`KeyError::Found`] with the name of
    /// the content.
    pub fn from_file(bytes: &[u8]) -> Result<Self, KeyError> {
        only_private(items(bytes))
    }

    /// Reads the private key in a file with `bytes`, which is encrypted with `passphrase`.
    ///
    /// # Errors
    /// [`KeyError::Passphrase`] when the passphrase is wrong, or [`KeyError::Found`] with the name of the content instead.
    pub fn from_encrypted_file(bytes: &[u8], passphrase: &str) -> Result<Self, KeyError> {
        let open = |item| match item {
            Item::Encrypted(der) => decrypt(&der, passphrase),
            other => Ok(other),
        };
        only_private(items(bytes).into_iter().map(open).collect::<Result<_, _>>()?)
    }
}

/// The only private key among `items`; there may also be certificates and public keys.
fn only_private(items: Vec<Item>) -> Result<SigningKey, KeyError> {
    let refused = |found| Err(KeyError::Found { needed: Half::Private, found });
    let (mut keys, mut other, mut public) = (Vec::<SigningKey>::new(), None, false);
    for item in items {
        match item {
            Item::Private(key) if keys.iter().any(|known| known.verifying_key() == key.verifying_key()) => {}
            Item::Private(key) => keys.push(key),
            Item::Public(_) => public = true,
            Item::Encrypted(_) => return Err(KeyError::Encrypted),
            Item::Other(found) => other = other.or(Some(found)),
        }
    }
    match (keys.len(), keys.pop(), other) {
        (1, Some(key), _) => Ok(key),
        (0, _, Some(found)) => refused(found),
        (0, ..) if public => refused(KeyFileContent::PublicKey),
        (0, ..) => refused(KeyFileContent::Unknown),
        (count, ..) => refused(KeyFileContent::Several { count }),
    }
}

/// Decrypts a PKCS#8 key.
fn decrypt(der: &[u8], passphrase: &str) -> Result<Item, KeyError> {
    use pkcs8::Error::EncryptedPrivateKey;
    use pkcs8::pkcs5::Error::{AlgorithmParametersInvalid, UnsupportedAlgorithm};
    let opened = EncryptedPrivateKeyInfoRef::try_from(der).and_then(|key| key.decrypt(passphrase));
    match opened {
        Ok(document) => Ok(private(document.as_bytes())),
        Err(EncryptedPrivateKey(AlgorithmParametersInvalid { .. } | UnsupportedAlgorithm { .. })) => {
            Ok(Item::Other(KeyFileContent::OldEncryption))
        }
        Err(_) => Err(KeyError::Passphrase),
    }
}

fn items(bytes: &[u8]) -> Vec<Item> {
    if is_der(bytes) {
        return vec![of_der(bytes)];
    }
    let text = match text_file::decode(bytes) {
        Ok(text) => Zeroizing::new(text),
        Err(_) if is_binary_pgp(bytes) => return vec![Item::Other(KeyFileContent::Pgp)],
        // PEM is ASCII; a comment above it may be in any encoding.
        Err(TextError::NotUtf8 { .. }) => Zeroizing::new(String::from_utf8_lossy(bytes).into_owned()),
        Err(error) => return vec![Item::Other(KeyFileContent::Text(error))],
    };
    let blocks = blocks(&text);
    if blocks.is_empty() { vec![Item::Other(without_pem(&text))] } else { blocks.iter().filter_map(of_block).collect() }
}

/// Whether `bytes` are exactly one sequence in DER.
fn is_der(bytes: &[u8]) -> bool {
    let (length, header) = match *bytes {
        [0x30, length @ 0..=0x7F, ..] => (usize::from(length), 2),
        [0x30, 0x81, length, ..] => (usize::from(length), 3),
        [0x30, 0x82, high, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 4),
        _ => return false,
    };
    bytes.len() == header + length
}

/// Whether a PGP packet with a key begins here. Source: RFC 9580, 4.2.
fn is_binary_pgp(bytes: &[u8]) -> bool {
    const SECRET_KEY: u8 = 5;
    const PUBLIC_KEY: u8 = 6;
    let kind = match bytes.first() {
        Some(byte @ 0xC0..) => byte & 0x3F,
        Some(byte @ 0x80..) => byte >> 2 & 0xF,
        _ => return false,
    };
    kind == SECRET_KEY || kind == PUBLIC_KEY
}

/// A PEM block.
struct Block<'a> {
    label: &'a str,
    /// Whether OpenSSL's header says that the content is encrypted.
    encrypted: bool,
    /// Its content; `None` if that is not base64, or if the block has no end.
    der: Option<Zeroizing<Vec<u8>>>,
}

/// The PEM blocks of `text`; text between them is skipped.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut lines = text.lines().map(str::trim);
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let (mut body, mut encrypted, mut ended) = (Zeroizing::new(String::new()), false, false);
        for line in lines.by_ref() {
            if line == end {
                ended = true;
                break;
            }
            if line.contains(':') {
                encrypted |= line.contains("ENCRYPTED");
            } else {
                body.push_str(line);
            }
        }
        let der = BASE64.decode(body.as_bytes()).ok().filter(|_| ended).map(Zeroizing::new);
        blocks.push(Block { label, encrypted, der });
    }
    blocks
}

/// The item in a block; `None` for a block that only accompanies a key.
fn of_block(block: &Block<'_>) -> Option<Item> {
    let found = match (block.label, &block.der) {
        ("EC PARAMETERS", _) => return None,
        (_, Some(_)) if block.encrypted => KeyFileContent::OldEncryption,
        ("PUBLIC KEY", Some(der)) => return Some(public(der)),
        ("PRIVATE KEY" | "EC PRIVATE KEY", Some(der)) => return Some(private(der)),
        ("ENCRYPTED PRIVATE KEY", Some(der)) => return Some(encrypted(der)),
        ("CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE", Some(der)) => return Some(of_certificate(der)),
        ("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST", _) => KeyFileContent::Request,
        ("RSA PRIVATE KEY" | "RSA PUBLIC KEY", _) => KeyFileContent::Algorithm { name: "RSA" },
        ("DSA PRIVATE KEY", _) => KeyFileContent::Algorithm { name: "DSA" },
        ("ENCRYPTED COSIGN PRIVATE KEY" | "ENCRYPTED SIGSTORE PRIVATE KEY", _) => KeyFileContent::Cosign,
        ("OPENSSH PRIVATE KEY", der) => {
            let curve = b"ecdsa-sha2-nistp256";
            let convertible = der.as_ref().is_some_and(|der| der.windows(curve.len()).any(|part| part == curve));
            KeyFileContent::OpenSsh { convertible }
        }
        (label, _) if label.starts_with("PGP ") => KeyFileContent::Pgp,
        (_, None) => KeyFileContent::Damaged,
        _ => KeyFileContent::Unknown,
    };
    Some(Item::Other(found))
}

/// The kind of a file without a PEM block.
fn without_pem(text: &str) -> KeyFileContent {
    let text = text.trim();
    let begins = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    if text.is_empty() {
        KeyFileContent::Nothing
    } else if begins(&["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "---- BEGIN SSH2"]) {
        KeyFileContent::OpenSsh { convertible: text.starts_with("ecdsa-sha2-nistp256 ") }
    } else if begins(&["untrusted comment:"]) {
        KeyFileContent::Minisign
    } else if text.starts_with('{') && text.contains("\"kty\"") {
        KeyFileContent::Jwk
    } else {
        KeyFileContent::Unknown
    }
}

/// The item in a DER file, which has no label.
fn of_der(der: &[u8]) -> Item {
    /// The type at the top of a PKCS#12 container. Source: RFC 7292, 4.
    const PKCS7_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];
    for read in [public, private, of_certificate] {
        if let item @ (Item::Public(_) | Item::Private(_)) = read(der) {
            return item;
        }
    }
    if let item @ Item::Encrypted(_) = encrypted(der) {
        return item;
    }
    Item::Other(match unreadable(der) {
        _ if holds(der, PKCS7_DATA) => KeyFileContent::Pkcs12,
        KeyFileContent::Damaged => KeyFileContent::Unknown,
        found => found,
    })
}

/// A private key that is encrypted with a passphrase, if its encryption is supported.
fn encrypted(der: &[u8]) -> Item {
    // An encryption that cannot be parsed is another scheme, such as PKCS#12's, which `openssl pkcs8 -v1` uses.
    match EncryptedPrivateKeyInfoRef::try_from(der) {
        Ok(key) if key.encryption_algorithm.pbes2().is_some() => Item::Encrypted(Zeroizing::new(der.to_vec())),
        _ => Item::Other(KeyFileContent::OldEncryption),
    }
}

fn public(der: &[u8]) -> Item {
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(der) {
        return Item::Public(VerifyingKey::EcdsaP256(key));
    }
    match ed25519_dalek::VerifyingKey::from_public_key_der(der) {
        Ok(key) => Item::Public(VerifyingKey::Ed25519(key)),
        Err(_) => Item::Other(unreadable(der)),
    }
}

/// A private key in PKCS#8 or SEC 1.
fn private(der: &[u8]) -> Item {
    if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_der(der) {
        return Item::Private(SigningKey::EcdsaP256(key));
    }
    if let Ok(key) = p256::SecretKey::from_sec1_der(der) {
        return Item::Private(SigningKey::EcdsaP256(key.into()));
    }
    match ed25519_dalek::SigningKey::from_pkcs8_der(der) {
        Ok(key) => Item::Private(SigningKey::Ed25519(key)),
        Err(_) => Item::Other(unreadable(der)),
    }
}

/// The key of a certificate. Its issuer and its subject do not matter: the user who names the file trusts the key.
fn of_certificate(der: &[u8]) -> Item {
    match parse_x509_certificate(der) {
        Ok((_, certificate)) => public(certificate.tbs_certificate.subject_pki.raw),
        Err(_) => Item::Other(KeyFileContent::Damaged),
    }
}

/// The first and the last day of the certificates in a file with `bytes`; for several certificates, the days that all of them cover.
fn certificate_days(bytes: &[u8]) -> Option<(Day, Day)> {
    let text = text_file::decode(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned());
    let in_pem = blocks(&text).into_iter().filter_map(|block| block.der);
    let ders: Vec<_> = if is_der(bytes) { vec![Zeroizing::new(bytes.to_vec())] } else { in_pem.collect() };
    let days = ders.iter().filter_map(|der| {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        let validity = certificate.validity();
        let day = |time: &ASN1Time| Day::of(time.to_datetime().date());
        Some((day(&validity.not_before), day(&validity.not_after)))
    });
    days.reduce(|one, other| (one.0.max(other.0), one.1.min(other.1)))
}

/// Names the algorithm of an unreadable key, by its object identifier.
fn unreadable(der: &[u8]) -> KeyFileContent {
    const PRIME_FIELD: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x01, 0x01];
    const NAMES: [(&[u8], &str); 11] = [
        (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01], "RSA"),
        (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0A], "RSA"),
        (&[0x2A, 0x86, 0x48, 0xCE, 0x38, 0x04, 0x01], "DSA"),
        (&[0x2B, 0x81, 0x04, 0x00, 0x22], "ECDSA P-384"),
        (&[0x2B, 0x81, 0x04, 0x00, 0x23], "ECDSA P-521"),
        (&[0x2B, 0x81, 0x04, 0x00, 0x0A], "ECDSA secp256k1"),
        (&[0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01], "ECDSA on a Brainpool curve"),
        (&[0x2B, 0x65, 0x6E], "X25519"),
        (&[0x2B, 0x65, 0x6F], "X448"),
        (&[0x2B, 0x65, 0x71], "Ed448"),
        (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03], "a post-quantum algorithm"),
    ];
    if holds(der, PRIME_FIELD) {
        return KeyFileContent::ExplicitCurve;
    }
    let name = NAMES.iter().find(|(identifier, _)| holds(der, identifier));
    name.map_or(KeyFileContent::Damaged, |&(_, name)| KeyFileContent::Algorithm { name })
}

/// Whether `der` contains the object identifier with this content. A post-quantum identifier has one more byte.
fn holds(der: &[u8], identifier: &[u8]) -> bool {
    const OBJECT_IDENTIFIER: u8 = 6;
    der.windows(identifier.len() + 2).any(|part| part[0] == OBJECT_IDENTIFIER && part[2..] == *identifier)
}
