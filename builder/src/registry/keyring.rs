//! All credentials of the user, from the files that Docker and containers/image document.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::auth_file::AuthFile;
use super::credential::{Credential, CredentialError};

/// Credentials for registries. Each registry or namespace gets only its own.
#[derive(Debug, Default)]
pub struct Keyring(Vec<AuthFile>);

impl Keyring {
    /// Reads the file that is named by a flag or in `REGISTRY_AUTH_FILE`, or else the existing ones of [`usual_files`].
    ///
    /// # Errors
    /// [`CredentialError::Read`] or [`CredentialError::Syntax`].
    pub fn read(named: Option<&Path>) -> Result<Self, CredentialError> {
        let by_variable = std::env::var_os("REGISTRY_AUTH_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(path) = named.map(Path::to_owned).or(by_variable) {
            return Ok(Self(vec![AuthFile::read(&path)?]));
        }
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let user = nix::unistd::geteuid().as_raw();
        let files = usual_files(variable, std::env::home_dir().as_deref(), user);
        files.iter().filter(|path| path.exists()).map(|path| AuthFile::read(path)).collect::<Result<_, _>>().map(Self)
    }

    /// The credential for `repository` on `host`: from the first file that has one, and in that file for the longest namespace.
    pub(super) fn find(&self, host: &str, repository: &str) -> Result<Option<Credential>, CredentialError> {
        for file in &self.0 {
            if let Some(credential) = file.find(host, repository)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}

/// The files with credentials, in this order. Source: containers-auth.json(5), "FILES"; Docker CLI, `DOCKER_CONFIG`.
fn usual_files(variable: impl Fn(&str) -> Option<OsString>, home: Option<&Path>, user: u32) -> Vec<PathBuf> {
    let below = |name: &str| variable(name).map(PathBuf::from);
    let runtime = below("XDG_RUNTIME_DIR").unwrap_or_else(|| format!("/run/containers/{user}").into());
    // Without XDG_RUNTIME_DIR, the folder has another name.
    let runtime = if variable("XDG_RUNTIME_DIR").is_some() { runtime.join("containers") } else { runtime };
    let in_home = |path: &str| home.map(|home| home.join(path));
    let config = below("XDG_CONFIG_HOME").or_else(|| in_home(".config")).map(|folder| folder.join("containers"));
    let docker = below("DOCKER_CONFIG").or_else(|| in_home(".docker"));
    let files = [Some(runtime.join("auth.json")), config.map(|folder| folder.join("auth.json"))];
    files.into_iter().chain([docker.map(|folder| folder.join("config.json"))]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_for_where_podman_and_docker_have_them() {
        let files = |set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            let files = usual_files(variable, Some(Path::new("/home/u")), 1000);
            files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            files(&[]),
            ["/run/containers/1000/auth.json", "/home/u/.config/containers/auth.json", "/home/u/.docker/config.json"]
        );
        assert_eq!(
            files(&[("XDG_RUNTIME_DIR", "/run/user/7"), ("XDG_CONFIG_HOME", "/c"), ("DOCKER_CONFIG", "/d")]),
            ["/run/user/7/containers/auth.json", "/c/containers/auth.json", "/d/config.json"]
        );
    }
}
