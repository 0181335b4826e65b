//! "Did you mean": the known word that is nearest to an unknown one.

use strsim::damerau_levenshtein;

/// The nearest of the `known` words, if one is near enough: at most one error in three letters.
///
/// ```
/// use kbundle_cli::similar::nearest;
///
/// assert_eq!(nearest("callico", ["bridge", "calico", "flannel"]), Some("calico"));
/// assert_eq!(nearest("weave", ["bridge", "calico", "flannel"]), None);
/// ```
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let mistakes = |known: &&str| damerau_levenshtein(&lower, &known.to_lowercase());
    let near = known.into_iter().map(|known| (mistakes(&known), known));
    let (count, found) = near.min_by_key(|(count, _)| *count)?;
    let letters = word.chars().count().max(found.chars().count());
    (count * 3 <= letters).then_some(found)
}

/// The release that `version` probably means: the newest of the same minor version, or of the nearest one.
///
/// `known` are versions of numbers with dots; others are skipped.
///
/// ```
/// use kbundle_cli::similar::nearest_version;
///
/// let known = ["1.25.2", "1.35.9", "1.36.1", "1.36.3"];
/// assert_eq!(nearest_version("1.36", known), Some("1.36.3"));
/// assert_eq!(nearest_version("v1.36.7", known), Some("1.36.3"));
/// assert_eq!(nearest_version("1.34.0", known), Some("1.35.9"));
/// assert_eq!(nearest_version("newest", known), None);
/// ```
pub fn nearest_version<'a>(version: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = numbers(version)?;
    let distance = |version: &[u64]| {
        let apart = |at: usize| version.get(at).copied().unwrap_or(0).abs_diff(wanted.get(at).copied().unwrap_or(0));
        (apart(0), apart(1))
    };
    let known = known.into_iter().filter_map(|text| Some((numbers(text)?, text)));
    let nearest = known.min_by(|(one, _), (other, _)| distance(one).cmp(&distance(other)).then(other.cmp(one)));
    nearest.map(|(_, text)| text)
}

fn numbers(version: &str) -> Option<Vec<u64>> {
    let parts = version.strip_prefix('v').unwrap_or(version).split('.');
    parts.map(|part| part.parse().ok()).collect()
}
