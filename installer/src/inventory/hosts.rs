//! What Kubespray means by groups and variables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use kbundle_format::Role;

use super::file::{File, Value};
use super::groups::Groups;
use super::{Remarks, ssh_arguments};
use crate::config::{Connection, DnsName, HostSpec, Ssh, Sudo};

/// Groups that give a role, by their newer and their older name.
const ROLES: [(Role, &[&str]); 3] = [
    (Role::ControlPlane, &["kube_control_plane", "kube-master"]),
    (Role::Etcd, &["etcd"]),
    (Role::Worker, &["kube_node", "kube-node"]),
];
const ROUTE_REFLECTORS: [&str; 2] = ["calico_rr", "calico-rr"];

const ADDRESS: [&str; 2] = ["ansible_host", "ansible_ssh_host"];
const USER: [&str; 2] = ["ansible_user", "ansible_ssh_user"];
const PORT: [&str; 2] = ["ansible_port", "ansible_ssh_port"];
const KEY: [&str; 2] = ["ansible_ssh_private_key_file", "ansible_private_key_file"];
const ARGUMENTS: [&str; 2] = ["ansible_ssh_common_args", "ansible_ssh_extra_args"];
const OTHERS: [&str; 7] = [
    "ip",
    "access_ip",
    "etcd_member_name",
    "ansible_connection",
    "ansible_become",
    "ansible_become_user",
    "ansible_become_method",
];
const LOGIN_PASSWORDS: [&str; 4] = ["ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_pass"];
const SUDO_PASSWORDS: [&str; 3] = ["ansible_become_pass", "ansible_become_password", "ansible_sudo_pass"];

/// Reads the hosts of the cluster, control planes first. What is left out is told in `remarks`, what cannot be in `problems`.
pub(super) fn read(file: &File, groups: &Groups<'_>, remarks: &mut Remarks, problems: &mut Remarks) -> Vec<HostSpec> {
    remark_upon_variables(file, remarks);
    let roles = roles(groups, remarks);
    let mut reader = Reader { file, groups, remarks, problems };
    reader.remark_upon_hosts_without_a_role(&roles);
    let jump = reader.bastion();
    let order = ROLES.iter().flat_map(|(role, _)| roles.iter().filter(|(_, has)| has.contains(role)));
    let mut seen = BTreeSet::new();
    let order: Vec<_> = order.filter(|(host, _)| seen.insert(*host)).collect();
    order.into_iter().filter_map(|(host, roles)| reader.host(*host, roles, jump.as_ref())).collect()
}

/// Says which variables are not taken over, once each.
fn remark_upon_variables(file: &File, remarks: &mut Remarks) {
    let known: BTreeSet<_> = [ADDRESS, USER, PORT, KEY, ARGUMENTS].into_iter().flatten().chain(OTHERS).collect();
    for (name, Value { line, .. }) in file.assignments().filter(|(name, _)| !known.contains(name.as_str())) {
        let message = if LOGIN_PASSWORDS.contains(&name.as_str()) {
            format!(
                "the password in `{name}` is not copied; kinstall logs in with keys, by OpenSSH's agent or `ssh.key`"
            )
        } else if SUDO_PASSWORDS.contains(&name.as_str()) {
            format!("the password in `{name}` is not copied; kinstall asks for it, once for all hosts")
        } else {
            format!("variable `{name}` means nothing to kinstall and is left out")
        };
        remarks.add(*line, message);
    }
}

/// The roles of each host, in the order of the groups that give them.
fn roles(groups: &Groups<'_>, remarks: &mut Remarks) -> Vec<(usize, BTreeSet<Role>)> {
    let mut roles: Vec<(usize, BTreeSet<Role>)> = Vec::new();
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let etcd_apart = !groups.members(ROLES[1].1).is_empty();
    for (role, names) in ROLES {
        let etcd_beside = role == Role::Etcd && !etcd_apart;
        let names = if etcd_beside { ROLES[0].1 } else { names };
        for host in groups.members(names) {
            let place = *places.entry(host).or_insert_with(|| {
                roles.push((host, BTreeSet::new()));
                roles.len() - 1
            });
            roles[place].1.insert(role);
        }
    }
    if !etcd_apart && !roles.is_empty() {
        remarks.add_missing("no host is in group `etcd`; etcd goes beside the control planes");
    }
    roles
}

struct Reader<'a> {
    file: &'a File,
    groups: &'a Groups<'a>,
    remarks: &'a mut Remarks,
    problems: &'a mut Remarks,
}

impl Reader<'_> {
    fn remark_upon_hosts_without_a_role(&mut self, roles: &[(usize, BTreeSet<Role>)]) {
        let with_a_role: BTreeSet<_> =
            roles.iter().map(|(host, _)| *host).chain(self.groups.members(&["bastion"])).collect();
        for (_, host) in self.file.hosts.iter().enumerate().filter(|(index, _)| !with_a_role.contains(index)) {
            self.remarks
                .add(host.line, "this host is in none of the groups that make it part of the cluster, and left out");
        }
        for host in self.groups.members(&ROUTE_REFLECTORS) {
            self.remarks
                .add(self.file.hosts[host].line, "kinstall sets up no route reflectors; group `calico_rr` is left out");
        }
    }

    /// The host that all others are reached through, as `ssh -J` takes it.
    fn bastion(&mut self) -> Option<String> {
        let bastions = self.groups.members(&["bastion"]);
        let (&bastion, more) = bastions.split_first()?;
        for &other in more {
            self.remarks
                .add(self.file.hosts[other].line, "one bastion is gone through, the first; this one is left out");
        }
        if let Some(key) = self.first_of(bastion, &KEY) {
            let message =
                "a bastion's own key is left out; OpenSSH's own configuration (~/.ssh/config) is the place for it";
            self.remarks.add(key.line, message);
        }
        let address =
            self.first_of(bastion, &ADDRESS).map_or_else(|| self.file.hosts[bastion].name.clone(), |value| value.text);
        let user = self.first_of(bastion, &USER).map(|value| format!("{}@", value.text)).unwrap_or_default();
        let port = self.port(bastion).map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{user}{address}{port}"))
    }

    fn host(&mut self, host: usize, roles: &BTreeSet<Role>, jump: Option<&String>) -> Option<HostSpec> {
        let name = self.name(host);
        let address = self.address(host);
        let ssh = self.ssh(host, address, jump);
        if let (Some(member), Some(name)) = (self.first_of(host, &["etcd_member_name"]), &name)
            && ![name.as_str(), ""].contains(&member.text.as_str())
        {
            let message = "`etcd_member_name` is left out; kinstall names members of etcd after their hosts";
            self.remarks.add(member.line, message);
        }
        Some(HostSpec { ssh, ..HostSpec::new(name?, address?.into(), roles.clone()) })
    }

    fn name(&mut self, host: usize) -> Option<DnsName> {
        let host = &self.file.hosts[host];
        let name = host.name.parse();
        if name.is_err() {
            let message = format!("`{}` cannot name a node; lowercase letters, digits, `-` and `.` can", host.name);
            self.problems.add(host.line, message);
        }
        name.ok()
    }

    /// Where other hosts reach it: what Kubespray binds to, or else connects to.
    fn address(&mut self, host: usize) -> Option<Ipv4Addr> {
        let ip = self.first_of(host, &["ip"]);
        let access = self.first_of(host, &["access_ip"]);
        if let (Some(ip), Some(access)) = (&ip, &access)
            && ip.text != access.text
        {
            let message = "`access_ip` is left out, because kinstall has one address for a host, `ip`; the hosts have to reach each other there";
            self.remarks.add(access.line, message);
        }
        if let Some(value) = ip.or(access) {
            let address = value.text.parse();
            if address.is_err() {
                self.problems.add(value.line, format!("`{}` is no IPv4 address", value.text));
            }
            return address.ok();
        }
        if self.groups.variable(host, "ip").is_some() {
            return None; // A template, which was told.
        }
        let (name, line) = (&self.file.hosts[host].name, self.file.hosts[host].line);
        let connected = self.first_of(host, &ADDRESS).and_then(|value| value.text.parse().ok());
        if connected.is_none() {
            let message = format!("host `{name}` has no address that other hosts reach it by; add `ip=`");
            self.problems.add(line, message);
        }
        connected
    }

    fn ssh(&mut self, host: usize, address: Option<Ipv4Addr>, jump: Option<&String>) -> Ssh {
        let sudo = self.sudo(host);
        if self.is_local(host) {
            return Ssh { connection: Some(Connection::Local), sudo, ..Ssh::default() };
        }
        // Ansible connects by the name where nothing else is said.
        let connected =
            self.first_of(host, &ADDRESS).map_or_else(|| self.file.hosts[host].name.clone(), |value| value.text);
        let mut own_jump = None;
        for name in ARGUMENTS {
            if let Some(value) = self.first_of(host, &[name]) {
                own_jump = ssh_arguments::jump(&value.text, value.line, self.remarks, self.problems).or(own_jump);
            }
        }
        Ssh {
            address: Some(connected).filter(|connected| connected.parse().ok() != address),
            port: self.port(host),
            user: self.first_of(host, &USER).map(|value| value.text),
            key: self.first_of(host, &KEY).map(|value| value.text.into()),
            jump: own_jump.or_else(|| jump.cloned()),
            known_hosts: None,
            sudo,
            connection: None,
        }
    }

    fn port(&mut self, host: usize) -> Option<u16> {
        let value = self.first_of(host, &PORT)?;
        let port = value.text.parse().ok().filter(|&port| port > 0);
        if port.is_none() {
            self.problems.add(value.line, format!("`{}` is no TCP port", value.text));
        }
        port
    }

    fn is_local(&mut self, host: usize) -> bool {
        let Some(value) = self.first_of(host, &["ansible_connection"]) else { return false };
        match value.text.as_str() {
            "local" => true,
            "ssh" | "smart" | "paramiko" | "paramiko_ssh" => false,
            other => {
                let message = format!("connection `{other}` is not one that kinstall has; there are `ssh` and `local`");
                self.problems.add(value.line, message);
                false
            }
        }
    }

    fn sudo(&mut self, host: usize) -> Option<Sudo> {
        for (name, wanted) in [("ansible_become_user", "root"), ("ansible_become_method", "sudo")] {
            if let Some(value) = self.first_of(host, &[name]).filter(|value| value.text != wanted) {
                self.problems.add(value.line, format!("`{name}` can only be `{wanted}` for kinstall"));
            }
        }
        let asks = SUDO_PASSWORDS.iter().any(|name| self.groups.variable(host, name).is_some());
        let value = self.first_of(host, &["ansible_become"])?;
        match value.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" if asks => Some(Sudo::Password),
            "true" | "yes" | "on" | "1" => Some(Sudo::Passwordless),
            "false" | "no" | "off" | "0" => Some(Sudo::Never),
            other => {
                self.problems.add(value.line, format!("`{other}` is neither `true` nor `false`"));
                None
            }
        }
    }

    /// The first of these variables that a host has. Templates are refused, since only Ansible could fill them in.
    fn first_of(&mut self, host: usize, names: &[&str]) -> Option<Value> {
        let found = names.iter().find_map(|name| Some((name, self.groups.variable(host, name)?)));
        let (name, value) = found?;
        if value.text.contains("{{") {
            let message = format!("`{name}` is a template, which only Ansible can fill in; write the value itself");
            self.problems.add(value.line, message);
            return None;
        }
        Some(value.clone())
    }
}
