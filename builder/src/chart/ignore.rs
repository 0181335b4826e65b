//! `.helmignore`: files of a chart's folder that are not part of the chart. Source: Helm's package `ignore`.

use std::io;

use glob::{MatchOptions, Pattern};

/// `*` does not match `/`, as in Go's `filepath.Match`.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// The rules of a chart's folder.
pub(super) struct Ignore(Vec<Rule>);

struct Rule {
    pattern: Pattern,
    /// Whether it matches the whole path instead of the last name.
    of_path: bool,
    folders_only: bool,
    /// Whether it begins with `!`: then everything that does not match is ignored.
    negated: bool,
}

impl Ignore {
    /// Reads the text of a `.helmignore`.
    pub fn parse(text: &str) -> io::Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        // Helm itself adds the last one.
        lines.chain(["templates/.?*"]).map(Rule::parse).collect::<io::Result<_>>().map(Self)
    }

    /// Whether the file or folder at `path`, relative to the chart's folder, is left out.
    pub fn ignores(&self, path: &str, is_folder: bool) -> bool {
        self.0.iter().any(|rule| rule.ignores(path, is_folder))
    }
}

impl Rule {
    fn parse(line: &str) -> io::Result<Self> {
        let invalid =
            |reason: String| io::Error::new(io::ErrorKind::InvalidData, format!(".helmignore: `{line}`: {reason}"));
        if line.contains("**") {
            return Err(invalid("helm does not know `**`".to_owned()));
        }
        let (negated, rule) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (folders_only, rule) = rule.strip_suffix('/').map_or((false, rule), |rest| (true, rest));
        let (of_path, rule) = rule.strip_prefix('/').map_or((rule.contains('/'), rule), |rest| (true, rest));
        let pattern = Pattern::new(rule).map_err(|error| invalid(error.msg.to_owned()))?;
        Ok(Self { pattern, of_path, folders_only, negated })
    }

    fn ignores(&self, path: &str, is_folder: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let matches = self.pattern.matches_with(if self.of_path { path } else { name }, OPTIONS);
        match (self.negated, self.folders_only && !is_folder) {
            (true, other_kind) => other_kind || !matches,
            (false, other_kind) => !other_kind && matches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_helm() {
        // The table is from Helm's own tests (pkg/ignore/rules_test.go).
        for (rules, path, is_folder, ignored) in [
            ("helm.txt", "helm.txt", false, true),
            ("helm.*", "helm.txt", false, true),
            ("helm.*", "rudder.txt", false, false),
            ("*.txt", "tiller.txt", false, true),
            ("cargo", "a/cargo", true, true),
            ("cargo/", "cargo", true, true),
            ("cargo/", "mast/", false, false),
            ("helm.txt/", "helm.txt", false, false),
            ("!helm.txt", "helm.txt", false, false),
            ("!helm.txt", "tiller.txt", false, true),
            ("/a.txt", "a.txt", false, true),
            ("/a.txt", "cargo/a.txt", false, false),
            ("/cargo/*.txt", "cargo/a.txt", false, true),
            ("/[a-z]*.txt", "b.txt", false, true),
            ("", "templates/.dotfile", false, true),
            ("", ".joonix", false, false),
        ] {
            assert_eq!(Ignore::parse(rules).unwrap().ignores(path, is_folder), ignored, "{rules} {path}");
        }
        assert!(Ignore::parse("a/**/b").is_err());
    }
}
