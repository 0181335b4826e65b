//! Makes the data of a new member from a snapshot, with `etcdutl snapshot restore`. etcdutl exists since etcd 3.5.0; `etcdctl` has lost the
//! command in 3.6.

use anyhow::Context as _;
use kbundle_format::{ComponentName, Role};

use crate::etcd_layout as layout;
use crate::host::{Command, Host, Owner};
use crate::inputs::Inputs;
use crate::topology::Member;
use crate::version_rules::Release;
use crate::version_rules::etcd::REVISION_BUMP;

/// The path of etcd's program for files.
pub const ETCDUTL: &str = "/usr/local/bin/etcdutl";
/// The directory in which the data is made; it is moved to its place as a whole.
const ASIDE: &str = "/var/lib/etcd/restored";
/// Far more revisions than a cluster writes between a backup and its loss. Source: etcd's documentation, "Disaster recovery".
const BUMP: &str = "--bump-revision=1000000000";

/// Which members the new cluster of etcd begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstMembers {
    /// All that cluster.yaml describes. Each makes its data from the same snapshot.
    All,
    /// This host's alone.
    This,
}

/// Whether this host's member has data.
#[must_use]
pub fn has_data(host: &Host) -> bool {
    host.exists(&member_directory())
}

/// Where that is, its log and its database.
#[must_use]
pub fn member_directory() -> String {
    format!("{}/member", layout::DATA_DIRECTORY)
}

/// Makes the data of this host's member of a new cluster from the snapshot at `path`. The data directory belongs to `owner` and is empty,
/// except for the rest of a call that was cut off. The data appears when it is complete and on the disk. The other members make theirs from
/// the same snapshot: etcd's documentation, "Disaster recovery".
///
/// Revisions continue far above those of the snapshot, and all earlier ones are compacted. So a client that watches has to list again, and
/// no client takes an object from before the loss for newer than the restored one.
pub fn restore(
    host: &mut Host,
    inputs: &Inputs<'_>,
    first: FirstMembers,
    path: &str,
    owner: Owner,
) -> anyhow::Result<()> {
    host.remove_claimed(ASIDE)?;
    let peer = layout::peer_url(inputs.address());
    let name = inputs.node_name();
    let is_first = |member: &&Member| first == FirstMembers::All || member.name == name;
    let members = inputs.topology.with(Role::Etcd).filter(is_first);
    let members: Vec<_> =
        members.map(|member| format!("{}={}", member.name, layout::peer_url(member.address))).collect();
    let version = inputs.version_of(ComponentName::Etcd).and_then(Release::read);
    let mut words = ["snapshot", "restore", path].map(str::to_owned).to_vec();
    words.extend([
        format!("--data-dir={ASIDE}"),
        format!("--name={name}"),
        format!("--initial-cluster={}", members.join(",")),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster-token={}", inputs.spec.name),
    ]);
    // A version that is none of upstream's counts as new.
    if version.is_none_or(|version| REVISION_BUMP.holds(version)) {
        words.extend([BUMP.to_owned(), "--mark-compacted".to_owned()]);
    }
    host.run(&Command::new(ETCDUTL, words)).with_context(|| format!("while restoring the snapshot {path}"))?;
    host.own_tree(ASIDE, owner)?;
    host.sync_file_system(ASIDE)?;
    host.rename_claimed(&format!("{ASIDE}/member"), &member_directory())?;
    host.remove_claimed(ASIDE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fs_err as fs;

    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::{Bench, FAILS};
    use crate::join_material::JoinMaterial;

    const SNAPSHOT: &str = "/snapshot.db";

    /// Makes data as etcdutl does, into an empty place, unless the root has `broken`.
    fn etcdutl(root: &Path, command: &Command) -> Option<String> {
        let aside = root.join(ASIDE.trim_start_matches('/'));
        if command.program != ETCDUTL || aside.exists() {
            return Some(format!("{FAILS}data-dir not empty or could not be read"));
        }
        fs::create_dir_all(aside.join("member/snap")).unwrap();
        if root.join("broken").exists() {
            return Some(format!("{FAILS}expected sha256 [0], got [1]"));
        }
        fs::write(aside.join("member/snap/db"), "data").unwrap();
        None
    }

    fn restored(bench: &Bench, version: &str) -> anyhow::Result<()> {
        restored_with(bench, version, FirstMembers::All)
    }

    fn restored_with(bench: &Bench, version: &str, first: FirstMembers) -> anyhow::Result<()> {
        let mut cluster = Cluster::of_three_and_two();
        for component in cluster.list.entries.iter_mut().filter_map(|entry| entry.component.as_mut()) {
            if component.name == ComponentName::Etcd.as_str() {
                version.clone_into(&mut component.version);
            }
        }
        let owner = Owner { user: nix::unistd::geteuid().as_raw(), group: nix::unistd::getegid().as_raw() };
        // `/var/lib` exists on every host. A bench's ledger is below it, and would be recorded as a change in between.
        fs::create_dir_all(bench.path("var/lib")).unwrap();
        bench.act_as(&cluster, "c1", &JoinMaterial::default(), |context| {
            context.host.claim_tree(layout::DATA_DIRECTORY)?;
            context.host.make_directory(layout::DATA_DIRECTORY, 0o700)?;
            let inputs = context.inputs;
            restore(&mut context.host, &inputs, first, SNAPSHOT, owner)
        })
    }

    #[test]
    fn the_data_appears_as_a_whole_or_not_at_all() {
        let bench = Bench::with_programs(etcdutl);
        bench.file("broken", "");
        assert!(format!("{:#}", restored(&bench, "3.6.8").unwrap_err()).contains("expected sha256"));
        assert!(!has_data(&bench.host()));
        fs::remove_file(bench.path("broken")).unwrap();
        restored(&bench, "3.6.8").unwrap();
        assert!(has_data(&bench.host()));
        assert_eq!(bench.read("var/lib/etcd/member/snap/db"), "data");
        assert!(!bench.path("var/lib/etcd/restored").exists());
    }

    #[test]
    fn revisions_go_on_higher_where_etcdutl_can_do_that() {
        let words = |version: &str| {
            let bench = Bench::with_programs(etcdutl);
            restored(&bench, version).unwrap();
            bench.ran().remove(0)
        };
        insta::assert_snapshot!(words("3.6.8"), @"/usr/local/bin/etcdutl snapshot restore /snapshot.db --data-dir=/var/lib/etcd/restored --name=c1 --initial-cluster=c1=https://192.0.2.1:2380,c2=https://192.0.2.2:2380,c3=https://192.0.2.3:2380 --initial-advertise-peer-urls=https://192.0.2.1:2380 --initial-cluster-token=kubernetes --bump-revision=1000000000 --mark-compacted");
        assert!(words("3.5.10").ends_with("--mark-compacted"));
        assert!(words("3.5.9").ends_with("--initial-cluster-token=kubernetes"));
    }

    #[test]
    fn a_member_that_is_left_begins_alone() {
        let bench = Bench::with_programs(etcdutl);
        restored_with(&bench, "3.6.8", FirstMembers::This).unwrap();
        let words = bench.ran().remove(0);
        assert!(words.contains("--initial-cluster=c1=https://192.0.2.1:2380 --initial-adv"), "{words}");
    }
}
