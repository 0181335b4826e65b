//! Arguments that several commands share.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use kbundle_cli::arguments::{SignatureArguments, VolumeArguments};
use kbundle_format::volume::Split;

use crate::destination::Existing;
use crate::sealing::OpeningArgs;

/// Which bundle.
#[derive(Clone, Debug, Args)]
pub struct BundleArgs {
    /// The bundle: a file, one of its volumes, a folder with its volumes, or - for standard input where one pass is enough
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Where further volumes lie.
    #[command(flatten)]
    pub volumes: VolumeArguments,
    /// What opens it where it is sealed.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Older bundles that complete a differential one.
#[derive(Clone, Debug, Default, Args)]
pub struct BaseArgs {
    /// Take what the bundle leaves out from this older bundle; repeatable
    ///
    /// It has to hold everything that is left out, by digest; that content is read and compared.
    #[arg(long, value_name = "BUNDLE")]
    pub base: Vec<PathBuf>,
}

/// Whom to trust, or nobody.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("trust").required(true).args(["key", "unsigned"]))]
pub struct TrustArgs {
    /// Trust this public key; repeatable
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Do not ask who signed
    ///
    /// Digests are still compared with the bundle's own list, which finds damage but no forgery.
    #[arg(long)]
    pub unsigned: bool,
    /// Which signatures count.
    #[command(flatten)]
    pub signatures: SignatureArguments,
}

/// Whether existing files are replaced.
#[derive(Clone, Copy, Debug, Args)]
pub struct ForceArgs {
    /// Replace existing files
    ///
    /// Only regular files are replaced, and a signed bundle never by an unsigned one.
    #[arg(long)]
    pub force: bool,
}

impl ForceArgs {
    /// What happens to a file that already has the output's name.
    #[must_use]
    pub fn existing(self) -> Existing {
        if self.force { Existing::Replaced } else { Existing::KeptWithoutForce }
    }
}

/// How a bundle is cut.
#[derive(Clone, Copy, Debug, Args)]
pub struct SplitArgs {
    /// Cut the bundle into volumes of at most this size, such as 3900MiB
    ///
    /// Volumes are called BUNDLE.001, BUNDLE.002 and so on; every command reads them as they are. Units: KiB, MiB, GiB, KB, MB, GB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub split: Option<u64>,
    /// Add this many parity volumes, each of which makes up for any one lost or damaged volume
    #[arg(long, value_name = "N", default_value = "0", requires = "split")]
    pub parity: u32,
}

impl SplitArgs {
    /// How to cut; `None` for one file.
    #[must_use]
    pub fn split(self) -> Option<Split> {
        self.split.map(|file_bytes| Split { file_bytes, parity: self.parity })
    }
}

/// A size in bytes from a number and a unit.
///
/// # Errors
/// A text that can follow the name of the argument.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size such as 3900MiB");
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let unit: u64 = match &text[end..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

/// Where the passphrase of an encrypted key comes from.
#[derive(Clone, Debug, Args)]
pub struct PassphraseArgs {
    /// Read the passphrase of encrypted keys from this file descriptor, one line
    ///
    /// Without it, the passphrase comes from the environment variable `KBUNDLE_PASSPHRASE`, or from the terminal.
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("3900MiB"), Ok(3900 << 20));
        assert_eq!(size("4GB"), Ok(4_000_000_000));
        assert_eq!(size("512"), Ok(512));
        for wrong in ["", "MiB", "-1", "1.5GiB", "1TB", "99999999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
