//! Settings of add-ons for which kinstall knows more than their manifests say.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use kbundle_format::text::TextError;
use kbundle_format::text_type;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, Switch};

/// Settings of add-ons, by the add-on's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AddonSettings {
    /// The addresses of Services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metallb: Option<Metallb>,
    /// Volumes in a folder of their node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_path_provisioner: Option<LocalPathProvisioner>,
}

impl AddonSettings {
    /// Whether no add-on has settings.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What `MetalLB` gives to Services of type `LoadBalancer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Metallb {
    /// Free addresses of the hosts' network, as ranges or in CIDR notation. A node answers ARP for each one that a Service has.
    pub addresses: Vec<AddressRange>,
}

/// Where local-path-provisioner keeps volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LocalPathProvisioner {
    /// The folder on every node. Default: the add-on's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether claims that name no storage class get its volumes.
    pub default_class: Switch,
}

impl Default for LocalPathProvisioner {
    fn default() -> Self {
        Self { path: None, default_class: Switch::Disabled }
    }
}

/// IPv4 addresses: `192.0.2.240-192.0.2.250`, or a network such as `192.0.2.240/28`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

impl AddressRange {
    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Whether any of them is in `network`.
    #[must_use]
    pub fn overlaps(&self, network: &Cidr) -> bool {
        let starts_inside = matches!(network.address(), std::net::IpAddr::V4(first) if self.contains(first));
        starts_inside || network.contains(self.first.into())
    }
}

impl FromStr for AddressRange {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let wrong = || TextError::new(text, "IPv4 addresses such as `192.0.2.240-192.0.2.250` or `192.0.2.240/28`");
        let range = if let Some((first, last)) = text.split_once('-') {
            let address = |text: &str| text.trim().parse().map_err(|_| wrong());
            Self { first: address(first)?, last: address(last)? }
        } else {
            let network: ipnet::Ipv4Net = text.parse().map_err(|_| wrong())?;
            if network.network() != network.addr() {
                return Err(wrong());
            }
            Self { first: network.network(), last: network.broadcast() }
        };
        if range.first <= range.last { Ok(range) } else { Err(wrong()) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

text_type!(AddressRange, r"^[0-9.]+( *- *[0-9.]+|/[0-9]{1,2})$");

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_and_networks_are_addresses() {
        assert_eq!(range("192.0.2.240-192.0.2.250").to_string(), "192.0.2.240-192.0.2.250");
        assert_eq!(range("192.0.2.240/28").to_string(), "192.0.2.240-192.0.2.255");
        assert_eq!(range("192.0.2.7/32").to_string(), "192.0.2.7-192.0.2.7");
        for wrong in
            ["", "192.0.2.1", "192.0.2.9-192.0.2.1", "192.0.2.241/28", "a-b", "fd00::1-fd00::2", "192.0.2.1/33"]
        {
            let error = wrong.parse::<AddressRange>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{wrong}` is not IPv4 addresses")), "{error}");
        }
    }

    #[test]
    fn overlaps_are_seen_from_both_sides() {
        let network: Cidr = "192.0.2.0/24".parse().unwrap();
        assert!(range("192.0.1.0-192.0.3.0").overlaps(&network));
        assert!(range("192.0.2.240-192.0.2.250").overlaps(&network));
        assert!(range("192.0.2.255-192.0.3.9").overlaps(&network));
        assert!(!range("192.0.3.0-192.0.3.9").overlaps(&network));
    }
}
