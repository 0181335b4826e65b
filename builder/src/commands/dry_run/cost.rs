//! What a bundle costs: its size, its volumes, and disk space and memory on hosts; from what is known before its content is fetched.

use std::collections::{BTreeSet, HashSet};

use indicatif::HumanBytes;
use kbundle::demand::Demand;
use kbundle_cli::Explained as _;
use kbundle_cluster::cost::{DiskUse, RECORDS_DIRECTORY, memory_bytes};
use kbundle_format::volume::Split;
use kbundle_format::{Digest, Platform, Role};
use schemars::JsonSchema;
use serde::Serialize;

/// The hosts that are counted: a control plane has a member of etcd unless cluster.yaml puts etcd elsewhere.
const HOSTS: [&[Role]; 3] = [&[Role::ControlPlane, Role::Etcd], &[Role::Worker], &[Role::Etcd]];

/// The bundle's size, as far as sizes of content are known.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BundleCost {
    /// It is hardly smaller.
    least_bytes: u64,
    /// Absent where the size of some content is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    likely_bytes: Option<u64>,
    /// It is hardly larger; absent where the size of some content is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    most_bytes: Option<u64>,
    /// With `--split`.
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Volumes>,
}

/// How many volumes a bundle is cut into.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Volumes {
    size_bytes: u64,
    least: u64,
    /// Absent where the size of some content is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<u64>,
    parity: u32,
}

/// What a host takes at most, as far as sizes of content are known.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostCost {
    roles: BTreeSet<Role>,
    platform: Platform,
    disk_bytes: u64,
    disk: Vec<DiskUse>,
    /// Before any pod of a user.
    memory_bytes: u64,
    /// Files and images for it whose size is unknown, and not counted.
    unknown: usize,
}

impl BundleCost {
    /// The cost of a bundle without the content of `bases`, which a differential bundle leaves out.
    pub fn of(demand: &Demand, bases: &HashSet<Digest>, split: Option<Split>) -> anyhow::Result<Self> {
        let size = demand.bundle_size(|digest| bases.contains(digest));
        let is_known = demand.unknown() == 0;
        let volumes = split.map(|split| {
            anyhow::Ok(Volumes {
                size_bytes: split.file_bytes,
                least: split.data_volumes(size.least_bytes).explained()?,
                most: is_known.then(|| split.data_volumes(size.most_bytes)).transpose().explained()?,
                parity: split.parity,
            })
        });
        Ok(Self {
            least_bytes: size.least_bytes,
            likely_bytes: is_known.then_some(size.likely_bytes),
            most_bytes: is_known.then_some(size.most_bytes),
            volumes: volumes.transpose()?,
        })
    }

    /// The cost for people, in several lines.
    pub fn lines(&self) -> Vec<String> {
        let least = HumanBytes(self.least_bytes);
        let bundle = match (self.likely_bytes, self.most_bytes) {
            (Some(likely), Some(most)) => {
                format!("about {}, between {least} and {}", HumanBytes(likely), HumanBytes(most))
            }
            _ => format!("at least {least}; more by what has no known size"),
        };
        let volumes = self.volumes.as_ref().map(|volumes| {
            let Volumes { size_bytes, least, most, parity } = *volumes;
            let count = match most {
                Some(most) if most == least => least.to_string(),
                Some(most) => format!("{least} to {most}"),
                None => format!("at least {least}"),
            };
            format!("volumes {count} of {}, and {parity} of parity", HumanBytes(size_bytes))
        });
        [format!("bundle  {bundle}")].into_iter().chain(volumes).collect()
    }
}

impl HostCost {
    /// The cost on each kind of host, for each platform.
    pub fn all(demand: &Demand, platforms: &BTreeSet<Platform>) -> Vec<Self> {
        let of = |roles: &[Role], platform: &Platform| Self::of(demand, roles.iter().copied().collect(), platform);
        platforms.iter().flat_map(|platform| HOSTS.iter().map(move |roles| of(roles, platform))).collect()
    }

    fn of(demand: &Demand, roles: BTreeSet<Role>, platform: &Platform) -> Self {
        let (unpacked, part) = demand.on_host(&roles, platform);
        let sent = DiskUse { directory: RECORDS_DIRECTORY.into(), needed_bytes: part.most_bytes };
        let disk: Vec<_> = unpacked.disk_uses(&roles).into_iter().chain([sent]).collect();
        Self {
            disk_bytes: disk.iter().map(|found| found.needed_bytes).sum(),
            disk,
            memory_bytes: memory_bytes(&roles),
            unknown: demand.unknown_of(&roles),
            roles,
            platform: platform.clone(),
        }
    }

    /// The cost for people, in one line.
    pub fn line(&self) -> String {
        let roles: Vec<_> = self.roles.iter().map(|role| role.as_str()).collect();
        let (disk, memory) = (HumanBytes(self.disk_bytes), HumanBytes(self.memory_bytes));
        let unknown = match self.unknown {
            0 => String::new(),
            count => format!("; not counted: {count} of unknown size"),
        };
        format!("host    {} {}: {disk} of disk and {memory} of memory{unknown}", roles.join("+"), self.platform)
    }
}
