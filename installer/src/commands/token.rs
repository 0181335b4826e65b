//! `kinstall token`: letting hosts join by hand.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use kbundle_cli::output;
use kbundle_format::atomic_file::AtomicFile;
use kbundle_format::{Digest, Role};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{require_root, secret_file};
use crate::cli::{OutputFormat, TokenCommand, TokenCreateArguments};
use crate::config::{ClusterSpec, Cni, HostSpec};
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::{Inputs, OwnedInputs};
use crate::join_file::{self, IssueError, JoinFile, Moment, STANDARD_INPUT, cluster_for, foreign_label};
use crate::kubectl::Kubectl;
use crate::kubelet_requests;
use crate::plan::plan;
use crate::records::Records;
use crate::report::{SCHEMA, print_text};
use crate::steps::{ControlPlane, Step, join, network};

pub fn token(command: &TokenCommand, output: OutputFormat) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create(arguments) => create(arguments, output),
    }
}

fn create(arguments: &TokenCreateArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let newcomer = newcomer(arguments)?;
    let place = Destination::choose(arguments)?;
    require_root()?;
    let host = Host::local()?;
    let control_plane = ControlPlaneHost::find(&host)?;
    let cluster = control_plane.cluster_with(&host, &newcomer)?;
    let out = place.open()?;
    let file = control_plane.issue(&host, &newcomer, cluster, arguments)?;
    kubelet_requests::invite(&host, &newcomer)?;
    out.write(&file)?;
    tell(&file, &place, output)?;
    Ok(ExitCode::SUCCESS)
}

/// The host as the command line describes it.
fn newcomer(arguments: &TokenCreateArguments) -> anyhow::Result<HostSpec> {
    let labels = arguments.labels().map_err(|key| anyhow!("the label {key} is given twice")).usage()?;
    let newcomer = HostSpec {
        labels,
        taints: arguments.taints.clone(),
        second_address: arguments.second_address,
        ..HostSpec::new(arguments.host.clone(), arguments.address, [Role::Worker].into())
    };
    match foreign_label(&newcomer) {
        None => Ok(newcomer),
        Some(key) => Err(anyhow!("a host cannot give itself the label {key}: Kubernetes keeps it for administrators"))
            .usage()
            .hint(format!(
                "leave it out, and once the host has joined: `kubectl label node {} {key}=…`",
                arguments.host
            )),
    }
}

/// Where the join file is written.
enum Destination {
    Standard,
    File(PathBuf),
}

/// The same, open.
enum Out {
    Standard,
    File(Box<AtomicFile>),
}

impl Destination {
    fn choose(arguments: &TokenCreateArguments) -> anyhow::Result<Self> {
        let path = arguments.out.clone().unwrap_or_else(|| format!("{}.join.yaml", arguments.host).into());
        if path != Path::new(STANDARD_INPUT) {
            return Ok(Self::File(path));
        }
        if io::stdout().is_terminal() {
            return Err(anyhow!("the join file holds a secret, and standard output is a terminal; nothing was made"))
                .usage()
                .hint("pipe it to the other host, or leave out `--out -` and get a file");
        }
        Ok(Self::Standard)
    }

    /// Opens it before there is a secret to lose.
    fn open(&self) -> anyhow::Result<Out> {
        let Self::File(path) = self else { return Ok(Out::Standard) };
        Ok(Out::File(Box::new(secret_file::begin(path, "the join file")?)))
    }
}

impl Out {
    fn write(self, file: &JoinFile) -> anyhow::Result<()> {
        let written = match self {
            Self::Standard => {
                output::begin_content();
                print_text(&file.text())
            }
            Self::File(mut out) => out.write_all(file.text().as_bytes()).and_then(|()| out.commit_new()),
        };
        written.context("cannot write the join file").hint(
            "its token works until it expires; `kubeadm token list` shows it, and `kubeadm token delete` ends it at once",
        )
    }
}

/// A control plane that can let hosts join its cluster.
struct ControlPlaneHost {
    /// Digest of the list that it was set up from.
    list_digest: Digest,
    gathered: OwnedInputs<'static>,
}

impl ControlPlaneHost {
    fn find(host: &Host) -> anyhow::Result<Self> {
        let elsewhere = "run it on a control plane of the cluster that the host is to join";
        let Some(records) = Records::read_begun(host)? else {
            return Err(anyhow!("kinstall has not set up this host")).refused().hint(elsewhere);
        };
        let (list, _) = records.verified_list()?;
        let list_digest = records.list_digest();
        let (spec, name) = (Cow::Owned(records.spec), records.name.as_deref());
        let gathered = OwnedInputs::gather(host, spec, name, Cow::Owned(list))?;
        let inputs = gathered.inputs();
        if !inputs.has(Role::ControlPlane) {
            return Err(anyhow!("this host, {}, is not a control plane", inputs.node_name())).refused().hint(elsewhere);
        }
        if !host.ledger().is_done(ControlPlane.id()) {
            return Err(anyhow!("the control plane of this host was never completed"))
                .refused()
                .hint("`kinstall run` resumes it");
        }
        Ok(Self { list_digest, gathered })
    }

    /// The cluster as `newcomer` has to know it, if it can join.
    fn cluster_with(&self, host: &Host, newcomer: &HostSpec) -> anyhow::Result<ClusterSpec> {
        let Inputs { spec, facts, list, topology } = self.gathered.inputs();
        let cluster = match cluster_for(spec, topology, newcomer) {
            Err(error @ IssueError::Cluster(_)) => return Err(error).usage(),
            result => refuse_taken(result)?,
        };
        // The facts of the new host are not known yet. Those of this one stand in: both have the bundle's architecture.
        let its = OwnedInputs::about(Cow::Borrowed(&cluster), newcomer.name.as_str(), facts, list)?;
        plan(&its.inputs()).with_context(|| format!("no plan could be made for {}", newcomer.name)).refused()?;
        let api = Kubectl::on(host);
        if let Err(said) = api.readiness()? {
            return Err(anyhow!("the API server does not answer: {said}"))
                .refused()
                .hint("`kinstall status` may say more");
        }
        let nodes =
            api.nodes().with_context(|| format!("it is unknown whether {} is a node already", newcomer.name))?;
        refuse_taken(not_a_node_yet(&nodes, newcomer))?;
        Ok(cluster)
    }

    /// Makes the token and everything that goes with it.
    fn issue(
        &self,
        host: &Host,
        newcomer: &HostSpec,
        cluster: ClusterSpec,
        arguments: &TokenCreateArguments,
    ) -> anyhow::Result<JoinFile> {
        let bridge = cluster.network.cni == Some(Cni::Bridge);
        let pod_networks = if bridge { network::present_networks(host)? } else { [].into() };
        let authority =
            join::authority(host)?.context("this host does not have the certificate of the cluster's authority")?;
        let (created, life) = (Moment::now(), arguments.ttl.duration());
        let purpose = format!("kinstall token create: {} joins by hand", newcomer.name);
        Ok(JoinFile {
            schema: join_file::SCHEMA,
            host: newcomer.name.clone(),
            created,
            expires: created.after(life),
            bundle: self.list_digest,
            credentials: join::credentials(host, &self.gathered.inputs(), life, &purpose)?,
            authority,
            pod_networks,
            cluster,
        })
    }
}

/// Whether none of the cluster's `nodes` has the name or the address of `newcomer`.
fn not_a_node_yet(nodes: &[Value], newcomer: &HostSpec) -> Result<(), IssueError> {
    let address = newcomer.address.to_string();
    for node in nodes {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        if name == newcomer.name.as_str() {
            return Err(IssueError::NameTaken { name: name.to_owned() });
        }
        if node["status"]["addresses"].as_array().into_iter().flatten().any(|found| found["address"] == *address) {
            return Err(IssueError::AddressTaken { address: newcomer.address, holder: name.to_owned() });
        }
    }
    Ok(())
}

fn refuse_taken<T>(result: Result<T, IssueError>) -> anyhow::Result<T> {
    let hint = match &result {
        Err(IssueError::NameTaken { name }) => format!(
            "give another name; a host of cluster.yaml is set up where the cluster is led, and the node of a host that is gone is \
             removed by `kubectl delete node {name}`"
        ),
        Err(IssueError::AddressTaken { .. }) => "give the address of the host that is to join".to_owned(),
        _ => "give the cluster a cluster.yaml with `hosts`, and set it up from there".to_owned(),
    };
    result.map_err(|error| anyhow!("{error}; nothing was made")).refused().hint(hint)
}

/// What was made, for programs. Nothing in it is secret.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JoinFile")]
pub struct Made<'a> {
    schema: u32,
    /// The file, or `-` for standard output.
    file: String,
    host: &'a str,
    address: String,
    expires: Moment,
    /// What to run on the host; `BUNDLE` and `signing.pub` stand for what is carried there.
    command: [&'a str; 7],
    /// Whether kinstall has to run once more on the other hosts, so that they learn the way to the new one's pods.
    run_again_on_others: bool,
}

fn tell(file: &JoinFile, place: &Destination, output: OutputFormat) -> anyhow::Result<()> {
    let host = file.host_spec();
    let path = match place {
        Destination::Standard => Path::new(STANDARD_INPUT),
        Destination::File(path) => path,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let made = Made {
        schema: SCHEMA,
        file: path.display().to_string(),
        host: host.name.as_str(),
        address: host.address.to_string(),
        expires: file.expires,
        command: ["kinstall", "run", "BUNDLE", "--key", "signing.pub", "--join", name.as_ref()],
        run_again_on_others: file.cluster.network.cni == Some(Cni::Bridge),
    };
    let text = match place {
        Destination::Standard => {
            format!("{} can join until {} by what went to standard output", file.host, file.expires)
        }
        Destination::File(_) => made.text(file.cluster.name.as_str()),
    };
    Ok(output::result(output, &text, &made)?)
}

impl Made<'_> {
    fn text(&self, cluster: &str) -> String {
        let again = if self.run_again_on_others { again_on_others(self.host) } else { String::new() };
        format!(
            "{} lets {} ({}) join the cluster {cluster} until {}. It holds a secret.\n\
             Carry it to that host, with kinstall, the bundle and the key, and type there, as root:\n\n  {}\n\n{again}",
            self.file,
            self.host,
            self.address,
            self.expires,
            self.command.join(" "),
        )
    }
}

/// What to do on the other hosts if the network is `bridge`.
pub fn again_on_others(name: &str) -> String {
    format!(
        "Then type `kinstall run BUNDLE --key signing.pub` on every other host, or run kinstall where the cluster is led: the network\n\
         is `bridge`, and they have to learn the way to the pods of {name}.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_addresses_of_nodes_are_taken() {
        let nodes = [json!({"metadata": {"name": "w1"}, "status": {"addresses": [
            {"type": "InternalIP", "address": "192.0.2.11"}, {"type": "Hostname", "address": "host-3"}]}})];
        let newcomer = |name: &str, address: &str| {
            HostSpec::new(name.parse().unwrap(), address.parse().unwrap(), [Role::Worker].into())
        };
        let said = |name, address| not_a_node_yet(&nodes, &newcomer(name, address)).map_err(|error| error.to_string());
        assert_eq!(said("w2", "192.0.2.12"), Ok(()));
        assert_eq!(said("w1", "192.0.2.12").unwrap_err(), "the cluster has a host w1 already");
        assert_eq!(said("w2", "192.0.2.11").unwrap_err(), "192.0.2.11 is the address of w1");
    }
}
