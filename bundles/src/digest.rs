//! SHA-256 digests in the form of the OCI image-spec.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use sha2::Digest as _;

use crate::text_type;

/// A SHA-256 digest as the OCI image-spec writes it: `sha256:` and 64 lowercase hex digits.
///
/// Holding one says that the text was well formed; it says nothing about any content.
///
/// ```
/// use kbundle_format::Digest;
///
/// let digest = Digest::of(b"hello\n");
/// let text = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(text.parse::<Digest>()?, digest);
/// # Ok::<(), kbundle_format::digest::DigestError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a digest; expected `sha256:` and 64 lowercase hex digits")]
pub struct DigestError {
    text: String,
}

impl Digest {
    /// The digest of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(sha2::Sha256::digest(content).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest from its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 64 hex digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Reads 64 lowercase hex digits without the algorithm, as checksum files write them.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError { text: text.to_owned() };
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0]).ok_or_else(error)? << 4 | nibble(pair[1]).ok_or_else(error)?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Lowercase hex digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.strip_prefix("sha256:")
            .and_then(|digits| Self::from_hex(digits).ok())
            .ok_or_else(|| DigestError { text: text.to_owned() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

text_type!(Digest, "^sha256:[0-9a-f]{64}$");

/// Hashes what is written to it, passing the bytes on to `inner`.
///
/// ```
/// use std::io::Write as _;
/// use kbundle_format::{Digest, Hasher};
///
/// let mut hasher = Hasher::new(Vec::new());
/// hasher.write_all(b"content")?;
/// let (digest, bytes, written) = hasher.finish();
/// assert_eq!((digest, bytes, written.as_slice()), (Digest::of(b"content"), 7, &b"content"[..]));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Hasher<W> {
    inner: W,
    state: sha2::Sha256,
    size_bytes: u64,
}

impl<W: Write> Hasher<W> {
    /// A hasher that has seen no bytes.
    pub fn new(inner: W) -> Self {
        Self { inner, state: sha2::Sha256::new(), size_bytes: 0 }
    }

    /// The digest and the count of all bytes written, and the inner writer back.
    pub fn finish(self) -> (Digest, u64, W) {
        (Digest(self.state.finalize().into()), self.size_bytes, self.inner)
    }
}

impl<W: Write> Write for Hasher<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.state.update(&buffer[..written]);
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_oci_form() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), Digest::of(b""));
    }

    #[test]
    fn refuses_other_algorithms_lengths_and_cases() {
        let hex = Digest::of(b"").hex();
        for text in [
            hex.clone(),
            format!("sha512:{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{hex}0"),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{}g", &hex[1..]),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn hasher_counts_and_passes_on() {
        let mut hasher = Hasher::new(Vec::new());
        hasher.write_all(b"abc").unwrap();
        let (digest, size_bytes, inner) = hasher.finish();
        assert_eq!((digest, size_bytes, inner.as_slice()), (Digest::of(b"abc"), 3, &b"abc"[..]));
    }
}
