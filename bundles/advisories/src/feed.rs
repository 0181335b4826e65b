//! Kubernetes' official feed of CVEs: what it tells, and which of its entries no record can be compared for.
//!
//! Source: the JSON Feed 1.1 at kubernetes.io/docs/reference/issues-security/official-cve-feed/index.json, which a job of
//! github.com/kubernetes/sig-security makes of issues. Affected versions are prose in `content_text`, in a form of each author's own: they are not
//! read. What is read is the name, one line, the state, the day, and the CVSS vector where the text has one.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::key_notes::Day;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_FEED_ENTRIES;
use crate::record::Record;
use crate::severity::Severity;
use crate::text::{is_name, one_line};

const VERSION: &str = "https://jsonfeed.org/version/1";
/// The ecosystem that Kubernetes' programs are compared in.
const ECOSYSTEM: &str = "Go";

/// What a file of advisories keeps of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "KubernetesFeed")]
pub struct Feed {
    /// The day that the feed was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<Day>,
    /// Its entries, by name.
    pub entries: Vec<FeedEntry>,
}

/// An entry of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeedEntry {
    /// The CVE, or else the issue.
    pub id: String,
    /// All CVEs that it is about.
    pub names: Vec<String>,
    /// One line.
    pub summary: String,
    /// What the feed says of the fix, such as `fixed`; empty where it says nothing.
    pub state: String,
    /// The day that it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Day>,
    /// The worst CVSS vector in its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// A record of Go's modules is about the same flaw, so that versions were compared. If not, nobody compared any.
    pub compared: bool,
}

/// How much of the feed a file of advisories has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeedCount {
    /// Entries.
    pub entries: usize,
    /// Those that a record is about.
    pub compared: usize,
}

#[derive(Deserialize)]
struct Published {
    version: String,
    #[serde(rename = "_kubernetes_io")]
    about: About,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct About {
    #[serde(default)]
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    /// `null` where an issue's title has no CVE that the job finds.
    id: Option<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    content_text: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    date_published: Option<String>,
    #[serde(rename = "_kubernetes_io")]
    about: AboutItem,
}

#[derive(Deserialize)]
struct AboutItem {
    issue_number: u64,
}

impl Feed {
    /// Reads the feed as it is published.
    ///
    /// # Errors
    /// In words: it is another document, or has too many entries.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let published: Published = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !published.version.starts_with(VERSION) {
            return Err(format!("its version is `{}`; expected {VERSION} or later", one_line(&published.version)));
        }
        if published.items.len() > MAX_FEED_ENTRIES {
            return Err(format!("it has more than {MAX_FEED_ENTRIES} entries"));
        }
        let entries: BTreeMap<_, _> =
            published.items.into_iter().map(FeedEntry::from).map(|entry| (entry.id.clone(), entry)).collect();
        let updated = published.about.updated_at.as_deref().and_then(day);
        Ok(Self { updated, entries: entries.into_values().collect() })
    }

    /// Notes which entries `record` is about.
    pub fn see(&mut self, record: &Record) {
        if !record.affected.iter().any(|affected| affected.ecosystem == ECOSYSTEM) {
            return;
        }
        let names: BTreeSet<&String> = record.aliases.iter().chain([&record.id]).collect();
        for entry in &mut self.entries {
            entry.compared |= entry.names.iter().any(|name| names.contains(name));
        }
    }

    /// How much it is.
    #[must_use]
    pub fn count(&self) -> FeedCount {
        FeedCount { entries: self.entries.len(), compared: self.entries.iter().filter(|entry| entry.compared).count() }
    }

    /// The worst severity that it states of the flaw called `names`.
    #[must_use]
    pub fn severity(&self, names: &[&str]) -> Option<Severity> {
        let about = |entry: &&FeedEntry| entry.names.iter().any(|name| names.contains(&name.as_str()));
        self.entries.iter().filter(about).filter_map(|entry| entry.severity).max()
    }
}

impl From<Item> for FeedEntry {
    fn from(item: Item) -> Self {
        let names = match cves(item.id.as_deref().unwrap_or_default()) {
            none if none.is_empty() => cves(&item.summary),
            names => names,
        };
        let id = names.first().cloned().unwrap_or_else(|| format!("kubernetes/kubernetes#{}", item.about.issue_number));
        Self {
            id,
            names,
            summary: one_line(&item.summary),
            state: one_line(item.status.as_deref().unwrap_or_default()),
            published: item.date_published.as_deref().and_then(day),
            severity: severity(&item.content_text),
            compared: false,
        }
    }
}

/// All names of CVEs in a text.
fn cves(text: &str) -> Vec<String> {
    let is_digits = |part: &str| part.len() >= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_cve = |word: &&str| {
        let parts = word.strip_prefix("CVE-").and_then(|rest| rest.split_once('-'));
        is_name(word) && parts.is_some_and(|(year, number)| is_digits(year) && is_digits(number))
    };
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let names: BTreeSet<_> = words.filter(is_cve).map(str::to_owned).collect();
    names.into_iter().collect()
}

/// The worst of all CVSS vectors in a text.
fn severity(text: &str) -> Option<Severity> {
    let is_vector = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, ':' | '/' | '.');
    let begins = text.match_indices("CVSS:").map(|(at, _)| &text[at..]);
    let vectors = begins.map(|rest| rest.split(|letter| !is_vector(letter)).next().unwrap_or_default());
    vectors.filter_map(|vector| Severity::of_vector(vector.trim_end_matches(['.', ':', '/']))).max()
}

/// The day of a moment.
fn day(moment: &str) -> Option<Day> {
    moment.get(..10)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form of the published feed.
    fn feed(items: &str) -> Result<Feed, String> {
        let text = format!(
            r#"{{"version":"https://jsonfeed.org/version/1.1","title":"Kubernetes Vulnerability Announcements - CVE Feed","feed_url":"https://kubernetes.io/docs/reference/issues-security/official-cve-feed/index.json",
                "_kubernetes_io":{{"feed_refresh_job":"https://testgrid.k8s.io/sig-security-cve-feed","updated_at":"2026-08-20T03:04:05Z"}},"items":[{items}]}}"#
        );
        Feed::parse(text.as_bytes())
    }

    fn item(id: &str, summary: &str, text: &str) -> String {
        format!(
            r#"{{"_kubernetes_io":{{"google_group_url":"https://groups.google.com/g/kubernetes-announce/search?q=x","issue_number":7}},"content_text":"{text}","date_published":"2025-03-24T22:07:21Z","external_url":"https://www.cve.org/cverecord?id=x","id":{id},"status":"fixed","summary":"{summary}","url":"https://github.com/kubernetes/kubernetes/issues/7"}}"#
        )
    }

    #[test]
    fn an_entry_keeps_what_can_be_used() {
        let text = r"CVSS Rating: [CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H](https://www.first.org/cvss/calculator/3.1#CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H).\n### Affected Versions\n- kubelet: <= v1.32.2";
        let read = feed(&item("\"CVE-2025-1974\"", "a \\u001b[31mtitle", text)).unwrap();
        assert_eq!(read.updated.unwrap().to_string(), "2026-08-20");
        let [entry] = read.entries.as_slice() else { panic!("{read:?}") };
        assert_eq!(
            (entry.id.as_str(), entry.summary.as_str(), entry.state.as_str()),
            ("CVE-2025-1974", "a [31mtitle", "fixed")
        );
        assert_eq!((entry.severity, entry.compared), (Some(Severity::Critical), false));
        assert_eq!(entry.published.unwrap().to_string(), "2025-03-24");
    }

    #[test]
    fn an_entry_may_have_no_cve_or_several() {
        let read =
            feed(&[item("null", "no name", ""), item("null", "CVE-2020-8561, CVE-2020-8562: two", "")].join(","))
                .unwrap();
        let names: Vec<_> = read.entries.iter().map(|entry| (entry.id.as_str(), entry.names.len())).collect();
        assert_eq!(names, [("CVE-2020-8561", 2), ("kubernetes/kubernetes#7", 0)]);
        assert_eq!(cves("CVE-1-2 CVE-2020-12a CVE-2020-123456"), ["CVE-2020-123456"]);
    }

    #[test]
    fn other_documents_are_refused() {
        for (text, part) in [
            ("", "EOF"),
            ("[]", "expected struct"),
            (r#"{"version":"https://jsonfeed.org/version/1.1","items":[]}"#, "_kubernetes_io"),
            (r#"{"version":"2\u001b[31m","_kubernetes_io":{},"items":[]}"#, "its version is `2[31m`"),
            (
                r#"{"version":"https://jsonfeed.org/version/1.1","_kubernetes_io":{},"items":[{"id":"CVE-2020-8561"}]}"#,
                "_kubernetes_io",
            ),
        ] {
            let error = Feed::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Feed::parse("[".repeat(100_000).as_bytes()).is_err());
        let many = vec![item("null", "", ""); MAX_FEED_ENTRIES + 1].join(",");
        assert!(feed(&many).unwrap_err().contains("more than"));
    }
}
