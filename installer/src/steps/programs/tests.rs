//! Installs binaries from a real bundle into a directory that stands in for a host's root.

use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use fs_err as fs;
use kbundle_format::head::SignatureCheck;
use kbundle_format::write::{BundleWriter, WriteError};
use kbundle_format::{BundleList, Digest};

use super::*;
use crate::config::ClusterSpec;
use crate::fixture;
use crate::host::SystemCommands;
use crate::join_material::JoinMaterial;
use crate::step_progress::StepProgress;

struct Silent;

impl StepProgress for Silent {
    fn detail(&self, _text: &str) {}
}

/// A component's file in upstream's form, with programs that print their name.
fn upstream_file(component: &str) -> Vec<u8> {
    let names: &[&str] = match component {
        "containerd" => &["bin/containerd", "bin/ctr"],
        "cni-plugins" => &["./bridge", "./host-local"],
        "crictl" => &["crictl"],
        "etcd" => &["etcd-v3.5.6-linux-amd64/etcd", "etcd-v3.5.6-linux-amd64/etcdctl"],
        binary => return format!("the program {binary}").into_bytes(),
    };
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for name in names {
        let content = format!("the program {name}");
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// Writes a bundle with every binary; the content of `damaged` does not match the list.
fn bundle(directory: &Path, damaged: Option<&str>) -> PathBuf {
    let mut list = fixture::list("1.25.2");
    list.images.clear();
    list.entries.retain(|entry| entry.component.is_some());
    let name_of = |entry: &Entry| entry.component.as_ref().unwrap().name.clone();
    for entry in &mut list.entries {
        let content = upstream_file(&name_of(entry));
        (entry.digest, entry.size) = (Digest::of(&content), content.len() as u64);
    }
    let path = directory.join("bundle.tar.zst");
    let mut writer = BundleWriter::new(fs::File::create(&path).unwrap(), 3).unwrap();
    writer.list(&list.to_bytes()).unwrap();
    for entry in &list.entries {
        let name = name_of(entry);
        let mut content = upstream_file(&name);
        if damaged == Some(name.as_str()) {
            // Damages the last byte of gzip's trailer: the archive can be unpacked up to there.
            *content.last_mut().unwrap() ^= 1;
            assert!(matches!(writer.entry(entry, &mut &content[..]), Err(WriteError::Content { .. })));
        } else {
            writer.entry(entry, &mut &content[..]).unwrap();
        }
    }
    writer.finish().unwrap();
    path
}

/// Calls `test` with the step's context: the bundle at `path` and a host below `root`.
fn with_context<T>(path: &Path, root: &Path, test: impl FnOnce(&mut Context<'_>) -> T) -> T {
    let bundle = IndexedBundle::open(path, SignatureCheck::Skipped).unwrap();
    let list: &BundleList = bundle.list();
    let (spec, facts) = (ClusterSpec::default(), fixture::facts());
    let inputs = Inputs { spec: &spec, facts: &facts, list, topology: &fixture::topology() };
    let host = Host::under(root, Box::new(SystemCommands)).unwrap();
    test(&mut Context { host, bundle: &bundle, inputs, material: &JoinMaterial::default(), progress: &Silent })
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_program_is_installed_once_and_a_changed_one_is_noticed() {
    let [files, root] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let path = bundle(files.path(), None);
    let programs = root.path().join("usr/local/bin");
    with_context(&path, root.path(), |context| {
        assert!(matches!(Programs.check(context).unwrap(), Check::Needed(_)));
        Programs.apply(context).unwrap();
        assert_eq!(Programs.check(context).unwrap(), Check::Done);
        let wanted = ["containerd", "crictl", "ctr", "etcd", "etcdctl", "kubeadm", "kubectl", "kubelet", "runc"];
        assert_eq!(names_in(&programs), wanted);
        assert_eq!(names_in(&root.path().join("opt/cni/bin")), ["bridge", "host-local"]);
        assert_eq!(fs::read(programs.join("kubelet")).unwrap(), b"the program kubelet");

        fs::write(programs.join("ctr"), "another program").unwrap();
        let changed = Check::Needed("/usr/local/bin/ctr is missing or was changed".to_owned());
        assert_eq!(Programs.check(context).unwrap(), changed);
        Programs.apply(context).unwrap();
        assert_eq!(fs::read(programs.join("ctr")).unwrap(), b"the program bin/ctr");
    });
}

#[test]
fn nothing_of_a_damaged_entry_appears() {
    for damaged in ["containerd", "runc"] {
        let [files, root] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let path = bundle(files.path(), Some(damaged));
        let error = with_context(&path, root.path(), |context| Programs.apply(context).unwrap_err());
        assert!(format!("{error:#}").contains(&format!("while installing {damaged}")), "{error:#}");
        let there = names_in(&root.path().join("usr/local/bin"));
        let before: &[&str] = if damaged == "runc" { &["containerd", "ctr"] } else { &[] };
        assert_eq!(there, before, "{damaged}");
    }
}

#[test]
fn what_the_bundle_says_of_its_programs_is_what_is_installed() {
    let [files, root] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    with_context(&bundle(files.path(), None), root.path(), |context| {
        let approved = approved::files(context, context.bundle).unwrap();
        assert!(names_in(root.path()).is_empty(), "something was written");
        Programs.apply(context).unwrap();
        assert_eq!(approved.len(), 11);
        for (path, digest) in approved {
            assert_eq!(context.host.digest(&path).unwrap(), Some((digest, approved::MODE)), "{path}");
        }
    });
    let damaged = bundle(files.path(), Some("containerd"));
    with_context(&damaged, root.path(), |context| assert!(approved::files(context, context.bundle).is_err()));
}
