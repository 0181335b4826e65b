//! The severity of an advisory, in the five steps of CVSS.

use std::str::FromStr as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A step of CVSS' qualitative scale. Source: CVSS v3.1 and v4.0, "Qualitative Severity Rating Scale".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A score of 0, or what a distribution calls unimportant.
    None,
    /// Below 4.
    Low,
    /// Below 7.
    Medium,
    /// Below 9.
    High,
    /// From 9.
    Critical,
}

impl Severity {
    /// The name in files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of a CVSS vector; `None` if the text is not one.
    #[must_use]
    pub fn of_vector(text: &str) -> Option<Self> {
        let severity = Self::of_word(cvss::Cvss::from_str(text).ok()?.severity().as_str())?;
        // The crate treats missing metrics as harmless ones.
        let is_whole = ["/C:N/I:N/A:N", "/VC:N/VI:N/VA:N"].iter().any(|harmless| text.contains(harmless));
        (severity > Self::None || is_whole).then_some(severity)
    }

    /// The severity from the words of databases: GitHub's `MODERATE`, Debian's `unimportant`, Ubuntu's `negligible`.
    #[must_use]
    pub fn of_word(text: &str) -> Option<Self> {
        Some(match text.trim_end_matches('*').to_ascii_lowercase().as_str() {
            "none" | "unimportant" => Self::None,
            "negligible" | "low" => Self::Low,
            "moderate" | "medium" => Self::Medium,
            "high" | "important" => Self::High,
            "critical" => Self::Critical,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_words_have_a_step() {
        for (vector, severity) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(Severity::Critical)),
            ("CVSS:3.0/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", Some(Severity::Low)),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Some(Severity::Critical)),
            ("CVSS:3.1/AV:N", None),
            ("", None),
        ] {
            assert_eq!(Severity::of_vector(vector), severity, "{vector}");
        }
        assert_eq!(Severity::of_word("MODERATE"), Some(Severity::Medium));
        assert_eq!(Severity::of_word("not yet assigned"), None);
        assert!(Severity::None < Severity::Low && Severity::High < Severity::Critical);
    }
}
