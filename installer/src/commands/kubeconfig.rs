//! `kinstall kubeconfig`: a kubeconfig for the administrator, or for a user.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use kbundle_cli::OutputFormat;
use kbundle_cli::output;
use kbundle_format::Moment;
use schemars::JsonSchema;
use serde::Serialize;

use super::{require_root, secret_file};
use crate::certificates::look::certificate_of;
use crate::cli::KubeconfigArguments;
use crate::failure::Advise;
use crate::host::{Command, Host};
use crate::kubeadm::CONFIG_PATH;
use crate::kubeadm::run::PROGRAM;
use crate::kubectl::{ADMIN_KUBECONFIG, Kubectl};
use crate::pki::Certificate;
use crate::report::SCHEMA;
use crate::standing::Standing;
use crate::users::issued::{self, IssuedCertificate};

/// What was made. Nothing in it is secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Kubeconfig")]
pub struct Made {
    schema: u32,
    /// The kubeconfig.
    file: PathBuf,
    /// Whom it is for.
    user: String,
    /// The user's groups.
    groups: Vec<String>,
    /// Where it reaches the API.
    server: String,
    /// When it ends to work.
    not_after: Moment,
}

pub fn kubeconfig(arguments: &KubeconfigArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    require_root()?;
    let host = Host::local()?;
    let standing = Standing::find(&host)?;
    standing.refuse_other_than_control_plane()?;
    let name = arguments.user.as_deref().unwrap_or("admin");
    let path = arguments.out.clone().unwrap_or_else(|| format!("{}.kubeconfig", name.replace(['/', ':'], "-")).into());
    let mut file = secret_file::begin(&path, "the kubeconfig")?;
    let text = match &arguments.user {
        None => host.read_text(ADMIN_KUBECONFIG)?.with_context(|| format!("this host has no {ADMIN_KUBECONFIG}"))?,
        Some(user) => for_user(&host, user, arguments)?,
    };
    let Some(certificate) = certificate_of(&text) else { bail!("the kubeconfig has no client certificate") };
    let made = describe(&text, &certificate, path, arguments)?;
    if let Some(user) = &arguments.user {
        let issued = IssuedCertificate {
            user: user.clone(),
            groups: arguments.groups.clone(),
            serial: certificate.serial.clone(),
            issued: Moment::now(),
            not_after: made.not_after,
            issued_on: standing.inputs().node_name(),
        };
        let noted = issued::note(&Kubectl::on(&host), &certificate.fingerprint(), &issued);
        noted.context("no kubeconfig was written").hint(
            "a credential is only made while the cluster can list it: `kinstall status` shows why the API does not answer",
        )?;
    }
    let written = file.write_all(text.as_bytes()).and_then(|()| file.commit_new());
    written.context("cannot write the kubeconfig")?;
    output::result(output, &tell(&made, arguments.user.is_some())?, &made)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets kubeadm sign a client certificate; kubeadm prints the kubeconfig on its standard output.
fn for_user(host: &Host, user: &str, arguments: &KubeconfigArguments) -> anyhow::Result<String> {
    let mut words = ["kubeconfig", "user"].map(str::to_owned).to_vec();
    words.push(format!("--config={CONFIG_PATH}"));
    words.push(format!("--client-name={user}"));
    words.extend(arguments.groups.iter().map(|group| format!("--org={group}")));
    words.push(format!("--validity-period={}s", arguments.ttl.duration().as_secs()));
    Ok(host.run(&Command::new(PROGRAM, words)).with_context(|| format!("cannot make a kubeconfig for {user}"))?.stdout)
}

/// Describes a kubeconfig to the person who made it.
fn describe(
    text: &str,
    certificate: &Certificate,
    file: PathBuf,
    arguments: &KubeconfigArguments,
) -> anyhow::Result<Made> {
    let config: serde_json::Value = serde_yaml::from_str(text).context("kubeadm wrote no kubeconfig")?;
    let server = config["clusters"][0]["cluster"]["server"].as_str().context("the kubeconfig names no server")?;
    Ok(Made {
        schema: SCHEMA,
        file,
        user: arguments.user.clone().unwrap_or_else(|| "kubernetes-admin".to_owned()),
        groups: arguments.groups.clone(),
        server: server.to_owned(),
        not_after: Moment::of(certificate.ends),
    })
}

fn tell(made: &Made, is_user: bool) -> anyhow::Result<String> {
    let Made { file, user, server, not_after, .. } = made;
    let mut text =
        format!("{} lets {user} use the API at {server} until {not_after}. It holds a secret.\n", file.display());
    if is_user {
        let first = made.groups.first();
        let subject = first.map_or_else(|| format!("--user={user}"), |group| format!("--group={group}"));
        writeln!(
            text,
            "A role says what {user} may do: kubectl create clusterrolebinding {user} --clusterrole=view {subject}"
        )?;
    }
    Ok(text)
}
