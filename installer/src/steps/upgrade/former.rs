//! Copies what runs before an upgrade, for a rollback.

use crate::inputs::Inputs;
use crate::steps::{Check, Context, Step, needed};
use crate::upgrade::former::FormerFiles;
use crate::upgrade::unfinished::{self, Mark};

/// Copies the programs and the configuration that the upgrade changes.
pub struct KeepFormer;

impl Step for KeepFormer {
    fn id(&self) -> &'static str {
        "keep-former"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "copy the binaries and the configuration in use, for a rollback".to_owned()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        // Changes have begun already: if a kinstall without rollback began the upgrade, it is too late for copies.
        if unfinished::has(&context.host, Mark::Changing)? {
            return Ok(Check::Done);
        }
        let Some(former) = FormerFiles::read(&context.host)? else { return needed("they are not copied yet") };
        if former.verify(&context.host).is_err() {
            return needed("a copy is not whole");
        }
        former.changed(&context.host)?.map_or(Ok(Check::Done), |path| needed(format!("{path} has changed since")))
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        FormerFiles::keep(&mut context.host, context.progress)
    }
}
