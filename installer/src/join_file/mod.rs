//! Join files: what a host that is set up by hand needs to join an existing cluster. `kinstall token create` writes one on a control plane,
//! `kinstall run --join` reads it on the host; a person or a pipe carries it between them.
//!
//! A join file is YAML and holds a secret that works for a while. A host that installs from it trusts its content. So only root can read
//! the file, it is read only from files of root, and the shape of every value is validated before use.

mod issue;
mod probe;
mod read;

use std::collections::BTreeMap;

use anyhow::anyhow;
use kbundle_format::{Digest, Role};
use serde::{Deserialize, Serialize};

use crate::config::{ClusterSpec, ConfigError, DnsName, HostSpec};
use crate::failure::Advise;
use crate::join_material::{JoinCredentials, JoinMaterial, PodNetwork};
use crate::pki::public_key_hash;

pub use issue::{IssueError, cluster_for, foreign_label};
pub use kbundle_format::moment::Moment;
pub use probe::probe;
pub use read::{STANDARD_INPUT, read};
#[cfg(test)]
pub(crate) use tests::example;

/// The version of join files that this program writes and reads.
pub const SCHEMA: u32 = 1;
/// How far the host's clock may be behind the control plane's. Certificates that are not yet valid are refused.
const CLOCK_TOLERANCE: std::time::Duration = std::time::Duration::from_secs(30);
/// Explains the file to the person who opens it.
const HEAD: &str = "# Made by `kinstall token create`, for `kinstall run --join`. Whoever has it can join the cluster until it expires.\n";

/// What a host needs to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct JoinFile {
    /// Version of the file format; always 1.
    pub schema: u32,
    /// The host's name in the cluster.
    pub host: DnsName,
    /// When it was made, by the control plane's clock.
    pub created: Moment,
    /// When the token ends, by the same clock.
    pub expires: Moment,
    /// The list of the bundle that the cluster was set up from.
    pub bundle: Digest,
    /// The cluster, as far as it concerns this host.
    pub cluster: ClusterSpec,
    /// The pod networks of the other nodes when the file was made; for the network `bridge`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_networks: BTreeMap<String, PodNetwork>,
    /// The certificate of the cluster's authority, PEM.
    pub authority: String,
    /// Credentials to join with. They come last, and are checked against the data above, so that a file that was cut off is not taken for
    /// complete.
    pub credentials: JoinCredentials,
}

/// Why a join file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinFileError {
    /// Not YAML, or not of the file's shape. The cause names line, column and key, and none of the values.
    #[error("it is not a join file")]
    Syntax {
        /// The parser's error.
        source: serde_yaml::Error,
    },
    /// A version that this program does not know.
    #[error("it has schema {found}, this program knows {SCHEMA}")]
    Schema {
        /// The version in the file.
        found: u32,
    },
    /// Its description is not a valid cluster.
    #[error("its description of the cluster is not valid")]
    Cluster(#[from] ConfigError),
    /// The host of the file is not in its cluster.
    #[error("its cluster has no host {host}")]
    NoHost {
        /// The name.
        host: DnsName,
    },
    /// The file is for a host that has more roles than worker.
    #[error("host {host} has the roles {roles}, and only workers join by a file")]
    Roles {
        /// The name.
        host: DnsName,
        /// The roles of the host.
        roles: String,
    },
    /// A value that `kinstall token create` never writes.
    #[error("{key} is not what `kinstall token create` writes")]
    Value {
        /// The key in the file.
        key: &'static str,
    },
}

impl JoinFile {
    /// Reads and validates a file's text.
    pub fn parse(text: &str) -> Result<Self, JoinFileError> {
        /// The part that all versions have.
        #[derive(Deserialize)]
        struct AnyVersion {
            schema: u32,
        }
        let syntax = |source| JoinFileError::Syntax { source };
        let AnyVersion { schema } = serde_yaml::from_str(text).map_err(syntax)?;
        if schema != SCHEMA {
            return Err(JoinFileError::Schema { found: schema });
        }
        let file: Self = serde_yaml::from_str(text).map_err(syntax)?;
        file.validate()?;
        Ok(file)
    }

    /// The text of the file. Holds a secret.
    #[must_use]
    pub fn text(&self) -> String {
        let yaml = serde_yaml::to_string(self).expect("a join file is plain data");
        format!("{HEAD}{yaml}")
    }

    fn validate(&self) -> Result<(), JoinFileError> {
        self.cluster.validate()?;
        let host = self.find_host().ok_or_else(|| JoinFileError::NoHost { host: self.host.clone() })?;
        if host.roles != [Role::Worker].into() {
            let roles: Vec<_> = host.roles.iter().map(|role| role.as_str()).collect();
            return Err(JoinFileError::Roles { host: self.host.clone(), roles: roles.join(", ") });
        }
        let JoinCredentials { api_server, token, authority_hash } = &self.credentials;
        let hash = public_key_hash(&self.authority);
        for (key, good) in [
            ("credentials.api-server", api_server.parse::<std::net::SocketAddr>().is_ok()),
            ("credentials.token", is_token(token)),
            ("authority", hash.is_some()),
            ("credentials.authority-hash", hash.as_ref() == Some(authority_hash)),
        ] {
            if !good {
                return Err(JoinFileError::Value { key });
            }
        }
        Ok(())
    }

    fn find_host(&self) -> Option<&HostSpec> {
        self.cluster.hosts.iter().find(|host| host.name == self.host)
    }

    /// The host that the file is for.
    #[must_use]
    pub fn host_spec(&self) -> &HostSpec {
        self.find_host().expect("a join file has its host")
    }

    /// What the file gives to the host, with these credentials.
    #[must_use]
    pub fn join_material(&self, credentials: JoinCredentials) -> JoinMaterial {
        JoinMaterial { join: Some(credentials), pod_networks: self.pod_networks.clone(), ..JoinMaterial::default() }
    }

    /// Refuses a file whose token has expired, or is not valid yet, by this host's clock.
    pub fn refuse_untimely(&self, now: Moment) -> anyhow::Result<()> {
        let another = "make another on a control plane: `kinstall token create`";
        if now >= self.expires {
            let error = anyhow!("the join file expired at {}, and this host's clock says {now}", self.expires);
            return Err(error)
                .refused()
                .hint(format!("{another}; if the clock is wrong, set it (`timedatectl set-time`)"));
        }
        if now.after(CLOCK_TOLERANCE) < self.created {
            let error = anyhow!("the join file was made at {}, and this host's clock says {now}", self.created);
            return Err(error).refused().hint(
                "set the clock here or there (`timedatectl set-time`), and run chrony or ntp against a server of the site: \
                 hosts with different clocks refuse each other's certificates",
            );
        }
        Ok(())
    }

    /// Refuses a bundle other than the one that the cluster was set up from.
    pub fn refuse_another_bundle(&self, list: Digest) -> anyhow::Result<()> {
        if list == self.bundle {
            return Ok(());
        }
        Err(anyhow!(
            "the cluster was set up from the bundle with list {}, and this one has list {list}; nothing was changed",
            self.bundle
        ))
        .refused()
        .hint("use the bundle that the cluster was set up from; `kinstall status` on its hosts shows which it is")
    }
}

/// Whether it has the form of a bootstrap token (Kubernetes' documentation, "Authenticating with Bootstrap Tokens").
fn is_token(text: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret))
}

#[cfg(test)]
mod tests;
