//! The order of Alpine's versions.
//!
//! Source: `src/version.c` of apk-tools: numbers, a letter, suffixes, a commit that counts nothing, a revision.

use std::cmp::Ordering;

/// Suffixes that come before the version without a suffix, the lowest first.
const BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
/// Suffixes that come after the version without a suffix.
const BEHIND: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// A version of apk.
#[derive(Debug, PartialEq, Eq)]
pub struct ApkVersion<'a> {
    numbers: Vec<&'a str>,
    letter: Option<u8>,
    /// Rank, below 0 for [`BEFORE`], and number.
    suffixes: Vec<(i8, u64)>,
    revision: u64,
}

impl<'a> ApkVersion<'a> {
    /// Reads a version; `None` where apk would call it invalid.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (text, revision) = match text.rsplit_once("-r") {
            Some((rest, number)) => (rest, number.parse().ok()?),
            None => (text, 0),
        };
        // The text after `~` names a commit.
        let text = text.split_once('~').map_or(text, |(version, _)| version);
        let mut parts = text.split('_');
        let mut core = parts.next()?;
        let letter = core.bytes().last().filter(u8::is_ascii_lowercase);
        if letter.is_some() {
            core = &core[..core.len() - 1];
        }
        let numbers: Vec<_> = core.split('.').collect();
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !numbers.iter().all(is_number) {
            return None;
        }
        let suffixes = parts.map(suffix).collect::<Option<_>>()?;
        Some(Self { numbers, letter, suffixes, revision })
    }
}

fn suffix(text: &str) -> Option<(i8, u64)> {
    let (name, number) = text.split_at(text.find(|letter: char| letter.is_ascii_digit()).unwrap_or(text.len()));
    let place = |names: &[&str]| names.iter().position(|known| *known == name).and_then(|at| i8::try_from(at).ok());
    let rank = place(&BEFORE).map(|at| at - 4).or_else(|| place(&BEHIND).map(|at| at + 1))?;
    Some((rank, if number.is_empty() { 0 } else { number.parse().ok()? }))
}

impl Ord for ApkVersion<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let suffixes = || {
            let most = self.suffixes.len().max(other.suffixes.len());
            let of = |version: &Self, at: usize| version.suffixes.get(at).copied().unwrap_or((0, 0));
            (0..most).map(|at| of(self, at).cmp(&of(other, at))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        by_numbers(&self.numbers, &other.numbers)
            .then_with(|| self.letter.cmp(&other.letter))
            .then_with(suffixes)
            .then_with(|| self.revision.cmp(&other.revision))
    }
}

impl PartialOrd for ApkVersion<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares the first number by its value, and a later one that begins with 0 like a fraction.
fn by_numbers(a: &[&str], b: &[&str]) -> Ordering {
    let by_value = |a: &str, b: &str| {
        let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    };
    let differing = a.iter().zip(b).enumerate().map(|(at, (a, b))| {
        let is_fraction = at > 0 && (a.starts_with('0') || b.starts_with('0'));
        if is_fraction { a.cmp(b) } else { by_value(a, b) }
    });
    differing.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From apk-tools: `test/version.data`, and its changes over the years.
    #[test]
    fn the_order_is_apks() {
        for (a, b) in [
            ("2.34", "0.1.0_alpha"),
            ("0.1.3_alpha", "0.1.0_beta"),
            ("1.2.3", "1.2.3_rc1"),
            ("1.2.3_p1", "1.2.3"),
            ("1.0.3", "1.0.2"),
            ("1.0.1", "1.0"),
            ("1.2.3b", "1.2.3a"),
            ("1.2.3a", "1.2.3"),
            ("1.2.3-r10", "1.2.3-r9"),
            ("1.2.3_git20200101", "1.2.3"),
            ("3.1.10", "3.1.9"),
            ("1.1", "1.09"),
            ("1.0_rc2", "1.0_rc1"),
            ("1.0_rc1", "1.0_pre9"),
            ("10.0", "9.9"),
            ("1.0_p1-r1", "1.0_p1"),
        ] {
            let (a, b) = (ApkVersion::parse(a).unwrap(), ApkVersion::parse(b).unwrap());
            assert!(a.cmp(&b).is_gt() && b.cmp(&a).is_lt(), "{a:?} {b:?}");
        }
        assert_eq!(ApkVersion::parse("1.2~abc-r1"), ApkVersion::parse("1.2-r1"));
        for wrong in ["", "a", "1.", "1.2_x", "1.2-rx", "1..2", "1.2-3"] {
            assert_eq!(ApkVersion::parse(wrong), None, "{wrong}");
        }
    }
}
