//! Moments in the form of files: RFC 3339, in UTC, to the second.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::key_notes::Day;
use crate::text::TextError;
use crate::text_type;

/// A moment, such as `2026-11-21T12:40:10Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(OffsetDateTime);

impl Moment {
    /// The present moment by this host's clock.
    #[must_use]
    pub fn now() -> Self {
        Self::of(OffsetDateTime::now_utc())
    }

    /// The moment of this time, to the second.
    #[must_use]
    pub fn of(time: OffsetDateTime) -> Self {
        Self(time.to_offset(UtcOffset::UTC).replace_nanosecond(0).unwrap_or(time))
    }

    /// Its day, in UTC.
    #[must_use]
    pub fn day(self) -> Day {
        Day::of(self.0.date())
    }

    /// The moment as a part of a file's name that sorts by time: `2026-11-27T120000Z`.
    #[must_use]
    pub fn in_file_names(self) -> String {
        self.to_string().replace(':', "")
    }

    /// The moment that is later by `time`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self::of(self.0 + duration)
    }

    /// Whole days from this moment to `later`; negative when that was before.
    #[must_use]
    pub fn days_until(self, later: Self) -> i64 {
        (later.0 - self.0).whole_seconds().div_euclid(24 * 60 * 60)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Moment {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        // Years of more than four digits do not have this form.
        let time = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|time| (0..=9998).contains(&time.year()));
        time.map(Self::of).ok_or_else(|| TextError::new(text, "a moment such as `2026-11-21T12:40:10Z`"))
    }
}

text_type!(Moment, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", "format": "date-time");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_utc_to_the_second() {
        let moment: Moment = "2026-11-21T13:40:10.5+01:00".parse().unwrap();
        assert_eq!(moment.to_string(), "2026-11-21T12:40:10Z");
        assert_eq!(moment.after(Duration::from_hours(12)).to_string(), "2026-11-22T00:40:10Z");
        let [soon, past] = ["2026-11-22T12:40:09Z", "2026-11-21T12:40:09Z"].map(|text| text.parse::<Moment>().unwrap());
        assert_eq!([moment, soon, past].map(|later| moment.days_until(later)), [0, 0, -1]);
        assert_eq!(moment.days_until(moment.after(Duration::from_hours(30 * 24))), 30);
        for wrong in ["", "2026-11-21", "2026-13-21T12:40:10Z", "2026-11-21 12:40:10", "9999-12-31T23:59:59Z"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
