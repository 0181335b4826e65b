//! Changed settings for an existing cluster, as lines for people, and which of them are refused.

use anyhow::anyhow;

use crate::config::change::{Change, Effect};
use crate::failure::Advise;

/// Refuses if one of `changes` cannot be made on an existing cluster, and names all of these.
pub fn refuse(changes: &[Change]) -> anyhow::Result<()> {
    let refused: Vec<_> = changes.iter().filter(|change| change.is_refused()).map(ToString::to_string).collect();
    let (Some(last), count) = (refused.last(), refused.len()) else { return Ok(()) };
    let what = if count == 1 { "a setting of cluster.yaml" } else { "settings of cluster.yaml" };
    let others = refused[..count - 1].iter().rev();
    let reasons = others.fold(anyhow!(last.clone()), |error, reason| error.context(reason.clone()));
    Err(reasons.context(format!("{what} cannot change on a standing cluster; nothing was changed")))
        .refused()
        .hint("put these keys back to their former values, then run the same command again")
}

/// The lines that show `changes` to people.
#[must_use]
pub fn text(changes: &[Change]) -> String {
    let line = |change: &Change| {
        let mark = match change.effect {
            Effect::RolledOut { .. } => "change",
            Effect::Refused { .. } => "refuse",
            Effect::NewHosts { .. } => "leave",
        };
        format!("\n  {mark:6} {change}")
    };
    format!("cluster.yaml differs from what the cluster stands by:{}", changes.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use kbundle_cli::failure::{Kind, kind};
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::*;
    use crate::config::ClusterSpec;
    use crate::config::change::{Scope, changes};
    use crate::failure::message;
    use crate::fixture::bench::Bench;
    use crate::records::Records;

    fn between(standing: &str, wanted: &str) -> Vec<Change> {
        let [standing, wanted] = [standing, wanted].map(|text| ClusterSpec::parse(text).unwrap());
        changes(&standing, &wanted, Scope::AllHosts)
    }

    #[test]
    fn all_that_is_refused_is_named_with_its_reason() {
        let found = between("", "network: {pod-cidr: 10.1.0.0/16, dns-domain: plant.example}\nkubelet: {max-pods: 60}");
        let error = refuse(&found).unwrap_err();
        insta::assert_snapshot!(message(&error), @"
        error: settings of cluster.yaml cannot change on a standing cluster; nothing was changed
          caused by: network.dns-domain was cluster.local and is plant.example now: cannot change, since pods look names up in it, and certificates have it; set up a new cluster with it and move the applications there
          caused by: network.pod-cidr was 10.244.0.0/16 and is 10.1.0.0/16 now: cannot change, since every pod has its address from it; set up a new cluster with it and move the applications there
        hint: put these keys back to their former values, then run the same command again
        ");
        insta::assert_snapshot!(text(&found[..1]), @"
        cluster.yaml differs from what the cluster stands by:
          change kubelet.max-pods was 110 and is 60 now: the configuration of the kubelets; restarts kubelets, one after another; pods live on
        ");
        refuse(&between("", "kubelet: {max-pods: 60}")).unwrap();
        refuse(&[]).unwrap();
    }

    type Edit = fn(&mut ClusterSpec);

    /// Changes of the file, and whether each is refused.
    const EDITS: [(Edit, bool); 10] = [
        (|spec| spec.network.dns_domain = "plant.example".parse().unwrap(), true),
        (|spec| spec.api.port = 7443, true),
        (|spec| spec.security.encryption_at_rest = crate::config::Switch::Disabled, true),
        (|spec| spec.network.kube_proxy.strict_arp = true, false),
        (|spec| spec.api.certificate_sans.push("k8s.example".into()), false),
        (|spec| spec.kubelet.max_pods = 60, false),
        (|spec| spec.security.audit_log = crate::config::Switch::Disabled, false),
        (|spec| spec.security.pod_security = crate::config::PodSecurity::Baseline, false),
        (|spec| spec.scheduler.extra_args = [("v".to_owned(), "4".into())].into(), false),
        (|spec| spec.addons.push("metallb".parse().unwrap()), false),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Every edit is found, and a single one that cannot be made refuses the run: an existing host is left as it is.
        #[test]
        fn no_edit_is_ignored(chosen in subsequence(EDITS.to_vec(), 0..=EDITS.len())) {
            let standing = records(ClusterSpec::default());
            let mut spec = ClusterSpec::default();
            for (edit, _) in &chosen {
                edit(&mut spec);
            }
            let found = standing.changes_to(&spec);
            prop_assert_eq!(found.len(), chosen.len());
            let is_refused = chosen.iter().any(|(_, is_refused)| *is_refused);

            let bench = Bench::new();
            standing.keep(&bench.host()).unwrap();
            bench.host().ledger_mut().record(crate::host::Change::StepStarted { step: "swap".into() }).unwrap();
            let kept = bench.read("var/lib/kinstall/cluster.yaml");
            match records(spec).refuse_another(&bench.host()) {
                Ok(()) => prop_assert!(!is_refused),
                Err(error) => {
                    prop_assert!(is_refused);
                    prop_assert_eq!(kind(&error), Kind::Refused);
                }
            }
            prop_assert_eq!(bench.read("var/lib/kinstall/cluster.yaml"), kept);
            prop_assert!(bench.ran().is_empty());
        }
    }

    fn records(spec: ClusterSpec) -> Records {
        let list_bytes = crate::fixture::list("1.36.3").to_bytes();
        Records { list_bytes, signatures: vec![], keys: vec![], spec, name: None }
    }
}
