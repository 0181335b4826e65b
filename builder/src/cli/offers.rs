//! The values that completion offers for kbundle's arguments.

use std::collections::BTreeSet;

use kbundle::catalog::{AddonKind, Catalog};
use kbundle_cli::completion::entries;
use kbundle_cli::definition::Offer;
use kbundle_format::Role;

/// By the argument's id.
pub const OFFERS: &[Offer] = &[
    ("kubernetes", releases),
    ("arch", architectures),
    ("cni", networks),
    ("load_balancer", load_balancers),
    ("addons", addons),
    ("role", roles),
    ("path", entries),
    ("paths", entries),
];

/// Only the built-in catalog: one that the command line names may have others.
fn built_in<T>(list: impl FnOnce(&Catalog) -> Vec<T>) -> Vec<T> {
    Catalog::built_in().map(|catalog| list(&catalog)).unwrap_or_default()
}

fn releases() -> Vec<String> {
    built_in(|catalog| catalog.releases.keys().map(ToString::to_string).collect())
}

fn architectures() -> Vec<String> {
    let of_catalog = |catalog: &Catalog| {
        let versions = catalog.components.values().flat_map(|family| family.versions.values());
        let platforms: BTreeSet<_> = versions.flat_map(|files| files.platforms.keys()).collect();
        platforms.into_iter().map(|platform| platform.architecture().to_owned()).collect()
    };
    built_in(of_catalog)
}

fn of_kind(kind: AddonKind) -> Vec<String> {
    built_in(|catalog| {
        catalog.addons.iter().filter(|(_, addon)| addon.kind == kind).map(|(name, _)| name.clone()).collect()
    })
}

fn networks() -> Vec<String> {
    [of_kind(AddonKind::Cni), vec!["bridge".to_owned()]].concat()
}

fn load_balancers() -> Vec<String> {
    [of_kind(AddonKind::LoadBalancer), vec!["none".to_owned()]].concat()
}

fn addons() -> Vec<String> {
    of_kind(AddonKind::Addon)
}

fn roles() -> Vec<String> {
    Role::ALL.iter().map(|role| role.as_str().to_owned()).collect()
}
