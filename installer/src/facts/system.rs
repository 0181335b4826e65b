//! Parsers of the system's own files. They take text and return facts.

use super::{Memory, OsRelease};

/// Reads `/etc/os-release` (os-release(5)).
#[must_use]
pub fn os_release(text: &str) -> OsRelease {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
    };
    OsRelease {
        id: value("ID"),
        id_like: value("ID_LIKE").split_whitespace().map(str::to_owned).collect(),
        version_id: value("VERSION_ID"),
        pretty_name: value("PRETTY_NAME"),
    }
}

/// The id in `/etc/machine-id`: 32 hex digits (machine-id(5)); `None` for `uninitialized` and anything else.
#[must_use]
pub fn machine_id(text: &str) -> Option<String> {
    let id = text.trim();
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}

/// Reads `/proc/meminfo`.
#[must_use]
pub fn memory(text: &str) -> Memory {
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024))
    };
    Memory { total_bytes: bytes("MemTotal"), available_bytes: bytes("MemAvailable") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_with_and_without_quotes() {
        let os =
            os_release("PRETTY_NAME=\"Rocky Linux 9\"\nID=\"rocky\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID='9.3'\nX=1\n");
        assert_eq!((os.id.as_str(), os.version_id.as_str()), ("rocky", "9.3"));
        assert_eq!(os.id_like, ["rhel", "fedora"]);
        assert_eq!(os_release(""), OsRelease::default());
    }

    #[test]
    fn an_unset_machine_id_is_none() {
        assert!(machine_id("0123456789abcdef0123456789abcdef\n").is_some());
        for text in ["", "uninitialized\n", "0123", "0123456789abcdef0123456789abcdeg"] {
            assert_eq!(machine_id(text), None, "{text}");
        }
    }

    #[test]
    fn memory_is_in_bytes() {
        let memory_of = memory("MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n");
        assert_eq!(memory_of, Memory { total_bytes: Some(2 << 20), available_bytes: Some(1 << 20) });
        for text in ["", "MemTotal: much kB\nMemAvailable: 5\n"] {
            assert_eq!(memory(text), Memory { total_bytes: None, available_bytes: None }, "{text:?} is not a zero");
        }
    }
}
