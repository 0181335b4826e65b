//! Which of two versions is higher, by the rules of their ecosystem.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::apk_version::ApkVersion;

/// The rules of an ecosystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Go modules: semver.org with a leading `v`; pseudo-versions are pre-releases. Source: go.dev/ref/mod, "Versions".
    Go,
    /// semver.org, as used by npm and crates.io.
    Semver,
    /// deb-version(7).
    Debian,
    /// apk-tools.
    Alpine,
    /// Python's PEP 440.
    Python,
}

impl Order {
    /// The order for package URLs of this type; `None` if there is none here.
    #[must_use]
    pub fn of_purl_type(kind: &str) -> Option<Self> {
        Some(match kind {
            "golang" => Self::Go,
            "npm" | "cargo" => Self::Semver,
            "deb" => Self::Debian,
            "apk" => Self::Alpine,
            "pypi" => Self::Python,
            _ => return None,
        })
    }

    /// How `a` compares with `b`; `None` where one of them is not a version.
    #[must_use]
    pub fn compare(self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Self::Go => Some(semver(&go(a))?.cmp_precedence(&semver(&go(b))?)),
            Self::Semver => Some(semver(a)?.cmp_precedence(&semver(b)?)),
            Self::Debian => Some(debian(a)?.cmp(&debian(b)?)),
            Self::Alpine => Some(ApkVersion::parse(a)?.cmp(&ApkVersion::parse(b)?)),
            Self::Python => Some(python(a)?.cmp(&python(b)?)),
        }
    }

    /// Whether `text` is a version.
    #[must_use]
    pub fn reads(self, text: &str) -> bool {
        self.compare(text, text).is_some()
    }
}

fn semver(text: &str) -> Option<semver::Version> {
    text.parse().ok()
}

fn debian(text: &str) -> Option<debversion::Version> {
    text.parse().ok()
}

fn python(text: &str) -> Option<pep440_rs::Version> {
    text.parse().ok()
}

/// `v1.2.3` of a module, and `1.20rc1` of Go itself, in the form of semver.org.
fn go(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let missing = 3_usize.saturating_sub(numbers.split('.').count());
    let stage = ["rc", "beta", "alpha"].into_iter().find(|stage| rest.starts_with(stage));
    match stage {
        Some(stage) => {
            let number = rest[stage.len()..].trim_start_matches('.');
            format!("{numbers}{}-{stage}.{number}", ".0".repeat(missing)).into()
        }
        None if missing > 0 => format!("{numbers}{}{rest}", ".0".repeat(missing)).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORDERED: [(Order, &[&str]); 5] = [
        (
            Order::Go,
            &[
                "v0.0.0-20190101000000-aaaaaaaaaaaa",
                "v0.0.0-20210101000000-000000000000",
                "0.1.0",
                "1.20rc1",
                "1.20.0-rc.2",
                "1.20",
                "1.20.2",
                "v1.20.3-0.20230101000000-123456789012",
                "v1.20.3+incompatible",
                "v2.0.0-beta.1",
                "2.0.0",
            ],
        ),
        (
            Order::Semver,
            &["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "1.0.1+b", "1.10.0"],
        ),
        (
            Order::Debian,
            &["1.0~rc1-1", "1.0-1", "1.0-1+b1", "1.0-1+deb12u1", "1.0-2~bpo1", "1.0-2", "1.0a-1", "1.10-1", "1:0.1-1"],
        ),
        (Order::Alpine, &["1.1.1_rc1-r0", "1.1.1-r0", "1.1.1a-r0", "1.1.1b-r1", "1.1.1b-r10", "1.1.2", "1.10.0"]),
        (Order::Python, &["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1.1", "1!0.1"]),
    ];

    #[test]
    fn each_ecosystem_has_its_own_order() {
        for (order, versions) in ORDERED {
            for (at, a) in versions.iter().enumerate() {
                for (other, b) in versions.iter().enumerate() {
                    assert_eq!(order.compare(a, b), Some(at.cmp(&other)), "{order:?}: {a} and {b}");
                }
            }
            assert!(!order.reads("not a version"), "{order:?}");
        }
    }

    /// The result has to agree with the program that installs the packages.
    #[test]
    fn the_order_of_debian_is_that_of_dpkg() {
        let dpkg = |a: &str, relation: &str, b: &str| {
            let run = std::process::Command::new("dpkg").args(["--compare-versions", a, relation, b]).status();
            run.ok().map(|status| status.success())
        };
        let (_, versions) = ORDERED[2];
        for (a, b) in versions.iter().flat_map(|a| versions.iter().map(move |b| (a, b))) {
            let Some(is_less) = dpkg(a, "lt", b) else { return };
            assert_eq!(Order::Debian.compare(a, b) == Some(Ordering::Less), is_less, "{a} {b}");
        }
    }

    fn version() -> impl Strategy<Value = String> {
        "[0-9]{1,2}(\\.[0-9]{1,3}){0,3}([a-z~+_-][a-z0-9.]{0,6}){0,2}(-r?[0-9]{1,2})?"
    }

    proptest! {
        #[test]
        fn orders_are_orders(a in version(), b in version(), c in version()) {
            for (order, _) in ORDERED {
                let Some(ab) = order.compare(&a, &b) else { continue };
                prop_assert_eq!(order.compare(&b, &a), Some(ab.reverse()));
                prop_assert_eq!(order.compare(&a, &a), Some(Ordering::Equal));
                if let (Some(bc), Some(ac)) = (order.compare(&b, &c), order.compare(&a, &c)) && ab == bc {
                    prop_assert_eq!(ac, ab, "{:?}: {} {} {}", order, a, b, c);
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(a in ".{0,20}", b in ".{0,20}") {
            for (order, _) in ORDERED {
                let _ = order.compare(&a, &b);
            }
        }
    }
}
