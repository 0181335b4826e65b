//! Which tool a file is of. A new form is one more line in each place here.

use std::path::Path;

use kbundle_format::text_file;

use super::document::{Document, Documents};
use super::{ImportError, Imported, Resolver, k0sctl, kubekey};
use crate::inventory::{self, yaml};

/// The forms that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Kubespray's inventory: INI, YAML or JSON, or a folder.
    Inventory,
    /// `k0sctl.yaml`.
    K0sctl,
    /// `KubeKey`'s cluster file.
    KubeKey,
}

impl Form {
    /// What a file of this form is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inventory => "Kubespray's inventory",
            Self::K0sctl => "k0sctl.yaml",
            Self::KubeKey => "KubeKey's cluster file",
        }
    }

    /// Tells the form by the `apiVersion` of the first document that has one; what has none is an inventory.
    fn of(documents: &[Document]) -> Self {
        let version = documents.iter().find_map(Document::api_version).unwrap_or_default();
        match version.split('/').next() {
            Some("k0sctl.k0sproject.io") => Self::K0sctl,
            Some("kubekey.kubesphere.io") => Self::KubeKey,
            _ => Self::Inventory,
        }
    }
}

/// Reads a file of any of the forms.
pub fn read(path: &Path, resolver: Resolver<'_>) -> Result<(Form, Imported), ImportError> {
    if path.is_dir() {
        return Ok((Form::Inventory, inventory::read(path, resolver)?));
    }
    // What is no YAML is told by the reader of inventories, whose INI is none.
    let documents = Documents::of(yaml::load_all(&text_file::read(path)?).unwrap_or_default());
    let form = Form::of(&documents.0);
    let imported = match form {
        Form::Inventory => inventory::read(path, resolver)?,
        Form::K0sctl => k0sctl::read(&documents, resolver)?,
        Form::KubeKey => kubekey::read(&documents, resolver)?,
    };
    Ok((form, imported))
}
