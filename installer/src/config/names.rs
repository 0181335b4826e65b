//! Names and networks as types: text that was looked at once, at the edge.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A text that does not have the shape its type asks for.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct NameError {
    text: String,
    expected: &'static str,
}

impl NameError {
    /// What the text had to be, such as `a DNS name (…)`.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

fn refuse<T>(text: &str, expected: &'static str) -> Result<T, NameError> {
    Err(NameError { text: text.to_owned(), expected })
}

/// A DNS subdomain as RFC 1123 and Kubernetes have it: lowercase labels of letters, digits and `-`, joined by dots.
///
/// At most 253 bytes, each label 1 to 63, beginning and ending in a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// A name of this program's own source, which is well formed.
    pub(super) fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let label = |label: &str| {
            let bytes = label.as_bytes();
            (1..=63).contains(&bytes.len())
                && bytes.iter().all(|&byte| word(byte) || byte == b'-')
                && bytes.first().zip(bytes.last()).is_some_and(|(&first, &last)| word(first) && word(last))
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self(text.to_owned()))
        } else {
            refuse(text, "a DNS name (RFC 1123: lowercase letters, digits, `-` and `.`)")
        }
    }
}

impl JsonSchema for DnsName {
    fn schema_name() -> Cow<'static, str> {
        "DnsName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
        json_schema!({ "type": "string", "maxLength": 253, "pattern": format!(r"^{label}(\.{label})*$") })
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DnsName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

/// A network in CIDR notation, such as `10.244.0.0/16`, with no bits set beyond the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// A network of this program's own source, which is well formed.
    pub(super) fn known(address: [u8; 4], prefix: u8) -> Self {
        Self { address: address.into(), prefix }
    }

    /// The network that an interface address with a prefix length lies in.
    ///
    /// A prefix longer than the family has is taken as the whole address.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(width(address));
        Self { address: from_bits(address, bits(address) & mask(address, prefix)), prefix }
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of the prefix in bits.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && bits(address) & mask(address, self.prefix) == bits(self.address)
    }

    /// Whether the two share addresses.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The address `offset` after the first, where the network has it.
    ///
    /// Kubernetes gives the API's Service the first after it, and kubeadm the DNS Service the tenth.
    #[must_use]
    pub fn nth(&self, offset: u32) -> Option<IpAddr> {
        let address = from_bits(self.address, bits(self.address).checked_add(u128::from(offset))?);
        self.contains(address).then_some(address)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn from_bits(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        // Sums beyond the family's width wrap; `contains` tells that they did.
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

fn mask(family: IpAddr, prefix: u8) -> u128 {
    let all = if family.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
    let host = u32::from(width(family) - prefix);
    all & u128::MAX.checked_shl(host).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parsed = text
            .split_once('/')
            .and_then(|(address, prefix)| Some((address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?)))
            .filter(|&(address, prefix)| prefix <= width(address));
        match parsed {
            Some((address, prefix)) if Self::around(address, prefix).address == address => Ok(Self { address, prefix }),
            _ => refuse(text, "a network such as `10.244.0.0/16` (no bits set after the prefix)"),
        }
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f.:]+/[0-9]{1,3}$" })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_what_kubernetes_takes() {
        for good in ["a", "node-1", "n1.plant.example", &"x".repeat(63)] {
            assert!(good.parse::<DnsName>().is_ok(), "{good}");
        }
        for bad in ["", "Node", "-a", "a-", "a..b", "a_b", "a b", ".a", &"x".repeat(64), &"a.".repeat(130)] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_know_their_addresses() {
        let services = cidr("10.96.0.0/12");
        assert_eq!(services.nth(10).unwrap().to_string(), "10.96.0.10");
        assert_eq!(cidr("10.0.0.0/30").nth(4), None);
        assert_eq!(cidr("255.255.255.0/24").nth(256), None);
        assert!(services.contains("10.111.255.255".parse().unwrap()));
        assert!(!services.contains("10.112.0.0".parse().unwrap()));
        assert!(!services.contains("::1".parse().unwrap()));
        assert!(cidr("0.0.0.0/0").overlaps(&services) && services.overlaps(&cidr("10.100.0.0/16")));
        assert!(!services.overlaps(&cidr("10.244.0.0/16")));
        assert_eq!(Cidr::around("10.9.8.7".parse().unwrap(), 24).to_string(), "10.9.8.0/24");
        assert_eq!(cidr("fd00::/48").nth(1).unwrap().to_string(), "fd00::1");
    }

    #[test]
    fn refuses_what_is_no_network() {
        for bad in ["10.0.0.0", "10.0.0.1/24", "10.0.0.0/33", "10.0.0/8", "x/8", "10.0.0.0/-1", "fd00::/129"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
