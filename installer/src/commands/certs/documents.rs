//! What `kinstall certs` prints.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::certificates::look::Content;
use crate::certificates::{CertificateReport, State};
use crate::failure::FailureReport;
use crate::kubelet_requests::Approval;
use crate::renewal::RenewalReport;
use crate::renewal::sans::SansReport;
use crate::report::SCHEMA;

/// The certificates of some hosts.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateList {
    schema: u32,
    /// Fewer days left than these are too few.
    warn_days: u32,
    /// Whether every certificate of every host is good.
    pub healthy: bool,
    hosts: Vec<HostCertificates>,
}

/// The certificates of a host.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostCertificates {
    /// Its name as a node.
    host: String,
    certificates: Vec<CertificateReport>,
    /// Why it does not tell them.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl HostCertificates {
    /// What a host answered.
    pub fn of(host: String, answer: Result<Vec<CertificateReport>, FailureReport>) -> Self {
        match answer {
            Ok(certificates) => Self { host, certificates, failure: None },
            Err(report) => Self { host, certificates: Vec::new(), failure: Some(report.error) },
        }
    }

    fn is_healthy(&self) -> bool {
        self.failure.is_none() && self.certificates.iter().all(|certificate| certificate.state == State::Good)
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.host);
        if let Some(failure) = &self.failure {
            return format!("{text}  unknown: {failure}\n");
        }
        let widest = self.certificates.iter().map(|certificate| certificate.name.len()).max().unwrap_or(0);
        for certificate in &self.certificates {
            text.push_str(&row(certificate, widest));
        }
        text
    }
}

/// A certificate's line, and below it the lines with the certificate's details.
fn row(certificate: &CertificateReport, width: usize) -> String {
    let CertificateReport { name, path, state, problem, content, authority, .. } = certificate;
    let left = content.as_ref().map_or_else(|| "?".to_owned(), |content| format!("{} d", content.days_left));
    let mut text = format!("  {name:width$}  {:8}  {left:>7}  {path}\n", state.as_str());
    let mut below = |line: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:width$}  {line}", "");
    };
    if let Some(problem) = problem {
        below(format!("{problem} (authority: {authority})"));
    }
    if let Some(Content { subject, issuer, not_after, names, .. }) = content {
        below(format!("{subject}, until {not_after}, signed by {issuer}"));
        if !names.is_empty() {
            below(format!("names: {}", names.join(", ")));
        }
    }
    text
}

impl CertificateList {
    /// The certificates of `hosts`, of which some may have been silent.
    pub fn of(warn_days: u32, hosts: Vec<HostCertificates>) -> Self {
        Self { schema: SCHEMA, warn_days, healthy: hosts.iter().all(HostCertificates::is_healthy), hosts }
    }

    /// For people.
    pub fn text(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(HostCertificates::text).collect();
        let all = self.hosts.iter().flat_map(|host| &host.certificates);
        let total = all.clone().count();
        let good = all.filter(|certificate| certificate.state == State::Good).count();
        let silent = self.hosts.iter().filter(|host| host.failure.is_some()).count();
        let mut last = format!("{good} of {total} certificates are good for {} days or more", self.warn_days);
        if silent > 0 {
            let _ = write!(last, "; {silent} of {} hosts are unknown", self.hosts.len());
        }
        format!("{}{last}\n", hosts.concat())
    }
}

/// What `certs renew` did, or would do.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Renewed {
    schema: u32,
    /// Whether nothing was changed.
    dry_run: bool,
    hosts: Vec<HostRenewal>,
}

/// The same on one host.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostRenewal {
    /// Its name as a node.
    pub host: String,
    /// What was done there.
    #[serde(flatten)]
    pub report: RenewalReport,
}

impl Renewed {
    /// What was done on `hosts`.
    pub fn of(dry_run: bool, hosts: Vec<HostRenewal>) -> Self {
        Self { schema: SCHEMA, dry_run, hosts }
    }

    /// For people.
    pub fn text(&self) -> String {
        self.hosts.iter().map(|HostRenewal { host, report }| self.line(host, report)).collect()
    }

    fn line(&self, host: &str, report: &RenewalReport) -> String {
        if report.renewed.is_empty() && report.restarted.is_empty() {
            return format!("{host}: unchanged, no certificate is due\n");
        }
        let [renew, restart] = if self.dry_run { ["would renew", "would restart"] } else { ["renewed", "restarted"] };
        let names: Vec<_> = report.renewed.iter().map(ToString::to_string).collect();
        let programs: Vec<_> = report.restarted.iter().map(|component| component.as_str()).collect();
        let mut parts = Vec::new();
        if !names.is_empty() {
            parts.push(format!("{renew} {}", names.join(", ")));
        }
        if !programs.is_empty() {
            parts.push(format!("{restart} {}", programs.join(", ")));
        }
        let resumed = if report.resumed { " (completing a renewal that was cut off)" } else { "" };
        format!("{host}: {}{resumed}\n", parts.join("; "))
    }
}

/// What `certs add-san` did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddedSans {
    schema: u32,
    /// All further names, as `api.certificate-sans` of cluster.yaml has to list them.
    certificate_sans: Vec<String>,
    /// Those that cluster.yaml lacks; absent where no file was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_in_file: Option<Vec<String>>,
    hosts: Vec<HostSans>,
}

/// The same on one host.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostSans {
    /// Its name as a node.
    pub host: String,
    /// What was done there.
    #[serde(flatten)]
    pub report: SansReport,
}

impl AddedSans {
    /// What was done on `hosts`; `in_file` is what cluster.yaml lists.
    pub fn of(hosts: Vec<HostSans>, in_file: Option<&[String]>) -> Self {
        let certificate_sans = hosts.first().map(|host| host.report.certificate_sans.clone()).unwrap_or_default();
        let missing =
            |listed: &[String]| certificate_sans.iter().filter(|name| !listed.contains(name)).cloned().collect();
        let missing_in_file = in_file.map(missing);
        Self { schema: SCHEMA, certificate_sans, missing_in_file, hosts }
    }

    /// For people.
    pub fn text(&self) -> String {
        let line = |HostSans { host, report }: &HostSans| match report.added.as_slice() {
            [] => format!("{host}: unchanged, the certificate has the names\n"),
            added => format!("{host}: the API server's certificate has {} as well\n", added.join(", ")),
        };
        let mut text: String = self.hosts.iter().map(line).collect();
        if self.missing_in_file.as_ref().is_none_or(|missing| !missing.is_empty()) {
            text.push_str(
                "If the cluster has a cluster.yaml, it has to say this, or the next `kinstall run` takes the names away again:\n",
            );
            text.push_str("api:\n  certificate-sans:\n");
            self.certificate_sans.iter().for_each(|name| {
                let _ = writeln!(text, "    - \"{name}\"");
            });
        }
        text
    }
}

/// What `certs approve` did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    schema: u32,
    /// What became of the requests.
    #[serde(flatten)]
    approval: Approval,
}

impl Answered {
    /// What became of the requests.
    pub fn of(approval: Approval) -> Self {
        Self { schema: SCHEMA, approval }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Approval { approved, left } = &self.approval;
        if approved.is_empty() && left.is_empty() {
            return "unchanged, no kubelet asks for a certificate\n".to_owned();
        }
        let approved = approved.iter().map(|asked| format!("{}: approved for {}\n", asked.request, asked.user));
        let left =
            left.iter().map(|left| format!("{}: left, of {}: {}\n", left.asked.request, left.asked.user, left.reason));
        approved.chain(left).collect()
    }
}
