//! The command line: what `--help`, the manual pages and the completions say comes from here.

mod audit;
mod backup;
mod certs;
pub(crate) mod offers;
mod recover;
mod run;
mod support;
mod token;
mod upgrade;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kbundle_cli::CommonArguments;
use kbundle_cli::arguments::{SignatureArguments, VolumeArguments};
use kbundle_cli::completion::CompletionArguments;
use kbundle_cli::documentation::{ManArguments, SchemaArguments};
use kbundle_cli::help::EXIT_CODES;
use kbundle_commands::arguments::{BaseArgs, BundleArgs};
use kbundle_commands::extract::ExtractArgs;
use kbundle_commands::inspect::InspectArgs;
use kbundle_commands::join::JoinArgs;
use kbundle_commands::repair::RepairArgs;
use kbundle_commands::required_audit::RequiredAuditArgs;
use kbundle_commands::sealing::OpeningArgs;
use kbundle_commands::verify::VerifyArgs;
use kbundle_format::KubeVersion;

use crate::config::DnsName;
use crate::preflight::CheckId;
use crate::version::version;

pub use audit::AuditArguments;
pub use backup::{
    BackupArguments, BackupCommand, Interval, MakeArguments, RestoreArguments, ScheduleArguments, SealingArguments,
};
pub use certs::{
    CertsAddSanArguments, CertsCommand, CertsListArguments, CertsRenewArguments, Days, KubeconfigArguments,
    UserCommand, UserLife,
};
pub use kbundle_cli::OutputFormat;
pub use recover::RecoverArguments;
pub use run::RunArguments;
pub use support::SupportArguments;
pub use token::{TimeToLive, TokenCommand, TokenCreateArguments};
pub use upgrade::{DrainTimeout, MaxUnavailable, RollbackArguments, UpgradeArguments};

const RUN_EXAMPLES: &str = "\
Examples:
  kinstall run k8s-1.25.2-amd64.tar.zst --key signing.pub
  kinstall run k8s-1.25.2-amd64.tar.zst --key signing.pub --dry-run
  kinstall run k8s-1.25.2-amd64.tar.zst --key a.pub --key b.pub --threshold 2 --config cluster.yaml
  kinstall run /media/stick1 --volumes /media/stick2 --key signing.pub
  kinstall run update.tar.zst --base k8s-1.25.2-amd64.tar.zst --key signing.pub
  kinstall run k8s-1.25.2-amd64.tar.zst --key signing.pub --require-audit auditor.pub
  kinstall run k8s-1.25.2-amd64.tar.zst --key signing.pub --join worker-3.join.yaml";

const VERIFY_EXAMPLES: &str = "\
Examples:
  kinstall verify k8s-1.25.2-amd64.tar.zst --key signing.pub
  kinstall verify /media/stick1 --volumes /media/stick2 --key signing.pub
  kinstall verify update.tar.zst --base k8s-1.25.2-amd64.tar.zst --key signing.pub";

const JOIN_EXAMPLES: &str = "\
Examples:
  kinstall join /media/stick1 --volumes /media/stick2 --out k8s-1.25.2-amd64.tar.zst
  kinstall join update.tar.zst k8s-1.25.2-amd64.tar.zst --out k8s-1.25.3-amd64.tar.zst";

const MANUAL_EXAMPLES: &str = "\
Examples:
  kinstall manual
  kinstall manual troubleshooting
  kinstall manual how-to/several-hosts
  kinstall manual --out /tmp/manual";

/// Set up Kubernetes from a signed bundle, on this host or on many, without the internet
///
/// Fetches nothing, and uses nothing that is not verified: first the signature of the bundle's list, then the digest of every entry. Only
/// then is the host changed.
#[derive(Debug, Parser)]
#[command(
    name = "kinstall",
    version = version(),
    max_term_width = 100,
    arg_required_else_help = true,
    after_long_help = EXIT_CODES
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The flags that every command takes.
    #[command(flatten)]
    pub common: CommonArguments,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "commands of both programs have their help at their arguments")]
pub enum Command {
    /// Set up a cluster on this host, or on the hosts of cluster.yaml
    ///
    /// Verifies the bundle, runs the preflight checks, says what the installation needs, and then runs one step after another. Each step
    /// first checks whether it is done, so the same command resumes after a failure or a power cut, and changes nothing on a finished host.
    /// The host keeps its configuration: later runs need only the bundle and the key. With a changed cluster.yaml, a run on a standing
    /// cluster shows what differs, refuses what cannot change, and applies the rest.
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Upgrade a cluster to the versions of another bundle
    ///
    /// Upgrades a cluster of this one host, or the hosts of cluster.yaml. First unpacks the new binaries and loads the new images on every
    /// host, and takes a snapshot of etcd; nothing that runs has changed by then. Then upgrades containerd, etcd, the control plane, the
    /// kubelet, the network and the add-ons, each only when the one before is healthy. With several hosts, members of etcd come first, one
    /// by one, then control planes, then workers; each node is drained before its turn. Kubernetes moves up by one minor at most, and never
    /// down. If it is interrupted, run it again to finish.
    #[command(after_long_help = upgrade::EXAMPLES)]
    Upgrade(UpgradeArguments),
    /// Roll back an upgrade that failed or was interrupted, on this host or on the hosts of cluster.yaml
    ///
    /// Works until the upgrade is finished. Restores binaries, configuration and static pods from the copies that the upgrade made first.
    /// On a cluster of one host it also restores the snapshot of etcd, if the former etcd can no longer read the data. Several hosts are
    /// rolled back one after another. Needs no bundle. If it is interrupted, run it again to finish.
    #[command(after_long_help = upgrade::ROLLBACK_EXAMPLES)]
    Rollback(RollbackArguments),
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    #[command(after_long_help = "Examples:\n  kinstall inspect k8s-1.25.2-amd64.tar.zst --key signing.pub")]
    Inspect(InspectArgs),
    #[command(
        after_long_help = "Examples:\n  kinstall extract bundle.tar.zst artifacts/linux-amd64 -C /tmp/programs --key signing.pub"
    )]
    Extract(ExtractArgs),
    #[command(after_long_help = JOIN_EXAMPLES)]
    Join(JoinArgs),
    #[command(after_long_help = "Examples:\n  kinstall repair /media/stick1 /media/stick2")]
    Repair(RepairArgs),
    /// Check whether this host, or the hosts of cluster.yaml, can run a cluster
    ///
    /// Shows all findings together. Each says what was found, what is required and by which source, and what to do. With a bundle it also
    /// checks what that version of Kubernetes requires; without one it says what depends on the version. Changes nothing. Exits with 3 if a
    /// finding would stop an installation.
    #[command(
        after_long_help = "Examples:\n  kinstall preflight\n  kinstall preflight k8s-1.25.2-amd64.tar.zst --key signing.pub --config cluster.yaml"
    )]
    Preflight(PreflightArguments),
    /// Show what is installed on this host, or on the hosts of cluster.yaml, and whether it works
    ///
    /// With cluster.yaml, it also shows in what the file differs from what each host was set up from, as `kinstall run --dry-run` does, and
    /// whether hosts were set up from different bundles. Exits with 0 when on every host the installation is complete, its services run and
    /// the node is ready; with 1 otherwise. Differences do not change the exit code. Changes nothing.
    #[command(
        after_long_help = "Examples:\n  kinstall status\n  kinstall status --deep --output json\n  kinstall status --config cluster.yaml"
    )]
    Status(StatusArguments),
    #[command(after_long_help = audit::EXAMPLES)]
    Audit(AuditArguments),
    /// Remove the cluster from this host, or from all hosts, and restore what was there before
    ///
    /// Stops what runs, removes what was installed, including all data of the cluster, and restores replaced files, kernel settings,
    /// swap and services. If it is interrupted, run it again to finish.
    #[command(after_long_help = "Examples:\n  kinstall reset\n  kinstall reset --all --config cluster.yaml")]
    Reset(ResetArguments),
    /// Remove a host from the cluster, and restore what was there before
    ///
    /// Drains its node, removes its member of etcd and its node, and resets it. Refuses to remove the last control plane or the majority of
    /// etcd. If it is interrupted, run it again to finish.
    #[command(after_long_help = "Examples:\n  kinstall remove worker-3 --config cluster.yaml")]
    Remove(RemoveArguments),
    /// Let a host join this cluster by hand
    #[command(subcommand)]
    Token(TokenCommand),
    /// List and renew certificates, and add names to the API server's
    #[command(subcommand)]
    Certs(CertsCommand),
    /// Write a kubeconfig for the administrator or for a user
    ///
    /// On a control plane, as root. The file holds a secret and is written for root alone. With `--user`, the cluster's authority signs a
    /// client certificate for that user. Roles decide what the user may do. Such a certificate cannot be revoked before it expires.
    #[command(
        after_long_help = "Examples:\n  kinstall kubeconfig --out /root/plant-7.kubeconfig\n  kinstall kubeconfig --user ana --group developers --ttl 30d"
    )]
    Kubeconfig(KubeconfigArguments),
    /// Show who may use the cluster
    #[command(subcommand)]
    User(UserCommand),
    #[command(after_long_help = backup::EXAMPLES)]
    Backup(BackupArguments),
    #[command(after_long_help = backup::RESTORE_EXAMPLES)]
    Restore(RestoreArguments),
    #[command(after_long_help = recover::EXAMPLES)]
    Recover(RecoverArguments),
    /// Collect logs and states for a support case in one file, without secrets
    ///
    /// Versions, states, settings, events and logs of this host, or of all hosts of cluster.yaml: of the kubelet, containerd, etcd, the API
    /// and the system's pods. Each host removes keys, tokens and passwords before it sends anything. Secrets, other objects with settings
    /// of users, and logs of users' pods are not collected. A host that does not answer is named in the file. Changes nothing.
    #[command(
        after_long_help = "Examples:\n  kinstall support\n  kinstall support --config cluster.yaml --hours 72 --out plant-7.tar.zst"
    )]
    Support(SupportArguments),
    /// Write, check and show cluster.yaml, the description of a cluster
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Serve one request of the kinstall that leads, on standard input and output
    #[command(hide = true)]
    Agent,
    /// Look after the images in containerd
    #[command(subcommand, hide = true)]
    Images(ImagesCommand),
    /// Read or unpack the manual, which this program carries
    ///
    /// Lists the pages, prints one, or writes all of them as Markdown. Needs no network.
    #[command(after_long_help = MANUAL_EXAMPLES)]
    Manual(ManualArguments),
    /// Print a completion script for a shell
    #[command(after_long_help = "Examples:\n  kinstall completion bash > /etc/bash_completion.d/kinstall")]
    Completion(CompletionArguments),
    /// Write the manual pages
    ///
    /// One page for the program and one for each command.
    #[command(after_long_help = "Examples:\n  kinstall man /usr/local/share/man/man1")]
    Man(ManArguments),
}

/// What to do with cluster.yaml. None of it needs root or a bundle, and none changes anything.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a cluster.yaml to start from
    ///
    /// Every key is in it, commented out, with its default or an example.
    #[command(after_long_help = "Examples:\n  kinstall config init > cluster.yaml")]
    Init,
    /// Print the JSON Schema of cluster.yaml, or of what a command prints with --output json
    ///
    /// For editors, and for checks in a repository.
    #[command(
        after_long_help = "Examples:\n  kinstall config schema > cluster.schema.json\n  kinstall config schema status > status.schema.json"
    )]
    Schema(SchemaArguments),
    /// Check a cluster.yaml
    ///
    /// Reports all errors together, each with its line and column. Settings that are passed on to Kubernetes are checked against every
    /// minor that kinstall knows, or with `--k8s` against one version. With a bundle it also reports what the bundle lacks. Exits with 2 if
    /// there are errors.
    #[command(
        after_long_help = "Examples:\n  kinstall config validate cluster.yaml\n  kinstall config validate cluster.yaml --k8s 1.36.3\n  kinstall config validate cluster.yaml --bundle k8s-1.25.2-amd64.tar.zst --key signing.pub"
    )]
    Validate(ValidateArguments),
    /// Print a cluster.yaml with every default filled in
    #[command(after_long_help = "Examples:\n  kinstall config print cluster.yaml")]
    Print {
        /// The file.
        file: PathBuf,
    },
    /// Turn another tool's description of a cluster into a cluster.yaml
    ///
    /// Reads Kubespray's inventory (INI, YAML or JSON, or its folder, with `group_vars` and `host_vars`), k0sctl.yaml, the cluster file of
    /// KubeKey, and kubeadm's configuration (v1beta2, v1beta3, v1beta4). Files that kubeadm's configuration names, such as an audit
    /// policy, are looked for beside it, and then at their own paths. The result goes to standard output; what is left out goes to standard
    /// error, with the reason. Passwords are not copied.
    #[command(
        after_long_help = "Examples:\n  kinstall config import inventory/mycluster > cluster.yaml\n  kinstall config import k0sctl.yaml > cluster.yaml\n  kinstall config import kubeadm.yaml > cluster.yaml"
    )]
    Import {
        /// The file or folder.
        file: PathBuf,
    },
    /// Print a configuration for the site's own HAProxy in front of the API servers
    ///
    /// For `api.load-balancer: external`. The output is a complete `/etc/haproxy/haproxy.cfg` for the host that has `api.address`. It uses
    /// only API servers that report that they are ready. Any other load balancer that passes TCP through works as well.
    #[command(after_long_help = "Examples:\n  kinstall config load-balancer --config cluster.yaml > haproxy.cfg")]
    LoadBalancer {
        /// The cluster's description (cluster.yaml)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Take the cluster from Kubespray's inventory, a file or a folder; settings in `--config` win
        #[arg(long, value_name = "PATH")]
        inventory: Option<PathBuf>,
    },
}

/// Arguments of `config validate`.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// The file.
    pub file: PathBuf,
    /// Take the hosts from Kubespray's inventory.ini
    #[arg(long, value_name = "INVENTORY")]
    pub inventory: Option<PathBuf>,
    /// Check for this version of Kubernetes
    #[arg(long = "k8s", value_name = "VERSION")]
    pub kubernetes: Option<KubeVersion>,
    /// Also check whether this bundle has what the file asks for; needs a key
    #[arg(long, value_name = "BUNDLE")]
    pub bundle: Option<PathBuf>,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArguments,
}

/// What to do with images. For the timer that `run` sets up.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ImagesCommand {
    /// Restore images that were removed and cannot be pulled here
    ///
    /// Their content was kept, so only their names are restored. Prints the names that were missing, or nothing.
    Restore,
}

/// The bundle, and whom to trust.
#[derive(Clone, Debug, Args)]
pub struct BundleArguments {
    /// Which bundle.
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Bundles that complete it.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArguments,
    /// Whether it has to have passed an audit.
    #[command(flatten)]
    pub audit: RequiredAuditArgs,
}

/// A bundle that may be left out, and whom to trust.
#[derive(Clone, Debug, Args)]
pub struct OptionalBundleArguments {
    /// The bundle: a file, one of its volumes, or a folder with its volumes
    #[arg(value_name = "BUNDLE")]
    pub place: Option<PathBuf>,
    /// Where further volumes lie.
    #[command(flatten)]
    pub volumes: VolumeArguments,
    /// What opens it where it is sealed.
    #[command(flatten)]
    pub opening: OpeningArgs,
    /// Bundles that complete it.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArguments,
}

impl OptionalBundleArguments {
    /// The arguments as those of a required bundle; `None` if no bundle was given. `audit` says whether the bundle needs an audit that
    /// passed.
    #[must_use]
    pub fn required(&self, audit: RequiredAuditArgs) -> Option<BundleArguments> {
        let place = self.place.clone()?;
        let bundle = BundleArgs { bundle: place, volumes: self.volumes.clone(), opening: self.opening.clone() };
        Some(BundleArguments { bundle, base: self.base.clone(), trust: self.trust.clone(), audit })
    }
}

/// Whose word on a bundle counts.
#[derive(Clone, Debug, Args)]
pub struct TrustArguments {
    /// Trust this public key; repeatable
    #[arg(id = "key", long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// Which signatures count.
    #[command(flatten)]
    pub signatures: SignatureArguments,
}

/// How the hosts of cluster.yaml are worked on.
#[derive(Clone, Debug, Args)]
pub struct HostsArguments {
    /// Work on this many hosts at the same time
    #[arg(long, value_name = "N", default_value = "32")]
    pub parallel: NonZeroUsize,
    /// Read the password for sudo from this file descriptor
    ///
    /// For hosts with `sudo: password`. Without it, the password comes from the variable `KINSTALL_SUDO_PASSWORD`, or from the terminal.
    #[arg(long, value_name = "N")]
    pub sudo_password_fd: Option<u32>,
}

/// Arguments of `preflight`.
#[derive(Debug, Args)]
pub struct PreflightArguments {
    /// The bundle to install, where one is given.
    #[command(flatten)]
    pub bundle: OptionalBundleArguments,
    /// Whether it has to have passed an audit.
    #[command(flatten)]
    pub audit: RequiredAuditArgs,
    /// Read the cluster's description from this file (cluster.yaml); without it, every setting has its default
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take the cluster from Kubespray's inventory, a file or a folder; settings in `--config` win
    #[arg(long, value_name = "PATH")]
    pub inventory: Option<PathBuf>,
    /// How hosts are worked on.
    #[command(flatten)]
    pub hosts: HostsArguments,
    /// Ignore the rejection of this check; repeatable
    #[arg(long = "ignore", value_name = "CHECK")]
    pub ignored: Vec<CheckId>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Also compare the files of every unpacked image with its layers; reads all images
    #[arg(long)]
    pub deep: bool,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Arguments of `reset`.
#[derive(Debug, Args)]
pub struct ResetArguments {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Reset all hosts of cluster.yaml, not only this host
    #[arg(long, requires = "hosts_file")]
    pub all: bool,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub struct RemoveArguments {
    /// The host, by its name in cluster.yaml
    pub host: DnsName,
    /// Remove a host that is lost: leave out the steps that run on it
    #[arg(long)]
    pub dead: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// A cluster of several hosts.
#[derive(Debug, Args)]
#[group(skip)]
pub struct ClusterArguments {
    /// The cluster's description (cluster.yaml), with its hosts
    #[arg(long, value_name = "FILE", group = "hosts_file")]
    pub config: Option<PathBuf>,
    /// Take the hosts from Kubespray's inventory, a file or a folder
    #[arg(long, value_name = "PATH", group = "hosts_file")]
    pub inventory: Option<PathBuf>,
    /// How hosts are worked on.
    #[command(flatten)]
    pub hosts: HostsArguments,
}

/// Arguments of `manual`.
#[derive(Debug, Args)]
pub struct ManualArguments {
    /// The page to print, such as `troubleshooting`; without it, the pages are listed
    #[arg(value_name = "TOPIC", conflicts_with = "out")]
    pub topic: Option<String>,
    /// Write all pages into this folder, which must not exist yet
    #[arg(short = 'o', long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_heading_and_an_example_that_parses() {
        assert_eq!(kbundle_cli::help::findings::<Cli>(), Vec::<String>::new());
    }
}
