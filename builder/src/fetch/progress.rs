//! Progress on stderr: bars on a terminal, one line for each finished item in a log.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kbundle_cli::output;

/// All items of one run.
#[derive(Debug)]
pub struct Progress {
    bars: MultiProgress,
    total: ProgressBar,
    audience: Audience,
}

/// The reader of stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A person at a terminal: bars.
    Terminal,
    /// A file or a pipe: lines.
    Log,
    /// Nobody: in tests and with `--quiet`.
    Nobody,
}

impl Audience {
    /// The reader of this program's stderr; nobody with `--quiet`.
    #[must_use]
    pub fn of_stderr() -> Self {
        if output::is_quiet() {
            return Self::Nobody;
        }
        if std::io::stderr().is_terminal() { Self::Terminal } else { Self::Log }
    }
}

/// One item that is being fetched.
#[derive(Debug)]
pub struct Item<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
    /// The line for a log after it was fetched; absent for small intermediate steps.
    line: Option<String>,
    length: AtomicU64,
    position: AtomicU64,
}

impl Progress {
    /// Progress without items.
    #[must_use]
    pub fn new(audience: Audience) -> Self {
        let target = match audience {
            Audience::Terminal => ProgressDrawTarget::stderr(),
            Audience::Log | Audience::Nobody => ProgressDrawTarget::hidden(),
        };
        let bars = MultiProgress::with_draw_target(target);
        let total = bars.add(
            ProgressBar::new(0)
                .with_style(style("{msg:40!} {bytes:>10} of {total_bytes:>10}  {bytes_per_sec:>12}  {wide_bar}")),
        );
        total.set_message("fetching");
        Self { bars, total, audience }
    }

    /// Prints one line that is not about an item.
    pub fn note(&self, line: &str) {
        match self.audience {
            Audience::Terminal => drop(self.bars.println(line)),
            // Nothing can be done about a closed stderr.
            Audience::Log => drop(writeln!(std::io::stderr(), "{line}")),
            Audience::Nobody => {}
        }
    }

    /// Adds an item, whose size is known if its descriptor states it. A log names it after it was fetched.
    #[must_use]
    pub fn item(&self, name: &str, size_bytes: Option<u64>) -> Item<'_> {
        Item { line: Some(format!("fetched {name}")), ..self.step(name, size_bytes) }
    }

    /// Adds a small intermediate step, which a log does not name.
    #[must_use]
    pub fn step(&self, name: &str, size_bytes: Option<u64>) -> Item<'_> {
        let style = style("  {msg:38!} {bytes:>10} of {total_bytes:>10}  {wide_bar}");
        let bar = self.bars.add(ProgressBar::new(0).with_style(style).with_message(name.to_owned()));
        let (length, position) = (AtomicU64::new(0), AtomicU64::new(0));
        let item = Item { progress: self, bar, line: None, length, position };
        if let Some(size_bytes) = size_bytes {
            item.set_length(size_bytes);
        }
        item
    }

    /// Removes the bars.
    pub fn finish(&self) {
        self.total.finish_and_clear();
    }
}

impl Item<'_> {
    /// Sets the item's length in bytes.
    pub fn set_length(&self, bytes: u64) {
        self.bar.set_length(bytes);
        let before = self.length.swap(bytes, Ordering::Relaxed);
        self.progress.total.set_length(self.progress.total.length().unwrap_or(0).saturating_sub(before) + bytes);
    }

    /// Sets the number of received bytes; lower than before if the download starts again.
    pub fn set_position(&self, bytes: u64) {
        self.bar.set_position(bytes);
        let before = self.position.swap(bytes, Ordering::Relaxed);
        if bytes >= before {
            self.progress.total.inc(bytes - before);
        } else {
            self.progress.total.dec(before - bytes);
        }
    }

    /// Ends the item: it was in the cache.
    pub fn cached(&self, bytes: u64) {
        self.set_length(bytes);
        self.set_position(bytes);
        self.bar.finish_and_clear();
    }

    /// Ends the item: it came from a server.
    pub fn fetched(&self, bytes: u64) {
        self.cached(bytes);
        if let (Audience::Log, Some(line)) = (self.progress.audience, &self.line) {
            self.progress.note(&format!("{line} ({})", HumanBytes(bytes)));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well formed").progress_chars("=> ")
}
