//! How the hosts of an inventory are reached.

use std::net::IpAddr;

use super::reading::{FoundText, Reading};
use super::ssh_arguments::{self, Arguments};
use crate::config::{Connection, Ssh, Sudo};

/// Where Ansible connects to a host.
pub(super) const ADDRESS: [&str; 2] = ["ansible_host", "ansible_ssh_host"];
const USER: [&str; 2] = ["ansible_user", "ansible_ssh_user"];
const PORT: [&str; 2] = ["ansible_port", "ansible_ssh_port"];
const KEY: [&str; 2] = ["ansible_ssh_private_key_file", "ansible_private_key_file"];
/// In the order in which Ansible passes them to `ssh`, which lets the first one win.
const ARGUMENTS: [&str; 3] = ["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"];
const SUDO_PASSWORDS: [&str; 3] = ["ansible_become_pass", "ansible_become_password", "ansible_sudo_pass"];

/// The jump host through which others are reached.
pub(super) struct Jump {
    /// The bastion's index.
    host: usize,
    /// The text that `ssh -J` takes.
    way: String,
    key: Option<String>,
}

impl Reading<'_> {
    /// The possible bastions: the hosts of group `bastion`, or else the host of that name.
    pub(super) fn bastions(&self) -> Vec<usize> {
        let members = self.groups.members(&["bastion"]);
        if members.is_empty() { self.groups.data.host("bastion").into_iter().collect() } else { members }
    }

    /// The bastion that Kubespray goes through.
    pub(super) fn bastion(&mut self) -> Option<Jump> {
        let bastions = self.bastions();
        let (&host, more) = bastions.split_first()?;
        for &other in more {
            let message = "kinstall goes through one bastion, the first; this one is left out";
            self.remarks.add(&self.groups.data.hosts[other].place, message);
        }
        let address = self.text(host, &ADDRESS).map(|found| found.text);
        let address = address.unwrap_or_else(|| self.groups.data.hosts[host].name.clone());
        let user = self.text(host, &USER).map(|found| found.text);
        let port = self.port(host).map(|port| port.to_string());
        let way = ssh_arguments::jump_of(&address, user.as_deref(), port.as_deref());
        Some(Jump { host, way, key: self.text(host, &KEY).map(|found| found.text) })
    }

    /// The SSH settings of a host whose address in the cluster is `address`.
    pub(super) fn ssh(&mut self, host: usize, address: Option<IpAddr>, jump: Option<&Jump>) -> Ssh {
        let sudo = self.sudo(host);
        if self.is_local(host) {
            return Ssh { connection: Some(Connection::Local), sudo, ..Ssh::default() };
        }
        // Ansible connects by the host's name if no address is given.
        let connected = self.text(host, &ADDRESS).map(|found| found.text);
        let connected = connected.unwrap_or_else(|| self.groups.data.hosts[host].name.clone());
        let mut said = Arguments::default();
        for name in ARGUMENTS {
            if let Some(FoundText { text, place }) = self.text(host, &[name]) {
                let more = ssh_arguments::read(&text, &place, self.remarks, self.problems);
                said = said.or(more);
            }
        }
        let key = self.text(host, &KEY).map(|found| found.text).or(said.key);
        if said.jump.is_none()
            && let Some(jump) = jump.filter(|jump| jump.host != host)
        {
            said.jump = Some(jump.way.clone());
            // Kubespray connects to the bastion with the key for the host.
            said.jump_key = jump.key.clone().or_else(|| key.clone());
        }
        Ssh {
            address: Some(connected).filter(|connected| connected.parse().ok() != address),
            port: self.port(host).or_else(|| said.port.and_then(|port| port.parse().ok())),
            user: self.text(host, &USER).map(|found| found.text).or(said.user),
            key: key.map(Into::into),
            jump: said.jump,
            jump_key: said.jump_key.map(Into::into),
            known_hosts: said.known_hosts.map(Into::into),
            sudo,
            connection: None,
        }
    }

    fn port(&mut self, host: usize) -> Option<u16> {
        let FoundText { text, place } = self.text(host, &PORT)?;
        let port = text.parse().ok().filter(|&port| port > 0);
        if port.is_none() {
            self.problems.add(&place, format!("`{text}` is not a TCP port"));
        }
        port
    }

    fn is_local(&mut self, host: usize) -> bool {
        let Some(FoundText { text, place }) = self.text(host, &["ansible_connection"]) else { return false };
        match text.rsplit('.').next().unwrap_or_default() {
            "local" => true,
            "ssh" | "smart" | "paramiko" | "paramiko_ssh" => false,
            other => {
                let message = format!("connection `{other}` is not one that kinstall has; there are `ssh` and `local`");
                self.problems.add(&place, message);
                false
            }
        }
    }

    fn sudo(&mut self, host: usize) -> Option<Sudo> {
        for (name, wanted) in [("ansible_become_user", "root"), ("ansible_become_method", "sudo")] {
            if let Some(FoundText { text, place }) = self.text(host, &[name])
                && text.rsplit('.').next() != Some(wanted)
            {
                self.problems.add(&place, format!("`{name}` can only be `{wanted}` for kinstall"));
            }
        }
        let asks = SUDO_PASSWORDS.iter().any(|name| self.groups.written(host, name).is_some());
        let variable = self.value(host, "ansible_become").filter(|found| !found.value.is_empty())?;
        match variable.value.truth() {
            Some(true) if asks => Some(Sudo::Password),
            Some(true) => Some(Sudo::Passwordless),
            Some(false) => Some(Sudo::Never),
            None => {
                let text = variable.value.text().unwrap_or_default();
                self.problems.add(&variable.place, format!("`{text}` is neither true nor false"));
                None
            }
        }
    }
}

impl Arguments {
    /// These arguments; those of `later` fill the gaps.
    fn or(self, later: Self) -> Self {
        let (jump, jump_key) =
            if self.jump.is_some() { (self.jump, self.jump_key) } else { (later.jump, later.jump_key) };
        Self {
            jump,
            jump_key,
            key: self.key.or(later.key),
            user: self.user.or(later.user),
            port: self.port.or(later.port),
            known_hosts: self.known_hosts.or(later.known_hosts),
        }
    }
}
