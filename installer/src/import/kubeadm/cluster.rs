//! `ClusterConfiguration`.

use std::net::IpAddr;

use kbundle_format::text::TextError;

use super::{Import, KubeadmError, Section, flags};
use crate::config::{Cidrs, ClusterSpec, Component, DnsName, ExternalEtcd, Flags, IpFamily};
use crate::etcd_layout;
use crate::kube_types::Program;
use crate::kubeadm::flags_of;

impl Import<'_> {
    pub(super) fn cluster(&mut self, mut section: Section) -> Result<(), KubeadmError> {
        if let Some(name) = section.text("clusterName") {
            self.spec.name = read(&section, "clusterName", &name)?;
        }
        self.networking(section.section("networking"))?;
        self.endpoint(&mut section)?;
        self.etcd(section.section("etcd"));
        self.api_server(section.section("apiServer"));
        for (field, program) in [("controllerManager", Program::ControllerManager), ("scheduler", Program::Scheduler)] {
            let component = self.component(section.section(field), program);
            match program {
                Program::ControllerManager => self.spec.controller_manager = component,
                Program::ApiServer | Program::Scheduler => self.spec.scheduler = component,
            }
        }
        for (field, usual, message) in [
            ("kubernetesVersion", "", "left out: the bundle decides the version"),
            (
                "imageRepository",
                "registry.k8s.io",
                "left out: images come from the bundle; `registries` are for others",
            ),
            ("certificatesDir", "/etc/kubernetes/pki", "left out: certificates lie in /etc/kubernetes/pki"),
            ("encryptionAlgorithm", "RSA-2048", "left out: kubeadm's default is used"),
            ("certificateValidityPeriod", "8760h0m0s", "left out: kubeadm's default is used"),
            ("caCertificateValidityPeriod", "87600h0m0s", "left out: kubeadm's default is used"),
        ] {
            if section.text(field).is_some_and(|value| value != usual) {
                self.remark(section.place(field), message);
            }
        }
        let dns = section.section("dns").left();
        if !dns.is_empty() && !self.is_of_kinstall {
            self.remark(section.place("dns"), "left out: CoreDNS is that of the bundle");
        }
        self.rest(section);
        Ok(())
    }

    fn networking(&mut self, mut section: Section) -> Result<(), KubeadmError> {
        for field in ["podSubnet", "serviceSubnet"] {
            let Some(text) = section.text(field) else { continue };
            let cidrs = read::<Cidrs>(&section, field, &text)?;
            if field == "podSubnet" {
                self.spec.network.pod_cidr = cidrs;
            } else {
                self.spec.network.service_cidr = cidrs;
            }
        }
        if let Some(domain) = section.text("dnsDomain") {
            self.spec.network.dns_domain = read(&section, "dnsDomain", &domain)?;
        }
        self.rest(section);
        Ok(())
    }

    fn endpoint(&mut self, section: &mut Section) -> Result<(), KubeadmError> {
        let Some(text) = section.text("controlPlaneEndpoint") else { return Ok(()) };
        // An IPv6 address has colons too; a port can only follow brackets.
        let has_port = text.parse::<IpAddr>().is_err() && !text.ends_with(']');
        let split = text.rsplit_once(':').filter(|_| has_port);
        let (host, port) = split.map_or((text.as_str(), None), |(host, port)| (host, Some(port)));
        if let Some(port) = port {
            let wrong = || wrong(section, "controlPlaneEndpoint", &text, "a name or address with a port");
            let port = port.parse().map_err(|_| wrong())?;
            if self.node.port.is_some_and(|bound| bound != port) {
                self.remark(
                    section.place("controlPlaneEndpoint"),
                    format!("port {port} is taken for the API servers too: `api.port` is one for both"),
                );
            }
            self.spec.api.port = port;
        }
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if Some(address) == self.node.address => {}
            Ok(address) => {
                self.spec.api.certificate_sans.push(address.to_string());
                let message =
                    "is an address: for a load balancer at it, write `api.load-balancer: external` and `api.address`";
                self.remark(section.place("controlPlaneEndpoint"), message);
            }
            Err(_) => self.spec.api.endpoint = Some(read(section, "controlPlaneEndpoint", host)?),
        }
        Ok(())
    }

    fn etcd(&mut self, mut section: Section) {
        let mut external = section.section("external");
        let endpoints = external.texts("endpoints");
        let files = ["caFile", "certFile", "keyFile"].map(|field| external.text(field));
        let own = etcd_layout::client_url(IpAddr::from([127, 0, 0, 1]));
        if let [Some(ca_file), Some(certificate_file), Some(key_file)] = files {
            // kinstall writes this for an etcd beside each API server.
            if endpoints != [own] {
                self.spec.etcd.external = Some(ExternalEtcd { endpoints, ca_file, certificate_file, key_file });
            }
        } else if !endpoints.is_empty() {
            let message = "left out: kinstall takes an etcd with caFile, certFile and keyFile; it sets up its own";
            self.remark(external.place("endpoints"), message);
        }
        self.rest(external);
        let mut local = section.section("local");
        // kinstall's own etcd has it too.
        let is_usual = local.text("dataDir").is_none_or(|directory| directory == etcd_layout::DATA_DIRECTORY);
        if !is_usual || !local.left().is_empty() {
            self.remark(section.place("local"), "left out: etcd is a service that kinstall sets up");
        }
        self.rest(section);
    }

    fn component(&mut self, mut section: Section, program: Program) -> Component {
        let place = section.place("extraArgs");
        let mut given = flags::take(&mut section, "extraArgs");
        if program == Program::ControllerManager {
            self.node_parts(&place, &mut given);
        }
        let feature_gates = flags::take_gates(&mut given);
        let extra_args = self.extra_args(&place, program, given, &flags_of(program, &ClusterSpec::default()));
        let extra_volumes = flags::take_volumes(&mut section);
        self.rest(section);
        Component { extra_args, extra_volumes, feature_gates }
    }
}

impl Import<'_> {
    /// The sizes of the nodes' networks: one flag if pods have one family, or one flag for each family.
    fn node_parts(&mut self, place: &str, given: &mut Flags) {
        let main = self.spec.network.pod_cidr.first().family();
        for (flag, family) in [
            ("node-cidr-mask-size", main),
            ("node-cidr-mask-size-ipv4", IpFamily::Ipv4),
            ("node-cidr-mask-size-ipv6", IpFamily::Ipv6),
        ] {
            let Some(size) = flags::take_one(given, flag) else { continue };
            let network = &mut self.spec.network;
            let part = match family {
                IpFamily::Ipv4 => &mut network.node_cidr_mask_size,
                IpFamily::Ipv6 => &mut network.node_cidr_mask_size_ipv6,
            };
            match size.parse() {
                Ok(size) => *part = size,
                Err(_) => self.remark(format!("{place}.{flag}"), format!("left out: `{size}` is not a number")),
            }
        }
    }
}

/// A text that has to have a certain form.
pub(super) fn read<T: std::str::FromStr<Err = TextError>>(
    section: &Section,
    field: &str,
    text: &str,
) -> Result<T, KubeadmError> {
    text.parse().map_err(|error: TextError| wrong(section, field, text, error.expected()))
}

pub(super) fn wrong(section: &Section, field: &str, value: &str, expected: &str) -> KubeadmError {
    KubeadmError::Value { place: section.place(field), value: value.to_owned(), expected: format!("not {expected}") }
}

/// Whether kinstall and kubeadm put this name or address into the certificate anyway.
pub(super) fn is_put_in_anyway(spec: &ClusterSpec, san: &str) -> bool {
    san == spec.api_name()
        || ["127.0.0.1", "localhost"].contains(&san)
        || spec.api.address.is_some_and(|address| address.to_string() == san)
        || san
            .parse::<DnsName>()
            .is_ok_and(|name| ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].contains(&name.as_str()))
}
