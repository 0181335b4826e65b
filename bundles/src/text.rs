//! Types that are text in files: [`text_type!`](crate::text_type) derives serde, the schema and `Debug` from `FromStr` and `Display`.
//!
//! Text is read so that an error has its position in the file. serde's `try_from` makes its error after the value was read, but formats
//! that know lines and columns add them only during the read.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Whether `text` is one line of at most `most` characters that cannot change how a terminal shows it.
#[must_use]
pub fn is_plain_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.chars().any(char::is_control)
}

/// Items that [`text_type!`](crate::text_type) uses in the calling crate.
#[doc(hidden)]
pub mod made_of {
    pub use {schemars, serde};
}

/// A text that does not have the form of its type.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct TextError {
    text: String,
    expected: &'static str,
}

impl TextError {
    /// The error that `text` is not what is `expected`, a noun with an example.
    #[must_use]
    pub fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.to_owned(), expected }
    }

    /// What was expected, such as `a DNS name (…)`.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

/// Makes a type that implements `FromStr` and `Display` a text in files: implements serde, a JSON schema with the pattern, `Debug`, and the
/// conversion to `String`. Additional keywords of the schema follow the pattern: `, "maxLength": 253`.
///
/// ```
/// use std::fmt;
/// use std::str::FromStr;
/// use kbundle_format::text::TextError;
///
/// struct Letter(char);
///
/// impl FromStr for Letter {
///     type Err = TextError;
///     fn from_str(text: &str) -> Result<Self, TextError> {
///         match text.as_bytes() {
///             [letter @ b'a'..=b'z'] => Ok(Self(char::from(*letter))),
///             _ => Err(TextError::new(text, "a letter")),
///         }
///     }
/// }
///
/// impl fmt::Display for Letter {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         fmt::Display::fmt(&self.0, f)
///     }
/// }
///
/// kbundle_format::text_type!(Letter, "^[a-z]$");
///
/// assert_eq!(serde_json::to_string(&Letter('x'))?, "\"x\"");
/// let error = serde_json::from_str::<Letter>("\"no\"").unwrap_err();
/// assert_eq!(error.to_string(), "`no` is not a letter at line 1 column 4");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! text_type {
    ($name:ident, $pattern:expr $(, $keyword:literal: $bound:expr)*) => {
        impl $crate::text::made_of::schemars::JsonSchema for $name {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                ::std::stringify!($name).into()
            }
            fn json_schema(
                _: &mut $crate::text::made_of::schemars::SchemaGenerator,
            ) -> $crate::text::made_of::schemars::Schema {
                $crate::text::made_of::schemars::json_schema!({
                    "type": "string",
                    $($keyword: $bound,)*
                    "pattern": $pattern
                })
            }
        }
        impl $crate::text::made_of::serde::Serialize for $name {
            fn serialize<S: $crate::text::made_of::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> $crate::text::made_of::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::text::made_of::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::text::deserialize(deserializer)
            }
        }
        impl ::std::convert::From<$name> for ::std::string::String {
            fn from(value: $name) -> Self {
                ::std::string::ToString::to_string(&value)
            }
        }
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }
    };
}

struct Text<T>(PhantomData<T>);

impl<T> Visitor<'_> for Text<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Reads a value by its `FromStr`; for `impl Deserialize` and `#[serde(deserialize_with)]`.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr,
    T::Err: fmt::Display,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text(PhantomData))
}
