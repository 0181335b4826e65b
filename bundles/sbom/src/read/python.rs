//! Metadata of an installed Python package. Source: "Core metadata specifications" of the Python Packaging User Guide.

use super::text::paragraphs;
use crate::package::{Ecosystem, Finding, Package};

/// The package of a `METADATA` or `PKG-INFO` file.
#[must_use]
pub fn metadata(text: &str) -> Option<Finding> {
    let fields = paragraphs(text).next()?;
    let (name, version) = (fields.get("Name")?, fields.get("Version")?);
    // The form of a name in a package URL: lowercase, with dashes.
    let mut package = Package::new(Ecosystem::Pypi, &name.to_lowercase().replace('_', "-"), version);
    if package.name.is_empty() {
        return None;
    }
    let stated = |name| fields.get(name).filter(|text| !text.is_empty() && *text != "UNKNOWN");
    package.licences = match stated("License-Expression").or_else(|| stated("License")) {
        Some(licence) => vec![licence.to_owned()],
        None => fields.all("Classifier").filter_map(classified).collect(),
    };
    Some(Finding::Packages(vec![package]))
}

/// The licence in a classifier: `MIT License` in `License :: OSI Approved :: MIT License`.
fn classified(classifier: &str) -> Option<String> {
    let licence = classifier.strip_prefix("License ::")?;
    licence.rsplit(" :: ").next().map(|name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_an_expression_a_text_or_a_classifier() {
        let of = |licence: &str| {
            let text = format!("Metadata-Version: 2.4\nName: Zope_Interface\nVersion: 5.0\n{licence}\n\nName: other\n");
            let Some(Finding::Packages(packages)) = metadata(&text) else { panic!() };
            assert_eq!(packages[0].purl(None).unwrap(), "pkg:pypi/zope-interface@5.0");
            packages[0].licences.clone()
        };
        assert_eq!(of("License: ZPL\nLicense-Expression: ZPL-2.1"), ["ZPL-2.1"]);
        assert_eq!(of("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License"), ["MIT License"]);
        assert_eq!(metadata("nothing"), None);
    }
}
