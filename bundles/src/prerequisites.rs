//! Which add-ons of a bundle need others first.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Add-ons by name, each with the names of those that have to run before it is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Prerequisites(BTreeMap<String, BTreeSet<String>>);

/// An add-on, and one that it needs first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need<'a> {
    /// The add-on.
    pub of: &'a str,
    /// The add-on that it needs.
    pub name: &'a str,
}

impl Prerequisites {
    /// Adds that the add-on `of` needs these first.
    pub fn add(&mut self, of: &str, names: impl IntoIterator<Item = String>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            self.0.entry(of.to_owned()).or_default().extend(names);
        }
    }

    /// Whether no add-on needs another.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every prerequisite, sorted by the names.
    pub fn needs(&self) -> impl Iterator<Item = Need<'_>> {
        self.0.iter().flat_map(|(of, names)| names.iter().map(move |name| Need { of, name }))
    }

    /// The needs of the `listed` that are not `listed` themselves.
    pub fn unlisted<'a>(&'a self, listed: &'a [&str]) -> impl Iterator<Item = Need<'a>> {
        self.needs().filter(|need| listed.contains(&need.of) && !listed.contains(&need.name))
    }

    /// The `listed`, each after its prerequisites, and otherwise in the given order. Add-ons in a circle keep their places.
    #[must_use]
    pub fn in_order<'a>(&self, listed: &[&'a str]) -> Vec<&'a str> {
        let mut left = listed.to_vec();
        let mut ordered = Vec::new();
        while !left.is_empty() {
            let waits = |name: &&str| self.of(name).any(|needed| needed != *name && left.contains(&needed));
            let next = left.iter().position(|name| !waits(name)).unwrap_or(0);
            ordered.push(left.remove(next));
        }
        ordered
    }

    /// Names that need each other: each needs the next one, and the last needs the first.
    #[must_use]
    pub fn circle(&self) -> Option<Vec<&str>> {
        let mut done = BTreeSet::new();
        for start in self.0.keys() {
            // A chain of names may be long, so it is followed without recursion.
            let mut path = vec![(start.as_str(), self.of(start))];
            let mut places = BTreeMap::from([(start.as_str(), 0)]);
            while let Some((name, needed)) = path.last_mut() {
                let name = *name;
                match needed.next() {
                    None => {
                        path.pop();
                        places.remove(name);
                        done.insert(name);
                    }
                    Some(next) if done.contains(next) => {}
                    Some(next) => {
                        if let Some(place) = places.get(next) {
                            return Some(path[*place..].iter().map(|(name, _)| *name).collect());
                        }
                        places.insert(next, path.len());
                        path.push((next, self.of(next)));
                    }
                }
            }
        }
        None
    }

    /// The prerequisites of an add-on.
    fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }
}

/// `a needs b, b needs a`.
#[must_use]
pub fn circle_words(names: &[impl AsRef<str>]) -> String {
    let pair = |(one, next): (&_, &_)| format!("{} needs {}", AsRef::<str>::as_ref(one), AsRef::<str>::as_ref(next));
    names.iter().zip(names.iter().cycle().skip(1)).map(pair).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prerequisites(needs: &[(&str, &[&str])]) -> Prerequisites {
        let mut made = Prerequisites::default();
        for (of, names) in needs {
            made.add(of, names.iter().map(ToString::to_string));
        }
        made
    }

    #[test]
    fn what_is_needed_comes_first_and_the_rest_keeps_its_order() {
        let needs = prerequisites(&[("shop", &["storage", "metallb"]), ("metallb", &["crds"])]);
        assert_eq!(
            needs.in_order(&["shop", "a", "metallb", "b", "storage", "crds"]),
            ["a", "b", "storage", "crds", "metallb", "shop"]
        );
        assert_eq!(Prerequisites::default().in_order(&["b", "a"]), ["b", "a"]);
        assert!(prerequisites(&[("a", &[])]).is_empty());
    }

    #[test]
    fn needs_that_are_not_listed_are_found() {
        let needs = prerequisites(&[("shop", &["storage", "metallb"]), ("other", &["metallb"])]);
        let found: Vec<_> = needs.unlisted(&["shop", "storage"]).collect();
        assert_eq!(found, [Need { of: "shop", name: "metallb" }]);
    }

    #[test]
    fn circles_are_told_by_their_names() {
        assert_eq!(prerequisites(&[("a", &["b"]), ("b", &["c"]), ("d", &["a", "c"])]).circle(), None);
        let circle = prerequisites(&[("a", &["b"]), ("b", &["c"]), ("c", &["d", "b"])]);
        assert_eq!(circle.circle(), Some(vec!["b", "c"]));
        assert_eq!(circle_words(&["b", "c"]), "b needs c, c needs b");
        let itself = prerequisites(&[("a", &["a"])]);
        assert_eq!(circle_words(&itself.circle().unwrap()), "a needs a");
        assert_eq!(itself.in_order(&["a"]), ["a"]);
    }

    proptest! {
        #[test]
        fn an_order_without_a_circle_has_everything_behind_its_needs(
            needs in proptest::collection::vec((0_u8..8, 0_u8..8), 0..20),
            listed in Just((0_u8..8).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut made = Prerequisites::default();
            for (of, name) in &needs {
                made.add(&of.to_string(), [name.to_string()]);
            }
            let listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
            let listed: Vec<_> = listed.iter().map(String::as_str).collect();
            let ordered = made.in_order(&listed);
            let place = |name: &str| ordered.iter().position(|other| *other == name).unwrap();
            let (mut one, mut other) = (listed.clone(), ordered.clone());
            one.sort_unstable();
            other.sort_unstable();
            prop_assert_eq!(one, other);
            match made.circle() {
                None => prop_assert!(made.needs().all(|need| place(need.name) < place(need.of))),
                Some(circle) => {
                    let mut pairs = circle.iter().zip(circle.iter().cycle().skip(1));
                    let is_whole = pairs.all(|(of, name)| made.needs().any(|need| need.of == *of && need.name == *name));
                    prop_assert!(is_whole, "{:?}", circle);
                }
            }
        }
    }
}
