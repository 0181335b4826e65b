//! Calling kubeadm: one at a time, and once more where it gave up on an API server that was merely slow.

use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::Context;
use crate::host::{Command, CommandError, Host, HostError};
use crate::wait::{Look, until};

/// The program.
pub const KUBEADM: &str = "/usr/local/bin/kubeadm";
/// Its own wait for the API server is four minutes.
const ENDS_WITHIN: Duration = Duration::from_mins(5);
/// How often it is called before its time-outs count as a failure.
const ATTEMPTS: usize = 3;
/// What kubeadm and client-go say when a request took too long or the server was not there yet. Each request of kubeadm's may take
/// ten seconds (`app/util/kubeconfig`, `ToClientSet`), and many are not repeated.
const TIMEOUTS: [&str; 10] = [
    "context deadline exceeded",
    "Client.Timeout exceeded",
    "timed out waiting for the condition",
    "request timed out",
    "i/o timeout",
    "TLS handshake timeout",
    "in the time allotted",
    "connection refused",
    "connection reset by peer",
    "unexpected EOF",
];

/// The flag by which kubeadm lets such findings of its preflight pass.
pub(super) fn ignoring(errors: &[String]) -> Option<String> {
    (!errors.is_empty()).then(|| format!("--ignore-preflight-errors={}", errors.join(",")))
}

/// Calls kubeadm by `attempt`, and again where it ended for a time-out and `api_answers` after that.
///
/// # Errors
/// What the last attempt said.
pub(super) fn patiently(
    context: &Context<'_>,
    mut attempt: impl FnMut() -> anyhow::Result<()>,
    api_answers: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for _ in 1..ATTEMPTS {
        let Err(error) = attempt() else { return Ok(()) };
        if !ended_for_a_timeout(&error) {
            return Err(error);
        }
        tracing::warn!(error = format!("{error:#}"), "kubeadm gave up on a slow API server");
        context.progress.detail("kubeadm gave up on a slow API server; waiting for that, to call kubeadm again");
        if let Err(silence) = api_answers() {
            return Err(error.context(format!("{silence:#}")));
        }
    }
    attempt()
}

fn ended_for_a_timeout(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<HostError>() {
        Some(HostError::Command(CommandError::Failed { said, .. })) => says_timeout(said),
        _ => false,
    })
}

fn says_timeout(said: &str) -> bool {
    TIMEOUTS.iter().any(|words| said.contains(words))
}

/// Calls kubeadm once with these arguments.
pub(super) fn call(host: &Host, arguments: impl IntoIterator<Item = String>) -> Result<(), HostError> {
    host.run(&Command::new(KUBEADM, arguments)).map(drop)
}

/// A run that was killed leaves its kubeadm running; two at once would trip over each other.
pub(super) fn wait_for_another(context: &Context<'_>) -> anyhow::Result<()> {
    context.progress.detail("waiting for a kubeadm that a run before left behind");
    until(context.progress, "another kubeadm on this host to end", ENDS_WITHIN, || {
        let running = running(&context.host, KUBEADM)?;
        Ok(running.map_or(Look::Ready(()), |process| Look::NotYet(format!("process {process} runs"))))
    })
}

/// A process that runs the program at this path.
fn running(host: &Host, program: &str) -> anyhow::Result<Option<String>> {
    for process in fs::read_dir(host.path("/proc"))? {
        let process = process?;
        // Anything else in /proc, and a process that ended meanwhile, has no program.
        if fs::read_link(process.path().join("exe")).is_ok_and(|found| found == Path::new(program)) {
            return Ok(Some(process.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_told_from_a_refusal() {
        for (said, timeout) in [
            (
                "error execution phase upload-config/kubeadm: Post \"https://10.77.0.12:6443/…\": net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
                true,
            ),
            ("error execution phase wait-control-plane: context deadline exceeded", true),
            ("etcdserver: request timed out", true),
            ("[preflight] Some fatal errors occurred:\n\t[ERROR Port-6443]: Port 6443 is in use", false),
            ("configmaps is forbidden: User \"kubernetes-admin\" cannot create resource", false),
        ] {
            assert_eq!(says_timeout(said), timeout, "{said}");
        }
    }
}
