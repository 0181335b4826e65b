//! The log on standard error.

use std::env;
use std::io;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Color, CommonArguments, LogFormat};
use crate::failure::Advise as _;

/// Starts the log. `-v` overrides `variable`, which contains a filter such as `info` or `kbundle=debug,warn`. Warnings are always logged.
///
/// # Errors
/// When the variable does not contain a filter.
pub fn start(arguments: &CommonArguments, variable: &str) -> anyhow::Result<()> {
    let filter = filter(arguments, variable, env::var(variable).ok().as_deref())?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let log = match arguments.color {
        Color::Auto => log.with_ansi(console::colors_enabled_stderr()),
        Color::Always => log.with_ansi(true),
        Color::Never => log.with_ansi(false),
    };
    match arguments.log_format {
        LogFormat::Text => log.without_time().init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn filter(arguments: &CommonArguments, variable: &str, value: Option<&str>) -> anyhow::Result<EnvFilter> {
    let level = match arguments.verbose {
        0 if arguments.quiet => "error",
        0 => {
            let value = value.filter(|value| !value.is_empty()).unwrap_or("warn");
            return EnvFilter::try_new(value)
                .with_context(|| format!("{variable} does not hold a log filter"))
                .usage()
                .hint(format!("give a level, error, warn, info, debug or trace: `{variable}=info`; or use `-v`"));
        }
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    Ok(EnvFilter::new(level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Kind, kind};
    use crate::output::OutputFormat;

    fn common(quiet: bool, verbose: u8) -> CommonArguments {
        let (color, log_format, output) = (Color::Auto, LogFormat::Text, OutputFormat::Text);
        CommonArguments { quiet, verbose, color, log_format, output }
    }

    fn chosen(quiet: bool, verbose: u8, value: Option<&str>) -> String {
        filter(&common(quiet, verbose), "X_LOG", value).unwrap().to_string()
    }

    #[test]
    fn flags_win_over_the_variable() {
        assert_eq!(chosen(false, 0, None), "warn");
        assert_eq!(chosen(false, 0, Some("debug")), "debug");
        assert_eq!(chosen(false, 1, Some("error")), "info");
        assert_eq!(chosen(false, 9, None), "trace");
        assert_eq!(chosen(true, 0, None), "error");
    }

    #[test]
    fn a_variable_that_is_no_filter_is_refused() {
        let error = filter(&common(false, 0), "X_LOG", Some("no=such=filter")).unwrap_err();
        assert_eq!(kind(&error), Kind::Usage);
    }
}
