//! The password for `sudo`: from a file descriptor, the environment or the terminal. It is never shown.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use fs_err as fs;
use kbundle_format::text_file;
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use crate::failure::Advise;

/// The environment variable that may hold the password.
pub const VARIABLE: &str = "KINSTALL_SUDO_PASSWORD";

/// A password. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// One line of text.
    pub fn new(text: &str) -> anyhow::Result<Self> {
        if text.contains(['\n', '\0']) {
            bail!("a password must be one line of text");
        }
        Ok(Self(text.to_owned()))
    }

    /// The line that `sudo -S` reads.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        format!("{}\n", self.0).into_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

/// Gets the password: from file descriptor `fd`, or the variable [`VARIABLE`], or by asking on the terminal.
pub fn obtain(fd: Option<u32>) -> anyhow::Result<Password> {
    if let Some(fd) = fd {
        let file = fs::File::open(format!("/proc/self/fd/{fd}"))
            .with_context(|| format!("cannot read the password from file descriptor {fd}"))
            .usage()?;
        return first_line(BufReader::new(file));
    }
    if let Some(value) = std::env::var_os(VARIABLE) {
        let text = value.into_string().map_err(|_| anyhow!("{VARIABLE} is not UTF-8")).usage()?;
        return Password::new(&text).usage();
    }
    ask()
}

fn first_line(input: impl BufRead) -> anyhow::Result<Password> {
    let line = text_file::first_line(input).context("cannot read the password").usage()?;
    Password::new(&line.ok_or_else(|| anyhow!("no password was given")).usage()?)
}

/// The terminal's settings from before its echo was switched off, while it is off.
static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Switches the terminal's echo on again if kinstall had switched it off, even when an interrupt ends the program.
pub fn restore_terminal() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((terminal, settings)) = before.take() {
        // A closed terminal needs no echo.
        let _ = termios::tcsetattr(terminal.as_fd(), SetArg::TCSANOW, &settings);
    }
}

fn ask() -> anyhow::Result<Password> {
    let open = || File::options().read(true).write(true).open("/dev/tty");
    let mut terminal = open()
        .context("sudo on the hosts needs a password, and there is no terminal to ask for it")
        .refused()
        .hint(format!("give it in the variable {VARIABLE}, or with `--sudo-password-fd`"))?;
    let settings = termios::tcgetattr(terminal.as_fd())?;
    let mut silent = settings.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((open()?, settings));
    let answered =
        termios::tcsetattr(terminal.as_fd(), SetArg::TCSAFLUSH, &silent).map_err(anyhow::Error::from).and_then(|()| {
            write!(terminal, "password for sudo on the hosts: ")?;
            let line = first_line(BufReader::new(terminal.try_clone()?));
            writeln!(terminal)?;
            line
        });
    restore_terminal();
    answered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password_and_debug_hides_it() {
        let password = first_line(&b"secret word\nmore"[..]).unwrap();
        assert_eq!(password.line(), b"secret word\n");
        assert_eq!(format!("{password:?}"), "hidden");
        assert!(first_line(&b""[..]).is_err());
        assert!(Password::new("a\nb").is_err());
    }
}
