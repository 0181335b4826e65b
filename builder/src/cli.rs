//! The command line. Help texts, completions and man pages come from here.

mod advisories;
mod audit;
mod catalog;
mod check;
mod composing;
mod connection;
mod diff;
mod images;
pub mod offers;
mod pushing;
mod reading;
mod revocations;
mod sealing;
mod signing;
mod timestamp;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kbundle::mirror::Mirror;
use kbundle::spec::{ImageRequest, LEVELS, SpecFlags};
use kbundle::version_request::VersionRequest;
use kbundle_cli::CommonArguments;
use kbundle_cli::completion::CompletionArguments;
use kbundle_cli::documentation::{ManArguments, SchemaArguments};
use kbundle_cli::help::EXIT_CODES;
use kbundle_commands::arguments::{ForceArgs, PassphraseArgs, SplitArgs};
use kbundle_commands::extract::ExtractArgs;
use kbundle_commands::inspect::InspectArgs;
use kbundle_commands::join::JoinArgs;
use kbundle_commands::repair::RepairArgs;
use kbundle_commands::verify::VerifyArgs;

pub use self::advisories::{AdvisoriesCommand, AdvisoriesPackArgs};
pub use self::audit::{AuditArgs, AuditFormat, JudgingArgs, ReportArgs};
pub use self::catalog::{
    CatalogAddArgs, CatalogCheckArgs, CatalogCommand, CatalogExportArgs, CatalogListArgs, CatalogShowArgs,
};
pub use self::check::CheckArgs;
pub use self::composing::{SplitCommandArgs, SubsetArgs};
pub use self::connection::ConnectionArgs;
pub use self::diff::{DiffArgs, DiffFormat};
pub use self::images::{ImagesCommand, ImagesFindArgs};
pub use self::pushing::PushArgs;
pub use self::reading::{CatArgs, ExportArgs, LicencesArgs, SbomArgs, SbomFormat};
pub use self::revocations::{RevocationsAddArgs, RevocationsCommand, RevocationsShowArgs};
pub use self::sealing::SealArgs;
pub use self::signing::{KeygenArgs, SignArgs};
pub use self::timestamp::{TimestampAddArgs, TimestampCommand, TimestampRequestArgs};
use crate::version::version;

/// Build one signed file with everything a Kubernetes cluster needs
///
/// kbundle fetches pinned Kubernetes programs, container images and add-ons, checks every digest, and packs them into one signed
/// file that kinstall sets up on hosts without internet.
#[derive(Debug, Parser)]
#[command(
    name = "kbundle",
    version = version(),
    max_term_width = 120,
    arg_required_else_help = true,
    after_long_help = EXIT_CODES
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The flags that every command takes.
    #[command(flatten)]
    pub common: CommonArguments,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Build(BuildArgs),
    Lock(LockArgs),
    #[command(subcommand)]
    Catalog(CatalogCommand),
    #[command(subcommand)]
    Images(ImagesCommand),
    #[command(subcommand)]
    Config(ConfigCommand),
    Keygen(KeygenArgs),
    Sign(SignArgs),
    #[command(after_long_help = "Examples:\n  kbundle verify /media/stick1 --volumes /media/stick2 --key signing.pub")]
    Verify(VerifyArgs),
    #[command(after_long_help = "Examples:\n  kbundle inspect k8s-1.25.2-amd64.tar.zst --key signing.pub")]
    Inspect(InspectArgs),
    #[command(
        after_long_help = "Examples:\n  kbundle extract bundle.tar.zst artifacts/linux-amd64 -C /tmp/programs --key signing.pub"
    )]
    Extract(ExtractArgs),
    Cat(CatArgs),
    Sbom(SbomArgs),
    Licences(LicencesArgs),
    Diff(DiffArgs),
    Check(CheckArgs),
    Audit(AuditArgs),
    Report(ReportArgs),
    #[command(subcommand)]
    Advisories(AdvisoriesCommand),
    #[command(subcommand)]
    Revocations(RevocationsCommand),
    #[command(subcommand)]
    Timestamp(TimestampCommand),
    Export(ExportArgs),
    #[command(
        after_long_help = "Examples:\n  kbundle join /media/stick1 --volumes /media/stick2 --out k8s-1.25.2-amd64.tar.zst\n  kbundle join update.tar.zst k8s-1.25.2-amd64.tar.zst --out k8s-1.25.3-amd64.tar.zst"
    )]
    Join(JoinArgs),
    Subset(SubsetArgs),
    Split(SplitCommandArgs),
    #[command(after_long_help = "Examples:\n  kbundle repair /media/stick1 /media/stick2")]
    Repair(RepairArgs),
    Seal(SealArgs),
    Push(PushArgs),
    #[command(after_long_help = "Examples:\n  kbundle completion bash > /etc/bash_completion.d/kbundle")]
    Completion(CompletionArguments),
    #[command(after_long_help = "Examples:\n  kbundle man /usr/local/share/man/man1")]
    Man(ManArguments),
}

/// Build a bundle
///
/// Takes what the catalog pins for a Kubernetes version, fetches it in parallel into a cache, and writes one file. Interrupted downloads
/// resume where they stopped. A build stops at content that does not match its pin.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle build --k8s 1.25.2 --key signing.key\n  kbundle build --k8s 1.25.2 --unsigned --dry-run\n  kbundle build --locked kbundle.lock --key signing.key --split 3900MiB --parity 1"
)]
pub struct BuildArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Refuse to build a bundle that lacks what this cluster needs
    ///
    /// A cluster.yaml as kinstall reads it. The comparison is that of `kbundle check`, and comes before anything is fetched.
    #[arg(long, value_name = "CLUSTER.YAML")]
    pub cluster: Option<PathBuf>,
    /// Sign with this private key
    ///
    /// PKCS#8 in PEM, ECDSA P-256 or Ed25519, as `kbundle keygen` and OpenSSL write it. Repeat it for several signers.
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Build without a signature
    ///
    /// kinstall refuses such a bundle until somebody signs it with `kbundle sign`.
    #[arg(long, conflicts_with = "key")]
    pub unsigned: bool,
    /// Compress at this zstd level, 1 to 22 [default: 9]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(LEVELS))]
    pub level: Option<i32>,
    /// Write the bundle to this file, or - for standard output [default: k8s-VERSION-ARCH.tar.zst]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Build exactly what this lock names
    ///
    /// The catalog is not used. The same lock and level give the same list, byte for byte.
    #[arg(long, value_name = "LOCKFILE", conflicts_with_all = ["catalog", "no_builtin_catalog", "cni", "load_balancer", "addons", "images", "arch", "trust_on_first_use"])]
    pub locked: Option<PathBuf>,
    /// Carry only what this older bundle lacks; repeatable
    ///
    /// The list and its signatures are those of the full bundle. `kbundle join` completes it; `kbundle verify --base` checks it.
    #[arg(long, value_name = "BUNDLE")]
    pub since: Vec<PathBuf>,
    #[command(flatten)]
    pub split: SplitArgs,
    /// Build this bundle again from its own list, and tell whether the result is the same, byte for byte
    ///
    /// Fetches everything in the list and writes nothing. Signatures and attestations come from the bundle.
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["kubernetes", "catalog", "no_builtin_catalog", "cni", "load_balancer", "addons", "images", "arch", "trust_on_first_use", "locked", "key", "level", "out", "force", "since", "split", "dry_run", "cluster"])]
    pub reproduce: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Show what would be fetched, from where, how large it is and what pins it, and change nothing
    ///
    /// It estimates the size of the bundle and of its volumes too, and what disk and memory hosts need. No server is asked without `--ask-sizes`, so
    /// only sizes of what is in a lock or in the cache are known. Key, output, cache and settings are checked as in a
    /// build. Content that nothing pins is shown as well; a build refuses it without `--trust-on-first-use`.
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run, ask servers for the sizes that are unknown
    ///
    /// Web servers are asked for the head of their answer, registries for manifests, which are kept in the cache. A size that no server tells stays
    /// unknown, with the reason.
    #[arg(long, requires = "dry_run")]
    pub ask_sizes: bool,
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Write a lock: every file and blob by digest
///
/// Asks registries for image manifests, but downloads no layers. A lock kept beside bundle.yaml shows in review what changed, and
/// `kbundle build --locked` builds exactly that.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle lock --k8s 1.25.2 --out kbundle.lock")]
pub struct LockArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Write the lock to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE", default_value = "kbundle.lock")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Print a bundle.yaml to start from, or a JSON Schema, or check a bundle.yaml
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a bundle.yaml with every key
    ///
    /// Every key is commented out, with its default or an example.
    #[command(after_long_help = "Examples:\n  kbundle config init > bundle.yaml")]
    Init,
    /// Print the JSON Schema of bundle.yaml, or of what a command prints with --output json
    ///
    /// For editors, and for checks in a repository.
    #[command(
        after_long_help = "Examples:\n  kbundle config schema > bundle.schema.json\n  kbundle config schema verify > verify.schema.json"
    )]
    Schema(SchemaArguments),
    /// Check a bundle.yaml
    ///
    /// Reports all errors of the file together, each with its line and column, and then whether the catalog has what it names. Fetches
    /// nothing.
    #[command(after_long_help = "Examples:\n  kbundle config validate bundle.yaml")]
    Validate {
        /// The file
        #[arg(value_name = "BUNDLE.YAML")]
        file: PathBuf,
    },
}

/// What goes into a bundle.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// Kubernetes version, such as 1.25.2, or 1.25 for the newest of that minor in the catalog
    #[arg(long = "k8s", value_name = "VERSION")]
    pub kubernetes: Option<VersionRequest>,
    /// Read settings from this file; flags win
    ///
    /// `kbundle config init` prints one with every key. Paths in it are relative to it.
    #[arg(short, long, value_name = "BUNDLE.YAML")]
    pub file: Option<PathBuf>,
    /// Architecture of the hosts, amd64 or arm64; repeat for both [default: amd64]
    #[arg(long, value_name = "ARCH")]
    pub arch: Vec<String>,
    #[command(flatten)]
    pub catalogs: CatalogArgs,
    /// Fetch what is at FROM from TO; repeatable
    ///
    /// FROM is a host or registry, TO an http or https address with an optional path. Mirrors of the same FROM are tried in order; FROM
    /// itself is tried only if it is one of them. For a registry without TLS: --mirror HOST=http://HOST. A FROM that neither the catalog
    /// nor the bundle names is refused. Names inside the bundle stay the upstream ones. Example: --mirror
    /// dl.k8s.io=https://mirror.example/dl.k8s.io
    #[arg(long = "mirror", value_name = "FROM=TO")]
    pub mirrors: Vec<Mirror>,
    /// Pod network: an add-on of the catalog, or bridge [default: calico]
    #[arg(long, value_name = "NAME")]
    pub cni: Option<String>,
    /// Load balancer on workers: an add-on of the catalog, or none [default: haproxy, where the catalog has it]
    ///
    /// Workers of several control planes reach the API through it, unless cluster.yaml has `load-balancer: external` or `vip`.
    #[arg(long, value_name = "NAME")]
    pub load_balancer: Option<String>,
    /// Add an add-on of the catalog; repeatable
    #[arg(long = "addon", value_name = "NAME")]
    pub addons: Vec<String>,
    /// Add an image of your own; repeatable
    ///
    /// Reference with digest, registry.example/team/app:1.2@sha256:…, or by digest alone. A tag alone needs --trust-on-first-use. Without
    /// a registry the image is Docker Hub's: nginx:1.27 is docker.io/library/nginx:1.27.
    ///
    /// From a file: NAME=oci:PATH[:TAG] for an OCI image layout (folder or tar), NAME=docker-archive:PATH[:REFERENCE] for what docker save
    /// writes. NAME is what the image is called in the bundle. Example: --add-image registry.example/team/app:1.2=oci:images/app:1.2
    #[arg(long = "add-image", value_name = "REF@DIGEST")]
    pub images: Vec<ImageRequest>,
    /// Accept content that has no pin
    ///
    /// The bundle's list records its digest, and that nothing pinned it. `kbundle lock` pins it for later builds.
    #[arg(long)]
    pub trust_on_first_use: bool,
}

impl SpecArgs {
    pub fn flags(&self) -> SpecFlags {
        SpecFlags {
            kubernetes: self.kubernetes,
            arch: self.arch.clone(),
            cni: self.cni.clone(),
            load_balancer: self.load_balancer.clone(),
            addons: self.addons.clone(),
            images: self.images.clone(),
            mirrors: self.mirrors.clone(),
            trust_on_first_use: self.trust_on_first_use,
        }
    }
}

/// Where versions and pins come from.
#[derive(Clone, Debug, Default, Args)]
pub struct CatalogArgs {
    /// Add versions from this file or directory of *.yaml; repeatable
    ///
    /// Versions and roles in it win over those of the built-in catalog. Two added catalogs must not have the same version of the same
    /// component.
    #[arg(long, value_name = "PATH")]
    pub catalog: Vec<PathBuf>,
    /// Leave the built-in catalog out
    #[arg(long)]
    pub no_builtin_catalog: bool,
}

/// How things are fetched.
#[derive(Debug, Args)]
#[command(next_help_heading = "Fetching")]
pub struct FetchArgs {
    /// Keep downloads here [default: ~/.cache/kbundle]
    ///
    /// Or `$XDG_CACHE_HOME/kbundle`, where that is set.
    #[arg(long, value_name = "DIR", env = "KBUNDLE_CACHE")]
    pub cache: Option<PathBuf>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_manual_shows_commands_that_exist() {
        let wrong = kbundle_manual::examples::wrong_commands(&Arguments::command());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_command_has_a_heading_and_an_example_that_parses() {
        assert_eq!(kbundle_cli::help::findings::<Arguments>(), Vec::<String>::new());
    }
}
