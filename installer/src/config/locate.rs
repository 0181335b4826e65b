//! Where in a YAML file a value is, by its place such as `kubelet.config.maxPods` or `hosts[2].address`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The line, from 1, of the key or list entry at `place` in `text`; of the nearest one around it where it is not written there.
#[must_use]
pub(super) fn line(text: &str, place: &str) -> Option<usize> {
    let mut steps = steps(place);
    while !steps.is_empty() {
        let walk = Walk { steps: &steps };
        // The walk ends with an error where it arrives, and the parser adds where that was.
        if let Err(error) = walk.deserialize(serde_yaml::Deserializer::from_str(text))
            && error.to_string().contains(ARRIVED)
        {
            return error.location().map(|location| location.line());
        }
        steps.pop();
    }
    None
}

const ARRIVED: &str = "the place that was looked for";

#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    Entry(usize),
}

/// A key may have dots in it (`memory.available`); each is tried as part of the key before it as well, see [`Walk::visit_map`].
fn steps(place: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in place.split('.').filter(|part| !part.is_empty()) {
        let (key, entries) = part.split_once('[').unwrap_or((part, ""));
        steps.push(Step::Key(key.to_owned()));
        let numbers = entries.split(['[', ']']).filter_map(|number| number.parse().ok());
        steps.extend(numbers.map(Step::Entry));
    }
    steps
}

struct Walk<'a> {
    steps: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(consumed) = map.next_key_seed(Key { steps: self.steps })? {
            if consumed == 0 {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Walk { steps: &self.steps[consumed..] })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Step::Entry(wanted), rest)) = self.steps.split_first() else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        for index in 0.. {
            let found = match (index == *wanted, rest.is_empty()) {
                (true, true) => list.next_element_seed(Here)?,
                (true, false) => list.next_element_seed(Walk { steps: rest })?,
                (false, _) => list.next_element::<IgnoredAny>()?.map(drop),
            };
            if found.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key of a map: how many steps it is, and the end of the walk where there are no more.
struct Key<'a> {
    steps: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<usize, E> {
        let mut joined = String::new();
        for (index, step) in self.steps.iter().enumerate() {
            let Step::Key(part) = step else { break };
            if index > 0 {
                joined.push('.');
            }
            joined.push_str(part);
            if joined == key {
                let consumed = index + 1;
                return if consumed == self.steps.len() { Err(E::custom(ARRIVED)) } else { Ok(consumed) };
            }
        }
        Ok(0)
    }
}

/// An entry of a list where the walk ends.
struct Here;

impl<'de> DeserializeSeed<'de> for Here {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Here {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(ARRIVED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // The entry's own line is that of its first key.
        map.next_key_seed(First)?;
        Err(A::Error::custom(ARRIVED))
    }
}

/// The first key of an entry.
struct First;

impl<'de> DeserializeSeed<'de> for First {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for First {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(E::custom(ARRIVED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
name: a
kubelet:
  max-pods: 100
  config:
    evictionHard:
      memory.available: 5x
      nodefs.available: 1
hosts:
- name: h1
  address: 192.0.2.1
- {name: h2,
   address: 192.0.2.2, taints: [a,
   b]}
";

    #[test]
    fn keys_and_entries_are_found_by_their_place() {
        for (place, expected) in [
            ("name", Some(2)),
            ("kubelet", Some(3)),
            ("kubelet.max-pods", Some(4)),
            ("kubelet.config.evictionHard.memory.available", Some(7)),
            ("kubelet.config.evictionHard.nodefs.available", Some(8)),
            ("hosts[0]", Some(10)),
            ("hosts[0].address", Some(11)),
            ("hosts[1].address", Some(13)),
            ("hosts[1].taints[1]", Some(14)),
            ("hosts[1].labels", Some(12)),
            ("kubelet.absent.further", Some(3)),
            ("absent", None),
            ("", None),
        ] {
            assert_eq!(line(TEXT, place), expected, "{place}");
        }
        assert_eq!(line("a: [", "a"), Some(1), "it arrives before the text breaks");
        assert_eq!(line("", "a"), None);
    }
}
