//! The name of a site's own add-on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// Most bytes of a name: a label of RFC 1123, as cluster.yaml has it.
const MAX_BYTES: usize = 63;

/// A name of lowercase letters, digits and dashes, such as `team-app`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// The text is not such a name.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a name of lowercase letters, digits and dashes, such as `team-app`")]
pub struct SiteNameError {
    text: String,
}

impl FromStr for SiteName {
    type Err = SiteNameError;

    fn from_str(text: &str) -> Result<Self, SiteNameError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(known);
        if fits && !text.starts_with('-') && !text.ends_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(SiteNameError { text: text.to_owned() })
        }
    }
}

impl<'de> Deserialize<'de> for SiteName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kbundle_format::text::deserialize(deserializer)
    }
}
