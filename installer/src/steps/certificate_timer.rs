//! A timer that renews certificates before they end; see [`crate::certificates`].

use kbundle_format::Role;

use super::{Check, Context, Step, needed};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::kubeadm::kubelets_are_signed;
use crate::template::render;

const TIMER: &str = "kinstall-certificates.timer";
const SERVICE: &str = "kinstall-certificates.service";
const SERVICE_PATH: &str = "/etc/systemd/system/kinstall-certificates.service";
const TIMER_PATH: &str = "/etc/systemd/system/kinstall-certificates.timer";

/// Sets up the timer that renews certificates before they end. [`ImageKeeper`](super::ImageKeeper) puts the timer's program in place.
pub struct CertificateTimer;

impl Step for CertificateTimer {
    fn id(&self) -> &'static str {
        "certificate-timer"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "renew certificates before they expire, by a timer".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        for (path, content) in files(context) {
            if !context.host.has_file(path, content.as_bytes(), 0o644)? {
                return needed(format!("{path} differs from what kinstall writes"));
            }
        }
        if !context.host.unit_is_up(TIMER)? {
            return needed("its timer does not run");
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        for (path, content) in files(context) {
            context.host.write_file(path, content.as_bytes(), 0o644)?;
        }
        context.host.restart_unit(TIMER)?;
        Ok(())
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        host.stop_unit(TIMER)?;
        Ok(host.stop_unit(SERVICE)?)
    }
}

fn files(inputs: &Inputs<'_>) -> [(&'static str, String); 2] {
    let template = include_str!("../../../manifests/templates/kinstall-certificates.timer");
    let service = include_str!("../../../manifests/templates/kinstall-certificates.service");
    [
        (SERVICE_PATH, render(service, &[("approve", approve(inputs))])),
        (TIMER_PATH, render(template, &[("hour", &hour(inputs))])),
    ]
}

/// The line with which control planes approve requests of kubelets, which ask again before their certificates end.
fn approve(inputs: &Inputs<'_>) -> &'static str {
    let answers = inputs.has(Role::ControlPlane) && kubelets_are_signed(inputs.spec);
    if answers { "ExecStart=/usr/local/bin/kinstall certs approve\n" } else { "" }
}

/// The hour of the day in which this host renews. Workers share the first hour, since only their kubelet restarts.
fn hour(inputs: &Inputs<'_>) -> String {
    let mut control_planes = inputs.topology.with(Role::ControlPlane);
    let place = control_planes.position(|member| member == inputs.topology.this());
    format!("{:02}", place.map_or(0, |place| 1 + place % 23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Cluster;

    #[test]
    fn control_planes_answer_kubelets_that_ask_the_cluster() {
        let mut cluster = Cluster::of_three_and_two();
        let service = |cluster: &Cluster, name: &str| files(&cluster.inputs(&cluster.seen_from(name)))[0].1.clone();
        let usual = service(&cluster, "c2");
        assert!(usual.ends_with("ExecStart=/usr/local/bin/kinstall certs renew --due 30d\n"), "{usual}");
        cluster.spec.kubelet.config.insert("serverTLSBootstrap".to_owned(), true.into());
        assert_eq!(service(&cluster, "c2"), format!("{usual}ExecStart=/usr/local/bin/kinstall certs approve\n"));
        assert_eq!(service(&cluster, "w1"), usual);
    }

    #[test]
    fn control_planes_renew_in_hours_of_their_own() {
        let cluster = Cluster::of_three_and_two();
        let hours = ["c1", "c2", "c3", "w1", "w2"].map(|name| hour(&cluster.inputs(&cluster.seen_from(name))));
        assert_eq!(hours, ["01", "02", "03", "00", "00"]);
    }
}
