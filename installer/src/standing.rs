//! The inputs of decisions about a host that is set up: its own records, without a bundle.

use std::borrow::Cow;

use anyhow::anyhow;
use kbundle_format::Role;

use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::{Inputs, OwnedInputs};
use crate::records::Records;

/// A host that kinstall has set up, by its records.
pub struct Standing {
    /// The records.
    pub records: Records,
    gathered: OwnedInputs<'static>,
}

impl Standing {
    /// Reads the records of `host`.
    ///
    /// # Errors
    /// Also when kinstall has not set the host up.
    pub fn find(host: &Host) -> anyhow::Result<Self> {
        let Some(records) = Records::read_begun(host)? else {
            return Err(anyhow!("kinstall has not set up this host"))
                .refused()
                .hint("run it on a host of the cluster, or give the cluster's description: `--config cluster.yaml`");
        };
        let (list, _) = records.verified_list()?;
        let spec = Cow::Owned(records.spec.clone());
        let gathered = OwnedInputs::gather(host, spec, records.name.as_deref(), Cow::Owned(list))?;
        Ok(Self { records, gathered })
    }

    /// What decisions about the host need.
    #[must_use]
    pub fn inputs(&self) -> Inputs<'_> {
        self.gathered.inputs()
    }

    /// Refuses a host that is not a control plane.
    pub fn refuse_other_than_control_plane(&self) -> anyhow::Result<()> {
        let inputs = self.inputs();
        if inputs.has(Role::ControlPlane) {
            return Ok(());
        }
        Err(anyhow!("this host, {}, is not a control plane", inputs.node_name()))
            .refused()
            .hint("run it on a control plane of the cluster")
    }
}
