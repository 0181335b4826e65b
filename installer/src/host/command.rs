//! Programs: argument lists, never shell text; what they were and how they ended goes into the error.

use std::fmt;
use std::io::{self, Write};
use std::process::{self, Stdio};
use std::thread;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, by name or absolute path.
    pub program: String,
    /// Its arguments. No secret belongs here: every user of the host can read them.
    pub arguments: Vec<String>,
    /// Variables set for it, beside those it inherits.
    pub environment: Vec<(String, String)>,
    /// What it reads; nothing where empty.
    pub input: Vec<u8>,
}

impl Command {
    /// A program with its arguments.
    pub fn new<S: Into<String>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            input: Vec::new(),
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets what the program reads.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

/// How a program ended and what it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Itself when the program succeeded.
    pub fn success(self, command: &Command) -> Result<Self, CommandError> {
        if self.code == Some(0) {
            return Ok(self);
        }
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        Err(CommandError::Failed {
            command: command.to_string(),
            ending: self.code.map_or("was ended by a signal".to_owned(), |code| format!("ended with code {code}")),
            said: tail(said),
        })
    }
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It could not be started or talked to.
    #[error("cannot run `{command}`")]
    Start {
        /// Program and arguments.
        command: String,
        /// The cause.
        source: io::Error,
    },
    /// It said that it failed.
    #[error("`{command}` {ending}: {said}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// Exit code or signal.
        ending: String,
        /// The end of what it wrote.
        said: String,
    },
}

/// The last lines of what a program wrote, which hold the reason as a rule.
fn tail(text: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// What runs programs: the system, or a script in tests.
pub trait Commands {
    /// Runs `command` to its end.
    fn run(&self, command: &Command) -> Result<Output, CommandError>;
}

/// Runs programs for real.
pub struct SystemCommands;

impl Commands for SystemCommands {
    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        tracing::debug!(%command, "run");
        let failed = |source| CommandError::Start { command: command.to_string(), source };
        let mut child = process::Command::new(&command.program)
            .args(&command.arguments)
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut stdin = child.stdin.take().expect("was piped");
        let input = command.input.clone();
        // A program that ends without reading all of its input is judged by its exit code.
        let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().map_err(failed)?;
        feeder.join().map_err(|_| failed(io::Error::other("feeding its input failed")))?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
