//! An etcd of the site's own: checks that its files are on this control plane, before anything is changed.

use kbundle_format::Role;

use super::{Check, Context, Step, needed};
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::Inputs;

/// Checks the files with which the API server reaches the site's etcd. kubeadm itself checks whether etcd answers and is new enough.
pub struct ExternalEtcd;

impl Step for ExternalEtcd {
    fn id(&self) -> &'static str {
        "external-etcd"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let endpoints = inputs.spec.etcd.external.as_ref().map(|external| external.endpoints.join(", "));
        format!("use the site's etcd at {}", endpoints.unwrap_or_default())
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane) && inputs.spec.etcd.external.is_some()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        match missing(&context.host, context) {
            Some((key, path)) => needed(format!("{path} is not there (etcd.external.{key})")),
            None => Ok(Check::Done),
        }
    }

    /// kinstall cannot make these files.
    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let Some((key, path)) = missing(&context.host, context) else { return Ok(()) };
        let error =
            anyhow::anyhow!("this control plane has no {path}, which `etcd.external.{key}` in cluster.yaml names");
        Err(error).refused().hint("put the file there on every control plane, then run the same command again")
    }
}

fn missing<'a>(host: &Host, inputs: &Inputs<'a>) -> Option<(&'static str, &'a str)> {
    let external = inputs.spec.etcd.external.as_ref()?;
    external.files().into_iter().find(|(_, path)| !host.exists(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::fixture::{Cluster, bench::Bench};
    use crate::join_material::JoinMaterial;

    #[test]
    fn a_control_plane_without_the_files_is_refused_and_not_changed() {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.etcd.external = Some(config::ExternalEtcd {
            endpoints: vec!["https://192.0.2.31:2379".to_owned()],
            ca_file: "/srv/etcd/ca.crt".to_owned(),
            certificate_file: "/srv/etcd/client.crt".to_owned(),
            key_file: "/srv/etcd/client.key".to_owned(),
        });
        let bench = Bench::new();
        bench.file("srv/etcd/ca.crt", "a");
        bench.file("srv/etcd/client.crt", "b");
        let material = JoinMaterial::default();
        let look = || bench.look_as(&cluster, "c1", &material, |context| ExternalEtcd.check(context).unwrap());
        assert!(matches!(look(), Check::Needed(reason) if reason.contains("/srv/etcd/client.key")));
        let error = bench.act_as(&cluster, "c1", &material, |context| ExternalEtcd.apply(context)).unwrap_err();
        assert!(format!("{error:#}").contains("etcd.external.key-file"), "{error:#}");
        assert!(bench.host().ledger().changes().is_empty());
        bench.file("srv/etcd/client.key", "c");
        assert_eq!(look(), Check::Done);
    }
}
