//! Lists of any length, read in parts.

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Kubectl;

/// The number of objects in one request. The API stores at most 1.5 MiB for an object, and most have some KiB.
const PER_PART: usize = 100;

/// A resource that the API serves and lists, in the version that it prefers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiResource {
    /// Group and version, such as `policy/v1`.
    pub api: String,
    /// The kind, such as `PodDisruptionBudget`.
    pub kind: String,
    /// The path of the list over all namespaces.
    pub path: String,
}

impl ApiResource {
    /// A line of `kubectl api-resources`: name, short names if there are any, version, whether it has namespaces, kind.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let (kind, _, api) = (words.next_back()?, words.next_back()?, words.next_back()?);
        let root = if api.contains('/') { "apis" } else { "api" };
        Some(Self { api: api.to_owned(), kind: kind.to_owned(), path: format!("/{root}/{api}/{name}") })
    }
}

#[derive(Deserialize)]
struct Part<T> {
    #[serde(default)]
    metadata: PartMetadata,
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct PartMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Kubectl<'_> {
    /// The resources that the API serves and lists, and kubectl's message if it could not read all of them.
    pub fn resources(&self) -> anyhow::Result<(Vec<ApiResource>, Option<String>)> {
        let output = self.try_run(&["api-resources", "--verbs=list", "--no-headers"])?;
        let failure = (output.code != Some(0)).then(|| output.stderr.trim().to_owned());
        Ok((output.stdout.lines().filter_map(ApiResource::read).collect(), failure))
    }

    /// Passes every object of the list at `path` to `take`, one after another. Only one part of the list is in memory at a time.
    pub fn each_of<T: DeserializeOwned>(&self, path: &str, mut take: impl FnMut(T)) -> anyhow::Result<()> {
        let mut next = String::new();
        loop {
            let from = if next.is_empty() { String::new() } else { format!("&continue={next}") };
            let answer = self.raw(&format!("{path}?limit={PER_PART}{from}"))?;
            let part: Part<T> = serde_json::from_str(&answer).with_context(|| format!("while reading {path}"))?;
            part.items.into_iter().for_each(&mut take);
            match part.metadata.next {
                end if end.is_empty() => return Ok(()),
                same if same == next => bail!("the API server hands out the same part of {path} again and again"),
                other => next = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fixture::bench::{Bench, FAILS};
    use crate::host::Command;

    fn api(_: &std::path::Path, command: &Command) -> Option<String> {
        let asked = command.arguments.last()?;
        Some(match asked.as_str() {
            "--no-headers" => "configmaps  cm  v1  true  ConfigMap\nnodes  v1  false  Node\npoddisruptionbudgets  pdb  policy/v1  true  PodDisruptionBudget\n".to_owned(),
            "--raw=/api/v1/nodes?limit=100" => r#"{"metadata": {"continue": "abc"}, "items": ["a", "b"]}"#.to_owned(),
            "--raw=/api/v1/nodes?limit=100&continue=abc" => r#"{"metadata": {}, "items": ["c"]}"#.to_owned(),
            _ if asked.contains("/round") => r#"{"metadata": {"continue": "abc"}, "items": []}"#.to_owned(),
            _ => format!("{FAILS}Error from server (NotFound)"),
        })
    }

    #[test]
    fn a_list_is_read_part_by_part() {
        let bench = Bench::with_programs(api);
        let host = bench.host();
        let api = Kubectl::on(&host);
        let mut seen = Vec::new();
        api.each_of("/api/v1/nodes", |name: String| seen.push(name)).unwrap();
        assert_eq!(seen, ["a", "b", "c"]);
        assert_eq!(bench.ran().len(), 2);
        let read = |path: &str| api.each_of(path, |_: Value| ()).unwrap_err();
        assert!(format!("{:#}", read("/api/v1/gone")).contains("NotFound"));
        assert!(read("/round").to_string().contains("again and again"));
    }

    #[test]
    fn resources_have_the_path_of_their_lists() {
        let bench = Bench::with_programs(api);
        let host = bench.host();
        let (resources, failure) = Kubectl::on(&host).resources().unwrap();
        let paths: Vec<_> = resources.iter().map(|resource| (resource.kind.as_str(), resource.path.as_str())).collect();
        assert_eq!(
            paths,
            [
                ("ConfigMap", "/api/v1/configmaps"),
                ("Node", "/api/v1/nodes"),
                ("PodDisruptionBudget", "/apis/policy/v1/poddisruptionbudgets"),
            ]
        );
        assert_eq!(failure, None);
    }
}
