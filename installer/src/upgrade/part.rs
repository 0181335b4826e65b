//! The parts of an upgrade of several hosts. Each host goes through all parts; between them other hosts have their turn.

use serde::{Deserialize, Serialize};

use crate::stage::Phase;

/// A part of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The new binaries and images are put onto the host. Nothing that runs is changed.
    Preload,
    /// A snapshot of etcd is taken. Nothing that runs is changed.
    Snapshot,
    /// The member of etcd changes.
    Etcd,
    /// Everything else that runs on the host changes.
    Node,
    /// The pod network.
    Network,
    /// Work that needs the whole cluster in its new version.
    Finish,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::Preload, Self::Snapshot, Self::Etcd, Self::Node, Self::Network, Self::Finish];

    /// The part in which the steps of an installation's `phase` run: they find that everything is done, or repair it.
    #[must_use]
    pub fn with(phase: Phase) -> Self {
        match phase {
            Phase::Prepare | Phase::Etcd | Phase::ControlPlane | Phase::Worker => Self::Node,
            Phase::Network => Self::Network,
            Phase::Finish => Self::Finish,
        }
    }

    /// The phase of an installation that this part resembles most.
    #[must_use]
    pub fn phase(self) -> Phase {
        match self {
            Self::Preload | Self::Snapshot => Phase::Prepare,
            Self::Etcd => Phase::Etcd,
            Self::Node => Phase::ControlPlane,
            Self::Network => Phase::Network,
            Self::Finish => Phase::Finish,
        }
    }
}
