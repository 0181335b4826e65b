//! `kbundle catalog list`

use std::fmt::Write as _;

use kbundle::catalog::overview::{Overview, PinState, ReleaseOverview};
use kbundle::spec::SpecFile;
use kbundle_cli::output::{self, OutputFormat};

use crate::cli::CatalogListArgs;
use crate::commands::source;

/// Components that distinguish releases; the others follow from them.
const SHOWN: [&str; 2] = ["containerd", "etcd"];

pub fn run(arguments: &CatalogListArgs, output: OutputFormat) -> anyhow::Result<()> {
    let overview = source::catalog(&arguments.catalogs, &SpecFile::default())?.overview();
    output::result(output, &text(&overview), &overview)?;
    Ok(())
}

fn text(overview: &Overview) -> String {
    let mut text = format!("{:<10} {:<12} {:<8} ADD-ONS\n", "KUBERNETES", "CONTAINERD", "ETCD");
    for release in &overview.releases {
        let [containerd, etcd] = SHOWN.map(|name| release.components.get(name).map_or("-", String::as_str));
        let version = release.kubernetes.to_string();
        let _ = writeln!(text, "{version:<10} {containerd:<12} {etcd:<8} {}", addons(release));
    }
    text.push_str("* needs --trust-on-first-use: nothing pins all of its content");
    text
}

fn addons(release: &ReleaseOverview) -> String {
    let addon = |(name, addon): (&String, &kbundle::catalog::overview::AddonOverview)| {
        let mark = if addon.state == PinState::FirstBuild { "*" } else { "" };
        format!("{name} {}{mark}", addon.version)
    };
    release.addons.iter().map(addon).collect::<Vec<_>>().join(", ")
}
