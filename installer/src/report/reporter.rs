//! Shows what one host or many are doing: lines and progress bars for people, one JSON event on each line for programs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use kbundle_cli::output::{self, SCHEMA, print_json, print_text};
use kbundle_cli::{OutputFormat, progress};
use schemars::JsonSchema;
use serde::Serialize;

use super::event::{Event, Observer, Source};
use crate::config::DnsName;
use crate::stage::Stage;
use crate::step_progress::StepProgress;

/// The reader of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    People,
    Programs,
    Nobody,
}

/// The terminal, or the program that reads standard output. Clones share it.
#[derive(Clone)]
pub struct Console {
    audience: Audience,
    bars: MultiProgress,
    /// The length of the longest host name; lines about hosts are aligned to it.
    name_width: usize,
}

impl Console {
    /// Shows in `format`, for hosts with these names.
    pub fn new<'a>(format: OutputFormat, names: impl Iterator<Item = &'a DnsName>) -> Self {
        let name_width = names.map(|name| name.as_str().len()).max().unwrap_or(0);
        match format {
            OutputFormat::Text => Self::shown_to(Audience::People, progress::target(), name_width),
            OutputFormat::Json => Self::shown_to(Audience::Programs, ProgressDrawTarget::hidden(), name_width),
        }
    }

    fn shown_to(audience: Audience, target: ProgressDrawTarget, name_width: usize) -> Self {
        Self { audience, bars: MultiProgress::with_draw_target(target), name_width }
    }

    /// Writes a line for people; programs do not get it.
    pub fn line(&self, text: &str) {
        if self.audience == Audience::People {
            // The work continues when nobody reads the output any more.
            self.bars.suspend(|| drop(output::note(text)));
        }
    }

    /// Writes the result of a command for people, to standard output.
    pub fn result(&self, text: &str) {
        if self.audience == Audience::People {
            self.bars.suspend(|| drop(print_text(text)));
        }
    }

    /// Shows an event that does not belong to a single host.
    pub fn event(&self, event: &Event) {
        self.show(event, None);
    }

    /// Shows an event about one of many hosts.
    pub fn event_of(&self, host: &DnsName, stage: Stage, event: &Event) {
        self.show(event, Some(&Source { host: host.clone(), stage }));
    }

    /// Shows an event about one of many hosts to programs only; people get it in another form.
    pub fn event_for_programs(&self, host: &DnsName, stage: Stage, event: &Event) {
        if self.audience == Audience::Programs {
            self.show(event, Some(&Source { host: host.clone(), stage }));
        }
    }

    /// Shows what one of many hosts is doing, until it is dropped.
    #[must_use]
    pub fn reporter(&self, host: &DnsName, stage: Stage) -> Reporter {
        let reporter = Reporter::on(self.clone(), Some(Source { host: host.clone(), stage }));
        reporter.show_activity(stage.to_string());
        reporter
    }

    fn show(&self, event: &Event, source: Option<&Source>) {
        match self.audience {
            Audience::Nobody => {}
            // The work continues when nobody reads the output any more.
            Audience::Programs => drop(print_json(&EventLine { schema: SCHEMA, event, source })),
            Audience::People => {
                if let Event::StepPlanned { step, title, reason } = event {
                    let reason =
                        reason.as_ref().map_or_else(|| "unchanged".to_owned(), |reason| format!("to do: {reason}"));
                    self.result(&format!("{}{step}: {title}\n    {reason}\n", self.prefix(source)));
                } else if let Event::Outlined(_) | Event::OrderPlanned { .. } | Event::SettingsDiffer { .. } = event {
                    self.result(&format!("{}\n", event.text(source).unwrap_or_default()));
                } else if let Some(text) = event.text(source) {
                    self.line(&format!("{}{text}", self.prefix(source)));
                }
            }
        }
    }

    /// The beginning of each line about a host, if there are several hosts.
    fn prefix(&self, source: Option<&Source>) -> String {
        source.map(|source| format!("{:width$}  ", source.host.as_str(), width = self.name_width)).unwrap_or_default()
    }
}

/// An event as programs get it, with the version of its form.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EventLine<'a> {
    schema: u32,
    #[serde(flatten)]
    event: &'a Event,
    #[serde(flatten)]
    source: Option<&'a Source>,
}

/// Shows what one host is doing: this one, or one of many.
pub struct Reporter {
    console: Console,
    source: Option<Source>,
    bar: ProgressBar,
    verified: Percent,
}

impl Reporter {
    /// Shows what this host is doing, in `format`.
    #[must_use]
    pub fn new(format: OutputFormat) -> Self {
        Self::on(Console::new(format, std::iter::empty()), None)
    }

    /// Shows nothing: for commands whose result for programs is a single document.
    #[must_use]
    pub fn silent() -> Self {
        Self::on(Console::shown_to(Audience::Nobody, ProgressDrawTarget::hidden(), 0), None)
    }

    fn on(console: Console, source: Option<Source>) -> Self {
        let bar = console.bars.add(ProgressBar::no_length());
        bar.set_prefix(console.prefix(source.as_ref()));
        Self { console, source, bar, verified: Percent::default() }
    }

    /// Reports that `done` of `total` bytes are verified.
    pub fn verified_so_far(&self, done: u64, total: u64) {
        if self.verified.rises_to(done, total) {
            self.event(&Event::VerifyProgress { content_bytes: done });
        }
    }

    /// Writes a line for people; programs do not get it.
    pub fn line(&self, text: &str) {
        self.console.line(&format!("{}{text}", self.console.prefix(self.source.as_ref())));
    }

    /// Shows a bar for `total` bytes of the bundle's content.
    pub fn show_bytes(&self, total: u64) {
        self.bar.disable_steady_tick();
        self.bar.set_style(progress::bytes_style());
        self.bar.set_message(format!("{}verifying", self.bar.prefix()));
        self.bar.set_length(total);
        self.bar.reset();
    }

    fn show_activity(&self, text: String) {
        self.bar.set_style(progress::style("{spinner} {prefix}{wide_msg} {elapsed}"));
        self.bar.reset();
        self.bar.set_message(text);
        // Each ticking bar has a thread.
        if !self.console.bars.is_hidden() {
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    fn hide(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }

    fn move_bar(&self, event: &Event) {
        match event {
            Event::Opened { content_bytes, .. } => self.show_bytes(*content_bytes),
            Event::VerifyProgress { content_bytes } => self.bar.set_position(*content_bytes),
            Event::Verified { .. } => self.hide(),
            Event::StepStarted { step, title, number, of, .. } => {
                self.show_activity(format!("[{number:2}/{of}] {step}: {title}"));
            }
            Event::StepDetail { text } => {
                let message = self.bar.message();
                let step = message.split(" · ").next().unwrap_or_default();
                self.bar.set_message(format!("{step} · {text}"));
            }
            // With many hosts, each keeps its place until its stage ends.
            Event::StepDone { .. } if self.source.is_none() => self.hide(),
            _ => {}
        }
    }
}

impl Observer for Reporter {
    fn event(&self, event: &Event) {
        self.move_bar(event);
        self.console.show(event, self.source.as_ref());
    }
}

impl StepProgress for Reporter {
    fn detail(&self, text: &str) {
        self.event(&Event::StepDetail { text: text.to_owned() });
    }

    fn remark(&self, text: &str) {
        self.event(&Event::StepRemark { text: text.to_owned() });
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.hide();
        self.console.bars.remove(&self.bar);
    }
}

/// The percentage that was reported last, so that there are at most a hundred reports.
#[derive(Debug, Default)]
pub struct Percent(AtomicU64);

impl Percent {
    /// Whether `done` of `total` is another percentage than at the last call.
    pub fn rises_to(&self, done: u64, total: u64) -> bool {
        let percent = done.saturating_mul(100) / total.max(1);
        self.0.swap(percent, Ordering::Relaxed) != percent
    }
}
