//! The flags that all commands of both programs share, and the flags about a bundle.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ColorChoice, ValueEnum};

use crate::output::{self, OutputFormat};

/// How much is said, and how. Flatten it last: it sets the heading of what follows.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "General options")]
pub struct CommonArguments {
    /// Print no progress and no notes; results, warnings and errors are still printed
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log to standard error what is done; -vv and -vvv give more detail
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Color errors and help: always, never, or auto, which is on a terminal unless `NO_COLOR` is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,
    /// Write the log as text or json
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub log_format: LogFormat,
    /// Print results and errors as text or json
    ///
    /// With json, standard output has one document, or one event a line. `config schema COMMAND` prints the form of both.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub output: OutputFormat,
}

/// When to color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// The same for clap's help.
    #[must_use]
    pub fn choice(self) -> ColorChoice {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs, one object a line
    Json,
}

impl CommonArguments {
    /// Applies `--quiet` and `--color` to the whole program.
    pub fn apply(&self) {
        if self.quiet {
            output::be_quiet();
        }
        if self.color != Color::Auto {
            let colored = self.color == Color::Always;
            console::set_colors_enabled(colored);
            console::set_colors_enabled_stderr(colored);
        }
    }
}

/// The bundle argument that means standard input.
pub const STANDARD_INPUT: &str = "-";

/// Whether a bundle argument stands for standard input.
#[must_use]
pub fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// Where further volumes lie.
#[derive(Clone, Debug, Default, Args)]
pub struct VolumeArguments {
    /// Look for volumes in this folder as well; repeatable
    ///
    /// For volumes on several sticks. They are read as they lie, without joining them first.
    #[arg(long, value_name = "DIR")]
    pub volumes: Vec<PathBuf>,
}

/// Which signatures count.
#[derive(Clone, Debug, Args)]
pub struct SignatureArguments {
    /// Demand signatures by this many different trusted keys
    #[arg(long, value_name = "N", default_value = "1")]
    pub threshold: usize,
    /// Refuse keys that are not valid today
    ///
    /// By the days in the key's file, or by its certificate. Without it, such a key only causes a warning.
    #[arg(long)]
    pub strict: bool,
    /// Count this detached signature as well; repeatable
    #[arg(long = "signature", value_name = "FILE")]
    pub detached: Vec<PathBuf>,
    /// Refuse bundles in this list of revocations, and do not count signatures of keys in it; repeatable
    ///
    /// A trusted key has to have signed it.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub revocations: Vec<PathBuf>,
}
