//! Text files as people have them: with a byte order mark, with Windows line ends, or in an encoding other than UTF-8.
//!
//! A UTF-8 byte order mark and `\r\n` are accepted; for any other encoding, the error names it.

use std::io::{self, BufRead};
use std::path::Path;

use fs_err as fs;

use crate::shell::{word, word_with};

/// The UTF-8 byte order mark, which Windows editors put in front of a text.
const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why bytes are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Two bytes for each character; Windows calls this "Unicode".
    #[error("it is text in UTF-16 instead of UTF-8")]
    Utf16,
    /// Four bytes for each character.
    #[error("it is text in UTF-32 instead of UTF-8")]
    Utf32,
    /// Another encoding, or no text.
    #[error("it is not text in UTF-8: byte 0x{byte:02x} in line {line}")]
    NotUtf8 {
        /// The first byte that is not valid UTF-8.
        byte: u8,
        /// Its line, from 1.
        line: usize,
    },
}

impl TextError {
    /// What to do about the file at `path`: a command, if one helps.
    #[must_use]
    pub fn advice(self, path: &Path) -> String {
        let from = match self {
            Self::Utf16 => "UTF-16",
            Self::Utf32 => "UTF-32",
            Self::NotUtf8 { .. } => return "save it as UTF-8".to_owned(),
        };
        format!("save it as UTF-8: `iconv -f {from} -t UTF-8 {} -o {}`", word(path), word_with(path, ".utf8"))
    }
}

/// The text that `bytes` hold, without a byte order mark and with `\n` at the end of each line.
pub fn decode(bytes: &[u8]) -> Result<String, TextError> {
    let bytes = bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes);
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => return Err(TextError::Utf32),
        // By its mark, or without a mark by one ASCII character.
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [(1..), 0, (1..), 0, ..] | [0, (1..), 0, (1..), ..] => {
            return Err(TextError::Utf16);
        }
        _ => {}
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.replace("\r\n", "\n")),
        Err(error) => {
            let good = &bytes[..error.valid_up_to()];
            let line = good.split(|&byte| byte == b'\n').count();
            Err(TextError::NotUtf8 { byte: bytes[good.len()], line })
        }
    }
}

/// Reads the file at `path` as [`decode`] does.
///
/// # Errors
/// Every error names the file; an error about its encoding has the kind [`io::ErrorKind::InvalidData`] and says what to do.
pub fn read(path: &Path) -> io::Result<String> {
    decode(&fs::read(path)?).map_err(|error| {
        let text = format!("cannot read `{}`: {error}; {}", path.display(), error.advice(path));
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Most bytes of a line that [`first_line`] reads.
const MAX_LINE_BYTES: u64 = 4096;

/// The first line of `input`, such as a password, without its line end; `None` if `input` is empty.
///
/// # Errors
/// When reading failed, or [`decode`] does not accept the line.
pub fn first_line(input: impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = decode(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_windows_line_ends_are_read() {
        for bytes in
            [&b"a: 1\nb: 2\n"[..], b"\xEF\xBB\xBFa: 1\nb: 2\n", b"a: 1\r\nb: 2\r\n", b"\xEF\xBB\xBFa: 1\r\nb: 2\r\n"]
        {
            assert_eq!(decode(bytes).unwrap(), "a: 1\nb: 2\n");
        }
        assert_eq!(decode(b"").unwrap(), "");
        assert_eq!(decode("\u{FEFF}ä".as_bytes()).unwrap(), "ä");
    }

    #[test]
    fn other_encodings_are_named() {
        let utf16 = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
            let text: Vec<u8> = "name: plant".encode_utf16().flat_map(bytes).collect();
            decode(&[mark, &text].concat())
        };
        for mark in [&b"\xFF\xFE"[..], b""] {
            assert_eq!(utf16(mark, u16::to_le_bytes), Err(TextError::Utf16));
        }
        for mark in [&b"\xFE\xFF"[..], b""] {
            assert_eq!(utf16(mark, u16::to_be_bytes), Err(TextError::Utf16));
        }
        assert_eq!(decode(b"\xFF\xFE\0\0n\0\0\0"), Err(TextError::Utf32));
        assert_eq!(decode(b"name: x\ncity: K\xF6ln\n"), Err(TextError::NotUtf8 { byte: 0xF6, line: 2 }));
    }

    #[test]
    fn the_advice_is_a_command_that_can_be_typed() {
        let advice = TextError::Utf16.advice(Path::new("my keys/a.pub"));
        assert_eq!(advice, "save it as UTF-8: `iconv -f UTF-16 -t UTF-8 'my keys/a.pub' -o 'my keys/a.pub.utf8'`");
    }

    #[test]
    fn a_password_comes_without_mark_and_line_end() {
        for bytes in [&b"secret"[..], b"secret\nsecond", b"secret\r\n", b"\xEF\xBB\xBFsecret\r\n"] {
            assert_eq!(first_line(bytes).unwrap().as_deref(), Some("secret"));
        }
        assert_eq!(first_line(&b" two words \n"[..]).unwrap().as_deref(), Some(" two words "));
        assert_eq!(first_line(&b""[..]).unwrap(), None);
        assert!(first_line(&b"\xFF\xFEs\0\n\0"[..]).unwrap_err().to_string().contains("UTF-16"));
    }

    #[test]
    fn an_error_of_a_file_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.yaml");
        fs::write(&path, b"\xFF\xFEn\0").unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("cluster.yaml`: it is text in UTF-16"), "{error}");
        assert!(read(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
