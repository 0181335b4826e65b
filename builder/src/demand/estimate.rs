//! The size of a bundle before its content is there: an estimate, and bounds for it.

use kbundle_format::EntryKind;

/// The percentage of content that remains after zstd at the default level: the least, the likely and the most.
type Left = [u64; 3];

/// Archives, layers and packages are compressed already; if that was done with a fast level, up to a twentieth can still be saved.
const COMPRESSED: Left = [95, 100, 100];
/// Go programs. Measured: 22 and 24 for large ones of Kubernetes, 35 to 40 for small ones (docs/decisions/cost.md).
const PROGRAM: Left = [18, 28, 45];
/// A layer that is a plain tar may contain anything.
const PLAIN_LAYER: Left = [10, 45, 100];
/// YAML, JSON and files of a site.
const OTHER: Left = [2, 25, 100];

/// What a bundle has in addition to content: the list, signatures, provenance, the index of frames, and two lists of packages.
const BESIDE_BYTES: Left = [0, 512 << 10, 4 << 20];

/// The size of a bundle in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeEstimate {
    /// A bundle is hardly smaller.
    pub least_bytes: u64,
    /// A bundle is about this large.
    pub likely_bytes: u64,
    /// A bundle is hardly larger.
    pub most_bytes: u64,
}

impl SizeEstimate {
    /// The size with one more piece of content.
    #[must_use]
    pub fn plus(self, kind: EntryKind, media_type: &str, bytes: u64) -> Self {
        let of = |percent: u64| {
            let share = (u128::from(bytes) * u128::from(percent)).div_ceil(100);
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        let [least, likely, most] = left(kind, media_type).map(of);
        self.and([least, likely, most])
    }

    /// The size with what every bundle has in addition to its content.
    #[must_use]
    pub fn whole(self) -> Self {
        self.and(BESIDE_BYTES)
    }

    fn and(self, [least, likely, most]: [u64; 3]) -> Self {
        Self {
            least_bytes: self.least_bytes.saturating_add(least),
            likely_bytes: self.likely_bytes.saturating_add(likely),
            most_bytes: self.most_bytes.saturating_add(most),
        }
    }
}

fn left(kind: EntryKind, media_type: &str) -> Left {
    match kind {
        EntryKind::Binary => PROGRAM,
        EntryKind::ImageLayer if media_type.ends_with("tar") => PLAIN_LAYER,
        EntryKind::Archive | EntryKind::ImageLayer | EntryKind::Chart | EntryKind::OsPackage => COMPRESSED,
        EntryKind::OciLayout
        | EntryKind::ImageIndex
        | EntryKind::ImageManifest
        | EntryKind::ImageConfig
        | EntryKind::Manifest
        | EntryKind::ChartValues
        | EntryKind::HostFile
        | EntryKind::Sbom => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_stays_and_programs_shrink() {
        let layer =
            SizeEstimate::default().plus(EntryKind::ImageLayer, "application/vnd.oci.image.layer.v1.tar+gzip", 1000);
        assert_eq!(layer, SizeEstimate { least_bytes: 950, likely_bytes: 1000, most_bytes: 1000 });
        let program = SizeEstimate::default().plus(EntryKind::Binary, "application/octet-stream", 1000);
        assert_eq!(program, SizeEstimate { least_bytes: 180, likely_bytes: 280, most_bytes: 450 });
        let plain = SizeEstimate::default().plus(EntryKind::ImageLayer, "application/vnd.oci.image.layer.v1.tar", 1000);
        assert!(plain.least_bytes < program.least_bytes && plain.most_bytes == 1000);
    }

    #[test]
    fn an_absurd_size_does_not_wrap() {
        let sum = SizeEstimate::default().plus(EntryKind::Archive, "", u64::MAX).plus(EntryKind::Archive, "", u64::MAX);
        assert_eq!(sum.whole().most_bytes, u64::MAX);
    }
}
