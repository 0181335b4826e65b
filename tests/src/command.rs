//! Runs programs: argument lists, and errors that hold the command and the end of what it said.

use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

/// The output of a program, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended. Over SSH, 255 also stands for a connection that failed.
    pub status: ExitStatus,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Output {
    /// The standard output of a program that succeeded, without the last line end.
    pub fn success(self) -> Result<String> {
        if !self.status.success() {
            bail!("{}: {}", self.status, last_lines(&[self.stdout.trim(), self.stderr.trim()].join("\n"), 30));
        }
        Ok(self.stdout.trim_end_matches('\n').to_owned())
    }
}

/// Runs to the end and returns the output, whatever the exit status.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs `PROGRAM ARGS…`, given as one text without quoting, and demands success.
pub(crate) fn run(words: &str) -> Result<String> {
    let mut parts = words.split_whitespace();
    let program = parts.next().context("empty command")?;
    output(Command::new(program).args(parts))?.success().with_context(|| format!("`{words}` failed"))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// One word of a POSIX shell command line.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_survive_a_shell() {
        for word in ["", "plain", "two words", "it's", "$HOME `id` \"x\" \\", "line\nbreak"] {
            let script = format!("printf %s {}", quote(word));
            assert_eq!(output(Command::new("sh").args(["-c", &script])).unwrap().stdout, word);
        }
    }

    #[test]
    fn a_failure_shows_command_and_last_words() {
        let error = format!("{:#}", run("ls /nonexistent-lab").unwrap_err());
        assert!(error.contains("`ls /nonexistent-lab` failed") && error.contains("No such file"), "{error}");
    }
}
