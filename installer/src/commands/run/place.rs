//! What this host is to be, and by whose word: cluster.yaml's, a join file's, or that of its own record.

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
use crate::kubeadm::KUBELET_KUBECONFIG;
use crate::kubectl::Kubectl;
use crate::records::Records;
use crate::steps::{ControlPlane, Etcd, Join, Step, join};

/// See the module.
pub struct Place {
    /// The cluster.
    pub spec: ClusterSpec,
    /// The host's name in it, where it has several hosts.
    pub name: Option<String>,
    word: Word,
}

/// Whose word it is.
enum Word {
    Description,
    Record,
    File { path: PathBuf, file: Box<JoinFile> },
}

impl Place {
    /// The only host of a cluster.
    pub fn alone(spec: ClusterSpec) -> Self {
        Self { spec, name: None, word: Word::Description }
    }

    /// A host that joins by the file at `path`.
    pub fn joining(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::of_file(path.to_owned(), join_file::read(path)?))
    }

    fn of_file(path: PathBuf, file: JoinFile) -> Self {
        let (spec, name) = (file.cluster.clone(), Some(file.host.to_string()));
        Self { spec, name, word: Word::File { path, file: Box::new(file) } }
    }

    /// What this host was begun as; nothing where it was not.
    pub fn recorded() -> anyhow::Result<Option<Self>> {
        let records = Records::read_begun(&Host::local()?)?;
        Ok(records.map(|Records { spec, name, .. }| Self { spec, name, word: Word::Record }))
    }

    /// Refuses what the host alone can tell to come to nothing, before the bundle is read.
    pub fn refuse_hopeless(&self, host: &Host) -> anyhow::Result<()> {
        match &self.word {
            Word::Description => Ok(()),
            Word::Record => self.refuse_unfinished(host),
            Word::File { file, .. } => {
                refuse_another_authority(host, file)?;
                if has_credential(host) { Ok(()) } else { file.refuse_untimely(Moment::now()) }
            }
        }
    }

    /// What the record knows is enough only for a host that needs nothing from others any more: their keys, or a token.
    fn refuse_unfinished(&self, host: &Host) -> anyhow::Result<()> {
        let Some(this) = self.spec.hosts.iter().find(|host| Some(host.name.as_str()) == self.name.as_deref()) else {
            return Ok(());
        };
        let has = |role| this.roles.contains(&role);
        let done = |step: &dyn Step| host.ledger().is_done(step.id());
        let begun_only = if has(Role::Etcd) && !done(&Etcd) {
            "its member of etcd was never completed"
        } else if has(Role::ControlPlane) && !done(&ControlPlane) {
            "its control plane was never completed"
        } else if has(Role::Worker) && !has(Role::ControlPlane) && !done(&Join) && !has_credential(host) {
            "it never joined"
        } else {
            return Ok(());
        };
        Err(anyhow!("this host was begun as {} of the cluster {}, and {begun_only}", this.name, self.spec.name))
            .refused()
            .hint(
                "run `kinstall run` again where the cluster is led; a worker that joins by hand needs its join file, which \
                 `kinstall token create` on a control plane makes: `--join FILE`",
            )
    }

    /// Refuses a bundle or a host that the join file is not for.
    pub fn refuse_unsuitable(&self, records: &Records, facts: &HostFacts) -> anyhow::Result<()> {
        let Word::File { file, .. } = &self.word else { return Ok(()) };
        file.refuse_another_bundle(records.list_digest())?;
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

    /// What others know and this host needs. For a host that joins, the cluster is asked whether it may.
    pub fn join_material(
        &self,
        host: &Host,
        bundle: &IndexedBundle,
        inputs: &Inputs<'_>,
    ) -> anyhow::Result<JoinMaterial> {
        match &self.word {
            // Its token is needed only if the node was deleted meanwhile.
            Word::File { file, .. } if has_credential(host) => Ok(file.join_material(file.credentials.clone())),
            Word::File { file, .. } => Ok(file.join_material(probe(host, bundle, &inputs.facts.platform, file)?)),
            Word::Record if self.name.is_some() && inputs.leads() => {
                Ok(JoinMaterial { absent: absent(host, inputs)?, ..JoinMaterial::default() })
            }
            Word::Record | Word::Description => Ok(JoinMaterial::default()),
        }
    }

    /// What to do when all is done.
    pub fn next_steps(&self) -> String {
        let cluster = &self.spec.name;
        let Some(name) = &self.name else {
            return format!(
                "\nThe cluster `{cluster}` stands. Next:\n  \
                 kubectl get nodes,pods -A      what runs\n  \
                 kinstall status                whether this host is well\n  \
                 kinstall reset                 remove it all again\n"
            );
        };
        let used = match &self.word {
            Word::File { path, .. } if path != Path::new(STANDARD_INPUT) => {
                format!("{} is of no more use; delete it.\n", path.display())
            }
            _ => String::new(),
        };
        let by_hand = matches!(self.word, Word::File { .. }) && self.spec.network.cni == Some(Cni::Bridge);
        let again = if by_hand { again_on_others(name) } else { String::new() };
        format!(
            "\nThis host is {name} of the cluster `{cluster}`. Next:\n  \
             kinstall status                whether this host is well\n  \
             kubectl get nodes              on a control plane: all hosts\n\
             {used}{again}"
        )
    }
}

/// Whether this host's kubelet has a credential of its own, so that no token is needed.
fn has_credential(host: &Host) -> bool {
    host.exists(KUBELET_KUBECONFIG)
}

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

/// Hosts of the record that left the cluster since, which nobody waits for.
fn absent(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<BTreeSet<String>> {
    let api = Kubectl::on(host);
    if api.readiness()?.is_err() {
        return Ok(BTreeSet::new());
    }
    let nodes = api.get(&["nodes"])?.context("the cluster has no nodes")?;
    let names: BTreeSet<_> =
        nodes["items"].as_array().into_iter().flatten().filter_map(|node| node["metadata"]["name"].as_str()).collect();
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

    fn recorded(name: &str) -> Place {
        Place { spec: Cluster::of_three_and_two().spec, name: Some(name.to_owned()), word: Word::Record }
    }

    /// Whether a host of this name goes on by its record, on which these steps are done.
    fn goes_on(bench: &Bench, name: &str, done: &[&str]) -> bool {
        let mut host = bench.host();
        for step in done {
            host.ledger_mut().record(Change::StepDone { step: (*step).to_owned() }).unwrap();
        }
        recorded(name).refuse_hopeless(&host).is_ok()
    }

    #[test]
    fn a_host_that_needs_others_does_not_go_on_by_its_record() {
        assert!(!goes_on(&Bench::new(), "c1", &["containerd"]));
        assert!(!goes_on(&Bench::new(), "c1", &["etcd"]), "alone it would make a cluster of its own");
        assert!(goes_on(&Bench::new(), "c1", &["etcd", "control-plane"]));
        assert!(goes_on(&Bench::new(), "w1", &["join"]));
        let bench = Bench::new();
        let refusal = failure::message(&recorded("w1").refuse_hopeless(&bench.host()).unwrap_err());
        insta::assert_snapshot!(refusal, @"
        error: this host was begun as w1 of the cluster kubernetes, and it never joined
        hint: run `kinstall run` again where the cluster is led; a worker that joins by hand needs its join file, which `kinstall token create` on a control plane makes: `--join FILE`
        ");
        bench.file("etc/kubernetes/kubelet.conf", "");
        assert!(goes_on(&bench, "w1", &[]), "it was cut off after it had joined");
    }

    #[test]
    fn a_host_of_another_cluster_is_not_taken_over() {
        let place = Place::of_file("w3.join.yaml".into(), join_file::example());
        let bench = Bench::new();
        place.refuse_hopeless(&bench.host()).unwrap();
        bench.file("etc/kubernetes/pki/ca.crt", &join_file::example().authority);
        let refusal = failure::message(&place.refuse_hopeless(&bench.host()).unwrap_err());
        insta::assert_snapshot!(refusal, @"
        error: this host is in another cluster than the join file is of; nothing was changed
        hint: take the host out of that cluster first: `kubectl delete node` there, and `kinstall reset` here
        ");
    }

    #[test]
    fn hosts_that_left_are_not_waited_for() {
        let bench = Bench::with_programs(|_, command| {
            let nodes = r#"{"items": [{"metadata": {"name": "c1"}}, {"metadata": {"name": "c2"}}, {"metadata": {"name": "w1"}}]}"#;
            command.arguments.contains(&"nodes".to_owned()).then(|| nodes.to_owned())
        });
        let found = || {
            let cluster = Cluster::of_three_and_two();
            bench.look_as(&cluster, "c1", &JoinMaterial::default(), |context| absent(&context.host, context).unwrap())
        };
        assert_eq!(found(), BTreeSet::new(), "as long as the API does not answer");
        bench.file("etc/kubernetes/admin.conf", "");
        assert_eq!(found(), ["c3", "w2"].map(str::to_owned).into());
    }
}
