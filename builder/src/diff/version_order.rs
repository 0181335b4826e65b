//! Which of two versions is higher, well enough to say "up" or "down" of packages of all ecosystems.
//!
//! Digits are compared as numbers and the rest by its letters, with `~` before everything, as in deb-version(7). In a version of three
//! numbers or with a leading `v`, text after a dash marks a pre-release (semver.org), which comes before the version without it.

use std::cmp::Ordering;

use super::Change;

/// Compares two versions.
pub fn change(old: &str, new: &str) -> Change {
    match compare(old, new) {
        Ordering::Less => Change::Upgraded,
        Ordering::Greater => Change::Downgraded,
        Ordering::Equal => Change::Changed,
    }
}

fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (normal(a), normal(b));
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split(a, false);
        let (text_b, rest_b) = split(b, false);
        let (number_a, end_a) = split(rest_a, true);
        let (number_b, end_b) = split(rest_b, true);
        let order = by_letters(text_a, text_b).then_with(|| by_number(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (end_a, end_b);
    }
    Ordering::Equal
}

/// Marks a pre-release by `~`.
fn normal(version: &str) -> String {
    let plain = version.strip_prefix('v').unwrap_or(version);
    let core = plain.split(['-', '+']).next().unwrap_or_default();
    let is_semantic = core.split('.').count() == 3
        && core.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    // `1.2.3-4` is a package's revision, `1.2.3-rc.1` a pre-release.
    let is_pre_release = plain[core.len()..].strip_prefix('-').is_some_and(|rest| {
        version.starts_with('v') || ["alpha", "beta", "rc"].iter().any(|stage| rest.starts_with(stage))
    });
    if is_semantic && is_pre_release { plain.replacen('-', "~", 1) } else { plain.to_owned() }
}

fn split(text: &[u8], digits: bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(text.len()))
}

fn by_letters(a: &[u8], b: &[u8]) -> Ordering {
    // The end comes after `~` and before everything else; letters come before other characters.
    let rank = |byte: Option<&u8>| match byte {
        Some(b'~') => 0,
        None => 1,
        Some(byte) if byte.is_ascii_alphabetic() => 2 + u32::from(*byte),
        Some(byte) => 1000 + u32::from(*byte),
    };
    let differing =
        (0..a.len().max(b.len())).map(|at| rank(a.get(at)).cmp(&rank(b.get(at)))).find(|order| order.is_ne());
    differing.unwrap_or(Ordering::Equal)
}

fn by_number(a: &[u8], b: &[u8]) -> Ordering {
    let plain = |digits: &'_ [u8]| digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let (a, b) = (&a[plain(a)..], &b[plain(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_ecosystems_go_up() {
        for (lower, higher) in [
            ("1.25.9", "1.25.10"),
            ("v1.2.3-rc.1", "v1.2.3"),
            ("1.2.3-rc.1", "1.2.3"),
            ("v0.0.0-20220101000000-aaaaaaaaaaaa", "v0.0.0-20230101000000-000000000000"),
            ("2.36-9+deb12u3", "2.36-9+deb12u10"),
            ("1.0~rc1-1", "1.0-1"),
            ("1.2.3-r4", "1.2.3-r10"),
            ("1.2.3", "1.2.3-4"),
            ("5.1.8-6.el9", "5.1.8-7.el9"),
        ] {
            assert_eq!(
                (change(lower, higher), change(higher, lower)),
                (Change::Upgraded, Change::Downgraded),
                "{lower} {higher}"
            );
        }
        assert_eq!(change("1.0", "1.00"), Change::Changed);
    }

    proptest::proptest! {
        #[test]
        fn the_order_is_one(a: String, b: String, c: String) {
            assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                assert!(compare(&a, &c).is_le());
            }
        }
    }
}
