//! Files of the site's own for hosts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kbundle_format::Role;
use kbundle_format::host_file::{FileMode, FileOwner, HostFile, HostPath, UnitName};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{LocalFile, SiteError};

/// A file as `bundle.yaml` has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileSettings {
    /// The file, relative to this one.
    #[schemars(with = "String")]
    pub file: PathBuf,
    /// Its absolute path on hosts.
    pub path: HostPath,
    /// The hosts that get it: `control-plane`, `etcd`, `worker`. Default: all.
    #[serde(default)]
    pub roles: BTreeSet<Role>,
    /// Whom it belongs to: `USER` or `USER:GROUP`. Default: `root`.
    #[serde(default)]
    #[schemars(default)]
    pub owner: FileOwner,
    /// Its permission bits, in quotes. Default: `"0644"`.
    #[serde(default)]
    #[schemars(default)]
    pub mode: FileMode,
    /// A unit that is restarted when the file has changed, such as `chrony.service`.
    pub restart: Option<UnitName>,
}

/// A file to carry, and its place on hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteFile {
    /// The file.
    pub file: LocalFile,
    /// Hosts that get it.
    pub roles: BTreeSet<Role>,
    /// Its path, owner and mode on hosts.
    pub host_file: HostFile,
}

impl SiteFile {
    /// Reads the files in `settings`; their paths are relative to `base`.
    ///
    /// # Errors
    /// [`SiteError::Read`], or [`SiteError::SamePath`] when hosts of one role would get two files at one path.
    pub fn read_all(base: &Path, settings: &[FileSettings]) -> Result<Vec<Self>, SiteError> {
        let mut files: Vec<Self> = Vec::new();
        for FileSettings { file, path, roles, owner, mode, restart } in settings {
            let read = |source| SiteError::Read { path: base.join(file), source };
            let roles = if roles.is_empty() { Role::ALL.into() } else { roles.clone() };
            let taken = |known: &Self| known.host_file.path == *path && !known.roles.is_disjoint(&roles);
            if files.iter().any(taken) {
                return Err(SiteError::SamePath { path: path.clone() });
            }
            let host_file =
                HostFile { path: path.clone(), owner: owner.clone(), mode: *mode, restart: restart.clone() };
            files.push(Self { file: LocalFile::read(base, file).map_err(read)?, roles, host_file });
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    fn read(text: &str) -> Result<Vec<SiteFile>, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("motd"), "hello").unwrap();
        let settings: Vec<FileSettings> = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        SiteFile::read_all(folder.path(), &settings).map_err(|error| error.to_string())
    }

    #[test]
    fn files_have_defaults_and_go_to_roles() {
        let files = read("- {file: motd, path: /etc/motd}\n- {file: motd, path: /a, roles: [worker], owner: root:adm, mode: '0640', restart: a.service}").unwrap();
        assert_eq!(files[0].roles, Role::ALL.into());
        assert_eq!((files[0].host_file.owner.to_string(), files[0].host_file.mode.bits()), ("root".to_owned(), 0o644));
        assert_eq!(files[1].roles, [Role::Worker].into());
        assert_eq!(files[1].host_file.restart, Some("a.service".parse().unwrap()));
    }

    #[test]
    fn two_files_for_one_path_and_what_is_no_file_are_refused() {
        let same = read("- {file: motd, path: /a}\n- {file: motd, path: /a, roles: [etcd]}").unwrap_err();
        assert_eq!(same, "two files go to /a on the same hosts");
        assert!(read("- {file: motd, path: /a, roles: [worker]}\n- {file: motd, path: /a, roles: [etcd]}").is_ok());
        assert!(read("- {file: other, path: /a}").unwrap_err().starts_with("cannot read "));
        assert!(read("- {file: motd, path: /proc/a}").unwrap_err().contains("`/proc/a` is not the path of a file"));
    }
}
