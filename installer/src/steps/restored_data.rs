//! The data of etcd, from the snapshot of a backup. Only in the plan of a restoration.

use super::{Check, Context, Step, etcd, needed};
use crate::inputs::Inputs;
use crate::restoration_records::{RESTORED_DATA, SNAPSHOT_PATH};
use crate::steps::etcd::snapshot;
use crate::steps::etcd::snapshot::restore::{FirstMembers, has_data, restore};

/// Makes etcd's data from the snapshot, before etcd starts for the first time.
pub struct RestoredData;

impl Step for RestoredData {
    fn id(&self) -> &'static str {
        RESTORED_DATA
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "restore the data of etcd from the backup".to_owned()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if has_data(&context.host) { Ok(Check::Done) } else { needed("etcd has no data yet") }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let inputs = context.inputs;
        let host = &mut context.host;
        snapshot::check(host, SNAPSHOT_PATH)?;
        let owner = etcd::make_data_directory(host)?;
        restore(host, &inputs, FirstMembers::All, SNAPSHOT_PATH, owner)?;
        host.remove_file(SNAPSHOT_PATH)?;
        Ok(())
    }
}
