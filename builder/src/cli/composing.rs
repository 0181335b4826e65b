//! Commands that make bundles from bundles.

use std::path::PathBuf;

use clap::Args;
use kbundle_format::Role;
use kbundle_format::volume::Split;

use super::ForceArgs;
use super::reading::BundleArgs;

/// How a bundle is cut.
#[derive(Clone, Copy, Debug, Args)]
pub struct SplitArgs {
    /// Cut the bundle into volumes of at most this size, such as 3900MiB
    ///
    /// Volumes are called BUNDLE.001, BUNDLE.002 and so on; every command reads them as they are. Units: KiB, MiB, GiB, KB, MB, GB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub split: Option<u64>,
    /// Add this many parity volumes; each replaces any one lost or damaged volume
    #[arg(long, value_name = "N", default_value = "0", requires = "split")]
    pub parity: u32,
}

impl SplitArgs {
    pub fn split(self) -> Option<Split> {
        self.split.map(|file_bytes| Split { file_bytes, parity: self.parity })
    }
}

/// Complete a differential bundle from its base
///
/// The result is the full bundle, byte for byte, with the signatures of the differential one. What is taken from either is compared
/// with the list first.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle join update.tar.zst k8s-1.25.2-amd64.tar.zst --out k8s-1.25.3-amd64.tar.zst"
)]
pub struct JoinArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Older bundles that hold what the first one leaves out
    #[arg(value_name = "BASE", required = true)]
    pub bases: Vec<PathBuf>,
    /// Write the full bundle to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub split: SplitArgs,
}

/// Cut a bundle down to what hosts of a role need
///
/// The list and its signatures are unchanged, so the smaller bundle verifies like the whole one.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle subset k8s-1.25.2-amd64.tar.zst --role worker --out worker.tar.zst")]
pub struct SubsetArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Keep what this role needs, control-plane, etcd or worker; repeatable
    #[arg(long, value_name = "ROLE", required = true)]
    pub role: Vec<Role>,
    /// Write the smaller bundle to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub split: SplitArgs,
}

/// Cut a bundle into volumes
///
/// For file systems without large files, such as FAT32. The bundle is checked first and stays as it is. With --force, volumes that
/// an earlier run wrote under the same name are replaced, and those without a successor are removed.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle split k8s-1.25.2-amd64.tar.zst --size 3900MiB --parity 1 --out /media/stick/k8s.tar.zst"
)]
pub struct SplitCommandArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Largest size of a volume, such as 3900MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub size: u64,
    /// Add this many parity volumes; each replaces any one lost or damaged volume
    #[arg(long, value_name = "N", default_value = "0")]
    pub parity: u32,
    /// Name the volumes after this file [default: the bundle]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub force: ForceArgs,
}

/// Rebuild lost and damaged volumes from the others and parity
///
/// Rewrites lost and damaged volumes, including parity, or nothing when there is too little parity. The rebuilt bundle is compared
/// with the digest in every volume. Damaged files in other folders are named and left alone; commands that read volumes take those of
/// the folder that is named first.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle repair /media/stick1 /media/stick2")]
pub struct RepairArgs {
    /// Folders with volumes, or single volumes
    #[arg(value_name = "PLACE", required = true)]
    pub places: Vec<PathBuf>,
    /// Write rebuilt volumes under this bundle's name [default: beside the first volume found]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Bytes from a number and a unit.
fn size(text: &str) -> Result<u64, String> {
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
