//! Runs programs: argument lists, never shell text. The program, its arguments and how it ended go into the error.

use std::fmt;
use std::io::{self, Read, Write};
use std::process::{self, Stdio};
use std::thread;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, by name or absolute path.
    pub program: String,
    /// Its arguments. No secret belongs here: every user of the host can read them.
    pub arguments: Vec<String>,
    /// Its standard input; may be empty.
    pub input: Vec<u8>,
}

impl Command {
    /// A program with its arguments.
    pub fn new<S: Into<String>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            input: Vec::new(),
        }
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
    /// Itself if the program succeeded; else an error.
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
    /// It could not be started, or reading or writing its pipes failed.
    #[error("cannot run `{command}`")]
    Start {
        /// Program and arguments.
        command: String,
        /// The cause.
        source: io::Error,
    },
    /// Its input could not be written. It was ended.
    #[error("cannot give `{command}` its input")]
    Input {
        /// Program and arguments.
        command: String,
        /// The cause.
        source: io::Error,
    },
    /// It reported a failure.
    #[error("`{command}` {ending}: {said}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// Exit code or signal.
        ending: String,
        /// The end of its output.
        said: String,
    },
}

/// The last lines of a program's output, which usually contain the reason.
fn tail(text: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Writes a program's input.
pub type Feed<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Runs programs: on the system, or by a script in tests.
pub trait Commands {
    /// Runs `command` to its end.
    fn run(&self, command: &Command) -> Result<Output, CommandError>;

    /// Runs `command` to its end while `feed` writes its input; `Command::input` is not used.
    ///
    /// # Errors
    /// [`CommandError::Input`] when `feed` failed and the program had not failed before.
    fn run_fed(&self, command: &Command, feed: Feed<'_>) -> Result<Output, CommandError>;
}

/// Runs programs for real.
pub struct SystemCommands;

impl Commands for SystemCommands {
    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        self.run_fed(command, &mut |stdin| {
            // The exit code decides, even if a program ends without reading all of its input.
            match stdin.write_all(&command.input) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                result => result,
            }
        })
    }

    fn run_fed(&self, command: &Command, feed: Feed<'_>) -> Result<Output, CommandError> {
        tracing::debug!(%command, "run");
        let failed = |source| CommandError::Start { command: command.to_string(), source };
        let mut child = process::Command::new(&command.program)
            .args(&command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let stdout = collect(child.stdout.take().expect("was piped"));
        let stderr = collect(child.stderr.take().expect("was piped"));
        let mut stdin = child.stdin.take().expect("was piped");
        let fed = feed(&mut stdin);
        drop(stdin);
        // If the program had ended when the feed failed, its own error says why. If it still runs, it must not take half of its input for
        // all.
        let ended = child.try_wait().map_err(failed)?;
        if fed.is_err() && ended.is_none() {
            child.kill().map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        let output = Output {
            code: status.code(),
            stdout: text(stdout).map_err(failed)?,
            stderr: text(stderr).map_err(failed)?,
        };
        match fed {
            Err(source) if output.code.is_none_or(|code| code == 0) => {
                Err(CommandError::Input { command: command.to_string(), source })
            }
            _ => Ok(output),
        }
    }
}

type Collected = thread::JoinHandle<io::Result<Vec<u8>>>;

/// Reads `source` to its end on a thread of its own, so that the program never waits for a reader.
fn collect(mut source: impl Read + Send + 'static) -> Collected {
    thread::spawn(move || {
        let mut all = Vec::new();
        source.read_to_end(&mut all).map(|_| all)
    })
}

fn text(collected: Collected) -> io::Result<String> {
    let bytes = collected.join().map_err(|_| io::Error::other("reading its output failed"))??;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command::new("sh", ["-c", script])
    }

    #[test]
    fn input_output_and_exit_code_come_through() {
        let command = shell("cat; echo said >&2; exit 3").input("given");
        let output = SystemCommands.run(&command).unwrap();
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(3), "given", "said\n"));
        let error = output.success(&command).unwrap_err().to_string();
        assert_eq!(error, "`sh -c cat; echo said >&2; exit 3` ended with code 3: said");
    }

    #[test]
    fn input_that_nobody_reads_is_no_failure() {
        let output = SystemCommands.run(&shell("exit 0").input(vec![0; 1 << 20])).unwrap();
        assert_eq!(output.code, Some(0));
    }

    #[test]
    fn a_feed_that_fails_ends_the_program() {
        let error = SystemCommands
            .run_fed(&shell("cat >/dev/null; sleep 60"), &mut |_| Err(io::Error::other("no more")))
            .unwrap_err();
        assert!(matches!(error, CommandError::Input { source, .. } if source.to_string() == "no more"));
    }

    #[test]
    fn a_program_that_failed_first_says_why_itself() {
        let command = shell("echo full >&2; exit 1");
        let output = SystemCommands.run_fed(&command, &mut |stdin| loop {
            stdin.write_all(&[0; 1 << 12])?;
        });
        assert_eq!(output.unwrap().stderr, "full\n");
    }
}
