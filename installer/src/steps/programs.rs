//! Installs binaries from the bundle's archives into `/usr/local/bin` and `/opt/cni/bin`.
//!
//! An archive goes through memory once: bundle → gunzip → tar → temporary files. They get their names only after the last byte of the
//! archive was read and its digest matched. `installed.json` records the installed files, so that a check finds a binary that was changed
//! since.

pub mod approved;
mod archive;
mod installed;
pub mod preloaded;

use std::io::{self, Read, Write};
use std::thread;

use anyhow::Context as _;
use kbundle_format::atomic_file::AtomicFile;
use kbundle_format::indexed::IndexedBundle;
use kbundle_format::{ComponentName, Digest, Entry, EntryKind, Hasher};

use super::{Check, Context, Step, needed};
use crate::host::Host;
use crate::inputs::Inputs;
use archive::Selection;
use installed::{Installed, InstalledComponent};

/// The directory for programs that are not the distribution's (FHS 3.0, 4.9).
pub const PROGRAM_DIRECTORY: &str = "/usr/local/bin";
/// The directory in which container runtimes look for CNI plugins.
pub const CNI_DIRECTORY: &str = "/opt/cni/bin";

/// Which files of a component are installed, and where.
const fn selection(component: ComponentName) -> Option<Selection> {
    Some(match component {
        ComponentName::Containerd => Selection::Below { folder: "bin", to: PROGRAM_DIRECTORY },
        ComponentName::Runc => Selection::Itself { to: "/usr/local/bin/runc" },
        ComponentName::CniPlugins => Selection::Below { folder: "", to: CNI_DIRECTORY },
        ComponentName::Crictl => Selection::Named { names: &["crictl"], to: PROGRAM_DIRECTORY },
        ComponentName::Etcd => Selection::Named { names: &["etcd", "etcdctl", "etcdutl"], to: PROGRAM_DIRECTORY },
        ComponentName::Kubelet => Selection::Itself { to: "/usr/local/bin/kubelet" },
        ComponentName::Kubeadm => Selection::Itself { to: "/usr/local/bin/kubeadm" },
        ComponentName::Kubectl => Selection::Itself { to: "/usr/local/bin/kubectl" },
        ComponentName::Helm => Selection::Named { names: &["helm"], to: PROGRAM_DIRECTORY },
        ComponentName::Haproxy | ComponentName::Flannel | ComponentName::Calico => return None,
    })
}

/// The components that this host's roles need, by the bundle's list.
fn wanted<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = (ComponentName, Selection, &'a Entry)> {
    let (list, facts, roles) = (inputs.list, inputs.facts, &inputs.topology.this().roles);
    // helm is needed only if the bundle has charts.
    ComponentName::OF_HOSTS.into_iter().chain([ComponentName::Helm]).filter_map(move |component| {
        let entry = list.component(component, &facts.platform)?;
        (!entry.roles.is_disjoint(roles)).then_some((component, selection(component)?, entry))
    })
}

/// Installs the binaries.
pub struct Programs;

impl Step for Programs {
    fn id(&self) -> &'static str {
        "programs"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let versions =
            wanted(inputs).filter_map(|(component, ..)| Some(format!("{component} {}", inputs.version_of(component)?)));
        format!("install {}", versions.collect::<Vec<_>>().join(", "))
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let installed = Installed::read(&context.host)?;
        for (component, _, entry) in wanted(context) {
            if let Some(flaw) = installed.flaw(&context.host, component, entry)? {
                return needed(flaw);
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let mut installed = Installed::read(&context.host)?;
        // Network add-ons put their own plugins there.
        context.host.claim_tree("/opt/cni")?;
        let inputs = context.inputs;
        for (component, selection, entry) in wanted(&inputs) {
            if installed.flaw(&context.host, component, entry)?.is_none() {
                continue;
            }
            context.progress.detail(&format!("{component} from {}", entry.path));
            let files = install(&mut context.host, context.bundle, entry, &selection, "")
                .with_context(|| format!("while installing {component} from {}", entry.path))?;
            installed.set(component, files);
            installed.write(&mut context.host)?;
        }
        Ok(())
    }
}

/// A binary on its way to the host: hashed while it is written to a temporary file.
pub(crate) struct Incoming {
    path: String,
    file: Hasher<AtomicFile>,
}

impl Incoming {
    /// Starts a program file that will become `path`.
    pub fn start(host: &mut Host, path: String) -> anyhow::Result<Self> {
        let file = Hasher::new(host.stage_file(&path, 0o755)?);
        Ok(Self { path, file })
    }

    /// Renames the file to its path; returns the path with the content's digest.
    fn commit(self) -> anyhow::Result<(String, Digest)> {
        let (digest, _, file) = self.file.finish();
        file.commit().with_context(|| format!("while writing {}", self.path))?;
        Ok((self.path, digest))
    }
}

impl Write for Incoming {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Installs one component, with `root` in front of the paths of its files.
fn install(
    host: &mut Host,
    bundle: &IndexedBundle,
    entry: &Entry,
    selection: &Selection,
    root: &str,
) -> anyhow::Result<InstalledComponent> {
    let incoming = match (selection, entry.kind) {
        (Selection::Itself { to }, EntryKind::Binary) => {
            let mut file = Incoming::start(host, format!("{root}{to}"))?;
            bundle.copy_entry(entry, &mut file)?;
            vec![file]
        }
        (Selection::Below { .. } | Selection::Named { .. }, EntryKind::Archive) => {
            streamed(bundle, entry, |content| {
                archive::extract(content, selection, |path| Incoming::start(host, format!("{root}{path}")))
            })?
        }
        (_, kind) => anyhow::bail!("the bundle has it as {kind:?}, which is not how it is installed"),
    };
    let files = incoming.into_iter().map(Incoming::commit).collect::<anyhow::Result<_>>()?;
    let version = entry.component.as_ref().map(|component| component.version.clone()).unwrap_or_default();
    Ok(InstalledComponent { version, digest: entry.digest, files })
}

/// Passes the content of `entry` to `read` while it is read from the bundle. Returns the result only if the content was complete and its
/// digest right.
fn streamed<T>(
    bundle: &IndexedBundle,
    entry: &Entry,
    read: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (mut reader, mut writer) = io::pipe().context("while making a pipe")?;
    thread::scope(|scope| {
        let copying = scope.spawn(move || bundle.copy_entry(entry, &mut writer));
        let result = read(&mut reader);
        // A reader of an archive stops at the archive's end; the digest covers everything that was sent.
        let rest = result.is_ok().then(|| io::copy(&mut reader, &mut io::sink()));
        drop(reader);
        let copied = copying.join().map_err(|_| anyhow::anyhow!("taking {} out of the bundle failed", entry.path))?;
        let value = result?;
        rest.transpose().context("while reading to the end")?;
        copied?;
        Ok(value)
    })
}

#[cfg(test)]
mod tests;
