//! Key files as people have them: the key that a file holds, or the name of what it holds instead.
//!
//! Read are, in PEM or DER: `SubjectPublicKeyInfo` and X.509 certificates (their key alone counts), PKCS#8 plain or encrypted with PBES2, and
//! SEC 1 (`EC PRIVATE KEY`). A byte order mark, Windows line ends, spaces around lines and any text outside of the PEM blocks are passed over.

mod advice;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::zeroize::Zeroizing;
use x509_parser::parse_x509_certificate;

use crate::key::KeyError;
use crate::text_file::{self, TextError};
use crate::{SigningKey, VerifyingKey};

/// Which half of a key is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Signs.
    Private,
    /// Verifies.
    Public,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "a private key",
            Self::Public => "a public key",
        })
    }
}

/// What a file holds that is not the key that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Not a byte, or white space.
    Nothing,
    /// Text in an encoding that is not read.
    Text(TextError),
    /// A private key, encrypted or not.
    PrivateKey,
    /// A public key, or a certificate.
    PublicKey,
    /// Different keys.
    Several {
        /// How many.
        count: usize,
    },
    /// A key for another algorithm.
    Algorithm {
        /// Its name.
        name: &'static str,
    },
    /// An elliptic curve that is described by its parameters instead of its name.
    ExplicitCurve,
    /// An encryption that is not read: PBES1, a cipher of its time, or OpenSSL's own of before PKCS#8.
    OldEncryption,
    /// cosign's encrypted private key.
    Cosign,
    /// A key of OpenSSH.
    OpenSsh {
        /// Whether it is for ECDSA P-256, which OpenSSH itself can convert.
        convertible: bool,
    },
    /// A key or signature of PGP.
    Pgp,
    /// A key or signature of minisign or signify.
    Minisign,
    /// A JSON Web Key.
    Jwk,
    /// A request for a certificate.
    Request,
    /// A PKCS#12 container.
    Pkcs12,
    /// Something that calls itself a key and cannot be read as one.
    Damaged,
    /// Anything else.
    Unknown,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Nothing => "the file is empty",
            Self::Text(error) => return error.fmt(f),
            Self::PrivateKey => "it is a private key",
            Self::PublicKey => "it is a public key or certificate",
            Self::Several { count } => return write!(f, "it holds {count} different keys"),
            Self::Algorithm { name } => return write!(f, "it is a key for {name}, not for ECDSA P-256 or Ed25519"),
            Self::ExplicitCurve => "it spells out the parameters of its curve instead of naming P-256",
            Self::OldEncryption => "it is encrypted in a way that is not supported (PBES2 with AES is)",
            Self::Cosign => "it is a private key in cosign's own encrypted format",
            Self::OpenSsh { .. } => "it is an OpenSSH key",
            Self::Pgp => "it is a PGP key or signature",
            Self::Minisign => "it is a minisign or signify key or signature",
            Self::Jwk => "it is a JSON Web Key",
            Self::Request => "it is a certificate request",
            Self::Pkcs12 => "it is a PKCS#12 container",
            Self::Damaged => "its content is damaged",
            Self::Unknown => "there is no key in it",
        };
        f.write_str(text)
    }
}

/// One thing that a file holds.
enum Item {
    Public(VerifyingKey),
    Private(SigningKey),
    /// PKCS#8 in DER that a passphrase opens.
    Encrypted(Zeroizing<Vec<u8>>),
    Other(Found),
}

impl VerifyingKey {
    /// Reads the public key that a file with `bytes` holds.
    ///
    /// # Errors
    /// [`KeyError::Found`] with the name of what is there instead.
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
                Item::Private(_) | Item::Encrypted(_) => return refused(Found::PrivateKey),
                Item::Other(found) => other = other.or(Some(found)),
            }
        }
        match (keys.len(), keys.pop(), other) {
            (1, Some(key), None) => Ok(key),
            (_, _, Some(found)) => refused(found),
            (0, ..) => refused(Found::Unknown),
            (count, ..) => refused(Found::Several { count }),
        }
    }
}

impl SigningKey {
    /// Reads the private key that a file with `bytes` holds.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`] where [`SigningKey::from_encrypted_file`] is the one to call, else [`KeyError::Found`] with the name
    /// of what is there instead.
    pub fn from_file(bytes: &[u8]) -> Result<Self, KeyError> {
        only_private(items(bytes))
    }

    /// Reads the private key that a file with `bytes` holds and `passphrase` opens.
    ///
    /// # Errors
    /// [`KeyError::Passphrase`] where it does not, [`KeyError::Found`] with the name of what is there instead.
    pub fn from_encrypted_file(bytes: &[u8], passphrase: &str) -> Result<Self, KeyError> {
        let open = |item| match item {
            Item::Encrypted(der) => decrypt(&der, passphrase),
            other => Ok(other),
        };
        only_private(items(bytes).into_iter().map(open).collect::<Result<_, _>>()?)
    }
}

/// The one private key among `items`; certificates and public keys may lie beside it.
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
        (0, ..) if public => refused(Found::PublicKey),
        (0, ..) => refused(Found::Unknown),
        (count, ..) => refused(Found::Several { count }),
    }
}

/// Opens an encrypted PKCS#8 key.
fn decrypt(der: &[u8], passphrase: &str) -> Result<Item, KeyError> {
    use pkcs8::Error::EncryptedPrivateKey;
    use pkcs8::pkcs5::Error::{AlgorithmParametersInvalid, UnsupportedAlgorithm};
    let opened = EncryptedPrivateKeyInfoRef::try_from(der).and_then(|key| key.decrypt(passphrase));
    match opened {
        Ok(document) => Ok(private(document.as_bytes())),
        Err(EncryptedPrivateKey(AlgorithmParametersInvalid { .. } | UnsupportedAlgorithm { .. })) => {
            Ok(Item::Other(Found::OldEncryption))
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
        Err(_) if is_binary_pgp(bytes) => return vec![Item::Other(Found::Pgp)],
        // PEM is ASCII; a comment above it may be in any encoding.
        Err(TextError::NotUtf8 { .. }) => Zeroizing::new(String::from_utf8_lossy(bytes).into_owned()),
        Err(error) => return vec![Item::Other(Found::Text(error))],
    };
    let blocks = blocks(&text);
    if blocks.is_empty() { vec![Item::Other(without_pem(&text))] } else { blocks.iter().filter_map(of_block).collect() }
}

/// Whether all of `bytes` is one sequence in DER.
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
    /// What it holds; `None` where that is no base64 or the block has no end.
    der: Option<Zeroizing<Vec<u8>>>,
}

/// The PEM blocks of `text`; what lies between them is passed over.
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

/// What a block holds; `None` for one that only accompanies a key.
fn of_block(block: &Block<'_>) -> Option<Item> {
    let found = match (block.label, &block.der) {
        ("EC PARAMETERS", _) => return None,
        (_, Some(_)) if block.encrypted => Found::OldEncryption,
        ("PUBLIC KEY", Some(der)) => return Some(public(der)),
        ("PRIVATE KEY" | "EC PRIVATE KEY", Some(der)) => return Some(private(der)),
        ("ENCRYPTED PRIVATE KEY", Some(der)) => return Some(encrypted(der)),
        ("CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE", Some(der)) => return Some(of_certificate(der)),
        ("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST", _) => Found::Request,
        ("RSA PRIVATE KEY" | "RSA PUBLIC KEY", _) => Found::Algorithm { name: "RSA" },
        ("DSA PRIVATE KEY", _) => Found::Algorithm { name: "DSA" },
        ("ENCRYPTED COSIGN PRIVATE KEY" | "ENCRYPTED SIGSTORE PRIVATE KEY", _) => Found::Cosign,
        ("OPENSSH PRIVATE KEY", der) => {
            let curve = b"ecdsa-sha2-nistp256";
            let convertible = der.as_ref().is_some_and(|der| der.windows(curve.len()).any(|part| part == curve));
            Found::OpenSsh { convertible }
        }
        (label, _) if label.starts_with("PGP ") => Found::Pgp,
        (_, None) => Found::Damaged,
        _ => Found::Unknown,
    };
    Some(Item::Other(found))
}

/// What a file without a PEM block is.
fn without_pem(text: &str) -> Found {
    let text = text.trim();
    let begins = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    if text.is_empty() {
        Found::Nothing
    } else if begins(&["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "---- BEGIN SSH2"]) {
        Found::OpenSsh { convertible: text.starts_with("ecdsa-sha2-nistp256 ") }
    } else if begins(&["untrusted comment:"]) {
        Found::Minisign
    } else if text.starts_with('{') && text.contains("\"kty\"") {
        Found::Jwk
    } else {
        Found::Unknown
    }
}

/// What a file in DER holds, which has no label.
fn of_der(der: &[u8]) -> Item {
    /// What a PKCS#12 container holds at its top. Source: RFC 7292, 4.
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
        _ if holds(der, PKCS7_DATA) => Found::Pkcs12,
        Found::Damaged => Found::Unknown,
        found => found,
    })
}

/// A private key that a passphrase opens, if its encryption is one that is read.
fn encrypted(der: &[u8]) -> Item {
    // What cannot be parsed is another scheme: PKCS#12's, which `openssl pkcs8 -v1` uses, among them.
    match EncryptedPrivateKeyInfoRef::try_from(der) {
        Ok(key) if key.encryption_algorithm.pbes2().is_some() => Item::Encrypted(Zeroizing::new(der.to_vec())),
        _ => Item::Other(Found::OldEncryption),
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

/// The key of a certificate. Who issued it, to whom and until when is not looked at: whoever names the file trusts the key.
fn of_certificate(der: &[u8]) -> Item {
    match parse_x509_certificate(der) {
        Ok((_, certificate)) => public(certificate.tbs_certificate.subject_pki.raw),
        Err(_) => Item::Other(Found::Damaged),
    }
}

/// Names the algorithm of a key that could not be read by its object identifier.
fn unreadable(der: &[u8]) -> Found {
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
        return Found::ExplicitCurve;
    }
    let name = NAMES.iter().find(|(identifier, _)| holds(der, identifier));
    name.map_or(Found::Damaged, |&(_, name)| Found::Algorithm { name })
}

/// Whether the object identifier with this content stands in `der`. A post-quantum one goes on for another byte.
fn holds(der: &[u8], identifier: &[u8]) -> bool {
    const OBJECT_IDENTIFIER: u8 = 6;
    der.windows(identifier.len() + 2).any(|part| part[0] == OBJECT_IDENTIFIER && part[2..] == *identifier)
}
