//! What a long command tells while it works: lines and a progress bar for people, one JSON event a line for programs.
//!
//! For people it goes to standard error, and the bar appears on a terminal alone; a dry run's plan is what was asked for and
//! goes to standard output. Events all go there.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget};
use kbundle_cli::{output, progress};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

pub use kbundle_cli::output::{print_json, print_text};

use crate::cli::OutputFormat;
use crate::cost::Cost;
use crate::preflight::Finding;
use crate::step_progress::StepProgress;

/// Version of the form of events and of other JSON results.
pub const SCHEMA: u32 = 1;

/// Something that a long command tells.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event<'a> {
    /// The signatures are good; the content is looked at next.
    Opened {
        /// The Kubernetes release.
        kubernetes_version: String,
        /// Key ids of the trusted keys that signed.
        signers: Vec<String>,
        /// Content to verify.
        content_bytes: u64,
    },
    /// How far verification is.
    VerifyProgress {
        /// Content verified so far.
        content_bytes: u64,
    },
    /// Every entry is there and right.
    Verified {
        /// How many.
        entries: usize,
        /// Their content.
        content_bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// What preflight found.
    Preflight {
        /// Every check's answer.
        findings: &'a [Finding],
    },
    /// What the installation costs this host.
    Cost(&'a Cost),
    /// A step of a dry run.
    StepPlanned {
        /// The step's id.
        step: &'a str,
        /// What it does.
        title: &'a str,
        /// Why there is something to do; absent where there is not.
        reason: Option<&'a str>,
    },
    /// A step that has something to do begins.
    StepStarted {
        /// The step's id.
        step: &'a str,
        /// What it does.
        title: &'a str,
        /// Why.
        reason: &'a str,
        /// Its place in the plan, from 1.
        number: usize,
        /// Steps in the plan.
        of: usize,
    },
    /// What a step is doing now.
    StepDetail {
        /// For people.
        text: &'a str,
    },
    /// Another kinstall changes the host, and is waited for.
    LockHeld {
        /// Which, for people.
        holder: String,
    },
    /// A step is done, or was.
    StepDone {
        /// The step's id.
        step: &'a str,
        /// What it does.
        title: &'a str,
        /// Whether it changed anything.
        changed: bool,
        /// How long it took.
        seconds: f64,
        /// Its place in the plan, from 1.
        number: usize,
        /// Steps in the plan.
        of: usize,
    },
    /// All is done.
    Finished {
        /// How many steps changed something.
        changed_steps: usize,
        /// How long the whole took.
        seconds: f64,
    },
}

/// Who is told.
pub trait Observer: StepProgress {
    /// Takes note of an event.
    fn event(&self, event: &Event<'_>);
}

/// The line that says who is waited for.
#[must_use]
pub fn waiting_for(holder: &str) -> String {
    format!("waiting for another kinstall that changes this host: {holder}")
}

/// Who listens to a reporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    People,
    Programs,
    Nobody,
}

/// Tells the person or program that called.
pub struct Reporter {
    audience: Audience,
    /// Whether another kinstall leads this one, and reads what it tells.
    is_led: bool,
    bar: ProgressBar,
    /// Percent of the bar that was told last, so that programs get at most a hundred events.
    told: Cell<u64>,
}

/// An event with the version of its form.
#[derive(Serialize)]
struct Versioned<'a> {
    schema: u32,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl Reporter {
    /// Tells in `format`.
    #[must_use]
    pub fn new(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Text => Self::telling(Audience::People, progress::target()),
            OutputFormat::Json => Self::telling(Audience::Programs, ProgressDrawTarget::hidden()),
        }
    }

    /// Tells the kinstall that leads this one and reads its standard output.
    #[must_use]
    pub fn to_leader() -> Self {
        let mut reporter = Self::new(OutputFormat::Json);
        reporter.is_led = true;
        reporter
    }

    /// Tells nobody: for commands whose result for programs is one value.
    #[must_use]
    pub fn silent() -> Self {
        Self::telling(Audience::Nobody, ProgressDrawTarget::hidden())
    }

    fn telling(audience: Audience, target: ProgressDrawTarget) -> Self {
        Self { audience, is_led: false, bar: ProgressBar::with_draw_target(None, target), told: Cell::new(0) }
    }

    /// Shows that `done` of `total` bytes are verified.
    pub fn verified_so_far(&self, done: u64, total: u64) {
        if self.audience == Audience::People {
            return self.bar.set_position(done);
        }
        let percent = done.saturating_mul(100) / total.max(1);
        if self.told.replace(percent) != percent {
            self.event(&Event::VerifyProgress { content_bytes: done });
        }
    }

    /// Shows a bar of `total` bytes until [`Reporter::hide_bar`].
    pub fn show_bar(&self, total: u64) {
        self.bar.set_style(progress::bytes_style());
        self.bar.set_message("verifying");
        self.bar.set_length(total);
        self.bar.reset();
    }

    /// Takes the bar or the running step's line away.
    pub fn hide_bar(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }

    /// Writes a line for people; programs do not get it.
    pub fn line(&self, text: &str) {
        if self.audience == Audience::People {
            // An installation goes on when nobody listens any more.
            self.bar.suspend(|| drop(output::note(text)));
        }
    }

    fn show_step(&self, text: String) {
        self.bar.set_style(progress::style("{spinner} {wide_msg} {elapsed}"));
        self.bar.reset();
        self.bar.set_message(text);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn tell_person(&self, event: &Event<'_>) {
        match event {
            Event::Opened { kubernetes_version, signers, content_bytes } => {
                self.line(&format!("Kubernetes {kubernetes_version}, signed by {}", signers.join(" and ")));
                self.show_bar(*content_bytes);
            }
            Event::Verified { entries, content_bytes, seconds } => {
                self.hide_bar();
                self.line(&format!("verified {entries} entries, {}, in {seconds:.1} s", HumanBytes(*content_bytes)));
            }
            Event::VerifyProgress { .. } => {}
            Event::Preflight { findings } => {
                let notable = findings.iter().filter(|finding| finding.is_notable());
                notable.for_each(|finding| self.line(&finding.to_string()));
            }
            Event::Cost(cost) => self.line(&cost.to_string()),
            Event::StepPlanned { step, title, reason } => {
                let reason = reason.map_or_else(|| "already so".to_owned(), |reason| format!("to do: {reason}"));
                self.bar.suspend(|| drop(print_text(&format!("{step}: {title}\n    {reason}\n"))));
            }
            Event::StepStarted { step, title, number, of, .. } => {
                self.show_step(format!("[{number:2}/{of}] {step}: {title}"));
            }
            Event::StepDetail { text } => {
                let message = self.bar.message();
                let step = message.split(" · ").next().unwrap_or_default();
                self.bar.set_message(format!("{step} · {text}"));
            }
            Event::LockHeld { holder } => self.line(&waiting_for(holder)),
            Event::StepDone { step, title, changed, seconds, number, of } => {
                self.hide_bar();
                let ending = if *changed { format!("done in {seconds:.1} s") } else { "already so".to_owned() };
                self.line(&format!("[{number:2}/{of}] {step}: {title} … {ending}"));
            }
            Event::Finished { changed_steps: 0, seconds } => {
                self.line(&format!("nothing to do; looked for {seconds:.1} s"));
            }
            Event::Finished { changed_steps, seconds } => {
                self.line(&format!("finished: {changed_steps} steps changed something, {seconds:.1} s in all"));
            }
        }
    }
}

impl Observer for Reporter {
    fn event(&self, event: &Event<'_>) {
        match self.audience {
            Audience::Nobody => {}
            Audience::People => self.tell_person(event),
            // As above: the work goes on when nobody listens any more.
            Audience::Programs => drop(print_json(&Versioned { schema: SCHEMA, event })),
        }
    }
}

impl StepProgress for Reporter {
    fn detail(&self, text: &str) {
        self.event(&Event::StepDetail { text });
    }

    fn is_heard(&self) -> bool {
        !self.is_led || has_reader(io::stdout())
    }
}

/// Whether the other end of a pipe or socket is open. What cannot be told counts as open.
fn has_reader(output: impl AsFd) -> bool {
    let mut ends = [PollFd::new(output.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    match poll(&mut ends, PollTimeout::ZERO) {
        Ok(_) => !ends[0].revents().is_some_and(|found| found.intersects(gone)),
        Err(_) => true,
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.hide_bar();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// sshd gives a program either.
    #[test]
    fn an_end_that_is_closed_is_noticed_on_pipes_and_sockets() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(has_reader(&writer));
        drop(reader);
        assert!(!has_reader(&writer));
        let (here, there) = UnixStream::pair().unwrap();
        assert!(has_reader(&here));
        drop(there);
        assert!(!has_reader(&here));
    }
}
