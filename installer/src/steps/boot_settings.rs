//! Comments out settings in others' files that would break the cluster at boot, such as a hardening guide's `net.ipv4.ip_forward = 0`.

use std::collections::BTreeSet;

use super::{Check, Context, Step, needed};
use crate::config::Switch;
use crate::facts::{BootConflict, boot_conflicts, sysctl_assignment};
use crate::host::{HostError, marked};
use crate::inputs::Inputs;

/// Keeps other files from undoing kernel settings at boot.
pub struct BootSettings;

impl Step for BootSettings {
    fn id(&self) -> &'static str {
        "boot-settings"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "keep files of others from undoing kernel settings at boot".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.spec.host_preparation == Switch::Enabled && inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        // As they are now: the facts are from before the first step.
        match conflicts(context)?.as_slice() {
            [] => Ok(Check::Done),
            [BootConflict { file, name, value }, ..] => needed(format!("{file} sets {name} to {value}")),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let conflicts = conflicts(context)?;
        let files: BTreeSet<_> = conflicts.iter().map(|found| found.file.as_str()).collect();
        for file in files {
            let is_in_the_way = |line: &str| {
                let set = sysctl_assignment(line);
                set.is_some_and(|(name, _)| conflicts.iter().any(|found| found.file == file && found.name == name))
            };
            let text = context.host.read_text(file)?.unwrap_or_default();
            context.host.edit_file(file, &marked::with_lines_commented_out(&text, is_in_the_way))?;
        }
        Ok(())
    }
}

/// The conflicts with settings that this cluster needs.
fn conflicts(context: &Context<'_>) -> Result<Vec<BootConflict>, HostError> {
    let found = boot_conflicts(&context.host, &context.facts.kernel.sysctls)?.into_iter();
    Ok(found.filter(|found| found.concerns(&context.spec.network)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::join_material::JoinMaterial;

    #[test]
    fn only_the_line_in_the_way_goes_and_it_comes_back() {
        const FILE: &str = "etc/sysctl.d/99-sysctl.conf";
        const TEXT: &str = "net.ipv4.conf.all.send_redirects = 0\nnet.ipv4.ip_forward = 0\n";
        let bench = Bench::new();
        bench.file(FILE, TEXT);
        let cluster = Cluster::of_three_and_two();
        bench.act_as(&cluster, "w1", &JoinMaterial::default(), |context| {
            assert!(matches!(BootSettings.check(context).unwrap(), Check::Needed(_)));
            BootSettings.apply(context).unwrap();
            assert_eq!(BootSettings.check(context).unwrap(), Check::Done);
        });
        assert_eq!(bench.read(FILE), "net.ipv4.conf.all.send_redirects = 0\n#kinstall# net.ipv4.ip_forward = 0\n");
        bench.undo();
        assert_eq!(bench.read(FILE), TEXT);
    }
}
