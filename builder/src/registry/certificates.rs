//! Certificates for one host: the authorities that are trusted for it, and the client certificate that the user presents to it.
//!
//! Source: containers-certs.d(5) and Docker, "Verify repository client with certificates": in the folder `HOST[:PORT]`, `*.crt` are
//! authorities, and `NAME.cert` with `NAME.key` is the client's.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_format::text_file;
use reqwest::{Certificate, Identity};

use crate::fetch::FetchError;

/// The content of a host's folder.
pub(super) struct HostCertificates {
    pub authorities: Vec<Certificate>,
    pub identity: Option<Identity>,
}

/// Reads the first folder for `host` below `folders`.
pub(super) fn of_host(folders: &[PathBuf], host: &str) -> Result<Option<HostCertificates>, FetchError> {
    match folders.iter().map(|folder| folder.join(host)).find(|folder| folder.is_dir()) {
        Some(folder) => read(&folder).map(Some),
        None => Ok(None),
    }
}

fn read(folder: &Path) -> Result<HostCertificates, FetchError> {
    let failed = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| FetchError::Certificates {
        path: path.to_owned(),
        source,
    };
    let mut own = HostCertificates { authorities: Vec::new(), identity: None };
    for path in sorted(folder).map_err(|source| failed(folder, source.into()))? {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let text = || text_file::read(&path).map_err(|source| failed(&path, source.into()));
        match extension {
            Some("crt") => {
                let found = Certificate::from_pem_bundle(text()?.as_bytes());
                own.authorities.extend(found.map_err(|source| failed(&path, source.into()))?);
            }
            Some("cert") if own.identity.is_none() => {
                let key_path = path.with_extension("key");
                let key = text_file::read(&key_path).map_err(|source| failed(&key_path, source.into()))?;
                let identity = Identity::from_pem(format!("{}\n{key}", text()?).as_bytes());
                own.identity = Some(identity.map_err(|source| failed(&path, source.into()))?);
            }
            _ => {}
        }
    }
    Ok(own)
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
