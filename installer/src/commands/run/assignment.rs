//! Which host of which cluster this host becomes, and the source of that: cluster.yaml, its own record, or a join file.
//!
//! Guards refuse before anything is changed. Each uses only what an earlier one made trustworthy, so this is their order:
//!
//! 1. The record: a host that needs others does not continue alone. It needs nothing but the host's own ledger.
//! 2. The authority: a member of another cluster is not taken over. It compares the join file with what the host has.
//! 3. The time: a token that expired is not used. It needs the file and the clock, and saves reading the bundle.
//! 4. The bundle: its signatures and content, by `commands::bundle::verify`. All later guards read its list.
//! 5. The installation: a host that was set up from another bundle stays as it is, by `Records::refuse_another`.
//! 6. The file's bundle: the file is for the bundle that guard 4 verified.
//! 7. The address: the file is for this host.
//! 8. The cluster: it accepts the token. Only here does a secret leave the host, with a kubectl that guard 4 verified.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use kbundle_format::{IndexedBundle, Role};

use super::super::token::again_on_others;
use crate::config::{ClusterSpec, Cni};
use crate::facts::HostFacts;
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::Inputs;
use crate::join_file::{self, JoinFile, Moment, STANDARD_INPUT, probe};
use crate::join_material::JoinMaterial;
use crate::kubectl::{KUBELET_KUBECONFIG, Kubectl};
use crate::plan::Plan;
use crate::records::Records;
use crate::recovery;
use crate::restoration::Restoration;
use crate::restoration_records::{self, Share};
use crate::steps::{ControlPlane, Etcd, Join, Step, join};

/// Which host of which cluster this host becomes.
pub struct Assignment {
    /// The cluster.
    pub spec: ClusterSpec,
    /// The host's name in it, where it has several hosts.
    pub name: Option<String>,
    source: Source,
}

/// The source of the assignment.
enum Source {
    /// cluster.yaml, or the defaults.
    Description,
    /// What kinstall recorded on this host.
    Record,
    /// A join file.
    JoinFile { path: PathBuf, file: Box<JoinFile> },
    /// A backup.
    Backup(Box<Restoration>),
}

impl Assignment {
    /// The only host of a cluster.
    pub fn alone(spec: ClusterSpec) -> Self {
        Self { spec, name: None, source: Source::Description }
    }

    /// A host that joins by the file at `path`.
    pub fn joining(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::of_file(path.to_owned(), join_file::read(path)?))
    }

    fn of_file(path: PathBuf, file: JoinFile) -> Self {
        let (spec, name) = (file.cluster.clone(), Some(file.host.to_string()));
        Self { spec, name, source: Source::JoinFile { path, file: Box::new(file) } }
    }

    /// The only host of a cluster, which is restored from a backup.
    pub fn restoring(spec: ClusterSpec, restoration: Restoration) -> Self {
        Self { spec, name: None, source: Source::Backup(Box::new(restoration)) }
    }

    /// The same assignment, for a host that kinstall makes fit.
    pub fn prepared(self) -> Self {
        Self { spec: self.spec.with_hosts_prepared(), ..self }
    }

    /// What an earlier run began to make of this host; `None` if there was no earlier run.
    pub fn recorded() -> anyhow::Result<Option<Self>> {
        let records = Records::read_begun(&Host::local()?)?;
        Ok(records.map(|Records { spec, name, .. }| Self { spec, name, source: Source::Record }))
    }

    /// Guards 1 to 3, which need no bundle.
    pub fn refuse_without_bundle(&self, host: &Host) -> anyhow::Result<()> {
        if let Source::Backup(restoration) = &self.source {
            return restoration.refuse_standing(host);
        }
        restoration_records::refuse_unfinished(host)?;
        recovery::refuse_unfinished(host)?;
        match &self.source {
            Source::Description | Source::Backup(_) => Ok(()),
            Source::Record => self.refuse_unfinished(host),
            Source::JoinFile { file, .. } => {
                refuse_another_authority(host, file)?;
                // Guard 3. A host that has joined needs no token, and its file may be old.
                if has_credential(host) { Ok(()) } else { file.refuse_untimely(Moment::now()) }
            }
        }
    }

    /// Guard 1. The record suffices only if the host needs no keys and no token from others. This guard comes first: if it refuses, nothing
    /// that the user gives to this command can help.
    fn refuse_unfinished(&self, host: &Host) -> anyhow::Result<()> {
        let Some(this) = self.spec.hosts.iter().find(|host| Some(host.name.as_str()) == self.name.as_deref()) else {
            return Ok(());
        };
        let has = |role| this.roles.contains(&role);
        let done = |step: &dyn Step| host.ledger().is_done(step.id());
        let missing = if has(Role::Etcd) && !done(&Etcd) {
            "its member of etcd was never completed"
        } else if has(Role::ControlPlane) && !done(&ControlPlane) {
            "its control plane was never completed"
        } else if has(Role::Worker) && !has(Role::ControlPlane) && !done(&Join) && !has_credential(host) {
            "it never joined"
        } else {
            return Ok(());
        };
        Err(anyhow!(
            "the setup of this host as {} of the cluster {} is not complete: {missing}",
            this.name,
            self.spec.name
        ))
        .refused()
        .hint(
            "run `kinstall run` again where the cluster is led; a worker that joins by hand needs its join file, which \
                 `kinstall token create` on a control plane makes: `--join FILE`",
        )
    }

    /// Guards 6 and 7. They come after the bundle's signatures: before them, a list could claim any digest.
    pub fn refuse_unsuitable(&self, records: &Records, facts: &HostFacts) -> anyhow::Result<()> {
        if let Source::Backup(restoration) = &self.source {
            restoration.refuse_another_bundle(&records.list_bytes)?;
            return restoration.refuse_another_cluster(&records.spec);
        }
        let Source::JoinFile { file, .. } = &self.source else { return Ok(()) };
        file.refuse_another_bundle(records.list_digest())?;
        // Guard 7. A file that passed guard 6 is for this bundle, so it makes sense to compare its address.
        let wanted = file.host_spec().address;
        if facts.addresses.iter().any(|found| found.address == wanted) {
            return Ok(());
        }
        let found: Vec<_> = facts.addresses.iter().map(|found| found.address.to_string()).collect();
        let (name, found) = (&file.host, found.join(", "));
        Err(anyhow!("the join file is for {name} at {wanted}, and this host has {found}; nothing was changed"))
            .refused()
            .hint("take it to the host that it is for, or make one for this host on a control plane: `kinstall token create`")
    }

    /// What this host needs from others. Guard 8: the cluster is asked whether a new host may join. It comes last, since the token leaves
    /// the host, and since only a verified kubectl may have it.
    pub fn join_material(
        &self,
        host: &Host,
        bundle: &IndexedBundle,
        inputs: &Inputs<'_>,
    ) -> anyhow::Result<JoinMaterial> {
        match &self.source {
            // It needs its token only if somebody has deleted the node in the meantime.
            Source::JoinFile { file, .. } if has_credential(host) => Ok(file.join_material(file.credentials.clone())),
            Source::JoinFile { file, .. } => Ok(file.join_material(probe(host, bundle, &inputs.facts.platform, file)?)),
            Source::Record if self.name.is_some() && inputs.leads() => {
                Ok(JoinMaterial { absent: departed(host, inputs)?, ..JoinMaterial::default() })
            }
            Source::Backup(restoration) => restoration.join_material(&self.spec),
            Source::Record | Source::Description => Ok(JoinMaterial::default()),
        }
    }

    /// The plan of an installation, as this source needs it.
    pub fn extend(&self, plan: Plan, inputs: &Inputs<'_>) -> Plan {
        if matches!(self.source, Source::Backup(_)) { Restoration::extend(plan, inputs, Share::ALL) } else { plan }
    }

    /// Puts files onto the host that steps take from there. This is the first change to the host.
    pub fn stage(&self, host: &mut Host) -> anyhow::Result<()> {
        if let Source::Backup(restoration) = &self.source { restoration.stage(host) } else { Ok(()) }
    }

    /// What the user does after the installation.
    pub fn next_steps(&self) -> String {
        let cluster = &self.spec.name;
        let Some(name) = &self.name else {
            return format!(
                "\nThe cluster `{cluster}` is ready. Next:\n  \
                 kubectl get nodes,pods -A      show nodes and pods\n  \
                 kinstall status                check this host\n  \
                 kinstall reset                 remove the cluster from this host\n"
            );
        };
        let used = match &self.source {
            Source::JoinFile { path, .. } if path != Path::new(STANDARD_INPUT) => {
                format!("{} is used up; delete it.\n", path.display())
            }
            _ => String::new(),
        };
        let by_hand = matches!(self.source, Source::JoinFile { .. }) && self.spec.network.cni == Some(Cni::Bridge);
        let again = if by_hand { again_on_others(name) } else { String::new() };
        format!(
            "\nThis host is {name} of the cluster `{cluster}`. Next:\n  \
             kinstall status                check this host\n  \
             kubectl get nodes              on a control plane: show all nodes\n\
             {used}{again}"
        )
    }
}

/// Whether this host's kubelet has a credential of its own, so that no token is needed.
fn has_credential(host: &Host) -> bool {
    host.exists(KUBELET_KUBECONFIG)
}

/// Guard 2. It comes before the bundle, since it needs only the host and the file, and a host of another cluster is in danger.
fn refuse_another_authority(host: &Host, file: &JoinFile) -> anyhow::Result<()> {
    match join::authority(host)? {
        Some(authority) if authority.trim() != file.authority.trim() => {
            Err(anyhow!("this host is in another cluster than the join file is of; nothing was changed"))
                .refused()
                .hint("take the host out of that cluster first: `kubectl delete node` there, and `kinstall reset` here")
        }
        _ => Ok(()),
    }
}

/// Hosts of the record that have left the cluster since. No step waits for them.
fn departed(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<BTreeSet<String>> {
    let api = Kubectl::on(host);
    if api.readiness()?.is_err() {
        return Ok(BTreeSet::new());
    }
    let nodes = api.nodes().context("it is unknown which hosts have left the cluster")?;
    let names: BTreeSet<_> = nodes.iter().filter_map(|node| node["metadata"]["name"].as_str()).collect();
    let members = inputs.topology.members().iter().filter(|member| member.is_node());
    Ok(members.map(|member| member.name.clone()).filter(|name| !names.contains(name.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::host::Change;

    fn recorded(name: &str) -> Assignment {
        Assignment { spec: Cluster::of_three_and_two().spec, name: Some(name.to_owned()), source: Source::Record }
    }

    /// Whether a host of this name continues by its record, on which these steps are done.
    fn goes_on(bench: &Bench, name: &str, done: &[&str]) -> bool {
        let mut host = bench.host();
        for step in done {
            host.ledger_mut().record(Change::StepDone { step: (*step).to_owned() }).unwrap();
        }
        recorded(name).refuse_without_bundle(&host).is_ok()
    }

    #[test]
    fn a_host_that_needs_others_does_not_go_on_by_its_record() {
        assert!(!goes_on(&Bench::new(), "c1", &["containerd"]));
        assert!(!goes_on(&Bench::new(), "c1", &["etcd"]), "alone it would make a cluster of its own");
        assert!(goes_on(&Bench::new(), "c1", &["etcd", "control-plane"]));
        assert!(goes_on(&Bench::new(), "w1", &["join"]));
        let bench = Bench::new();
        let refusal = failure::message(&recorded("w1").refuse_without_bundle(&bench.host()).unwrap_err());
        insta::assert_snapshot!(refusal, @"
        error: the setup of this host as w1 of the cluster kubernetes is not complete: it never joined
        hint: run `kinstall run` again where the cluster is led; a worker that joins by hand needs its join file, which `kinstall token create` on a control plane makes: `--join FILE`
        ");
        bench.file("etc/kubernetes/kubelet.conf", "");
        assert!(goes_on(&bench, "w1", &[]), "it was cut off after it had joined");
    }

    #[test]
    fn a_host_of_another_cluster_is_not_taken_over() {
        let place = Assignment::of_file("w3.join.yaml".into(), join_file::example());
        let bench = Bench::new();
        place.refuse_without_bundle(&bench.host()).unwrap();
        bench.file("etc/kubernetes/pki/ca.crt", &join_file::example().authority);
        let refusal = failure::message(&place.refuse_without_bundle(&bench.host()).unwrap_err());
        insta::assert_snapshot!(refusal, @"
        error: this host is in another cluster than the join file is of; nothing was changed
        hint: take the host out of that cluster first: `kubectl delete node` there, and `kinstall reset` here
        ");
    }

    #[test]
    fn hosts_that_left_are_not_waited_for() {
        let bench = Bench::with_programs(|_, command| {
            let nodes = r#"{"items": [{"metadata": {"name": "c1"}}, {"metadata": {"name": "c2"}}, {"metadata": {"name": "w1"}}]}"#;
            is_about_nodes(command).then(|| nodes.to_owned())
        });
        let found = || {
            let cluster = Cluster::of_three_and_two();
            bench.look_as(&cluster, "c1", &JoinMaterial::default(), |context| departed(&context.host, context).unwrap())
        };
        assert_eq!(found(), BTreeSet::new(), "as long as the API does not answer");
        bench.file("etc/kubernetes/admin.conf", "");
        assert_eq!(found(), ["c3", "w2"].map(str::to_owned).into());
    }

    #[test]
    fn without_a_list_of_nodes_it_is_unknown_which_hosts_left() {
        for answer in ["", "{}", r#"{"items": null}"#] {
            let bench = match answer {
                "" => Bench::new(),
                "{}" => Bench::with_programs(|_, command| is_about_nodes(command).then(|| "{}".to_owned())),
                _ => {
                    Bench::with_programs(|_, command| is_about_nodes(command).then(|| r#"{"items": null}"#.to_owned()))
                }
            };
            bench.file("etc/kubernetes/admin.conf", "");
            let cluster = Cluster::of_three_and_two();
            let found =
                bench.look_as(&cluster, "c1", &JoinMaterial::default(), |context| departed(&context.host, context));
            assert_eq!(found.unwrap_err().to_string(), "it is unknown which hosts have left the cluster", "{answer}");
        }
    }

    fn is_about_nodes(command: &crate::host::Command) -> bool {
        command.arguments.contains(&"nodes".to_owned())
    }
}
