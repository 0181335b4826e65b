//! Which tool a file is of. A new form is one more line in each place here.

use std::collections::BTreeSet;
use std::path::Path;

use kbundle_format::text_file;

use super::document::{Document, Documents};
use super::{ImportError, Imported, Remark, Resolver, k0sctl, kubekey};
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
            Self::K0sctl => "k0sctl's cluster file",
            Self::KubeKey => "KubeKey's cluster file",
        }
    }

    /// Tells the form by the `apiVersion` of the first document that has one; what has none is an inventory. Another version is
    /// given back.
    fn of(documents: &[Document]) -> Result<Self, &str> {
        let Some(version) = documents.iter().find_map(Document::api_version) else { return Ok(Self::Inventory) };
        match version.split('/').next() {
            Some("k0sctl.k0sproject.io") => Ok(Self::K0sctl),
            Some("kubekey.kubesphere.io") => Ok(Self::KubeKey),
            _ => Err(version),
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
    let form = Form::of(&documents.0).map_err(|version| {
        let message =
            format!("`apiVersion: {version}` is not of a tool whose files are imported: Kubespray, k0sctl, KubeKey");
        ImportError::Problems { problems: vec![Remark { places: BTreeSet::new(), message }] }
    })?;
    let imported = match form {
        Form::Inventory => inventory::read(path, resolver)?,
        Form::K0sctl => k0sctl::read(&documents, resolver)?,
        Form::KubeKey => kubekey::read(&documents, resolver)?,
    };
    Ok((form, imported))
}
