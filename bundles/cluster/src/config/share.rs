//! The part of a description that one host gets, and what may change in an installed cluster.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::Role;
use serde_json::Value;

use super::{AddonSettings, ClusterSpec, HostSpec, Ssh, Switch};

/// A setting that differs from the one with which the existing cluster was set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} was {standing} and is {wanted} now")]
pub struct Difference {
    /// The key in the file, such as `network.pod-cidr`.
    pub setting: String,
    /// The value at installation.
    pub standing: String,
    /// The wanted value.
    pub wanted: String,
}

impl ClusterSpec {
    /// The part of the cluster that the host `name` has to know: itself, the control planes and the members of etcd. The first control
    /// plane acts for the cluster, so it has to know all hosts, with labels and taints.
    ///
    /// Other hosts are not told about other workers, unless their firewalls are opened to these. No host is told how hosts are reached. So
    /// the data for all hosts together grows in proportion to their number. If no host has that name, none is added.
    #[must_use]
    pub fn for_host(&self, name: &str) -> Self {
        let is_this = |host: &HostSpec| host.name.as_str() == name;
        let leads = self.hosts.iter().find(|host| host.roles.contains(&Role::ControlPlane)).is_some_and(is_this);
        let serves = |host: &HostSpec| host.roles.contains(&Role::ControlPlane) || host.roles.contains(&Role::Etcd);
        // A firewall is opened to the addresses of all nodes.
        let is_told_all = leads || self.host_preparation == Switch::Enabled;
        let known = self.hosts.iter().filter(|host| is_told_all || is_this(host) || serves(host)).map(|host| {
            let all = HostSpec { ssh: Ssh::default(), ..host.clone() };
            if leads || is_this(host) {
                return all;
            }
            HostSpec { labels: BTreeMap::new(), taints: Vec::new(), ..all }
        });
        Self {
            schema: self.schema,
            name: self.name.clone(),
            hosts: known.collect(),
            ssh: Ssh::default(),
            network: self.network.clone(),
            registries: self.registries.clone(),
            addons: self.addons.clone(),
            addon_settings: self.addon_settings.clone(),
            api: self.api.clone(),
            security: self.security,
            kubelet: self.kubelet.clone(),
            host_preparation: self.host_preparation,
            api_server: self.api_server.clone(),
            controller_manager: self.controller_manager.clone(),
            scheduler: self.scheduler.clone(),
            etcd: self.etcd.clone(),
            kubeadm_patches: self.kubeadm_patches.clone(),
        }
    }

    /// Checks that this describes the cluster that was set up as `standing`; the error names the first setting that differs.
    ///
    /// These may change: hosts may come and go, their labels, taints and SSH settings, the site's registries, add-ons and their settings,
    /// and whether hosts are prepared. All other settings of the cluster must stay, and so must the address, the roles, the kubelet's
    /// settings and the patches of each host.
    pub fn same_cluster_as(&self, standing: &Self) -> Result<(), Difference> {
        let settings = |spec: &Self| {
            let spec = spec.filled_in();
            let without_hosts = Self {
                hosts: Vec::new(),
                ssh: Ssh::default(),
                registries: Vec::new(),
                addons: Vec::new(),
                addon_settings: AddonSettings::default(),
                host_preparation: Switch::Disabled,
                ..spec
            };
            serde_json::to_value(without_hosts).expect("a description is plain data")
        };
        if let Some(difference) = first_difference("", &settings(standing), &settings(self)) {
            return Err(difference);
        }
        let listed = |spec: &Self| if spec.hosts.is_empty() { "absent" } else { "given" };
        if listed(standing) != listed(self) {
            let (standing, wanted) = (listed(standing).to_owned(), listed(self).to_owned());
            return Err(Difference { setting: "the list of hosts".to_owned(), standing, wanted });
        }
        let before: BTreeMap<_, _> = standing.hosts.iter().map(|host| (&host.name, host)).collect();
        let kept = self.hosts.iter().filter_map(|host| Some((*before.get(&host.name)?, host)));
        kept.into_iter().find_map(|(before, host)| moved(before, host)).map_or(Ok(()), Err)
    }
}

fn moved(before: &HostSpec, host: &HostSpec) -> Option<Difference> {
    let roles = |roles: &BTreeSet<Role>| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    let second = |host: &HostSpec| host.second_address.map_or("absent".to_owned(), |address| address.to_string());
    let [address, second, roles] = [
        ("address", before.address.to_string(), host.address.to_string()),
        ("second-address", second(before), second(host)),
        ("roles", roles(&before.roles), roles(&host.roles)),
    ]
    .map(|(key, standing, wanted)| {
        let setting = format!("{key} of host {}", host.name);
        (standing != wanted).then_some(Difference { setting, standing, wanted })
    });
    address.or(second).or(roles).or_else(|| {
        let settings =
            |host: &HostSpec| serde_json::json!({ "kubelet": host.kubelet, "kubeadm-patches": host.kubeadm_patches });
        let difference = first_difference("", &settings(before), &settings(host))?;
        Some(Difference { setting: format!("{} of host {}", difference.setting, host.name), ..difference })
    })
}

/// The first place at which two values differ, in the order of keys.
fn first_difference(place: &str, standing: &Value, wanted: &Value) -> Option<Difference> {
    if let (Value::Object(before), Value::Object(after)) = (standing, wanted) {
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        return keys.into_iter().find_map(|key| {
            let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            first_difference(&place, before.get(key).unwrap_or(&Value::Null), after.get(key).unwrap_or(&Value::Null))
        });
    }
    let shown = |value: &Value| match value {
        Value::Null => "absent".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (standing != wanted).then(|| Difference {
        setting: place.to_owned(),
        standing: shown(standing),
        wanted: shown(wanted),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "\
        name: plant-7\n\
        ssh: {user: admin}\n\
        network: {cni: calico}\n\
        hosts:\n\
        - {name: cp, address: 192.0.2.1, roles: [control-plane], ssh: {port: 2222}, labels: {a: b}, taints: ['c:NoSchedule']}\n\
        - {name: db, address: 192.0.2.2, roles: [etcd]}\n\
        - {name: w1, address: 192.0.2.3, roles: [worker], ssh: {port: 22}, labels: {disk: ssd}, taints: ['d:NoSchedule']}\n\
        - {name: w2, address: 192.0.2.4, roles: [worker], labels: {disk: hdd}}\n";

    fn cluster() -> ClusterSpec {
        ClusterSpec::parse(CLUSTER).unwrap()
    }

    #[test]
    fn a_host_is_told_of_itself_and_of_those_that_it_needs() {
        let told = cluster().for_host("w1");
        insta::assert_snapshot!(serde_yaml::to_string(&told).unwrap(), @"
        schema: 1
        name: plant-7
        hosts:
        - name: cp
          address: 192.0.2.1
          roles:
          - control-plane
        - name: db
          address: 192.0.2.2
          roles:
          - etcd
        - name: w1
          address: 192.0.2.3
          roles:
          - worker
          labels:
            disk: ssd
          taints:
          - d:NoSchedule
        network:
          pod-cidr: 10.244.0.0/16
          service-cidr: 10.96.0.0/12
          node-cidr-mask-size: 24
          dns-domain: cluster.local
          cni: calico
          kube-proxy:
            mode: iptables
            strict-arp: false
        api:
          endpoint: null
          address: null
          load-balancer: node-local
          port: 6443
          certificate-sans: []
        security:
          encryption-at-rest: enabled
          audit-log: enabled
          pod-security: privileged
        kubelet:
          max-pods: 110
        ");
        assert_eq!(ClusterSpec::parse(&serde_yaml::to_string(&told).unwrap()).unwrap(), told, "it is a cluster itself");
        let names = |told: ClusterSpec| told.hosts.iter().map(|host| host.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(cluster().for_host("db")), ["cp", "db"]);
        assert_eq!(names(cluster().for_host("nobody")), ["cp", "db"]);
    }

    #[test]
    fn the_first_control_plane_is_told_of_all_hosts_and_of_how_none_is_reached() {
        let told = cluster().for_host("cp");
        assert_eq!(told.hosts.len(), 4);
        assert_eq!(told.hosts[2].labels["disk"], "ssd");
        assert!(!serde_yaml::to_string(&told).unwrap().contains("ssh"));
    }

    #[test]
    fn a_host_whose_firewall_is_opened_is_told_of_all_hosts() {
        let mut spec = cluster();
        spec.host_preparation = Switch::Enabled;
        let told = spec.for_host("w1");
        assert_eq!(told.hosts.len(), 4);
        assert!(told.hosts[3].labels.is_empty());
    }

    #[test]
    fn what_a_host_is_told_does_not_grow_with_the_workers() {
        let size = |workers: u8| {
            let worker = |number| format!("- {{name: x{number}, address: 198.51.100.{number}, roles: [worker]}}\n");
            let text = CLUSTER.to_owned() + &(0..workers).map(worker).collect::<String>();
            serde_yaml::to_string(&ClusterSpec::parse(&text).unwrap().for_host("w1")).unwrap().len()
        };
        assert_eq!(size(0), size(200));
    }

    fn compared(change: impl FnOnce(&mut ClusterSpec)) -> String {
        let mut wanted = cluster();
        change(&mut wanted);
        wanted.same_cluster_as(&cluster()).map_or_else(|difference| difference.to_string(), |()| "the same".to_owned())
    }

    #[test]
    fn hosts_come_and_go_and_are_reached_in_another_way() {
        assert_eq!(compared(|_| ()), "the same");
        assert_eq!(compared(|spec| drop(spec.hosts.remove(3))), "the same");
        assert_eq!(compared(|spec| spec.hosts[2].labels.clear()), "the same");
        assert_eq!(compared(|spec| spec.hosts[2].taints.clear()), "the same");
        assert_eq!(compared(|spec| spec.hosts.reverse()), "the same");
        assert_eq!(compared(|spec| *spec = spec.filled_in()), "the same");
        assert_eq!(compared(|spec| spec.ssh.port = Some(2222)), "the same");
        assert_eq!(compared(|spec| spec.host_preparation = Switch::Enabled), "the same");
        let (more, less) = (cluster(), cluster().for_host("w1"));
        assert_eq!(more.same_cluster_as(&less), Ok(()));
        assert_eq!(less.same_cluster_as(&more), Ok(()));
    }

    #[test]
    fn what_else_a_cluster_is_it_stays() {
        insta::assert_snapshot!(compared(|spec| spec.name = "plant-8".parse().unwrap()), @"api.endpoint was api.plant-7.internal and is api.plant-8.internal now");
        insta::assert_snapshot!(compared(|spec| spec.network.pod_cidr = "10.1.0.0/16".parse().unwrap()), @"network.pod-cidr was 10.244.0.0/16 and is 10.1.0.0/16 now");
        insta::assert_snapshot!(compared(|spec| spec.api.endpoint = Some("api.example.com".parse().unwrap())), @"api.endpoint was api.plant-7.internal and is api.example.com now");
        insta::assert_snapshot!(compared(|spec| spec.api.load_balancer = crate::config::LoadBalancer::External), @"api.load-balancer was node-local and is external now");
        insta::assert_snapshot!(compared(|spec| spec.api.certificate_sans.push("api.example.com".into())), @r#"api.certificate-sans was [] and is ["api.example.com"] now"#);
        insta::assert_snapshot!(compared(|spec| spec.kubelet.max_pods = 250), @"kubelet.max-pods was 110 and is 250 now");
        insta::assert_snapshot!(compared(|spec| spec.hosts[2].address = "192.0.2.9".parse().unwrap()), @"address of host w1 was 192.0.2.3 and is 192.0.2.9 now");
        insta::assert_snapshot!(compared(|spec| spec.hosts[2].roles.extend([Role::Etcd])), @"roles of host w1 was worker and is etcd, worker now");
        insta::assert_snapshot!(compared(|spec| spec.hosts[2].kubelet.max_pods = Some(60)), @"kubelet.max-pods of host w1 was absent and is 60 now");
        insta::assert_snapshot!(compared(|spec| spec.api_server.service_node_ports = Some("80-90".into())), @r#"api-server was absent and is {"service-node-ports":"80-90"} now"#);
        insta::assert_snapshot!(compared(|spec| spec.network.node_cidr_mask_size = 25), @"network.node-cidr-mask-size was 24 and is 25 now");
        insta::assert_snapshot!(compared(|spec| spec.hosts.clear()), @"the list of hosts was given and is absent now");
    }
}
