//! Compares the reader with the real Ansible: both answers have to be equal, in all variables and in the resulting hosts.
//!
//! `ci/ansible` runs these tests; `KINSTALL_ANSIBLE` is the Python that has ansible-core.

mod generated;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use kbundle_format::Role;
use serde::Deserialize;
use tempfile::TempDir;

use super::data::Data;
use super::files::{self, VariableFiles};
use super::groups::Groups;
use super::samples::{CASES, LAYOUT};
use super::{Notes, tests::resolver};
use crate::config::{HostSpec, Sudo};

/// How many inventories are generated.
const GENERATED: usize = 500;

/// Ansible's answer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Refused { error: String },
    Read { groups: BTreeMap<String, BTreeSet<String>>, hosts: BTreeMap<String, AnsibleHost> },
}

#[derive(Debug, Deserialize)]
struct AnsibleHost {
    vars: BTreeMap<String, serde_json::Value>,
    r#become: Option<bool>,
    jump: [Option<String>; 2],
}

/// Asks Ansible about all of these inventories at once.
fn ask(paths: &[PathBuf]) -> Vec<Answer> {
    let python = std::env::var("KINSTALL_ANSIBLE")
        .expect("KINSTALL_ANSIBLE names a Python with ansible-core; ./ci/ansible sets it");
    let mut driver = Command::new(&python);
    driver.args(["-c", include_str!("driver.py")]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut driver = driver.spawn().unwrap_or_else(|error| panic!("cannot run {python}: {error}"));
    let mut input = driver.stdin.take().unwrap();
    let lines: Vec<_> = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.concat().as_bytes()));
    let output = driver.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers: Vec<_> = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(answers.len(), paths.len(), "the driver ended early: {errors}");
    answers.into_iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// The hosts of each group.
type Members = BTreeMap<String, BTreeSet<String>>;
/// The variables of each host.
type AllVariables = BTreeMap<String, BTreeMap<String, serde_json::Value>>;

/// The reader's own groups and variables, or the reason why it refuses.
fn own(path: &Path) -> Result<(Members, AllVariables), String> {
    let mut notes = Notes::default();
    let mut data = Data::new();
    files::read(path, &mut data, &mut notes.remarks, &mut notes.problems).map_err(|error| error.to_string())?;
    data.finish(&mut notes.problems);
    notes.problems.none().map_err(|error| error.to_string())?;
    let groups = Groups::new(&data, &mut VariableFiles::beside(path, &mut notes.remarks, &mut notes.problems));
    notes.problems.none().map_err(|error| error.to_string())?;
    let names = groups.assignments().into_keys().cloned().collect::<Vec<_>>();
    let variables = (0..data.hosts.len()).map(|host| {
        let found = names.iter().filter_map(|name| Some((name.clone(), groups.written(host, name)?.value.json())));
        (data.hosts[host].name.clone(), found.collect())
    });
    let members = (0..data.groups.len()).map(|group| {
        let hosts = data.members(group).into_iter().map(|host| data.hosts[host].name.clone()).collect();
        (data.groups[group].name.clone(), hosts)
    });
    Ok((members.collect(), variables.collect()))
}

/// The host that the import makes, in the words of Ansible's answer.
fn expected(name: &str, host: &AnsibleHost, groups: &BTreeMap<String, BTreeSet<String>>) -> HostFacts {
    let text = |names: &[&str]| {
        names.iter().find_map(|name| {
            host.vars.get(*name).filter(|value| !value.is_null()).map(plain).filter(|text| !text.is_empty())
        })
    };
    let connected = text(&["ansible_host"]).unwrap_or_else(|| name.to_owned());
    let address = text(&["ip"]).or_else(|| text(&["access_ip"])).unwrap_or_else(|| connected.clone());
    let is_in = |names: &[&str]| names.iter().filter_map(|group| groups.get(*group)).any(|hosts| hosts.contains(name));
    let mut roles = BTreeSet::new();
    let etcd_apart = groups.get("etcd").is_some_and(|hosts| !hosts.is_empty());
    for (role, names) in [
        (Role::ControlPlane, ["kube_control_plane", "kube-master"]),
        (Role::Etcd, if etcd_apart { ["etcd", "etcd"] } else { ["kube_control_plane", "kube-master"] }),
        (Role::Worker, ["kube_node", "kube-node"]),
    ] {
        if is_in(&names) {
            roles.insert(role);
        }
    }
    let key = text(&["ansible_ssh_private_key_file"]);
    let is_node = roles.contains(&Role::ControlPlane) || roles.contains(&Role::Worker);
    let labels = host.vars.get("node_labels").and_then(serde_json::Value::as_object).filter(|_| is_node);
    let taints = host.vars.get("node_taints").and_then(serde_json::Value::as_array).filter(|_| is_node);
    HostFacts {
        roles,
        address,
        connected,
        port: text(&["ansible_port"]),
        user: text(&["ansible_user"]),
        key,
        r#become: host.r#become,
        jump: host.jump.clone(),
        labels: labels.into_iter().flatten().map(|(key, value)| (key.clone(), plain(value))).collect(),
        taints: taints.into_iter().flatten().map(plain).collect(),
    }
}

/// Python's `str` of a value.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(true) => "True".to_owned(),
        serde_json::Value::Bool(false) => "False".to_owned(),
        serde_json::Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}

/// The values of a host that are compared.
#[derive(Debug, PartialEq)]
struct HostFacts {
    roles: BTreeSet<Role>,
    address: String,
    connected: String,
    port: Option<String>,
    user: Option<String>,
    key: Option<String>,
    r#become: Option<bool>,
    jump: [Option<String>; 2],
    labels: BTreeMap<String, String>,
    taints: Vec<String>,
}

fn imported(host: &HostSpec) -> HostFacts {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    HostFacts {
        roles: host.roles.clone(),
        address: host.address.to_string(),
        connected: host.ssh.address.clone().unwrap_or_else(|| host.address.to_string()),
        port: host.ssh.port.map(|port| port.to_string()),
        user: host.ssh.user.clone(),
        key: path(&host.ssh.key),
        r#become: host.ssh.sudo.map(|sudo| sudo != Sudo::Never),
        jump: [host.ssh.jump.clone(), path(&host.ssh.jump_key)],
        labels: host.labels.clone(),
        taints: host.taints.clone(),
    }
}

/// Compares one inventory; returns whether hosts were compared too.
fn compare(path: &Path, answer: &Answer) -> Result<bool, String> {
    let (groups, hosts) = match (answer, own(path)) {
        (Answer::Refused { .. }, Err(_)) => return Ok(false),
        // A file of a folder that is not an inventory is left out with a note.
        (Answer::Refused { .. }, Ok((_, hosts))) if path.is_dir() && hosts.is_empty() => return Ok(false),
        (Answer::Refused { error }, Ok(_)) => {
            return Err(format!("Ansible refuses it, {error}, and kinstall does not"));
        }
        (Answer::Read { .. }, Err(problems)) => {
            return Err(format!("Ansible takes it, and kinstall refuses: {problems}"));
        }
        (Answer::Read { groups, hosts }, Ok(own)) => {
            let theirs: BTreeMap<_, _> = hosts.iter().map(|(name, host)| (name.clone(), host.vars.clone())).collect();
            equal("groups", groups, &own.0)?;
            equal("variables", &theirs, &own.1)?;
            (groups, hosts)
        }
    };
    let Ok(found) = super::read(path, &resolver) else { return Ok(false) };
    // Kubespray adds the way through a bastion; Ansible does not know it.
    if groups.get("bastion").is_some_and(|hosts| !hosts.is_empty()) {
        return Ok(false);
    }
    let own: BTreeMap<_, _> = found
        .hosts
        .iter()
        .map(|host| (host.name.to_string(), imported(&HostSpec { ssh: host.ssh.or(&found.ssh), ..host.clone() })))
        .collect();
    let theirs: BTreeMap<_, _> = hosts
        .iter()
        .map(|(name, host)| (node_name(name), expected(name, host, groups)))
        .filter(|(_, facts)| !facts.roles.is_empty())
        .collect();
    equal("hosts", &theirs, &own)?;
    Ok(true)
}

/// A host that is named as an address has another name as a node.
fn node_name(name: &str) -> String {
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        format!("node-{}", name.replace('.', "-"))
    } else {
        name.to_owned()
    }
}

/// Compares by name, and shows the names that differ.
fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    theirs: &BTreeMap<String, T>,
    own: &BTreeMap<String, T>,
) -> Result<(), String> {
    let names: BTreeSet<_> = theirs.keys().chain(own.keys()).collect();
    let different = names.into_iter().filter(|name| theirs.get(*name) != own.get(*name));
    let different: Vec<_> = different
        .map(|name| format!("{what} of {name}\nAnsible:  {:?}\nkinstall: {:?}", theirs.get(name), own.get(name)))
        .collect();
    if different.is_empty() { Ok(()) } else { Err(different.join("\n")) }
}

/// Compares all inventories, and shows the first one that differs in full; returns how many describe a cluster.
fn compare_all(paths: &[PathBuf]) -> usize {
    let compared: Vec<_> = paths.iter().zip(&ask(paths)).map(|(path, answer)| (path, compare(path, answer))).collect();
    let different: Vec<_> = compared.iter().filter_map(|(path, result)| Some((path, result.as_ref().err()?))).collect();
    if let Some((path, difference)) = different.first() {
        let folder = if path.is_dir() { path } else { path.parent().unwrap() };
        panic!("{} differ; {}: {difference}\n{}", different.len(), path.display(), contents(folder));
    }
    compared.into_iter().filter(|(_, result)| *result == Ok(true)).count()
}

/// Every file below a folder, as text.
fn contents(folder: &Path) -> String {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = if path.is_dir() { contents(&path) } else { fs::read_to_string(&path).unwrap() };
        texts.push(format!("--- {}\n{text}\n", path.display()));
    }
    texts.concat()
}

fn write(folder: &Path, files: &[(impl AsRef<str>, impl AsRef<str>)]) {
    for (name, text) in files {
        let path = folder.join(name.as_ref());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.as_ref()).unwrap();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
#[ignore = "needs ansible-core: run by ci/ansible"]
fn cases_and_the_sample_layout_are_read_as_ansible_reads_them() {
    let folder = folder();
    for (name, text) in CASES {
        write(&folder.path().join(name), &[(name, text)]);
    }
    let mut paths: Vec<_> = CASES.iter().map(|(name, _)| folder.path().join(name).join(name)).collect();
    write(&folder.path().join("sample"), &LAYOUT);
    paths.extend([folder.path().join("sample"), folder.path().join("sample/inventory.ini")]);
    // All but the two with a bastion in a group.
    assert_eq!(compare_all(&paths), paths.len() - 2);
}

#[test]
#[ignore = "needs ansible-core: run by ci/ansible"]
fn generated_inventories_are_read_as_ansible_reads_them() {
    let folder = folder();
    let mut paths = Vec::new();
    for (number, inventory) in generated::inventories(GENERATED).into_iter().enumerate() {
        let inner = folder.path().join(format!("{number:03}"));
        write(&inner, &inventory.files);
        paths.push(if inventory.as_folder { inner } else { inner.join(&inventory.files[0].0) });
    }
    let whole = compare_all(&paths);
    println!("{GENERATED} inventories: groups and variables equal in all, hosts of the cluster compared in {whole}");
    assert!(whole > GENERATED / 2, "only {whole} of {GENERATED} describe a cluster");
}

/// The driver and `ansible-inventory` give the same answers, so a comparison with the driver is one with `ansible-inventory`.
#[test]
#[ignore = "needs ansible-core: run by ci/ansible"]
fn the_driver_says_what_ansible_inventory_says() {
    let folder = folder();
    write(folder.path(), &LAYOUT);
    let python = PathBuf::from(std::env::var("KINSTALL_ANSIBLE").expect("./ci/ansible sets KINSTALL_ANSIBLE"));
    let program = python.with_file_name("ansible-inventory");
    let output = Command::new(program).arg("-i").arg(folder.path()).arg("--list").output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let answers = ask(&[folder.path().to_owned()]);
    let Answer::Read { hosts, .. } = &answers[0] else { panic!("{answers:?}") };
    for (name, host) in hosts {
        assert_eq!(serde_json::to_value(&host.vars).unwrap(), said["_meta"]["hostvars"][name], "{name}");
    }
    assert_eq!(hosts.len(), 5);
}
