//! The binaries of the new bundle, unpacked beside those in use, so that nothing is read from the bundle once the host changes.

use crate::inputs::Inputs;
use crate::steps::programs::preloaded;
use crate::steps::{Check, Context, Step, needed};

/// Unpacks the binaries.
pub struct Preload;

impl Step for Preload {
    fn id(&self) -> &'static str {
        "preload"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "unpack the new binaries beside those that run".to_owned()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        preloaded::missing(context)?.map_or(Ok(Check::Done), needed)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        preloaded::unpack(context)
    }
}
