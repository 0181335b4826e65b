//! Parsers of the kernel's text under `/proc`.

use std::collections::BTreeSet;

/// A line of `/proc/self/mounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountLine {
    /// The device or other source.
    pub device: String,
    /// The mount point.
    pub path: String,
    /// The type of the file system.
    pub file_system: String,
    /// Options, such as `ro`.
    pub options: Vec<String>,
}

impl MountLine {
    /// Whether it has this option.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|found| found == option)
    }
}

/// Whether `path` is the mount point `point`, or below it.
#[must_use]
pub fn lies_below(path: &str, point: &str) -> bool {
    let rest = path.strip_prefix(point.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The mount that contains `path`, or would contain it. Of two at one place the later one, which hides the earlier.
#[must_use]
pub fn mount_of<'a>(lines: &'a [MountLine], path: &str) -> Option<&'a MountLine> {
    lines.iter().filter(|line| lies_below(path, &line.path)).max_by_key(|line| line.path.len())
}

/// Reads `/proc/self/mounts`, oldest mount first.
#[must_use]
pub fn mounts(text: &str) -> Vec<MountLine> {
    let mount = |line: &str| {
        let mut fields = line.split(' ');
        Some(MountLine {
            device: unescape(fields.next()?),
            path: unescape(fields.next()?),
            file_system: fields.next()?.to_owned(),
            options: fields.next()?.split(',').map(str::to_owned).collect(),
        })
    };
    text.lines().filter_map(mount).collect()
}

/// Undoes the octal escapes (`\040` for a space) of `/proc/mounts`, `/proc/swaps` and `fstab`.
#[must_use]
pub fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\').then(|| tail.get(..3)).flatten();
        let byte = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The areas of `/proc/swaps`, below its heading.
#[must_use]
pub fn swap_areas(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescape).collect()
}

/// The names in `/proc/filesystems`.
#[must_use]
pub fn file_systems(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

/// The controllers of `/proc/cgroups` that are enabled and bound to a version 1 hierarchy.
#[must_use]
pub fn v1_controllers(text: &str) -> BTreeSet<String> {
    let enabled = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        match fields[..] {
            [name, hierarchy, _, "1"] if hierarchy != "0" && !name.starts_with('#') => Some(name.to_owned()),
            _ => None,
        }
    };
    text.lines().filter_map(enabled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_keep_their_order_and_odd_names() {
        let text = "/dev/sda1 / ext4 rw,relatime 0 0\ntmpfs /tmp tmpfs ro,noexec 0 0\n/dev/sdb /mnt/a\\040b\\134c xfs rw 0 0\n";
        let found = mounts(text);
        assert_eq!(found.iter().map(|mount| mount.path.as_str()).collect::<Vec<_>>(), ["/", "/tmp", "/mnt/a b\\c"]);
        assert_eq!(found[1].options, ["ro", "noexec"]);
        assert_eq!(unescape("a\\9z\\04"), "a\\9z\\04");
        assert!(mount_of(&found, "/tmp/x").unwrap().has("noexec"));
        assert_eq!(mount_of(&found, "/tmpx").unwrap().path, "/");
    }

    #[test]
    fn swap_areas_are_below_the_heading() {
        let text =
            "Filename\t\tType\t\tSize\tUsed\tPriority\n/dev/sda2  partition\t8\t0\t-2\n/swap\\040file file 8 0 -3\n";
        assert_eq!(swap_areas(text), ["/dev/sda2", "/swap file"]);
        assert!(swap_areas("Filename Type Size Used Priority\n").is_empty());
    }

    #[test]
    fn file_systems_with_and_without_device() {
        assert_eq!(
            file_systems("nodev\tsysfs\n\text4\nnodev\toverlay\n"),
            ["ext4", "overlay", "sysfs"].map(str::to_owned).into()
        );
    }

    #[test]
    fn controllers_are_those_of_a_hierarchy() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t5\t1\nmemory\t3\t5\t0\npids\t0\t5\t1\n";
        assert_eq!(v1_controllers(text), ["cpu".to_owned()].into());
    }
}
