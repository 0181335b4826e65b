//! The file that is sent: a compressed tar with a folder for each host.

use std::collections::BTreeMap;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tar::{Builder, Header};

use super::{HostSupport, Notes};

/// What is in the file, as `support.json` in it says.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The version of kinstall.
    pub kinstall: String,
    /// When it was collected, in RFC 3339.
    pub collected: String,
    /// What was collected of each host.
    pub hosts: BTreeMap<String, HostContents>,
}

/// What was collected of a host.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostContents {
    /// Why the host did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How each file below the host's folder came to be.
    pub files: BTreeMap<String, Notes>,
    /// What could not be collected, and why.
    pub failures: BTreeMap<String, String>,
}

impl Contents {
    /// The contents of an archive with these answers.
    #[must_use]
    pub fn of(kinstall: String, collected: String, answers: &BTreeMap<String, Result<HostSupport, String>>) -> Self {
        let host = |(name, answer): (&String, &Result<HostSupport, String>)| {
            let contents = match answer {
                Ok(HostSupport { files, failures }) => HostContents {
                    failure: None,
                    files: files.iter().map(|(path, file)| (path.clone(), file.notes.clone())).collect(),
                    failures: failures.clone(),
                },
                Err(failure) => HostContents { failure: Some(failure.clone()), ..HostContents::default() },
            };
            (name.clone(), contents)
        };
        Self { kinstall, collected, hosts: answers.iter().map(host).collect() }
    }
}

/// Writes the archive. Only their owner can read the files; no times are stored for them.
///
/// # Errors
/// When it cannot be written.
pub fn write(
    to: impl Write,
    contents: &Contents,
    answers: &BTreeMap<String, Result<HostSupport, String>>,
) -> io::Result<()> {
    let mut archive = Builder::new(zstd::Encoder::new(to, 0)?);
    let mut add = |path: &str, text: &str| {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("support/{path}"), text.as_bytes())
    };
    add("support.json", &serde_json::to_string_pretty(contents)?)?;
    for (host, answer) in answers {
        for (path, file) in answer.iter().flat_map(|found| &found.files) {
            add(&format!("{host}/{path}"), &file.text)?;
        }
    }
    archive.into_inner()?.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::SupportFile;
    use super::*;

    #[test]
    fn the_archive_has_a_folder_for_each_host_and_says_what_is_missing() {
        let notes = Notes { source: "journalctl".into(), removed_secrets: 2, left_out_bytes: 7 };
        let files = BTreeMap::from([("logs/kubelet.service".to_owned(), SupportFile { text: "up\n".into(), notes })]);
        let failures = BTreeMap::from([("dmesg".to_owned(), "not permitted".to_owned())]);
        let answers = BTreeMap::from([
            ("cp1".to_owned(), Ok(HostSupport { files, failures })),
            ("w1".to_owned(), Err("cannot connect".to_owned())),
        ]);
        let contents = Contents::of("1.0".into(), "2026-11-27T12:00:00Z".into(), &answers);
        let mut bytes = Vec::new();
        write(&mut bytes, &contents, &answers).unwrap();

        let mut archive = tar::Archive::new(zstd::Decoder::new(bytes.as_slice()).unwrap());
        let mut found = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o600);
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.insert(entry.path().unwrap().display().to_string(), text);
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), ["support/cp1/logs/kubelet.service", "support/support.json"]);
        assert_eq!(found["support/cp1/logs/kubelet.service"], "up\n");
        let told: Contents = serde_json::from_str(&found["support/support.json"]).unwrap();
        assert_eq!(told.hosts["w1"].failure.as_deref(), Some("cannot connect"));
        assert_eq!(told.hosts["cp1"].files["logs/kubelet.service"].removed_secrets, 2);
        assert_eq!(told.hosts["cp1"].failures["dmesg"], "not permitted");
    }
}
