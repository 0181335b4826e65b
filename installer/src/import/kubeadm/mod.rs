//! Turns kubeadm's configuration into a cluster.yaml: `ClusterConfiguration` and `InitConfiguration` of v1beta2, v1beta3 and v1beta4, with
//! the documents of the kubelet and of kube-proxy. A [`Remark`] names what cannot be taken over.
//!
//! Each document is a [`Section`]. The import takes out the fields that mean something here; remarks name the fields that remain.

mod api_server;
mod cluster;
mod flags;
mod node;
mod passed_on;
mod section;

use std::collections::BTreeSet;
use std::path::Path;

use kbundle_format::text_file;
use serde::Deserialize as _;
use serde_json::Value;

use super::Settings;
use crate::config::{ClusterSpec, Fields};
use section::Section;

/// Reads the content of a file that kubeadm's configuration names by its path on a host; `None` if the file is not available.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The result of an import.
#[derive(Debug)]
pub struct Imported {
    /// The cluster.
    pub spec: ClusterSpec,
    /// What was left out, or understood in a way that is not obvious.
    pub remarks: Vec<Remark>,
}

/// Something about a field, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The field, such as `ClusterConfiguration.imageRepository`.
    pub place: String,
    /// What the import did with it, and why.
    pub message: String,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeadmError {
    /// Not YAML.
    #[error("it is not valid YAML")]
    Syntax {
        /// The parser's error.
        source: serde_yaml::Error,
    },
    /// A version that this program does not know.
    #[error(
        "{kind} is of {found}, and kubeadm.k8s.io/v1beta2, v1beta3 and v1beta4 are read; `kubeadm config migrate` of an older release rewrites it"
    )]
    Version {
        /// The document.
        kind: String,
        /// Its version.
        found: String,
    },
    /// A field without which the cluster cannot be described.
    #[error("{place} is `{value}`, and that is {expected}")]
    Value {
        /// The field.
        place: String,
        /// What it has.
        value: String,
        /// What the field should be.
        expected: String,
    },
}

/// Reads the file at `path`, whose content is `text`. Files that it names are read beside it, or at the paths that it gives.
pub fn read(path: &Path, text: &str) -> Result<super::Imported, super::ImportError> {
    let read_file = |named: &str| {
        let beside = Path::new(named).file_name().map(|name| path.with_file_name(name));
        beside.into_iter().chain([named.into()]).find_map(|place| text_file::read(&place).ok())
    };
    let Imported { spec, remarks } = import(text, &read_file)?;
    let settings = Settings::from(&spec);
    let remarks = remarks.into_iter().map(super::Remark::from).collect();
    Ok(super::Imported { hosts: spec.hosts, ssh: spec.ssh, settings, remarks })
}

impl From<Remark> for super::Remark {
    fn from(Remark { place, message }: Remark) -> Self {
        Self { places: BTreeSet::new(), message: format!("{place}: {message}") }
    }
}

/// Reads kubeadm's configuration.
pub fn import(text: &str, read_file: ReadFile<'_>) -> Result<Imported, KubeadmError> {
    let documents = documents(text)?;
    let mut import = Import {
        spec: ClusterSpec::default(),
        remarks: Vec::new(),
        read_file,
        is_of_kinstall: documents.iter().any(node::is_of_kinstall),
        node: node::Node::default(),
    };
    // The node's address decides which names in certificates are redundant.
    let order = ["InitConfiguration", "ClusterConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"];
    let place = |document: &Fields| order.iter().position(|kind| *kind == kind_of(document)).unwrap_or(order.len());
    let mut documents = documents;
    documents.sort_by_key(place);
    for document in documents {
        import.document(document)?;
    }
    import.place_node();
    import.leave_out_what_follows();
    import.leave_out_what_is_unknown();
    Ok(Imported { spec: import.spec, remarks: import.remarks })
}

fn documents(text: &str) -> Result<Vec<Fields>, KubeadmError> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        // An empty document is YAML's null.
        let fields = Option::<Fields>::deserialize(document).map_err(|source| KubeadmError::Syntax { source })?;
        found.extend(fields);
    }
    Ok(found)
}

fn kind_of(document: &Fields) -> &str {
    document.get("kind").and_then(Value::as_str).unwrap_or_default()
}

struct Import<'a> {
    spec: ClusterSpec,
    remarks: Vec<Remark>,
    read_file: ReadFile<'a>,
    /// Whether kinstall wrote the file. Features that are missing in it are then switched off.
    is_of_kinstall: bool,
    node: node::Node,
}

impl Import<'_> {
    fn remark(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.remarks.push(Remark { place: place.into(), message: message.into() });
    }

    fn document(&mut self, document: Fields) -> Result<(), KubeadmError> {
        let kind = kind_of(&document).to_owned();
        let mut section = Section::of(&kind, document);
        let version = section.text("apiVersion").unwrap_or_default();
        section.take("kind");
        let of_kubeadm =
            ["v1beta2", "v1beta3", "v1beta4"].iter().any(|known| version == format!("kubeadm.k8s.io/{known}"));
        match kind.as_str() {
            "InitConfiguration" | "ClusterConfiguration" | "JoinConfiguration" if !of_kubeadm => {
                return Err(KubeadmError::Version { kind, found: version });
            }
            "InitConfiguration" => self.init(section)?,
            "ClusterConfiguration" => self.cluster(section)?,
            "KubeletConfiguration" => self.kubelet(section),
            "KubeProxyConfiguration" => self.kube_proxy(section),
            "JoinConfiguration" => {
                self.remark(
                    kind,
                    "left out: kinstall joins hosts with tokens that it makes; write each host under `hosts`",
                );
            }
            _ => self.remark(
                if kind.is_empty() { "a document without a kind" } else { &kind },
                "left out: it means nothing to kinstall",
            ),
        }
        Ok(())
    }

    /// Names the remaining fields of a section.
    fn rest(&mut self, section: Section) {
        for place in section.left() {
            self.remark(place, "left out: cluster.yaml has nothing like it");
        }
    }
}

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
