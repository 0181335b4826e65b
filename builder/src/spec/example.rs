//! An example of `bundle.yaml`, and the schema of `bundle.yaml`.

use super::SpecFile;

/// Every key of `bundle.yaml`, commented out: its default, or an example.
pub const EXAMPLE: &str = include_str!("example.yaml");

/// The JSON Schema of `bundle.yaml`, as in `docs/bundle.schema.json`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(SpecFile).into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings_file;
    use crate::spec::SpecFlags;

    fn parse(text: &str) -> SpecFile {
        settings_file::parse(text, Path::new("bundle.yaml")).unwrap()
    }

    /// The example with every setting uncommented.
    fn uncommented() -> String {
        let line = |line: &str| format!("{}\n", line.strip_prefix("# ").unwrap_or(line));
        EXAMPLE.lines().map(line).collect()
    }

    #[test]
    fn as_it_is_it_has_the_defaults() {
        assert_eq!(parse(EXAMPLE), SpecFile { schema: 1, ..SpecFile::default() });
    }

    #[test]
    fn uncommented_it_can_be_read_and_has_every_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.yaml");
        fs_err::write(&path, uncommented()).unwrap();
        fs_err::create_dir(folder.path().join("app")).unwrap();
        fs_err::write(folder.path().join("app/a.yaml"), "{apiVersion: v1, kind: Namespace}").unwrap();
        fs_err::create_dir_all(folder.path().join("charts/shop")).unwrap();
        fs_err::write(folder.path().join("charts/shop/Chart.yaml"), "{name: shop, version: 1.0.0}").unwrap();
        fs_err::write(folder.path().join("values.yaml"), "").unwrap();
        fs_err::create_dir(folder.path().join("files")).unwrap();
        fs_err::write(folder.path().join("files/site.conf"), "").unwrap();
        fs_err::write(folder.path().join("debian-archive-keyring.gpg"), crate::os_packages::tests::KEY).unwrap();
        let (spec, mirrors) = SpecFlags::default().join(&SpecFile::read(&path).unwrap()).unwrap();
        assert_eq!((spec.images.len(), spec.addons.len(), spec.manifests.len()), (1, 1, 1));
        assert_eq!((spec.charts.len(), spec.files.len(), spec.os_packages.len()), (1, 1, 1));
        assert_eq!(mirrors.rewrite("https://dl.k8s.io/x"), "https://mirror.example/dl.k8s.io/x");
        let text = uncommented();
        let schema = schema();
        let keys = schema["properties"].as_object().unwrap().keys();
        let missing: Vec<_> =
            keys.filter(|key| !text.lines().any(|line| line.starts_with(&format!("{key}:")))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
