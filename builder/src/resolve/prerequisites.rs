//! Which add-ons of a bundle need others first, by the catalog and bundle.yaml.

use std::collections::BTreeSet;

use kbundle_format::Prerequisites;

use super::ResolveError;
use crate::catalog::{AddonKind, Catalog, Release};
use crate::spec::BundleSpec;

impl Catalog {
    /// The prerequisites of everything that cluster.yaml can list.
    ///
    /// # Errors
    /// [`ResolveError::UnknownInAfter`], [`ResolveError::Needed`] or [`ResolveError::Circle`].
    pub(super) fn prerequisites(&self, release: &Release, spec: &BundleSpec) -> Result<Prerequisites, ResolveError> {
        let addons: Vec<_> =
            self.addon_names(release, spec).into_iter().filter(|name| self.is_listable(name)).collect();
        let site = spec.manifests.iter().map(|manifests| &manifests.name);
        let site = site.chain(spec.charts.iter().map(|chart| &chart.release));
        let known: BTreeSet<_> = site.chain(addons.iter().copied()).map(String::as_str).collect();
        let texts = || known.iter().map(ToString::to_string).collect();
        if let Some(need) = spec.after.needs().find(|need| !known.contains(need.of)) {
            return Err(ResolveError::UnknownInAfter { name: need.of.to_owned(), known: texts() });
        }
        let mut after = spec.after.clone();
        for name in addons {
            let needed = self.addons.get(name).map(|addon| addon.after.clone());
            after.add(name, needed.unwrap_or_default());
        }
        if let Some(need) = after.needs().find(|need| !known.contains(need.name)) {
            return Err(ResolveError::Needed {
                of: need.of.to_owned(),
                name: need.name.to_owned(),
                is_in_catalog: release.addons.contains_key(need.name) && self.is_listable(need.name),
                known: texts(),
            });
        }
        match after.circle() {
            Some(circle) => Err(ResolveError::Circle { names: circle.into_iter().map(str::to_owned).collect() }),
            None => Ok(after),
        }
    }

    /// The add-on with all of its prerequisites, direct and indirect, as far as the catalog has them.
    pub(crate) fn with_prerequisites(&self, name: &str) -> Vec<String> {
        let mut names = vec![name.to_owned()];
        let mut next = 0;
        while let Some(name) = names.get(next) {
            let needed = self.addons.get(name).map(|addon| addon.after.clone()).unwrap_or_default();
            names.extend(needed.into_iter().filter(|needed| !names.contains(needed)).collect::<Vec<_>>());
            next += 1;
        }
        names
    }

    /// Networks and load balancers run before all that cluster.yaml lists.
    fn is_listable(&self, name: &str) -> bool {
        self.addons.get(name).is_none_or(|addon| addon.kind == AddonKind::Addon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Selection;
    use crate::site::{FoundImages, SiteManifests};
    use crate::spec::{Cni, Unpinned};

    fn catalog(ingress_after: &[&str]) -> Catalog {
        let mut catalog = Catalog::built_in().unwrap();
        let ingress = catalog.addons.get_mut("ingress-nginx").unwrap();
        ingress.after = ingress_after.iter().map(ToString::to_string).collect();
        catalog
    }

    /// A bundle with `addons` and the site's manifests `shop` and `base`.
    fn spec(addons: &[&str], after: &[(&str, &str)]) -> BundleSpec {
        let manifests =
            |name: &str| SiteManifests { name: name.to_owned(), files: Vec::new(), images: FoundImages::default() };
        let mut spec = BundleSpec {
            addons: addons.iter().map(ToString::to_string).collect(),
            manifests: vec![manifests("shop"), manifests("base")],
            cni: Cni::from("calico".to_owned()),
            unpinned: Unpinned::TrustOnFirstUse,
            ..BundleSpec::bare("1.25.2".parse().unwrap(), BTreeSet::from(["linux/amd64".parse().unwrap()]))
        };
        for (of, name) in after {
            spec.after.add(of, [(*name).to_owned()]);
        }
        spec
    }

    fn refusal(found: Result<Selection, ResolveError>) -> String {
        found.unwrap_err().to_string()
    }

    #[test]
    fn needs_of_the_catalog_and_of_the_site_are_joined() {
        let selection = catalog(&["metallb"])
            .select(&spec(&["metallb", "ingress-nginx"], &[("shop", "ingress-nginx"), ("shop", "base")]));
        let after = selection.unwrap().after;
        assert_eq!(
            after.in_order(&["shop", "ingress-nginx", "metallb", "base"]),
            ["metallb", "ingress-nginx", "base", "shop"]
        );
    }

    #[test]
    fn what_is_not_in_the_bundle_is_refused_by_its_name() {
        let with = |after: &[(&str, &str)]| refusal(catalog(&[]).select(&spec(&["metallb"], after)));
        insta::assert_snapshot!(with(&[("shop", "metalb")]), @"shop needs `metalb` first, which is not in the bundle (did you mean `metallb`?)");
        insta::assert_snapshot!(with(&[("shop", "calico")]), @"shop needs `calico` first, which is not in the bundle");
        insta::assert_snapshot!(with(&[("shopp", "base")]), @"`after` has `shopp`, which is not in the bundle (did you mean `shop`?); the bundle has base, metallb, shop");
        let missing = catalog(&["metallb"]).select(&spec(&["ingress-nginx"], &[])).unwrap_err();
        assert!(matches!(&missing, ResolveError::Needed { is_in_catalog: true, .. }), "{missing}");
        insta::assert_snapshot!(missing, @"ingress-nginx needs `metallb` first, which is not in the bundle");
    }

    #[test]
    fn a_circle_is_refused_with_all_its_names() {
        let circle =
            catalog(&["shop"]).select(&spec(&["ingress-nginx"], &[("shop", "base"), ("base", "ingress-nginx")]));
        insta::assert_snapshot!(refusal(circle), @"no order is right for these add-ons: base needs ingress-nginx, ingress-nginx needs shop, shop needs base");
    }

    #[test]
    fn the_check_of_a_catalog_takes_what_an_add_on_needs_along() {
        let good = catalog(&["metallb"]);
        assert_eq!(good.with_prerequisites("ingress-nginx"), ["ingress-nginx", "metallb"]);
        assert!(good.faults().is_empty());
        let faults = catalog(&["nothing"]).faults();
        assert!(faults.iter().all(|fault| fault.message.contains("`nothing`")) && !faults.is_empty());
    }
}
