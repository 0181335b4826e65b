//! Files that kubeadm or the kubelet left incomplete.
//!
//! kubeadm writes certificates, keys and kubeconfigs in place and never syncs them (`app/util/pkiutil`, `app/phases/kubeconfig`). If it is
//! killed between two of them, half of a pair is left; a power cut leaves files that are empty or end early. kubeadm takes existing files
//! for the administrator's own, checks them, and fails if they are wrong. So all incomplete files are removed before kubeadm is called
//! again, and with them everything that was made from them.

use std::collections::{BTreeMap, BTreeSet};

use super::credential::credential;
use super::{DIRECTORY, PKI};
use crate::host::{Host, HostError};
use crate::kubectl::KUBELET_KUBECONFIG;

/// The files that kubeadm writes; `super-admin.conf` if `SUPER_ADMIN_KUBECONFIG` holds. On a host that joins, the kubelet writes its own.
const KUBECONFIGS: [&str; 5] =
    ["admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf", "kubelet.conf"];
/// The authorities in [`PKI`], and what kubeadm signs with each. kinstall makes the certificate for etcd.
const SIGNED: [(&str, &[&str]); 2] =
    [("ca", &["apiserver", "apiserver-kubelet-client"]), ("front-proxy-ca", &["front-proxy-client"])];

/// Removes incomplete files from a host whose control plane was never completed, so that kubeadm makes them again.
///
/// `leads` says whether this host makes the cluster's authorities. A host that joins has received them complete.
pub(super) fn remove(host: &mut Host, leads: bool) -> anyhow::Result<()> {
    let mut wholes = BTreeMap::new();
    for name in host.names_in(PKI)? {
        let path = format!("{PKI}/{name}");
        if host.is_file(&path) {
            wholes.insert(name, host.read_text(&path)?.is_some_and(|text| is_pem(&text)));
        }
    }
    let halves = halves(&wholes);
    let mut broken: BTreeSet<_> = halves.iter().map(|name| format!("{PKI}/{name}")).collect();
    if leads {
        broken.extend(made_with(&halves).iter().map(|name| format!("{DIRECTORY}/{name}")));
    }
    for path in KUBECONFIGS.map(|name| format!("{DIRECTORY}/{name}")) {
        if !is_kubeconfig(host, &path)? {
            broken.insert(path);
        }
    }
    for path in &broken {
        if host.remove_file(path)? {
            tracing::info!(path, "removed a half-written file");
        }
    }
    Ok(())
}

/// Whether the kubelet has a credential of its own, and the settings from kubeadm.
pub fn kubelet_is_told(host: &Host) -> Result<bool, HostError> {
    // After a power cut a file may have its length and nothing but zeros.
    let is_there = |path: &str| {
        Ok::<_, HostError>(host.read_text(path)?.is_some_and(|text| !text.is_empty() && !text.contains('\0')))
    };
    Ok(is_kubeconfig(host, KUBELET_KUBECONFIG)?
        && is_there("/var/lib/kubelet/config.yaml")?
        && is_there("/var/lib/kubelet/kubeadm-flags.env")?)
}

/// Whether there is a kubeconfig at `path` with a complete credential.
fn is_kubeconfig(host: &Host, path: &str) -> Result<bool, HostError> {
    let Some(text) = host.read_text(path)? else { return Ok(false) };
    match credential(&text) {
        Some([certificate, key]) => Ok(certificate.is_there(host)? && key.is_there(host)?),
        None => Ok(false),
    }
}

fn is_pem(text: &str) -> bool {
    text.starts_with("-----BEGIN ") && text.trim_end().ends_with("-----") && text.contains("-----END ")
}

/// From files, each with whether it is complete: the incomplete ones, and those whose other half is missing or incomplete.
fn halves(wholes: &BTreeMap<String, bool>) -> BTreeSet<&str> {
    let is_whole = |name: &str| wholes.get(name).is_some_and(|whole| *whole);
    let other_half = |name: &str| {
        let (stem, extension) = name.rsplit_once('.')?;
        match (stem, extension) {
            ("sa", "key") => Some("sa.pub".to_owned()),
            ("sa", "pub") => Some("sa.key".to_owned()),
            (_, "key") => Some(format!("{stem}.crt")),
            (_, "crt") => Some(format!("{stem}.key")),
            _ => None,
        }
    };
    let is_half = |name: &str| other_half(name).is_some_and(|other| !is_whole(name) || !is_whole(&other));
    wholes.keys().map(String::as_str).filter(|name| is_half(name)).collect()
}

/// Files below kubeadm's directory that were made with authorities in `halves`: they are not valid for the next authority.
fn made_with(halves: &BTreeSet<&str>) -> Vec<String> {
    let is_lost =
        |authority: &str| ["crt", "key"].iter().any(|end| halves.contains(format!("{authority}.{end}").as_str()));
    let mut made = Vec::new();
    for (authority, signed) in SIGNED.iter().filter(|(authority, _)| is_lost(authority)) {
        made.extend(signed.iter().flat_map(|name| [format!("pki/{name}.crt"), format!("pki/{name}.key")]));
        if *authority == "ca" {
            made.extend(KUBECONFIGS.map(str::to_owned));
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::{Bench, KUBECONFIG};

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    #[test]
    fn halves_of_pairs_are_found() {
        let files = [
            ("ca.key", true), // without ca.crt
            ("apiserver.key", true),
            ("apiserver.crt", false),
            ("sa.key", true),
            ("sa.pub", true),
            ("front-proxy-ca.crt", true),
            ("front-proxy-ca.key", true),
            ("README", false),
        ];
        let wholes = files.map(|(name, whole)| (name.to_owned(), whole)).into();
        let halves = halves(&wholes);
        assert_eq!(halves.iter().copied().collect::<Vec<_>>(), ["apiserver.crt", "apiserver.key", "ca.key"]);
        let made = made_with(&halves);
        assert!(
            made.contains(&"pki/apiserver-kubelet-client.crt".to_owned()) && made.contains(&"admin.conf".to_owned())
        );
        assert!(!made.iter().any(|name| name.contains("front-proxy") || name.contains("etcd")), "{made:?}");
    }

    #[test]
    fn a_certificate_that_ends_early_is_none() {
        for (text, whole) in [(PEM, true), (&PEM[..40], false), ("", false), ("\0\0\0\0", false)] {
            assert_eq!(is_pem(text), whole, "{text:?}");
        }
    }

    /// A kubeconfig that was cut anywhere does not count until its last line is there.
    #[test]
    fn a_kubeconfig_that_ends_early_is_none() {
        assert!(credential(KUBECONFIG).is_some());
        for end in 0..KUBECONFIG.len() {
            assert!(credential(&KUBECONFIG[..end]).is_none(), "{}", &KUBECONFIG[..end]);
        }
        assert!(credential(&"\0".repeat(KUBECONFIG.len())).is_none());
    }

    #[test]
    fn what_is_not_whole_goes_with_what_was_made_from_it() {
        let bench = Bench::new();
        for name in [
            "ca.crt",
            "ca.key",
            "apiserver.crt",
            "apiserver.key",
            "apiserver-etcd-client.crt",
            "apiserver-etcd-client.key",
        ] {
            bench.file(&format!("etc/kubernetes/pki/{name}"), PEM);
        }
        bench.file("etc/kubernetes/admin.conf", KUBECONFIG);
        bench.file("etc/kubernetes/scheduler.conf", "");
        remove(&mut bench.host(), true).unwrap();
        assert!(!bench.path("etc/kubernetes/scheduler.conf").exists());
        assert!(
            bench.path("etc/kubernetes/admin.conf").exists() && bench.path("etc/kubernetes/pki/apiserver.crt").exists()
        );

        bench.file("etc/kubernetes/pki/ca.crt", "");
        remove(&mut bench.host(), true).unwrap();
        let mut left = bench.host().names_in(PKI).unwrap();
        left.sort();
        assert_eq!(left, ["apiserver-etcd-client.crt", "apiserver-etcd-client.key"]);
        assert!(!bench.path("etc/kubernetes/admin.conf").exists());
    }

    #[test]
    fn a_worker_keeps_its_own_credential_although_it_has_no_key_of_the_authority() {
        let bench = Bench::new();
        bench.file("etc/kubernetes/pki/ca.crt", PEM);
        bench.file("var/lib/kubelet/pki/kubelet-client-current.pem", PEM);
        let pem = "/var/lib/kubelet/pki/kubelet-client-current.pem";
        let elsewhere = KUBECONFIG.replace("-data: TUlJQg==", &format!(": {pem}"));
        bench.file("etc/kubernetes/kubelet.conf", &elsewhere);
        remove(&mut bench.host(), false).unwrap();
        assert!(bench.path("etc/kubernetes/kubelet.conf").exists());

        bench.file("var/lib/kubelet/pki/kubelet-client-current.pem", "");
        assert!(!kubelet_is_told(&bench.host()).unwrap());
        remove(&mut bench.host(), false).unwrap();
        assert!(!bench.path("etc/kubernetes/kubelet.conf").exists());
    }
}
