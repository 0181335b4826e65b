//! Judges the certificates of a host. Changes nothing.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::place::{Authority, CertificatePlace, KUBECONFIG_COPY, RenewedBy, places};
use crate::host::Host;
use crate::kubeadm::{Part, credential};
use crate::pki::{Certificate, Signature};
use crate::topology::Member;

/// How a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Valid for longer than the limit, and signed by the authority that should have signed it.
    Good,
    /// Valid, with fewer days left than the limit.
    Expiring,
    /// Its time is over.
    Expired,
    /// Not signed by its authority, or its time has not begun.
    Invalid,
    /// It, or the authority that should have signed it, cannot be read.
    Unknown,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
        }
    }
}

/// A certificate on a host, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateReport {
    /// What it is called; `kinstall certs renew` takes the name where kinstall renews it.
    pub name: String,
    /// The file that holds it.
    pub path: String,
    /// How it is.
    pub state: State,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it says; absent where it cannot be read.
    #[serde(flatten)]
    pub content: Option<Content>,
    /// The file with the certificate of the authority that should have signed it.
    pub authority: String,
    /// Whether that authority signed it; absent where that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Who renews it before it ends.
    pub renewed_by: RenewedBy,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The subject.
    pub subject: String,
    /// DNS names and addresses.
    pub names: Vec<String>,
    /// The issuer.
    pub issuer: String,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// When it ends, such as `2027-11-27T10:00:00Z`.
    pub not_after: String,
    /// Whole days left; negative when it has ended.
    pub days_left: i64,
}

/// From which date on a certificate ends too soon.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time that counts as now.
    pub now: OffsetDateTime,
    /// Fewer days left than these are too few.
    pub warn_days: u32,
}

impl Moment {
    /// The moment by this host's clock.
    #[must_use]
    pub fn now(warn_days: u32) -> Self {
        Self { now: OffsetDateTime::now_utc(), warn_days }
    }
}

/// Looks at every certificate of a host that does `this` in its cluster.
pub fn look(host: &Host, this: &Member, moment: Moment) -> anyhow::Result<Vec<CertificateReport>> {
    let places = places(host, this).context("while looking for certificates")?;
    Ok(places.iter().map(|place| judge(host, place, moment)).collect())
}

/// Looks at the certificate in one place.
#[must_use]
pub fn judge(host: &Host, place: &CertificatePlace, Moment { now, warn_days }: Moment) -> CertificateReport {
    let authority = match &place.authority {
        Authority::File(path) => (*path).to_owned(),
        Authority::Own => place.path.clone(),
    };
    let report = CertificateReport {
        name: place.name.clone(),
        path: place.path.clone(),
        state: State::Unknown,
        problem: None,
        content: None,
        authority,
        verified: None,
        renewed_by: place.renewed_by,
    };
    let chain = match read(host, &place.path) {
        Ok(chain) => chain,
        Err(reason) => return CertificateReport { problem: Some(reason), ..report },
    };
    // There is a first one: an empty chain is an error.
    let certificate = &chain[0];
    let (verified, distrust) = match signature(host, &place.authority, &chain) {
        Ok(Signature::Good) => (Some(true), None),
        Ok(Signature::Foreign) => (Some(false), Some((State::Invalid, "its authority did not sign it".to_owned()))),
        Ok(Signature::UnknownAlgorithm) => {
            (None, Some((State::Unknown, "it is signed by an algorithm that kinstall does not know".to_owned())))
        }
        Err(reason) => (None, Some((State::Unknown, reason))),
    };
    let content = content(certificate, now);
    let (state, problem) = match distrust {
        _ if certificate.ends <= now => (State::Expired, Some(format!("it ended on {}", certificate.ends.date()))),
        Some((state, problem)) => (state, Some(problem)),
        None if certificate.begins > now => {
            (State::Invalid, Some(format!("it is not valid before {}", certificate.begins.date())))
        }
        None if content.days_left < i64::from(warn_days) => {
            (State::Expiring, Some(format!("it ends in {} days", content.days_left)))
        }
        None => (State::Good, None),
    };
    CertificateReport { state, problem, content: Some(content), verified, ..report }
}

fn content(certificate: &Certificate, now: OffsetDateTime) -> Content {
    let ends = certificate.ends;
    Content {
        subject: certificate.subject.clone(),
        names: certificate.names.clone(),
        issuer: certificate.issuer.clone(),
        serial: certificate.serial.clone(),
        not_after: ends.format(&Rfc3339).unwrap_or_else(|_| ends.to_string()),
        days_left: kbundle_format::Moment::of(now).days_until(kbundle_format::Moment::of(ends)),
    }
}

fn signature(host: &Host, authority: &Authority, chain: &[Certificate]) -> Result<Signature, String> {
    let read_authority = match authority {
        Authority::Own => chain.last().cloned(),
        Authority::File(path) => {
            let read = read(host, path).map_err(|reason| format!("the authority in {path}: {reason}"))?;
            read.into_iter().next()
        }
    };
    Ok(read_authority.map_or(Signature::Foreign, |authority| chain[0].signature_by(&authority)))
}

/// The certificates in a PEM file or a kubeconfig: at least one, the holder's first.
pub fn read(host: &Host, path: &str) -> Result<Vec<Certificate>, String> {
    let text = match host.read(path) {
        Ok(Some(text)) => text,
        Ok(None) => return Err("it is not there".to_owned()),
        Err(error) => {
            let error = anyhow::Error::new(error);
            return Err(format!("{error:#}"));
        }
    };
    let pem = if is_kubeconfig(path) { held(host, &text)? } else { text };
    let chain = Certificate::read_all(&pem).filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| "it holds no certificate that can be read".to_owned())
}

/// The client certificate that a kubeconfig contains; `None` if it contains none that can be read.
#[must_use]
pub fn certificate_of(kubeconfig: &str) -> Option<Certificate> {
    let [Part::Here(data), _] = credential(kubeconfig)? else { return None };
    Certificate::read_all(&BASE64.decode(data).ok()?)?.into_iter().next()
}

fn is_kubeconfig(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == "conf") || path.ends_with(KUBECONFIG_COPY)
}

/// The certificate that a kubeconfig contains or names, in PEM.
fn held(host: &Host, kubeconfig: &[u8]) -> Result<Vec<u8>, String> {
    let parts = credential(&String::from_utf8_lossy(kubeconfig));
    match parts {
        Some([Part::Here(data), _]) => {
            BASE64.decode(data).map_err(|_| "its client certificate is not base64".to_owned())
        }
        Some([Part::Elsewhere(path), _]) => {
            let text = host.read(&path).map_err(|error| format!("{path}: {error}"))?;
            text.ok_or_else(|| format!("it names {path}, which is not there"))
        }
        None => Err("it is not a kubeconfig with a client certificate".to_owned()),
    }
}

#[cfg(test)]
mod tests;
