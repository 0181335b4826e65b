//! How a command refuses a bundle whose content is damaged or missing: text, hint, and the fields for scripts.

use anyhow::Context as _;
use kbundle_cli::Advise as _;
use kbundle_cli::advice::completion;
use kbundle_format::bases::Bases;
use kbundle_format::diagnosis::Verdict;
use kbundle_format::whole::{Damage, DamagedBundle, DiagnosedDamage, VerifyError};
use kbundle_format::{IndexedBundle, ReadError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::input::Input;

/// What `--output json` prints of a damaged bundle, beside the error.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Damage")]
pub struct DamageDetails<'a> {
    bundle: &'a str,
    verified: bool,
    damaged_volumes: Vec<String>,
    damaged_entries: Vec<DamagedEntry>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DamagedEntry {
    path: String,
    reason: String,
    /// Whether it is damaged, was changed or is missing.
    verdict: Verdict,
    /// The base that it is taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    /// The byte of the bundle, or of that base, from which on that may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    /// The byte behind the last one that may be meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
}

impl DamagedEntry {
    fn of(damage: &DiagnosedDamage) -> Self {
        let DiagnosedDamage { damage, diagnosis } = damage;
        let place = diagnosis.place.as_ref();
        Self {
            path: damage.path.to_string(),
            reason: damage.reason(),
            verdict: diagnosis.verdict,
            base: place.and_then(|place| Some(place.base.as_ref()?.display().to_string())),
            from: place.map(|place| place.offset),
            to: place.and_then(|place| place.end),
        }
    }
}

impl Input {
    /// The refusal of the bundle for the error that occurred while its entries were read.
    pub fn failure(&self, error: VerifyError, bases: Option<&Bases>) -> anyhow::Error {
        match error {
            VerifyError::Damaged(damage) => self.damaged(damage, bases),
            VerifyError::Read(error @ ReadError::Missing { .. }) => {
                let refused = Err::<(), _>(error).context(self.refused()).refused().hint(completion(bases));
                refused.expect_err("made from an error")
            }
            VerifyError::Read(error) => self.refusal(error),
            error => anyhow::Error::from(error).context(self.refused()),
        }
    }

    /// Refuses `bundle` for the `damage` that was found entry by entry.
    ///
    /// # Errors
    /// The refusal, if there is any damage.
    pub fn refuse_damage(&self, bundle: &IndexedBundle, damage: Vec<Damage>) -> anyhow::Result<()> {
        bundle.judge(damage).map_err(|error| self.failure(error, Bases::of(bundle.head()).as_ref()))
    }

    /// Names all damaged entries and volumes, for people and for scripts.
    fn damaged(&self, damage: DamagedBundle, bases: Option<&Bases>) -> anyhow::Error {
        let details = DamageDetails {
            bundle: &self.name,
            verified: false,
            damaged_volumes: damage.volumes.iter().map(|path| path.display().to_string()).collect(),
            damaged_entries: damage.entries.iter().map(DamagedEntry::of).collect(),
        };
        let hint = if damage.volumes.is_empty() {
            damage.advice().map_or_else(|| completion(bases), str::to_owned)
        } else {
            volumes_hint(&damage)
        };
        let refused = Err::<(), _>(damage).context(self.refused()).refused().hint(hint).details(&details);
        refused.expect_err("made from an error")
    }
}

/// What to do about damaged volumes when parity does not suffice.
fn volumes_hint(damage: &DamagedBundle) -> String {
    match damage.parity {
        0 => "copy the damaged volumes again from where the bundle was built; with a parity volume beside them, any one may be damaged".to_owned(),
        parity => format!(
            "copy damaged volumes again from where the bundle was built until at most {parity} are left, which parity makes up for"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_counts_what_parity_makes_up_for() {
        let hint = |parity| volumes_hint(&DamagedBundle { volumes: Vec::new(), parity, entries: Vec::new() });
        assert!(hint(0).contains("copy the damaged volumes again"));
        assert!(hint(2).contains("until at most 2 are left"));
    }
}
