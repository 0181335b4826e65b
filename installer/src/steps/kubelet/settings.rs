//! Changed settings for a running kubelet. The host keeps the settings that kinstall brought last, so that keys that cluster.yaml does not
//! list any more are removed. kubeadm writes the configuration in its own form, in which the origin of a key is lost.

use std::time::Duration;

use anyhow::Context as _;
use serde_yaml::{Mapping, Value};

use super::CONFIG_PATH;
use crate::host::{Host, ledger};
use crate::inputs::Inputs;
use crate::kubeadm::{KUBELET_UNIT, host_settings};
use crate::kubectl::Kubectl;
use crate::steps::Context;
use crate::wait::{Look, until};

/// The settings that were brought to the kubelet last, below kinstall's directory.
const BROUGHT: &str = "kubelet.yaml";
/// The longest time until a kubelet says that it is healthy.
const HEALTHY_WITHIN: Duration = Duration::from_mins(2);
/// The port of a kubelet's health check, unless its configuration has another one. Source:
/// `staging/src/k8s.io/kubelet/config/v1beta1/types.go`.
const HEALTH_PORT: u64 = 10248;

/// Keeps the settings that the kubelet of an existing host has from `former`, before the host's record is replaced. An earlier note is not
/// replaced: a run may have been cut off.
pub fn note_standing(host: &Host, former: &Inputs<'_>) -> anyhow::Result<()> {
    if super::is_configured(host) && former.topology.this().is_node() && brought(host)?.is_none() {
        host.keep_record(BROUGHT, host_settings::whole(former).as_bytes())?;
    }
    Ok(())
}

fn brought(host: &Host) -> anyhow::Result<Option<String>> {
    Ok(host.read_text(&format!("{}/{BROUGHT}", ledger::DIRECTORY))?)
}

/// Whether the kubelet was brought other settings than the wanted ones. Without a note, it has what kubeadm gave it.
pub fn differ(context: &Context<'_>) -> anyhow::Result<bool> {
    let brought = brought(&context.host)?;
    Ok(super::is_configured(&context.host) && brought.is_some_and(|text| text != host_settings::whole(context)))
}

/// The configuration to write; `None` if the present one stays.
pub fn wanted(context: &Context<'_>) -> anyhow::Result<Option<String>> {
    let Some(found) = context.host.read_text(CONFIG_PATH)? else { return Ok(None) };
    let whole = host_settings::whole(context);
    let changed = match brought(&context.host)? {
        Some(brought) if brought != whole => host_settings::changed(&found, &brought, &whole),
        _ => None,
    };
    let text = changed.as_ref().unwrap_or(&found);
    let mended = host_settings::disagreement(text, context).and_then(|_| host_settings::mended(text, context));
    Ok(mended.or(changed))
}

/// Restarts the kubelet with this configuration, or with the present one, and waits until it is healthy.
///
/// # Errors
/// When it does not become healthy. It has its former configuration again then.
pub fn restart_with(context: &mut Context<'_>, configuration: Option<String>) -> anyhow::Result<()> {
    let former = context.host.read_text(CONFIG_PATH)?;
    if let Some(text) = &configuration {
        context.host.write_file(CONFIG_PATH, text.as_bytes(), 0o600)?;
    }
    let started = restart(context);
    if let (Err(error), Some(_), Some(former)) = (&started, configuration, former) {
        tracing::warn!(error = format!("{error:#}"), "restoring the kubelet's former configuration");
        context.host.write_file(CONFIG_PATH, former.as_bytes(), 0o600)?;
        context.host.restart_unit(KUBELET_UNIT)?;
        return started.context("the kubelet is not healthy with the new settings; its former ones are restored");
    }
    started?;
    if brought(&context.host)?.is_some() {
        context.host.keep_record(BROUGHT, host_settings::whole(context).as_bytes())?;
    }
    Ok(())
}

fn restart(context: &mut Context<'_>) -> anyhow::Result<()> {
    const LOG: &str = "while starting the kubelet; `journalctl -u kubelet` has its log";
    context.host.restart_unit(KUBELET_UNIT).context(LOG)?;
    let Some(server) = health_server(&context.host)? else { return Ok(()) };
    context.progress.detail("waiting for the kubelet");
    let api = Kubectl::of(&context.host, context.topology.this());
    until(context.progress, "the kubelet to say that it is healthy", HEALTHY_WITHIN, || {
        Ok(match api.health_at(&server)? {
            Ok(()) => Look::Ready(()),
            Err(said) => Look::NotYet(said),
        })
    })
    .context(LOG)
}

/// The address of the health check of this host's kubelet; `None` if the check is switched off, or if the host has not joined yet.
fn health_server(host: &Host) -> anyhow::Result<Option<String>> {
    let text = host.read_text(CONFIG_PATH)?.unwrap_or_default();
    let settings: Mapping = serde_yaml::from_str(&text).unwrap_or_default();
    let port = settings.get("healthzPort").and_then(Value::as_u64).unwrap_or(HEALTH_PORT);
    let address = settings.get("healthzBindAddress").and_then(Value::as_str).filter(|address| *address != "0.0.0.0");
    let address = address.unwrap_or("127.0.0.1");
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    Ok((port != 0).then(|| format!("http://{address}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::fixture::Cluster;
    use crate::fixture::bench::{Bench, FAILS};
    use crate::host::Command;
    use crate::join_material::JoinMaterial;
    use crate::steps::{Check, Kubelet, Step};

    fn with(kubelet: &str) -> Cluster {
        let mut cluster = Cluster::of_three_and_two();
        let spec = ClusterSpec::parse(&format!("kubelet: {kubelet}")).unwrap();
        cluster.spec.kubelet = spec.kubelet;
        cluster
    }

    /// A worker that was set up for `cluster`, with the configuration in kubeadm's own form.
    fn standing(cluster: &Cluster, programs: crate::fixture::bench::Script) -> Bench {
        let bench = Bench::with_programs(programs);
        bench.join_kubelet();
        bench.file("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\nsyncFrequency: 1m0s\nmaxPods: 110\nsystemReserved:\n  cpu: 500m\n  memory: 1Gi\n");
        bench
            .look_as(cluster, "w1", &JoinMaterial::default(), |context| note_standing(&context.host, context).unwrap());
        bench
    }

    fn apply(bench: &Bench, cluster: &Cluster) -> anyhow::Result<()> {
        bench.act_as(cluster, "w1", &JoinMaterial::default(), |context| Kubelet.apply(context))
    }

    fn configuration(bench: &Bench) -> Mapping {
        serde_yaml::from_str(&bench.read("var/lib/kubelet/config.yaml")).unwrap()
    }

    #[test]
    fn settings_come_and_go_and_what_kubeadm_wrote_stays() {
        let former = with("{config: {syncFrequency: 60s, systemReserved: {cpu: 500m, memory: 1Gi}}}");
        let bench = standing(&former, |_, _| None);
        let differs = |cluster: &Cluster| {
            bench.look_as(cluster, "w1", &JoinMaterial::default(), |context| differ(context).unwrap())
        };
        assert!(!differs(&former));
        let wanted = with("{max-pods: 60, config: {syncFrequency: 60s, systemReserved: {cpu: 250m}}}");
        assert!(differs(&wanted));
        let found = bench.look_as(&wanted, "w1", &JoinMaterial::default(), |context| Kubelet.check(context).unwrap());
        assert!(matches!(found, Check::Needed(_)));
        apply(&bench, &wanted).unwrap();
        let now = configuration(&bench);
        assert_eq!(now["maxPods"], Value::from(60));
        assert_eq!(now["systemReserved"], serde_yaml::from_str::<Value>("cpu: 250m").unwrap());
        assert_eq!(now["kind"], Value::from("KubeletConfiguration"));
        assert!(!differs(&wanted));
        apply(&bench, &with("{}")).unwrap();
        let now = configuration(&bench);
        assert!(!now.contains_key("systemReserved") && !now.contains_key("syncFrequency"), "{now:?}");
        assert_eq!(now["maxPods"], Value::from(110));
    }

    #[test]
    fn a_note_of_a_run_that_was_cut_off_is_kept() {
        let (former, wanted) = (with("{}"), with("{max-pods: 60}"));
        let bench = standing(&former, |_, _| None);
        let look = |cluster: &Cluster| {
            bench.look_as(cluster, "w1", &JoinMaterial::default(), |context| {
                note_standing(&context.host, context).unwrap();
                differ(context).unwrap()
            })
        };
        assert!(look(&wanted), "the record says the new settings by now, and the kubelet has the former ones");
    }

    #[test]
    fn an_unhealthy_kubelet_gets_its_former_settings_back() {
        // Here systemd reports the failure.
        fn ill(root: &std::path::Path, command: &Command) -> Option<String> {
            let asked = command.arguments.join(" ");
            let restarts = command.program == "systemctl" && asked.contains("restart");
            let broken =
                fs_err::read_to_string(root.join("var/lib/kubelet/config.yaml")).unwrap().contains("maxPods: 60");
            (restarts && broken).then(|| format!("{FAILS}it does not start"))
        }
        let bench = standing(&with("{}"), ill);
        let before = configuration(&bench);
        let error = apply(&bench, &with("{max-pods: 60}")).unwrap_err();
        assert!(format!("{error:#}").contains("its former ones are restored"), "{error:#}");
        assert_eq!(configuration(&bench), before);
        let differs =
            bench.look_as(&with("{max-pods: 60}"), "w1", &JoinMaterial::default(), |context| differ(context).unwrap());
        assert!(differs, "the next run tries again");
    }

    #[test]
    fn a_kubelet_is_asked_where_its_configuration_says() {
        let bench = Bench::new();
        for (text, server) in [
            ("kind: x", Some("http://127.0.0.1:10248")),
            ("healthzPort: 10300\nhealthzBindAddress: '::1'", Some("http://[::1]:10300")),
            ("healthzBindAddress: 0.0.0.0", Some("http://127.0.0.1:10248")),
            ("healthzPort: 0", None),
        ] {
            bench.file("var/lib/kubelet/config.yaml", text);
            assert_eq!(health_server(&bench.host()).unwrap().as_deref(), server, "{text}");
        }
    }
}
