//! Kills kubeadm, and the kinstall that called it, at a chosen point of kubeadm's work.

use anyhow::Result;

use crate::Host;

/// A point inside `kubeadm init` or `kubeadm join`, as conditions of the shell.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// What a failed test calls it.
    pub name: &'static str,
    /// kubeadm is stopped as soon as this holds.
    reached: &'static str,
    /// kubeadm is killed once this holds too; it stays stopped until then.
    then: &'static str,
}

/// kubectl with the strongest credential that kubeadm has left on the host; conditions write it as `KUBECTL`.
const KUBECTL: &str =
    "kubectl --kubeconfig=$(ls /etc/kubernetes/super-admin.conf /etc/kubernetes/admin.conf 2>/dev/null | tail -n 1)";

impl Point {
    /// kubeadm is killed as soon as `reached` holds.
    #[must_use]
    pub const fn new(name: &'static str, reached: &'static str) -> Self {
        Self { name, reached, then: "true" }
    }

    /// kubeadm is only stopped there, and killed once `then` holds, which others on the host bring about.
    #[must_use]
    pub const fn and_then(self, then: &'static str) -> Self {
        Self { then, ..self }
    }

    /// Waits for kubeadm on `host`; returns at once. The kill comes when a kubeadm runs there and reaches the point.
    pub fn cut_off(&self, host: &Host) -> Result<()> {
        let condition = |text: &str| text.replace("KUBECTL", KUBECTL);
        let script = format!(
            "until pgrep -x kubeadm >/dev/null && {{ {}; }} >/dev/null 2>&1; do sleep 0.02; done; pkill -STOP -x kubeadm; \
             until {{ {}; }} >/dev/null 2>&1; do sleep 0.1; done; pkill -KILL -x kinstall; pkill -KILL -x kubeadm",
            condition(self.reached),
            condition(self.then)
        );
        host.exec(&["systemd-run", "--quiet", "--unit=cutter", "--collect", "bash", "-c", &script])?.success()?;
        Ok(())
    }
}
