//! Files of the site for hosts: their paths, their owners, and the unit to restart.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::TextError;
use crate::text_type;

/// Most bytes of a path: `PATH_MAX` of Linux, with its final zero.
const MAX_PATH_BYTES: usize = 4095;
/// File systems of the kernel and of devices: they contain no files of a site.
const KERNELS: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
/// Types of units that can be restarted. Source: systemd.unit(5).
const UNIT_TYPES: [&str; 6] = [".service", ".socket", ".timer", ".path", ".mount", ".target"];

/// Where a file of the site goes on hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostFile {
    /// Its absolute path on hosts.
    pub path: HostPath,
    /// Whom it belongs to there.
    pub owner: FileOwner,
    /// Its permission bits.
    pub mode: FileMode,
    /// The unit that is restarted when the file has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<UnitName>,
}

/// The absolute path of a file, without `.` and `..`, and outside of `/dev`, `/proc`, `/run` and `/sys`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(String);

impl HostPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `tree` or is below it.
    #[must_use]
    pub fn is_in(&self, tree: &str) -> bool {
        self.0.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for HostPath {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let error = || {
            TextError::new(
                text,
                "the path of a file on a host (absolute, without `..`, not in /dev, /proc, /run or /sys)",
            )
        };
        let names = text.strip_prefix('/').ok_or_else(error)?;
        let plain = |name: &str| !name.is_empty() && name != "." && name != ".." && !name.chars().any(char::is_control);
        let path = Self(text.to_owned());
        let good = text.len() <= MAX_PATH_BYTES && names.split('/').all(plain);
        if good && !KERNELS.iter().any(|tree| path.is_in(tree)) { Ok(path) } else { Err(error()) }
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(HostPath, "^/", "maxLength": 4095);

/// A user and a group by name: `USER` with the user's own group, or `USER:GROUP`.
#[derive(Clone, PartialEq, Eq)]
pub struct FileOwner {
    user: String,
    group: Option<String>,
}

impl FileOwner {
    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The group's name; absent for the user's own group.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }
}

impl Default for FileOwner {
    /// root.
    fn default() -> Self {
        Self { user: "root".to_owned(), group: None }
    }
}

impl FromStr for FileOwner {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        // useradd(8): a name begins with a letter or underscore.
        let is_name = |name: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            let begins = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
            begins && name.len() <= 32 && name.bytes().all(known)
        };
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        if is_name(user) && group.is_none_or(is_name) {
            Ok(Self { user: user.to_owned(), group: group.map(str::to_owned) })
        } else {
            Err(TextError::new(text, "an owner, such as `root` or `root:adm`"))
        }
    }
}

impl fmt::Display for FileOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        self.group.iter().try_for_each(|group| write!(f, ":{group}"))
    }
}

text_type!(FileOwner, "^[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_.-]*)?$");

/// Permission bits in octal, such as `0640`. Bits that give the file's users more rights (setuid, setgid) are not allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Default for FileMode {
    /// `0644`.
    fn default() -> Self {
        Self(0o644)
    }
}

impl FromStr for FileMode {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let bits = if text.len() == 4 { u32::from_str_radix(text, 8).ok() } else { None };
        let known = bits.filter(|bits| *bits <= 0o777 && text.starts_with('0'));
        known.map(Self).ok_or_else(|| TextError::new(text, "a mode of four octal digits, such as `0640`"))
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

text_type!(FileMode, "^0[0-7]{3}$");

/// The full name of a unit of systemd, such as `chrony.service`.
#[derive(Clone, PartialEq, Eq)]
pub struct UnitName(String);

impl UnitName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UnitName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        // systemd.unit(5): letters, digits and `:-_.\@`; 255 bytes. None begins with a dash, which systemctl would take for an option.
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        let good = text.len() <= 255 && text.bytes().all(known) && !text.starts_with(['-', '.']);
        if good && UNIT_TYPES.iter().any(|kind| text.ends_with(kind)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TextError::new(text, "the full name of a unit, such as `chrony.service`"))
        }
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(UnitName, "^[A-Za-z0-9:_@\\\\][A-Za-z0-9:_.\\\\@-]*\\.(service|socket|timer|path|mount|target)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_of_files_that_a_site_may_have() {
        for good in ["/etc/motd", "/opt/site/.settings", "/devices/a", "/etc/a b"] {
            assert_eq!(good.parse::<HostPath>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "etc/motd",
            "/etc/../x",
            "/etc/./x",
            "/etc//x",
            "/etc/",
            "/dev/sda",
            "/proc/sys/x",
            "/sys",
            "/run/x",
            "/a\nb",
        ] {
            assert!(bad.parse::<HostPath>().is_err(), "{bad}");
        }
        let path: HostPath = "/etc/kubernetes-site/a".parse().unwrap();
        assert!(path.is_in("/etc/kubernetes-site") && !path.is_in("/etc/kubernetes"));
    }

    #[test]
    fn owners_modes_and_units_have_a_shape() {
        let owner: FileOwner = "root:adm".parse().unwrap();
        assert_eq!((owner.user(), owner.group(), owner.to_string().as_str()), ("root", Some("adm"), "root:adm"));
        for bad in ["", "0", "a:", ":a", "a:b:c", "a b"] {
            assert!(bad.parse::<FileOwner>().is_err(), "{bad}");
        }
        assert_eq!("0640".parse::<FileMode>().unwrap().bits(), 0o640);
        assert_eq!(FileMode::default().to_string(), "0644");
        for bad in ["", "644", "4755", "0888", "00644", "+644"] {
            assert!(bad.parse::<FileMode>().is_err(), "{bad}");
        }
        assert_eq!("chrony.service".parse::<UnitName>().unwrap().as_str(), "chrony.service");
        for bad in ["", "chrony", "-H.service", "a b.service", ".service", "a/b.service"] {
            assert!(bad.parse::<UnitName>().is_err(), "{bad}");
        }
    }
}
