//! The content of a file that is not the required key.

use std::fmt;

use crate::text_file::TextError;

/// The half of a key that is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The private half, which signs.
    Private,
    /// The public half, which verifies.
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

/// The content of a file that is not the required key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyFileContent {
    /// Not a byte, or white space.
    Nothing,
    /// Text in an unsupported encoding.
    Text(TextError),
    /// A private key, encrypted or not.
    PrivateKey,
    /// A public key, or a certificate.
    PublicKey,
    /// Several different keys.
    Several {
        /// Their number.
        count: usize,
    },
    /// A key for another algorithm.
    Algorithm {
        /// Its name.
        name: &'static str,
    },
    /// An elliptic curve that is described by its parameters instead of its name.
    ExplicitCurve,
    /// An unsupported encryption: PBES1, a cipher as old as PBES1, or OpenSSL's own encryption from before PKCS#8.
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
    /// Something that is labelled as a key and cannot be read as one.
    Damaged,
    /// Anything else.
    Unknown,
}

impl fmt::Display for KeyFileContent {
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
