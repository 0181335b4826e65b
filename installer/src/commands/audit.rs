//! `kinstall audit`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::anyhow;
use kbundle_cli::output;
use kbundle_commands::arguments::BundleArgs;
use kbundle_commands::required_audit::RequiredAuditArgs;
use kbundle_format::{Digest, IndexedBundle};
use nix::unistd::geteuid;
use schemars::JsonSchema;
use serde::Serialize;

use super::bundle::{self, suits_this_machine};
use crate::cli::{AuditArguments, BundleArguments, OutputFormat};
use crate::failure::Advise;
use crate::host::Host;
use crate::host_audit::{self, Finding, Group, Overall, Verdict};
use crate::inputs::OwnedInputs;
use crate::join_material::JoinMaterial;
use crate::records::Records;
use crate::report::{Reporter, SCHEMA};
use crate::steps::Context;
use crate::trust::Trust;
use crate::upgrade::unfinished;

/// The exit code where something is not as approved, as that of `kbundle diff` where something differs.
const DRIFTED: u8 = 4;

/// The result for programs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    schema: u32,
    /// All findings in one word.
    verdict: Overall,
    cluster: String,
    /// The host's name as a node of the cluster.
    node: String,
    kubernetes_version: String,
    /// What the host was compared with: the digest of the list of the bundle.
    list_digest: String,
    /// The keys that signed the list and are trusted.
    signers: Vec<String>,
    findings: Vec<Finding>,
}

pub fn audit(arguments: &AuditArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let trust = bundle::read_trust(&arguments.trust)?;
    if !geteuid().is_root() {
        return Err(anyhow!("only root can read all that an audit compares")).refused().hint("run it again with sudo");
    }
    let host = Host::local()?;
    let Some(records) = Records::read_begun(&host)? else {
        return Err(anyhow!("kinstall has not set up this host")).refused().hint("run it on a host of a cluster");
    };
    let reporter = match output {
        OutputFormat::Text => Reporter::new(OutputFormat::Text),
        OutputFormat::Json => Reporter::silent(),
    };
    let bundle = open(arguments, &trust, &reporter)?;
    refuse_another(&records, &bundle, &host)?;
    let list = bundle.list();
    let spec = Cow::Borrowed(&records.spec);
    let gathered = OwnedInputs::gather(&host, spec, records.name.as_deref(), Cow::Borrowed(list))?;
    let inputs = gathered.inputs();
    let (cluster, node) = (records.spec.name.to_string(), inputs.node_name());
    let material = JoinMaterial::default();
    let context = Context { host, bundle: &bundle, inputs, material: &material, progress: &reporter };
    let findings = host_audit::audit(&context);
    let audit = Audit {
        schema: SCHEMA,
        verdict: Overall::of(&findings),
        cluster,
        node,
        kubernetes_version: list.kubernetes_version.to_string(),
        list_digest: Digest::of(&bundle.head().list_bytes).to_string(),
        signers: list.signers().iter().map(ToString::to_string).collect(),
        findings,
    };
    output::result(output, &describe(&audit, arguments.all), &audit)?;
    Ok(match audit.verdict {
        Overall::AsApproved => ExitCode::SUCCESS,
        Overall::Drifted => DRIFTED.into(),
        Overall::Unknown => ExitCode::FAILURE,
    })
}

fn open(arguments: &AuditArguments, trust: &Trust, reporter: &Reporter) -> anyhow::Result<IndexedBundle> {
    let Some(place) = &arguments.place else { return bundle::verify_kept(trust) };
    let arguments = BundleArguments {
        bundle: BundleArgs { bundle: place.clone(), volumes: arguments.volumes.clone() },
        base: arguments.base.clone(),
        trust: arguments.trust.clone(),
        audit: RequiredAuditArgs::default(),
    };
    bundle::verify(&arguments, trust, reporter, suits_this_machine)
}

/// Refuses a host between two bundles, and a bundle that the host was not set up from: nearly everything would differ.
fn refuse_another(records: &Records, bundle: &IndexedBundle, host: &Host) -> anyhow::Result<()> {
    if unfinished::target(host)?.is_some() {
        return Err(anyhow!("the upgrade of this host is not finished"))
            .refused()
            .hint("finish it with the bundle that it upgrades to: `kinstall upgrade BUNDLE --key KEY`");
    }
    let given = Digest::of(&bundle.head().list_bytes);
    if records.list_digest() == given {
        return Ok(());
    }
    let standing = records.list_digest();
    Err(anyhow!("this host was set up from the bundle with list {standing}; the list of the one given is {given}"))
        .refused()
        .hint("give the bundle that the host was set up from")
}

fn describe(audit: &Audit, all: bool) -> String {
    let Audit { cluster, node, kubernetes_version, list_digest, .. } = audit;
    let mut text = format!("{node} of the cluster {cluster}, Kubernetes {kubernetes_version}\n");
    let signers = audit.signers.join(" and ");
    // Writing to a string does not fail.
    let _ = writeln!(text, "compared with the bundle with list {list_digest}, signed by {signers}");
    for group in Group::ALL {
        let of_group: Vec<_> = audit.findings.iter().filter(|finding| finding.group == group).collect();
        if of_group.is_empty() {
            continue;
        }
        let count = Counts::of(of_group.iter().copied());
        let _ = writeln!(text, "{group}: {count}");
        let shown = of_group.into_iter().filter(|finding| all || finding.verdict != Verdict::AsApproved);
        shown.for_each(|finding| text.push_str(&line(finding)));
    }
    let count = Counts::of(audit.findings.iter());
    let _ = writeln!(text, "the host is {}: {count}", word(audit.verdict));
    text
}

fn word(verdict: Overall) -> &'static str {
    match verdict {
        Overall::AsApproved => "as approved",
        Overall::Drifted => "not as approved",
        Overall::Unknown => "not known to be as approved",
    }
}

fn line(Finding { subject, verdict, .. }: &Finding) -> String {
    match verdict {
        Verdict::AsApproved => format!("  as approved: {subject}\n"),
        Verdict::Drifted { expected, found } => {
            format!("  drifted: {subject}\n    expected: {expected}\n    found: {found}\n")
        }
        Verdict::Unknown { reason } => format!("  unknown: {subject}: {reason}\n"),
    }
}

/// How many findings there are of each verdict.
#[derive(Default)]
struct Counts {
    approved: usize,
    drifted: usize,
    unknown: usize,
}

impl Counts {
    fn of<'a>(findings: impl Iterator<Item = &'a Finding>) -> Self {
        findings.fold(Self::default(), |mut counts, finding| {
            *match finding.verdict {
                Verdict::AsApproved => &mut counts.approved,
                Verdict::Drifted { .. } => &mut counts.drifted,
                Verdict::Unknown { .. } => &mut counts.unknown,
            } += 1;
            counts
        })
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [(self.approved, "as approved"), (self.drifted, "drifted"), (self.unknown, "unknown")];
        let said = counts.into_iter().filter(|(count, _)| *count > 0);
        f.write_str(&said.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_is_not_as_approved() {
        let digest = Digest::of(b"").to_string();
        let audit = Audit {
            schema: SCHEMA,
            verdict: Overall::Drifted,
            cluster: "plant-7".into(),
            node: "w1".into(),
            kubernetes_version: "1.36.3".into(),
            list_digest: digest.clone(),
            signers: vec!["key".into()],
            findings: vec![
                Finding::as_approved(Group::Programs, "/usr/local/bin/kubelet"),
                Finding::drifted(Group::Programs, "/opt/cni/bin/bridge", "x", "y"),
                Finding::unknown(Group::Rights, "administrators of the cluster", "the API server does not say"),
            ],
        };
        insta::assert_snapshot!(describe(&audit, false).replace(&digest, "DIGEST"), @"
        w1 of the cluster plant-7, Kubernetes 1.36.3
        compared with the bundle with list DIGEST, signed by key
        programs: 1 as approved, 1 drifted
          drifted: /opt/cni/bin/bridge
            expected: x
            found: y
        rights: 1 unknown
          unknown: administrators of the cluster: the API server does not say
        the host is not as approved: 1 as approved, 1 drifted, 1 unknown
        ");
        assert!(describe(&audit, true).contains("  as approved: /usr/local/bin/kubelet\n"));
    }
}
