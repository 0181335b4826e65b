//! Notes about a public key in its file: a comment, and the first and last day on which to use it.
//!
//! The notes are above the PEM block, where RFC 7468, section 2, allows explanatory text, and OpenSSL and cosign skip it. They belong to
//! the owner of the file, no signature covers them, and they decide nothing: a list has no time, and the clock of a host without a network
//! may be wrong.
//!
//! ```text
//! Comment: releases of site A
//! Valid-From: 2026-01-01
//! Valid-Until: 2027-12-31
//! -----BEGIN PUBLIC KEY-----
//! ```

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use time::format_description::well_known::Iso8601;

use crate::text::is_plain_line;
use crate::text_type;

/// Most characters of a comment: a line that a terminal shows.
const MAX_COMMENT_CHARS: usize = 200;
const PEM_BEGINS: &str = "-----BEGIN ";
const COMMENT: &str = "Comment";
const VALID_FROM: &str = "Valid-From";
const VALID_UNTIL: &str = "Valid-Until";

/// A day, written as `2027-12-31`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(time::Date);

impl Day {
    /// The day of this date.
    pub(crate) fn of(date: time::Date) -> Self {
        Self(date)
    }

    /// Today, by this machine's clock, in UTC.
    #[must_use]
    pub fn today() -> Self {
        Self(time::OffsetDateTime::now_utc().date())
    }

    /// The number of days from this day to `later`; negative if `later` comes before.
    #[must_use]
    pub fn days_until(self, later: Self) -> i64 {
        (later.0 - self.0).whole_days()
    }
}

impl FromStr for Day {
    type Err = KeyNotesError;

    fn from_str(text: &str) -> Result<Self, KeyNotesError> {
        let day = time::Date::parse(text, &Iso8601::DATE).ok().map(Self);
        // ISO 8601 has other forms for a day; none of them is accepted here.
        day.filter(|day| day.to_string() == text).ok_or_else(|| KeyNotesError::Day { text: text.to_owned() })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

text_type!(Day, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "format": "date");

/// Why notes cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyNotesError {
    /// Not a day.
    #[error("`{text}` is not a day such as 2027-12-31")]
    Day {
        /// The given text.
        text: String,
    },
    /// A comment that could hide something on a terminal.
    #[error("the comment is longer than {MAX_COMMENT_CHARS} characters or holds control characters")]
    Comment,
    /// The last day comes before the first.
    #[error("{from} comes after {until}")]
    Order {
        /// The first day.
        from: Day,
        /// The last day.
        until: Day,
    },
}

/// What a public key's file says about the key: who holds it, and until when it is valid.
///
/// ```
/// use kbundle_format::KeyNotes;
///
/// let notes = KeyNotes::above("Comment: releases of site A\nValid-Until: 2027-12-31\n-----BEGIN PUBLIC KEY-----\n")?;
/// assert_eq!(notes.summary().as_deref(), Some("releases of site A, until 2027-12-31"));
/// # Ok::<(), kbundle_format::key_notes::KeyNotesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyNotes {
    /// Whose key it is and what for.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// First day on which the key is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<Day>,
    /// Last day on which the key is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Day>,
}

/// Whether a key's notes allow its use on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// They do, or they state no days.
    Current,
    /// The first day has not come yet.
    NotYet(Day),
    /// The last day is over.
    Over(Day),
}

impl KeyNotes {
    /// Notes for a new key.
    pub fn new(
        comment: Option<String>,
        valid_from: Option<Day>,
        valid_until: Option<Day>,
    ) -> Result<Self, KeyNotesError> {
        if !comment.as_ref().is_none_or(|text| is_plain_line(text, MAX_COMMENT_CHARS)) {
            return Err(KeyNotesError::Comment);
        }
        match (valid_from, valid_until) {
            (Some(from), Some(until)) if from > until => Err(KeyNotesError::Order { from, until }),
            _ => Ok(Self { comment, valid_from, valid_until }),
        }
    }

    /// Reads the notes above the key in `pem`. Lines of other programs are skipped; if a line occurs twice, the last one counts.
    pub fn above(pem: &str) -> Result<Self, KeyNotesError> {
        let (mut comment, mut from, mut until) = (None, None, None);
        let lines = pem.lines().take_while(|line| !line.starts_with(PEM_BEGINS));
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                COMMENT => comment = Some(value.to_owned()),
                VALID_FROM => from = Some(value.parse()?),
                VALID_UNTIL => until = Some(value.parse()?),
                _ => {}
            }
        }
        Self::new(comment, from, until)
    }

    /// The same notes, cut down to the days of a certificate.
    pub(crate) fn within(mut self, (from, until): (Day, Day)) -> Self {
        self.valid_from = Some(self.valid_from.map_or(from, |own| own.max(from)));
        self.valid_until = Some(self.valid_until.map_or(until, |own| own.min(until)));
        self
    }

    /// The first day on which the key is valid, if it is stated.
    #[must_use]
    pub fn valid_from(&self) -> Option<Day> {
        self.valid_from
    }

    /// Whether the notes allow use on `day`.
    #[must_use]
    pub fn validity(&self, day: Day) -> Validity {
        match (self.valid_from, self.valid_until) {
            (Some(from), _) if day < from => Validity::NotYet(from),
            (_, Some(until)) if day > until => Validity::Over(until),
            _ => Validity::Current,
        }
    }

    /// The notes for people: `releases of site A, from 2026-01-01 until 2027-12-31`; `None` if there are none.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        let from = self.valid_from.map(|day| format!("from {day}"));
        let until = self.valid_until.map(|day| format!("until {day}"));
        let time: Vec<_> = [from, until].into_iter().flatten().collect();
        let parts = [self.comment.clone(), Some(time.join(" "))];
        let parts: Vec<_> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The lines above the key.
impl fmt::Display for KeyNotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [
            (COMMENT, self.comment.clone()),
            (VALID_FROM, self.valid_from.map(String::from)),
            (VALID_UNTIL, self.valid_until.map(String::from)),
        ];
        for (name, value) in lines {
            if let Some(value) = value {
                writeln!(f, "{name}: {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VerifyingKey;
    use crate::key::{Algorithm, SigningKey};
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn notes() -> KeyNotes {
        let comment = "releases of site A: both racks".to_owned();
        KeyNotes::new(Some(comment), Some(day("2026-01-01")), Some(day("2027-12-31"))).unwrap()
    }

    #[test]
    fn what_is_written_above_a_key_is_read_again_and_the_key_too() {
        for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
            let key = SigningKey::generate(algorithm).unwrap().verifying_key();
            let file = format!("{}{}", notes(), key.to_pem());
            assert_eq!(KeyNotes::above(&file).unwrap(), notes());
            assert_eq!(VerifyingKey::from_pem(&file).unwrap(), key);
            assert_eq!(KeyNotes::above(&key.to_pem()).unwrap(), KeyNotes::default());
        }
    }

    #[test]
    fn lines_of_others_and_below_the_key_are_passed_over() {
        let file = "Bag Attributes\nfriendlyName: x\nno colon\n-----BEGIN PUBLIC KEY-----\nComment: below\n";
        assert_eq!(KeyNotes::above(file).unwrap(), KeyNotes::default());
    }

    #[test]
    fn days_at_the_edges_count() {
        let validity = |text| notes().validity(day(text));
        assert_eq!(validity("2025-12-31"), Validity::NotYet(day("2026-01-01")));
        assert_eq!(validity("2026-01-01"), Validity::Current);
        assert_eq!(validity("2027-12-31"), Validity::Current);
        assert_eq!(validity("2028-01-01"), Validity::Over(day("2027-12-31")));
        assert_eq!(KeyNotes::default().validity(day("1970-01-01")), Validity::Current);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["2026-02-30", "20261231", "2026-365", "2026-W01-1", "31.12.2026", "", "2026-1-1"] {
            assert!(matches!(text.parse::<Day>(), Err(KeyNotesError::Day { .. })), "{text}");
        }
        assert!(matches!(KeyNotes::above("Valid-Until: soon\n"), Err(KeyNotesError::Day { .. })));
        assert!(matches!(KeyNotes::above("Comment: \u{1b}[2Jgone\n"), Err(KeyNotesError::Comment)));
        assert!(matches!(KeyNotes::new(Some("x".repeat(201)), None, None), Err(KeyNotesError::Comment)));
        let order = KeyNotes::new(None, Some(day("2027-01-01")), Some(day("2026-01-01")));
        assert!(matches!(order, Err(KeyNotesError::Order { .. })));
    }

    #[test]
    fn people_read_a_line() {
        assert_eq!(
            notes().summary().as_deref(),
            Some("releases of site A: both racks, from 2026-01-01 until 2027-12-31")
        );
        assert_eq!(
            KeyNotes::new(None, None, Some(day("2027-12-31"))).unwrap().summary().as_deref(),
            Some("until 2027-12-31")
        );
        assert_eq!(KeyNotes::default().summary(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_notes_or_an_error(text in any::<String>()) {
            if let Ok(notes) = KeyNotes::above(&text) {
                prop_assert_eq!(KeyNotes::above(&notes.to_string()).unwrap(), notes);
            }
        }
    }
}
