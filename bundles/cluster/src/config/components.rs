//! `api-server`, `controller-manager` and `scheduler` of `cluster.yaml`: flags and volumes of the control plane's programs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fields;

/// Flags of a program, by their names without `--`.
pub type Flags = BTreeMap<String, FlagValue>;

/// The value of a flag, or several if it is given several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct FlagValue(Vec<String>);

impl FlagValue {
    /// Every value, in order; at least one.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }
}

impl From<String> for FlagValue {
    fn from(value: String) -> Self {
        Self(vec![value])
    }
}

impl From<&str> for FlagValue {
    fn from(value: &str) -> Self {
        Self(vec![value.to_owned()])
    }
}

impl FromIterator<String> for FlagValue {
    fn from_iter<I: IntoIterator<Item = String>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A value that no flag can have.
#[derive(Debug, thiserror::Error)]
#[error("a flag takes a text, a number, true or false, or a list of these that is not empty")]
pub struct NoFlagValue;

impl TryFrom<Value> for FlagValue {
    type Error = NoFlagValue;

    fn try_from(value: Value) -> Result<Self, NoFlagValue> {
        let one = |value: Value| match value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(is) => Ok(is.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(NoFlagValue),
        };
        match value {
            Value::Array(values) if !values.is_empty() => values.into_iter().map(one).collect(),
            other => one(other).map(Self::from),
        }
    }
}

impl From<FlagValue> for Value {
    fn from(FlagValue(mut values): FlagValue) -> Self {
        if values.len() == 1 { Self::String(values.remove(0)) } else { values.into() }
    }
}

impl JsonSchema for FlagValue {
    fn schema_name() -> Cow<'static, str> {
        "FlagValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": ["string", "number", "boolean"] });
        json_schema!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
    }
}

/// The API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ApiServer {
    /// Flags, by their names without `--`. A flag that has a key of its own here is refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_args: Flags,
    /// Files and directories of the control planes that it sees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_volumes: Vec<ExtraVolume>,
    /// Features that are switched on or off.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
    /// Users of an `OpenID` Connect provider may log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<Oidc>,
    /// Admission plugins, beside its defaults.
    #[serde(skip_serializing_if = "Admission::is_default")]
    pub admission: Admission,
    /// The site's own audit policy, a document of the kind `Policy`. Default: kinstall's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_policy: Option<Fields>,
    /// Issuers of service account tokens: the first one signs, all are accepted. Default: kubeadm's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_account_issuers: Vec<String>,
    /// The ports of Services on nodes, such as `30000-32767`, which is the default of Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_node_ports: Option<String>,
}

/// The controller manager or the scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Component {
    /// Flags, by their names without `--`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_args: Flags,
    /// Files and directories of the control planes that it sees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_volumes: Vec<ExtraVolume>,
    /// Features that are switched on or off.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
}

/// A file or directory of a control plane that a static pod sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExtraVolume {
    /// Its name in the pod.
    pub name: String,
    /// Its path on the host. The site puts it there, on every control plane.
    pub host_path: String,
    /// Its path in the pod. Default: `host-path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// Whether the program may only read it.
    #[serde(default = "yes")]
    pub read_only: bool,
    /// Kubernetes' type of the `hostPath`, such as `File` or `DirectoryOrCreate`. Default: no check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_type: Option<String>,
}

fn yes() -> bool {
    true
}

/// An `OpenID` Connect provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Oidc {
    /// Its address: a URL that begins with `https://`.
    pub issuer_url: String,
    /// The client id that tokens have to be issued for.
    pub client_id: String,
    /// The claim that names the user. Default: `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_claim: Option<String>,
    /// The prefix of user names; `-` is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_prefix: Option<String>,
    /// The claim that names the user's groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// The prefix of group names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_prefix: Option<String>,
    /// Claims that a token has to have, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub required_claims: BTreeMap<String, String>,
    /// Algorithms that tokens may be signed with. Default: `RS256`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_algs: Vec<String>,
    /// CA certificates that sign for the provider, PEM. Default: those that the API server's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// Admission plugins of the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Admission {
    /// Plugins that are switched on. `NodeRestriction` always is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enable: Vec<String>,
    /// Plugins that are switched off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<String>,
    /// The configuration of plugins, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub configuration: BTreeMap<String, Fields>,
    /// Files that a configuration names, by their names; they are put into `/etc/kubernetes/admission`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

impl Admission {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl ApiServer {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Component {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
