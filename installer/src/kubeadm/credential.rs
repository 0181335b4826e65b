//! The credential of a kubeconfig's user.

use serde_json::Value;

use crate::host::{Host, HostError};

/// A part of a credential in a kubeconfig.
pub enum Part {
    /// In the kubeconfig itself, base64.
    Here(String),
    /// In the file with this path.
    Elsewhere(String),
}

impl Part {
    /// Whether the part exists and is not empty.
    pub(super) fn is_there(&self, host: &Host) -> Result<bool, HostError> {
        Ok(match self {
            Self::Here(data) => !data.is_empty(),
            // The kubelet's link to its newest certificate; key and certificate are in one file.
            Self::Elsewhere(path) => host.size_of(path)?.is_some_and(|bytes| bytes > 0),
        })
    }
}

/// The certificate and the key of the single user in a kubeconfig; `None` if the file ends early. Its keys are in alphabetical order, so
/// `users` comes last.
#[must_use]
pub fn credential(kubeconfig: &str) -> Option<[Part; 2]> {
    let config: Value = serde_yaml::from_str(kubeconfig).ok().filter(|_| kubeconfig.ends_with('\n'))?;
    let user = &config["users"][0]["user"];
    let part = |name: &str| {
        let text = |name: &str| user[name].as_str().map(str::to_owned);
        text(&format!("{name}-data")).map(Part::Here).or_else(|| text(name).map(Part::Elsewhere))
    };
    Some([part("client-certificate")?, part("client-key")?])
}
