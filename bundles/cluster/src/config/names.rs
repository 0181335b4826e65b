//! Names and networks as types: text that is validated once, when it enters.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use kbundle_format::text::TextError;
use kbundle_format::text_type;

use super::IpFamily;

/// A DNS subdomain by RFC 1123 and Kubernetes: lowercase labels of letters, digits and `-`, joined by dots.
///
/// At most 253 bytes, each label 1 to 63, beginning and ending in a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
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
            Err(TextError::new(text, "a DNS name (RFC 1123: lowercase letters, digits, `-` and `.`)"))
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(DnsName, r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$", "maxLength": 253);

/// A network in CIDR notation, such as `10.244.0.0/16`, with no bits set beyond the prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// A network of this program's own source, which is well formed.
    pub(super) fn known(address: [u8; 4], prefix: u8) -> Self {
        Self(Ipv4Net::new_assert(address.into(), prefix).into())
    }

    /// The network of an interface address with a prefix length.
    ///
    /// A prefix that is too long for the family counts as the whole address.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        Self(IpNet::new(address, prefix).unwrap_or_else(|_| address.into()).trunc())
    }

    /// The network with only this address.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        Self(address.into())
    }

    /// The family of its addresses.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        IpFamily::of(self.address())
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    /// The length of the prefix in bits.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether `address` is in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether the two share addresses.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address()) || other.contains(self.address())
    }

    /// The address at `offset` from the first, if the network has it.
    ///
    /// Kubernetes gives the API's Service the address at offset 1, and kubeadm gives the DNS Service the one at offset 10.
    #[must_use]
    pub fn nth(&self, offset: u32) -> Option<IpAddr> {
        let address = match self.address() {
            IpAddr::V4(first) => IpAddr::from(first.to_bits().checked_add(offset)?.to_be_bytes()),
            IpAddr::V6(first) => IpAddr::from(first.to_bits().checked_add(offset.into())?.to_be_bytes()),
        };
        self.contains(address).then_some(address)
    }
}

impl FromStr for Cidr {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let network = text.parse::<IpNet>().ok().filter(|network| network.addr() == network.network());
        network
            .map(Self)
            .ok_or_else(|| TextError::new(text, "a network such as `10.244.0.0/16` (no bits set after the prefix)"))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

text_type!(Cidr, "^[0-9a-f.:]+/[0-9]{1,3}$");

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
