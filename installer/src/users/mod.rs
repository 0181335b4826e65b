//! Who may use the API: the users who have certificates from kinstall ([`issued`]), and those with all rights ([`administrators`]).

pub mod administrators;
pub mod issued;

use std::cmp::Reverse;

use kbundle_format::{Digest, Moment};
use schemars::JsonSchema;
use serde::Serialize;

use self::administrators::AdministratorBinding;
use self::issued::{IssuedCertificate, Kept};

/// The group of every user whom the API server knows (staging/src/k8s.io/apiserver/pkg/authentication/user/user.go).
const EVERYBODY: &str = "system:authenticated";

/// A certificate that kinstall had signed for a user, and what it is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserReport {
    /// What was noted when it was signed.
    #[serde(flatten)]
    pub issued: IssuedCertificate,
    /// SHA-256 of the certificate, as audit logs of Kubernetes 1.32 and later name it (`X509SHA256`).
    pub fingerprint: Digest,
    /// Whole days left; negative when it has ended.
    pub days_left: i64,
    /// The bindings by which the user may do everything in the cluster.
    pub administrator_by: Vec<String>,
}

/// The users of `kept` with their rights, sorted so that the latest end of a certificate comes first.
#[must_use]
pub fn report(kept: &Kept, administrators: &[AdministratorBinding], now: Moment) -> Vec<UserReport> {
    let report = |(fingerprint, issued): (&Digest, &IssuedCertificate)| {
        let groups: Vec<_> = issued.groups.iter().map(String::as_str).chain([EVERYBODY]).collect();
        let binds = |binding: &&AdministratorBinding| binding.binds(&issued.user, &groups);
        UserReport {
            issued: issued.clone(),
            fingerprint: *fingerprint,
            days_left: now.days_until(issued.not_after),
            administrator_by: administrators.iter().filter(binds).map(|binding| binding.name.clone()).collect(),
        }
    };
    let mut users: Vec<_> = kept.certificates.iter().map(report).collect();
    users.sort_by_key(|user| (Reverse(user.issued.not_after), user.issued.user.clone()));
    users
}
