//! `kbundle catalog show`

use std::fmt::Write as _;

use kbundle::catalog::overview::{AddonDetail, ComponentDetail, FileDetail, ImageDetail, ReleaseDetail};
use kbundle::spec::SpecFile;
use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat};

use crate::cli::CatalogShowArgs;
use crate::commands::source;

pub fn run(arguments: &CatalogShowArgs, output: OutputFormat) -> anyhow::Result<()> {
    let catalog = source::catalog(&arguments.catalogs, &SpecFile::default())?;
    let detail = catalog.detail(arguments.kubernetes).explained()?;
    output::result(output, &text(&detail), &detail)?;
    Ok(())
}

fn text(detail: &ReleaseDetail) -> String {
    let mut text = format!("Kubernetes {}\n\nCOMPONENTS\n", detail.kubernetes);
    for ComponentDetail { name, version, pinned_by, files } in &detail.components {
        let _ =
            writeln!(text, "  {name} {version}{}", pinned_by.as_ref().map_or(String::new(), |by| format!(" ({by})")));
        for (platform, file) in files {
            let _ = writeln!(text, "    {:<12} {}", platform.to_string(), line(file));
        }
    }
    text.push_str("\nIMAGES\n");
    images(&mut text, "  ", &detail.images);
    text.push_str("\nADD-ONS\n");
    for AddonDetail { name, overview, manifests, images: of_addon } in &detail.addons {
        let _ = writeln!(text, "  {name} {}: {}", overview.version, overview.state.as_str());
        for manifest in manifests {
            let _ = writeln!(text, "    {}", line(manifest));
        }
        images(&mut text, "    ", of_addon);
    }
    text
}

fn line(file: &FileDetail) -> String {
    let pin = file.digest.map_or_else(|| file.state.as_str().to_owned(), |digest| digest.to_string());
    format!("{}  {pin}", file.url)
}

fn images(text: &mut String, indent: &str, images: &[ImageDetail]) {
    for image in images {
        let pin = image.digest.map_or_else(|| image.state.as_str().to_owned(), |digest| digest.to_string());
        let _ = writeln!(text, "{indent}{}  {pin}", image.reference);
    }
}
