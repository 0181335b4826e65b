//! The name of a site's own add-on.

use std::fmt;
use std::str::FromStr;

use kbundle_format::text::TextError;
use kbundle_format::text_type;

/// Most bytes of a name: a label of RFC 1123, as in cluster.yaml.
const MAX_BYTES: usize = 63;

/// A name of lowercase letters, digits and dashes, such as `team-app`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiteName(String);

impl SiteName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SiteName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(known);
        if fits && !text.starts_with('-') && !text.ends_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(TextError::new(text, "a name of lowercase letters, digits and dashes, such as `team-app`"))
        }
    }
}

text_type!(SiteName, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label() {
        assert_eq!("team-app".parse::<SiteName>().unwrap().as_str(), "team-app");
        for bad in ["", "-a", "a-", "Team", "a.b", "a/b", &"a".repeat(64)] {
            let error = bad.parse::<SiteName>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{bad}` is not a name of lowercase letters")), "{error}");
        }
    }
}
