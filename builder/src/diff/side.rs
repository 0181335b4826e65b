//! What is read of one bundle for a comparison.

use std::collections::BTreeMap;

use kbundle_format::{BundleList, Digest, KeyId};
use kbundle_sbom::Bom;
use oci_spec::image::ImageConfiguration;

/// One of the two bundles.
#[derive(Clone, Debug)]
pub struct Side<'a> {
    /// Its list.
    pub list: &'a BundleList,
    /// Keys that signed it, by the names of its signature files.
    pub signers: Vec<KeyId>,
    /// Its packages; `None` if packages are not compared.
    pub bom: Option<Bom>,
    /// The layers and settings of each image, by the image's manifest.
    pub images: BTreeMap<Digest, ImageSettings>,
}

/// The parts of an image's documents that an operator would notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// Digests of its layers, the lowest first.
    pub layers: Vec<Digest>,
    /// Settings by name, such as `user`.
    pub settings: BTreeMap<String, String>,
}

impl ImageSettings {
    /// Those of an image with this config and these layers. Text that is not a config has no settings.
    #[must_use]
    pub fn of(layers: Vec<Digest>, config: &[u8]) -> Self {
        let config: Option<ImageConfiguration> = serde_json::from_slice(config).ok();
        let run = config.as_ref().and_then(|config| config.config().as_ref());
        let list =
            |items: &Option<Vec<String>>| items.as_ref().filter(|items| !items.is_empty()).map(|items| items.join(" "));
        let mut settings = BTreeMap::new();
        if let Some(run) = run {
            let values = [
                ("user", run.user().clone().filter(|user| !user.is_empty())),
                ("entrypoint", list(run.entrypoint())),
                ("command", list(run.cmd())),
                ("working directory", run.working_dir().clone().filter(|folder| !folder.is_empty())),
                ("exposed ports", list(run.exposed_ports())),
                ("volumes", list(run.volumes())),
            ];
            settings.extend(values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            for variable in run.env().iter().flatten() {
                let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
                settings.insert(format!("environment {name}"), value.to_owned());
            }
        }
        Self { layers, settings }
    }
}
