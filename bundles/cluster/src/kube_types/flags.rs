//! Flags of the control plane's programs, and the admission plugins of the API server.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kbundle_format::KubeVersion;
use serde::Deserialize;

use super::{covers, lacks, meant};

/// A program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

impl Program {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

/// Names, each with the first and the last minor version that has it.
type Names = BTreeMap<String, (u16, u16)>;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    minors: Vec<u16>,
    kube_apiserver: Names,
    kube_controller_manager: Names,
    kube_scheduler: Names,
    admission_plugins: Names,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../manifests/types/flags.json"))
        .expect("the table is this program's own")
});

/// Why `program` of Kubernetes `version` does not accept the flag `name`; `None` if it does. Without a version: of any known minor version.
#[must_use]
pub fn unknown_flag(program: Program, name: &str, version: Option<KubeVersion>) -> Option<String> {
    let known = match program {
        Program::ApiServer => &TABLE.kube_apiserver,
        Program::ControllerManager => &TABLE.kube_controller_manager,
        Program::Scheduler => &TABLE.kube_scheduler,
    };
    unknown(known, name, version, (program.as_str(), "flag"))
}

/// Why the API server of Kubernetes `version` has no admission plugin `name`; `None` if it has. Without a version: of any known minor
/// version.
#[must_use]
pub fn unknown_plugin(name: &str, version: Option<KubeVersion>) -> Option<String> {
    unknown(&TABLE.admission_plugins, name, version, ("kube-apiserver", "plugin for admission"))
}

fn unknown(known: &Names, name: &str, version: Option<KubeVersion>, (program, what): (&str, &str)) -> Option<String> {
    let is_there = |span: &(u16, u16)| covers(&TABLE.minors, *span, version);
    let lacks = lacks(program, &TABLE.minors, version);
    match known.get(name) {
        Some(span) if is_there(span) => None,
        Some((first, last)) => Some(format!("{lacks} {what} `{name}`; it was seen in 1.{first} to 1.{last}")),
        None => {
            let there = known.iter().filter(|(_, span)| is_there(span)).map(|(name, _)| name.as_str());
            Some(format!("{lacks} {what} `{name}`{}", meant(name, there)))
        }
    }
}
