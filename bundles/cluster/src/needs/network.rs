//! Whether the wanted network and the bundle's network match.

use crate::config::{Cni, Network};
use crate::contents::BundleContents;

/// The bundle's list and the configuration contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The wanted network is not the bundle's, or not among its several networks.
    #[error(
        "the configuration has network.cni {}, and the bundle has {}; take one of the bundle's, or build another with \
         `--cni {}`",
        asked.as_str(), names(carried), option(*asked)
    )]
    Another {
        /// The network in the configuration.
        asked: Cni,
        /// The networks in the bundle.
        carried: Vec<Cni>,
    },
    /// The bundle has several networks, and the configuration names none.
    #[error("the bundle has {}; say in network.cni which of them the cluster gets", names(carried))]
    Several {
        /// The networks in the bundle.
        carried: Vec<Cni>,
    },
    /// Settings of a network that the cluster does not get.
    #[error("the configuration has settings under network.calico, and the bundle's network is {}", cni.as_str())]
    Settings {
        /// The network.
        cni: Cni,
    },
}

fn names(carried: &[Cni]) -> String {
    match carried {
        [] => "no network add-on, which is for `bridge` and `none`".to_owned(),
        [only] => format!("the network {}", only.as_str()),
        several => format!("the networks {}", several.iter().map(|cni| cni.as_str()).collect::<Vec<_>>().join(" and ")),
    }
}

/// The option of kbundle for a bundle with this network. A bundle without a network suits both the bridge and a network of the site's.
fn option(cni: Cni) -> &'static str {
    if cni == Cni::None { Cni::Bridge.as_str() } else { cni.as_str() }
}

/// Refuses settings that the bundle contradicts.
///
/// # Errors
/// The contradiction.
pub fn refuse_contradiction(network: &Network, contents: &BundleContents) -> Result<(), NetworkError> {
    let carried = contents.networks();
    match network.cni {
        None if carried.len() > 1 => return Err(NetworkError::Several { carried }),
        Some(Cni::Bridge | Cni::None) if carried.is_empty() => {}
        Some(asked) if !carried.contains(&asked) => return Err(NetworkError::Another { asked, carried }),
        _ => {}
    }
    match network.cni.or_else(|| contents.network()) {
        Some(cni) if cni != Cni::Calico && network.calico.is_some() => Err(NetworkError::Settings { cni }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::contents::ContentFile;
    use kbundle_format::EntryKind;

    /// The decision for a bundle with the networks `carried` and this text under `network`.
    fn decided(carried: &[&str], network: &str) -> String {
        let mut contents = BundleContents::new("1.25.2".parse().unwrap(), ["linux/amd64".parse().unwrap()].into());
        for name in carried {
            contents.add_file(ContentFile {
                path: &format!("manifests/{name}/{name}.yaml").parse().unwrap(),
                kind: EntryKind::Manifest,
                component: None,
                platform: None,
                roles: &[].into(),
                host_file: None,
            });
        }
        let network = ClusterSpec::parse(&format!("network: {{{network}}}")).unwrap().network;
        match refuse_contradiction(&network, &contents) {
            Ok(()) => network.cni.or_else(|| contents.network()).unwrap().as_str().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_bundle_decides_where_nothing_is_said() {
        assert_eq!(decided(&[], ""), "bridge");
        assert_eq!(decided(&["metallb"], ""), "bridge");
        assert_eq!(decided(&["calico", "metallb"], "calico: {mode: bgp}"), "calico");
        assert_eq!(decided(&["flannel"], ""), "flannel");
        assert_eq!(decided(&["flannel", "calico"], "cni: flannel"), "flannel");
    }

    #[test]
    fn a_contradiction_names_both_sides() {
        insta::assert_snapshot!(decided(&["calico"], "cni: flannel"), @"the configuration has network.cni flannel, and the bundle has the network calico; take one of the bundle's, or build another with `--cni flannel`");
        insta::assert_snapshot!(decided(&["calico"], "cni: bridge"), @"the configuration has network.cni bridge, and the bundle has the network calico; take one of the bundle's, or build another with `--cni bridge`");
        insta::assert_snapshot!(decided(&[], "cni: calico"), @"the configuration has network.cni calico, and the bundle has no network add-on, which is for `bridge` and `none`; take one of the bundle's, or build another with `--cni calico`");
        insta::assert_snapshot!(decided(&["flannel", "calico"], ""), @"the bundle has the networks calico and flannel; say in network.cni which of them the cluster gets");
        insta::assert_snapshot!(decided(&["flannel"], "calico: {mode: bgp}"), @"the configuration has settings under network.calico, and the bundle's network is flannel");
    }
}
