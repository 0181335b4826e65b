//! One control plane, three workers, and etcd on three hosts of its own: seven hosts, in `./ci/test nightly`.

use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;

use crate::site::{Member, Site};
use crate::streams::{Stream, end_writes, now};
use crate::traffic::{assert_all_works, assert_etcd_healthy};

fn seven() -> Vec<Member> {
    vec![
        Member::new("cp1", 1, "control-plane"),
        Member::new("etcd1", 2, "etcd"),
        Member::new("etcd2", 3, "etcd"),
        Member::new("etcd3", 4, "etcd"),
        Member::new("w1", 5, "worker"),
        Member::new("w2", 6, "worker"),
        Member::new("w3", 7, "worker"),
    ]
}

#[test]
#[ignore = "long: ./ci/test nightly"]
fn etcd_on_hosts_of_its_own_loses_one_and_goes_without_a_trace() -> anyhow::Result<()> {
    let site = Site::boot("ha-apart", "bridge", seven())?;
    let before = site.snapshots()?;
    site.run(&[])?.succeeded()?;
    assert_all_works(&site, &["cp1"], 4)?;
    assert_etcd_healthy(site.host("etcd1"), 3)?;
    for host in ["etcd1", "etcd2", "etcd3"] {
        site.host(host).sh("! command -v kubelet && ! command -v containerd")?;
    }
    site.run(&["--assert-no-op"])?.succeeded()?;

    let worker = site.host("w1");
    let writes = Stream::of_writes(&site.cluster("cp1"), worker)?;
    let start = now()?;
    site.host("etcd1").unplug()?;
    site.host("etcd1").power_cut()?;
    sleep(Duration::from_secs(30));
    let silence = writes.longest_silence(start)?;
    eprintln!(
        "measured: writes fail after a pulled plug of etcd's first host for at most {:.1} s",
        silence.as_secs_f64()
    );
    ensure!(silence <= Duration::from_secs(15), "writes failed for {silence:?}");
    site.host("etcd1").plug()?;
    site.host("etcd1").boot()?;
    assert_etcd_healthy(site.host("etcd2"), 3)?;
    end_writes(worker)?;

    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    site.assert_clean(&before, "after `reset --all`")?;
    site.down()
}
