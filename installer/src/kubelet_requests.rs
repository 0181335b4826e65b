//! Kubelets' requests for serving certificates: which of them kinstall approves.
//!
//! The API server says who asked, and a kubelet can ask for anything. kinstall approves a request only if it has exactly the name and
//! addresses of a host that this host knows, from its record of cluster.yaml or from a join file that was made here. All others are left to
//! people. Source: staging/src/k8s.io/api/certificates/v1/types.go of Kubernetes, and pkg/kubelet/certificate/kubelet.go for what a kubelet
//! asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use crate::config::HostSpec;
use crate::host::{Host, ledger};
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;
use crate::pki::general_name;

/// The signer of such certificates, and their permitted usages.
const SIGNER: &str = "kubernetes.io/kubelet-serving";
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];
const GROUP: &str = "system:nodes";
/// Hosts for which a join file was made, below kinstall's directory.
const INVITED: &str = "invited";

/// A host whose kubelet may request a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHost {
    name: String,
    addresses: BTreeSet<IpAddr>,
}

impl From<&HostSpec> for KnownHost {
    fn from(host: &HostSpec) -> Self {
        Self { name: host.name.to_string(), addresses: host.addresses().collect() }
    }
}

/// Records that a join file was made for a host here.
pub fn invite(host: &Host, newcomer: &HostSpec) -> anyhow::Result<()> {
    let note = serde_json::to_vec(&KnownHost::from(newcomer))?;
    Ok(host.keep_record(&format!("{INVITED}/{}.json", newcomer.name), &note)?)
}

/// The hosts that this host knows.
pub fn known_hosts(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<Vec<KnownHost>> {
    let members = inputs.topology.members().iter().filter(|member| member.is_node());
    let mut known: Vec<_> = members
        .map(|member| KnownHost { name: member.name.clone(), addresses: member.addresses().collect() })
        .collect();
    let folder = format!("{}/{INVITED}", ledger::DIRECTORY);
    for name in host.names_in(&folder)?.iter().filter_map(|file| file.strip_suffix(".json")) {
        let path = format!("{folder}/{name}.json");
        let Some(text) = host.read(&path)? else { continue };
        known.push(serde_json::from_slice(&text).with_context(|| format!("while reading {path}"))?);
    }
    Ok(known)
}

/// What became of the requests that nobody had answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Approved.
    pub approved: Vec<Asked>,
    /// Left for people, who approve or deny them by `kubectl certificate`.
    pub left: Vec<Left>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Its name, such as `csr-x7k2p`.
    pub request: String,
    /// Who asked, such as `system:node:w1`.
    pub user: String,
}

/// A request that is not approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// The request.
    #[serde(flatten)]
    pub asked: Asked,
    /// Why it is not approved.
    pub reason: String,
}

/// Approves the requests that may be approved, and reports all.
pub fn approve(api: &Kubectl<'_>, known: &[KnownHost]) -> anyhow::Result<Approval> {
    let approval = look(api, known)?;
    for asked in &approval.approved {
        api.run(&["certificate", "approve", &asked.request])
            .with_context(|| format!("cannot approve the request {} of {}", asked.request, asked.user))?;
    }
    Ok(approval)
}

/// Reports what would become of the requests. Changes nothing.
pub fn look(api: &Kubectl<'_>, known: &[KnownHost]) -> anyhow::Result<Approval> {
    let of_signer = format!("--field-selector=spec.signerName={SIGNER}");
    let found = api.get(&["certificatesigningrequests", &of_signer])?.unwrap_or_default();
    let mut approval = Approval::default();
    for request in found["items"].as_array().into_iter().flatten().filter(|request| is_open(request)) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let asked = Asked { request: text(&request["metadata"]["name"]), user: text(&request["spec"]["username"]) };
        match judge(request, known) {
            Ok(()) => approval.approved.push(asked),
            Err(refusal) => approval.left.push(Left { asked, reason: refusal.to_string() }),
        }
    }
    Ok(approval)
}

fn is_open(request: &Value) -> bool {
    request["status"]["conditions"].as_array().is_none_or(Vec::is_empty)
}

/// Why a request is not approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("it is not a kubelet that asks")]
    NoKubelet,
    #[error("no host is known by this name")]
    UnknownHost,
    #[error("it asks for other usages than serving")]
    Usages,
    #[error("it is not a request for a certificate in PEM form")]
    Unreadable,
    #[error("its signature is not by the key that it is for")]
    Signature,
    #[error("its subject is `{found}`")]
    Subject { found: String },
    #[error("it asks for {asked}, and the host has {has}")]
    Names { asked: String, has: String },
    #[error("it asks for more than names and addresses")]
    Extensions,
}

fn judge(request: &Value, known: &[KnownHost]) -> Result<(), Refusal> {
    let spec = &request["spec"];
    let texts = |value: &Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let user = spec["username"].as_str().unwrap_or_default();
    let name = user.strip_prefix("system:node:").ok_or(Refusal::NoKubelet)?;
    if !texts(&spec["groups"]).contains(GROUP) {
        return Err(Refusal::NoKubelet);
    }
    // If a host of a join file is in cluster.yaml by now, cluster.yaml counts.
    let host = known.iter().find(|host| host.name == name).ok_or(Refusal::UnknownHost)?;
    let usages = texts(&spec["usages"]);
    let may = |usage: &String| USAGES.contains(&usage.as_str());
    if !usages.contains("server auth") || !usages.iter().all(may) {
        return Err(Refusal::Usages);
    }
    let pem = BASE64.decode(spec["request"].as_str().unwrap_or_default()).map_err(|_| Refusal::Unreadable)?;
    judge_content(&pem, user, host)
}

fn judge_content(pem: &[u8], user: &str, host: &KnownHost) -> Result<(), Refusal> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| Refusal::Unreadable)?;
    let (rest, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|_| Refusal::Unreadable)?;
    if !rest.is_empty() {
        return Err(Refusal::Unreadable);
    }
    request.verify_signature().map_err(|_| Refusal::Signature)?;
    let subject = &request.certification_request_info.subject;
    let part = |parts: Vec<Option<&str>>| <[_; 1]>::try_from(parts).ok().and_then(|[only]| only.map(str::to_owned));
    let common_name = part(subject.iter_common_name().map(|part| part.as_str().ok()).collect());
    let organisation = part(subject.iter_organization().map(|part| part.as_str().ok()).collect());
    if (common_name.as_deref(), organisation.as_deref(), subject.iter_attributes().count())
        != (Some(user), Some(GROUP), 2)
    {
        return Err(Refusal::Subject { found: subject.to_string() });
    }
    let mut asked = BTreeSet::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { return Err(Refusal::Extensions) };
        for name in &names.general_names {
            asked.insert(general_name(name).ok_or(Refusal::Extensions)?);
        }
    }
    let has: BTreeSet<_> = host.addresses.iter().map(IpAddr::to_string).chain([host.name.clone()]).collect();
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    if asked == has { Ok(()) } else { Err(Refusal::Names { asked: list(&asked), has: list(&has) }) }
}

#[cfg(test)]
mod tests;
