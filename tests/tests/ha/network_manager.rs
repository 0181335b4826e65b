//! Hosts whose interfaces belong to `NetworkManager`: with consent it leaves those of pods alone, and has them again after a reset.

use anyhow::ensure;
use lab::Host;

use crate::packages::install;
use crate::site::{Member, Site};
use crate::traffic::assert_all_works;

/// A host in a container has no udev. `NetworkManager` asks it where it can write to /sys (`nm_linux_platform_new` in
/// `nm-linux-platform.c`), and would wait for it.
const START: &str = "\
systemctl mask systemd-udevd.service systemd-udev-trigger.service && mkdir -p /etc/systemd/system/NetworkManager.service.d \
&& printf '[Service]\nReadOnlyPaths=/sys\n' > /etc/systemd/system/NetworkManager.service.d/lab.conf \
&& systemctl daemon-reload && systemctl enable --now NetworkManager";

/// Its file, and what it thinks of each interface.
fn state(host: &Host) -> anyhow::Result<(String, String)> {
    Ok((host.sh("cd /etc/NetworkManager && find . -type f | sort | xargs sha256sum")?, devices(host)?))
}

fn devices(host: &Host) -> anyhow::Result<String> {
    host.sh("nmcli --terse --fields DEVICE,STATE device | sort")
}

#[test]
#[ignore = "five minutes, and Debian's packages of NetworkManager: ./ci/test nightly"]
fn network_manager_leaves_the_interfaces_of_pods_alone_until_a_reset() -> anyhow::Result<()> {
    let members = vec![Member::new("cp1", 1, "control-plane, etcd"), Member::new("w1", 2, "worker")];
    let site = Site::boot("ha-network-manager", "flannel", members)?;
    for name in ["cp1", "w1"] {
        install(&site, name, "network-manager")?;
        site.host(name).sh(START)?;
        // Such as the CNI plugin makes, to see that it is taken where nobody says otherwise.
        site.host(name)
            .sh("ip link add veth-site type veth peer name veth-peer && ip link set veth-site up && sleep 2")?;
        let before = devices(site.host(name))?;
        ensure!(!before.contains("veth-site:unmanaged"), "NetworkManager leaves all alone by itself: {before}");
    }
    let before = (state(site.host("cp1"))?, state(site.host("w1"))?);
    site.command(&["preflight"])?.failed(0, &["NetworkManager, which may change the interfaces of pods"])?;

    site.run(&["--prepare"])?.succeeded()?;
    assert_all_works(&site, &["cp1"], 2)?;
    for name in ["cp1", "w1"] {
        let found = devices(site.host(name))?;
        let of_pods = || found.lines().filter(|line| !["eth0:", "lo:"].iter().any(|own| line.starts_with(own)));
        ensure!(of_pods().all(|line| line.ends_with(":unmanaged")), "NetworkManager manages on {name}: {found}");
        for interface in ["cni0", "flannel.1", "veth-site"] {
            ensure!(of_pods().any(|line| line.starts_with(interface)), "no {interface} on {name}: {found}");
        }
    }
    site.run(&["--prepare", "--assert-no-op"])?.succeeded()?;

    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    assert_eq!((state(site.host("cp1"))?, state(site.host("w1"))?), before);
    site.down()
}
