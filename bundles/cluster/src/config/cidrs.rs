//! Networks of one IP family, or of both.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use kbundle_format::text::TextError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Cidr;

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpFamily {
    /// 32 bits.
    Ipv4,
    /// 128 bits.
    Ipv6,
}

impl IpFamily {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// The name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// How many bits an address has.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }

    /// The option of `ip` for this family.
    #[must_use]
    pub fn option_of_ip(self) -> &'static str {
        match self {
            Self::Ipv4 => "-4",
            Self::Ipv6 => "-6",
        }
    }

    /// The program for this family's tables of the packet filter.
    #[must_use]
    pub fn iptables(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables",
            Self::Ipv6 => "ip6tables",
        }
    }
}

/// One network, or one of each family. The family of the first one is the cluster's main family. In a file, one network is a text and two
/// are a list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidrs {
    first: Cidr,
    second: Option<Cidr>,
}

impl Cidrs {
    /// `first` and another network. The rules of cluster.yaml check that their families differ.
    #[must_use]
    pub fn new(first: Cidr, second: Option<Cidr>) -> Self {
        Self { first, second }
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> Cidr {
        self.first
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Cidr> + use<> {
        [Some(self.first), self.second].into_iter().flatten()
    }

    /// Their families, in order.
    pub fn families(&self) -> impl Iterator<Item = IpFamily> + use<> {
        self.iter().map(|cidr| cidr.family())
    }

    /// Whether there is one of each family.
    #[must_use]
    pub fn is_dual(&self) -> bool {
        self.second.is_some_and(|second| second.family() != self.first.family())
    }

    /// The one of this family.
    #[must_use]
    pub fn of(&self, family: IpFamily) -> Option<Cidr> {
        self.iter().find(|cidr| cidr.family() == family)
    }

    /// Whether `address` lies in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.iter().any(|cidr| cidr.contains(address))
    }
}

impl From<Cidr> for Cidrs {
    fn from(first: Cidr) -> Self {
        Self { first, second: None }
    }
}

/// kubeadm's form: separated by a comma.
impl fmt::Display for Cidrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.first, f)?;
        self.second.map_or(Ok(()), |second| write!(f, ",{second}"))
    }
}

impl fmt::Debug for Cidrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// kubeadm's form: separated by a comma.
impl FromStr for Cidrs {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let networks = text.split(',').map(|part| part.trim().parse()).collect::<Result<Vec<Cidr>, _>>()?;
        match networks[..] {
            [first] => Ok(first.into()),
            [first, second] => Ok(Self::new(first, Some(second))),
            _ => Err(TextError::new(text, "a network, or two with a comma between")),
        }
    }
}

impl Serialize for Cidrs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.second {
            None => self.first.serialize(serializer),
            Some(second) => [self.first, second].serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Cidrs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrTwo)
    }
}

struct OneOrTwo;

impl<'de> Visitor<'de> for OneOrTwo {
    type Value = Cidrs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network, or a list with one of each IP family")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Cidrs, E> {
        text.parse::<Cidr>().map(Cidrs::from).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cidrs, A::Error> {
        const ASKED: &str = "a list of networks has one or two: one of each IP family";
        let first = list.next_element()?.ok_or_else(|| A::Error::custom(ASKED))?;
        let second = list.next_element()?;
        match list.next_element::<Cidr>()? {
            None => Ok(Cidrs::new(first, second)),
            Some(_) => Err(A::Error::custom(ASKED)),
        }
    }
}

impl JsonSchema for Cidrs {
    fn schema_name() -> Cow<'static, str> {
        "Cidrs".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Cidr>();
        json_schema!({ "anyOf": [one, { "type": "array", "minItems": 1, "maxItems": 2, "items": one }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_a_text_and_two_are_a_list() {
        for (text, shown) in [("10.0.0.0/8\n", "10.0.0.0/8"), ("- 10.0.0.0/8\n- fd00::/56\n", "10.0.0.0/8,fd00::/56")] {
            let read: Cidrs = serde_yaml::from_str(text).unwrap();
            assert_eq!((serde_yaml::to_string(&read).unwrap().as_str(), read.to_string().as_str()), (text, shown));
            assert_eq!(shown.parse::<Cidrs>().unwrap(), read);
        }
        for text in ["[]", "[10.0.0.0/8, 'fd00::/56', 11.0.0.0/8]", "10.0.0.1/8", "7"] {
            assert!(serde_yaml::from_str::<Cidrs>(text).is_err(), "{text}");
        }
    }
}
