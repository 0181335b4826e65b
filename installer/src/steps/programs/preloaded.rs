//! The binaries of an upgrade: unpacked beside those in use, and put in their place one component at a time.

use std::io;

use anyhow::{Context as _, bail};
use kbundle_format::ComponentName;

use super::installed::{Installed, InstalledComponent};
use super::{Incoming, install, wanted};
use crate::steps::Context;

/// The directory of the unpacked binaries; their own paths follow below it.
const ROOT: &str = "/var/lib/kinstall/upgrade/programs";
const RECORD: &str = "/var/lib/kinstall/upgrade/programs.json";

/// A binary that is neither in use nor unpacked, for people.
pub fn missing(context: &Context<'_>) -> anyhow::Result<Option<String>> {
    let (installed, unpacked) = (Installed::read(&context.host)?, Installed::read_at(&context.host, RECORD)?);
    for (component, _, entry) in wanted(context) {
        if installed.flaw(&context.host, component, entry)?.is_some()
            && unpacked.flaw(&context.host, component, entry)?.is_some()
        {
            return Ok(Some(format!("{component} is not unpacked yet")));
        }
    }
    Ok(None)
}

/// Unpacks the binaries that differ from those in use.
pub fn unpack(context: &mut Context<'_>) -> anyhow::Result<()> {
    let installed = Installed::read(&context.host)?;
    let mut unpacked = Installed::read_at(&context.host, RECORD)?;
    let inputs = context.inputs;
    for (component, selection, entry) in wanted(&inputs) {
        if installed.flaw(&context.host, component, entry)?.is_none()
            || unpacked.flaw(&context.host, component, entry)?.is_none()
        {
            continue;
        }
        context.progress.detail(&format!("{component} from {}", entry.path));
        let files = install(&mut context.host, context.bundle, entry, &selection, ROOT)
            .with_context(|| format!("while unpacking {component} from {}", entry.path))?;
        unpacked.set(component, files);
        unpacked.write_at(&mut context.host, RECORD)?;
    }
    Ok(())
}

/// A component of `components` that is not yet in use in the new version, for people.
pub fn pending(context: &Context<'_>, components: &[ComponentName]) -> anyhow::Result<Option<String>> {
    let installed = Installed::read(&context.host)?;
    for (component, _, entry) in wanted(context).filter(|(component, ..)| components.contains(component)) {
        if let Some(flaw) = installed.flaw(&context.host, component, entry)? {
            return Ok(Some(flaw));
        }
    }
    Ok(None)
}

/// Puts the binaries of `components` in place. Each file is replaced as a whole; a running program continues with its former file.
pub fn put_in_place(context: &mut Context<'_>, components: &[ComponentName]) -> anyhow::Result<()> {
    let mut installed = Installed::read(&context.host)?;
    let unpacked = Installed::read_at(&context.host, RECORD)?;
    let inputs = context.inputs;
    for (component, _, entry) in wanted(&inputs).filter(|(component, ..)| components.contains(component)) {
        if installed.flaw(&context.host, component, entry)?.is_none() {
            continue;
        }
        if let Some(flaw) = unpacked.flaw(&context.host, component, entry)? {
            bail!("{component} cannot be put in place: {flaw}");
        }
        let Some(source) = unpacked.get(component) else { continue };
        context.progress.detail(&format!("{component} {}", source.version));
        let placed = copy(context, source).with_context(|| format!("while putting {component} in place"))?;
        installed.set(component, placed);
        installed.write(&mut context.host)?;
    }
    Ok(())
}

/// Copies the files to their own paths; they get their names when all were copied.
fn copy(context: &mut Context<'_>, source: &InstalledComponent) -> anyhow::Result<InstalledComponent> {
    let mut incoming = Vec::new();
    for path in source.files.keys() {
        let target = path.strip_prefix(ROOT).with_context(|| format!("{path} is not below {ROOT}"))?;
        let mut file = Incoming::start(&mut context.host, target.to_owned())?;
        io::copy(&mut context.host.open(path)?, &mut file).with_context(|| format!("while copying {path}"))?;
        incoming.push(file);
    }
    let files = incoming.into_iter().map(Incoming::commit).collect::<anyhow::Result<_>>()?;
    Ok(InstalledComponent { version: source.version.clone(), digest: source.digest, files })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use kbundle_format::{BundleList, Digest};

    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::join_material::JoinMaterial;

    /// Stages a component's binary as [`unpack`] does.
    pub fn stage(bench: &Bench, list: &BundleList, component: ComponentName, name: &str, content: &str) {
        let path = format!("{ROOT}/usr/local/bin/{name}");
        bench.file(path.trim_start_matches('/'), content);
        let file = bench.path(path.trim_start_matches('/'));
        fs_err::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
        let entry = list.component(component, &crate::fixture::platform()).unwrap();
        let files = [(path, Digest::of(content.as_bytes()))].into();
        let mut unpacked = Installed::read_at(&bench.host(), RECORD).unwrap();
        unpacked.set(component, InstalledComponent { version: "new".into(), digest: entry.digest, files });
        unpacked.write_at(&mut bench.host(), RECORD).unwrap();
    }

    #[test]
    fn only_what_is_whole_is_put_in_place() {
        const ETCD: &[ComponentName] = &[ComponentName::Etcd];
        let (bench, cluster) = (Bench::new(), Cluster::of_three_and_two());
        let act = || bench.act_as(&cluster, "c1", &JoinMaterial::default(), |context| put_in_place(context, ETCD));
        let is_pending =
            || bench.look_as(&cluster, "c1", &JoinMaterial::default(), |context| pending(context, ETCD).unwrap());
        bench.file("usr/local/bin/etcd", "the former etcd");
        stage(&bench, &cluster.list, ComponentName::Etcd, "etcd", "the new etcd");
        bench.file(&format!("{}/usr/local/bin/etcd", &ROOT[1..]), "half of it");
        assert!(format!("{:#}", act().unwrap_err()).contains("is missing or was changed"));
        assert_eq!(bench.read("usr/local/bin/etcd"), "the former etcd");
        assert!(is_pending().is_some());
        stage(&bench, &cluster.list, ComponentName::Etcd, "etcd", "the new etcd");
        act().unwrap();
        assert_eq!(bench.read("usr/local/bin/etcd"), "the new etcd");
        assert_eq!(is_pending(), None);
        // The staged files may be gone by now.
        fs_err::remove_dir_all(bench.path(&ROOT[1..])).unwrap();
        act().unwrap();
    }
}
