//! Progress bars. They are drawn on standard error, on a terminal only, and not with `--quiet`.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// A bar over `bytes` with speed and time left.
#[must_use]
pub fn bar(what: &'static str, bytes: u64) -> ProgressBar {
    ProgressBar::with_draw_target(Some(bytes), target()).with_style(bytes_style()).with_message(what)
}

/// The style of a bar over bytes; its message says what is being done.
#[must_use]
pub fn bytes_style() -> ProgressStyle {
    style("{msg} {bytes:>10} of {total_bytes}  {bytes_per_sec:>12}  {eta:>4} left  {wide_bar}")
}

/// The target of bars. indicatif draws only if standard error is a terminal.
#[must_use]
pub fn target() -> ProgressDrawTarget {
    if output::is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
}

/// The style of a template that is part of the program.
#[must_use]
pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the program's own templates are well formed").progress_chars("=> ")
}
