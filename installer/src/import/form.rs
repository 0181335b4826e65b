//! Detects the tool that a file is for. A new form needs one more line in each place here.

use std::collections::BTreeSet;
use std::path::Path;

use kbundle_format::text_file;

use super::document::{Document, Documents};
use super::{ImportError, Imported, Remark, Resolver, k0sctl, kubeadm, kubekey};
use crate::import::inventory::{self, yaml};

/// The forms that kinstall can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Kubespray's inventory: INI, YAML or JSON, or a folder.
    Inventory,
    /// `k0sctl.yaml`.
    K0sctl,
    /// KubeKey's cluster file.
    KubeKey,
    /// kubeadm's configuration.
    Kubeadm,
}

impl Form {
    /// The name of this form, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inventory => "Kubespray's inventory",
            Self::K0sctl => "k0sctl's cluster file",
            Self::KubeKey => "KubeKey's cluster file",
            Self::Kubeadm => "kubeadm's configuration",
        }
    }

    /// Detects the form by the first document with a known `apiVersion`; a file without any `apiVersion` is an inventory.
    ///
    /// # Errors
    /// The first `apiVersion`, if none is known.
    fn of(documents: &[Document]) -> Result<Self, &str> {
        let known = |version: &str| match version.split('/').next() {
            Some("k0sctl.k0sproject.io") => Some(Self::K0sctl),
            Some("kubekey.kubesphere.io") => Some(Self::KubeKey),
            Some("kubeadm.k8s.io" | "kubelet.config.k8s.io" | "kubeproxy.config.k8s.io") => Some(Self::Kubeadm),
            _ => None,
        };
        let mut versions = documents.iter().filter_map(Document::api_version).peekable();
        let Some(&first) = versions.peek() else { return Ok(Self::Inventory) };
        versions.find_map(known).ok_or(first)
    }
}

/// Reads a file of any of the forms.
pub fn read(path: &Path, resolver: Resolver<'_>) -> Result<(Form, Imported), ImportError> {
    if path.is_dir() {
        return Ok((Form::Inventory, inventory::read(path, resolver)?));
    }
    // Text that is not YAML goes to the reader of inventories, which reports its errors: INI is not YAML.
    let text = text_file::read(path)?;
    let documents = Documents::of(yaml::load_all(&text).unwrap_or_default());
    let form = Form::of(&documents.0).map_err(|version| {
        let message = format!(
            "`apiVersion: {version}` is not of a tool whose files are imported: Kubespray, k0sctl, KubeKey, kubeadm"
        );
        ImportError::Problems { problems: vec![Remark { places: BTreeSet::new(), message }] }
    })?;
    let imported = match form {
        Form::Inventory => inventory::read(path, resolver)?,
        Form::K0sctl => k0sctl::read(&documents, resolver)?,
        Form::KubeKey => kubekey::read(&documents, resolver)?,
        Form::Kubeadm => kubeadm::read(path, &text)?,
    };
    Ok((form, imported))
}
