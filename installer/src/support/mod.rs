//! What somebody elsewhere needs to find out why a cluster does not work: versions, states, settings and logs of a host, without secrets.
//! Secrets are removed on their own host, before anything leaves it.

mod archive;
mod redact;
mod sources;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::Host;
pub use archive::{Contents, HostContents, write};
use redact::Redactor;
use sources::{Content, Source};

/// Longer sources are cut: their end is the most useful part.
const MAX_SOURCE_BYTES: usize = 2 << 20;
/// A host's answer has to fit into one line of the conversation with it.
const MAX_HOST_BYTES: usize = 24 << 20;

/// What was collected on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSupport {
    /// The collected files, by their paths below the host's folder.
    pub files: BTreeMap<String, SupportFile>,
    /// What could not be collected, and why.
    pub failures: BTreeMap<String, String>,
}

/// A file of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportFile {
    /// Its content, without secrets.
    pub text: String,
    /// Where the text came from, and what was removed.
    #[serde(flatten)]
    pub notes: Notes,
}

/// How a file came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    /// The file or the command that it is from.
    pub source: String,
    /// How many secrets were removed.
    pub removed_secrets: usize,
    /// How many bytes at its beginning were left out.
    pub left_out_bytes: usize,
}

/// Collects the `sources` from this host, with logs of the last `hours`. Changes nothing. A source that cannot be read is recorded as such:
/// the command is meant for broken hosts.
#[must_use]
pub fn collect(host: &Host, hours: u32) -> HostSupport {
    let redactor = Redactor::knowing(host);
    let mut found = HostSupport::default();
    let mut room = MAX_HOST_BYTES;
    for Source { path, name: source, content } in sources::of(host, hours) {
        let text = match content {
            Content::Text(text) => text,
            Content::Absent => continue,
            Content::Failed(reason) => {
                found.failures.insert(source, redactor.clean(&reason).0);
                continue;
            }
        };
        let (end, left_out_bytes) = last_lines(&text, MAX_SOURCE_BYTES.min(room));
        room -= end.len();
        let (text, removed_secrets) = redactor.clean(end);
        found.files.insert(path, SupportFile { text, notes: Notes { source, removed_secrets, left_out_bytes } });
    }
    found
}

/// The last complete lines that fit into `most` bytes, and how many bytes come before them.
fn last_lines(text: &str, most: usize) -> (&str, usize) {
    if text.len() <= most {
        return (text, 0);
    }
    let cut = text.len() - most;
    // The cut line is removed too; the byte of a newline is never part of a longer character.
    let begin = text.as_bytes()[cut - 1..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| cut + at);
    (&text[begin..], begin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_end_of_a_long_text_is_kept_in_whole_lines() {
        assert_eq!(last_lines("one\ntwo\nthree\n", 100), ("one\ntwo\nthree\n", 0));
        assert_eq!(last_lines("one\ntwo\nthree\n", 10), ("two\nthree\n", 4));
        assert_eq!(last_lines("one\ntwo\nthree\n", 9), ("three\n", 8));
        assert_eq!(last_lines("no end of a line", 3), ("", 16));
        assert_eq!(last_lines("anything\n", 0), ("", 9));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_grows(text in "(é|a|\n|\u{1F600}){0,40}", most in 0_usize..60) {
            let (end, left_out) = last_lines(&text, most);
            prop_assert!(end.len() <= most && left_out + end.len() == text.len() && text.ends_with(end));
        }
    }
}
