//! Which files of a layer have facts about packages, by their path.

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileClass<'a> {
    /// dpkg's database, or a package's part of it.
    DpkgStatus,
    /// The copyright file of the Debian package with this name.
    Copyright(&'a str),
    /// apk's database.
    ApkInstalled,
    /// rpm's database in `SQLite`.
    RpmSqlite,
    /// rpm's database in another form.
    RpmOther(&'static str),
    /// `os-release`.
    OsRelease,
    /// Metadata of a Python package.
    PythonMetadata,
    /// `package.json` of an installed Node package.
    PackageJson,
    /// A Java archive.
    JavaArchive,
    /// None of these, by its path; it may be a program.
    Other,
}

const RPM_FOLDERS: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];

impl<'a> FileClass<'a> {
    /// The kind for a path inside of the layer.
    #[must_use]
    pub fn of(path: &'a str) -> Self {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder_ends = |end: &str| folder.ends_with(end);
        match name {
            "status" if folder == "var/lib/dpkg" => Self::DpkgStatus,
            _ if folder == "var/lib/dpkg/status.d" && !has_extension(name, "md5sums") => Self::DpkgStatus,
            "copyright" => folder
                .strip_prefix("usr/share/doc/")
                .filter(|name| !name.contains('/'))
                .map_or(Self::Other, Self::Copyright),
            "installed" if ["lib/apk/db", "usr/lib/apk/db"].contains(&folder) => Self::ApkInstalled,
            "rpmdb.sqlite" if RPM_FOLDERS.contains(&folder) => Self::RpmSqlite,
            "rpmdb.sqlite-wal" if RPM_FOLDERS.contains(&folder) => Self::RpmOther("SQLite's write-ahead log"),
            "Packages" if RPM_FOLDERS.contains(&folder) => Self::RpmOther("Berkeley DB"),
            "Packages.db" if RPM_FOLDERS.contains(&folder) => Self::RpmOther("ndb"),
            "os-release" if ["etc", "usr/lib"].contains(&folder) => Self::OsRelease,
            "METADATA" if folder_ends(".dist-info") => Self::PythonMetadata,
            "PKG-INFO" if folder_ends(".egg-info") => Self::PythonMetadata,
            _ if has_extension(name, "egg-info") => Self::PythonMetadata,
            "package.json" if folder.split('/').any(|part| part == "node_modules") => Self::PackageJson,
            _ if crate::read::is_java_archive(name) => Self::JavaArchive,
            _ => Self::Other,
        }
    }
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, found)| !stem.is_empty() && found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_and_metadata_are_known_by_their_paths() {
        for (path, class) in [
            ("var/lib/dpkg/status", FileClass::DpkgStatus),
            ("var/lib/dpkg/status.d/tzdata", FileClass::DpkgStatus),
            ("var/lib/dpkg/status.d/tzdata.md5sums", FileClass::Other),
            ("usr/share/doc/libc6/copyright", FileClass::Copyright("libc6")),
            ("usr/share/doc/a/b/copyright", FileClass::Other),
            ("lib/apk/db/installed", FileClass::ApkInstalled),
            ("var/lib/rpm/rpmdb.sqlite", FileClass::RpmSqlite),
            ("var/lib/rpm/Packages", FileClass::RpmOther("Berkeley DB")),
            ("etc/os-release", FileClass::OsRelease),
            ("usr/lib/python3/dist-packages/six-1.16.0.egg-info", FileClass::PythonMetadata),
            ("a/six.dist-info/METADATA", FileClass::PythonMetadata),
            ("app/node_modules/@a/b/package.json", FileClass::PackageJson),
            ("app/package.json", FileClass::Other),
            ("opt/a.jar", FileClass::JavaArchive),
            ("usr/bin/kubelet", FileClass::Other),
        ] {
            assert_eq!(FileClass::of(path), class, "{path}");
        }
    }
}
