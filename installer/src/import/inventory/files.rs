//! The files of an inventory: a single file, or the files of a folder, and `group_vars` and `host_vars` beside them.
//!
//! Source: `inventory/manager.py`, `plugins/vars/host_group_vars.py` and `parsing/dataloader.py` of ansible-core 2.19.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use kbundle_format::text_file;

use super::data::{Data, Variable, Variables};
use super::value::Node;
use super::{ini, tree, yaml};
use crate::import::{ImportError, Remarks, SourceLine};

/// Endings of files in a folder that are not inventories.
const IGNORED_ENDS: [&str; 12] =
    [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];
/// Endings of files of variables, in the order in which Ansible looks for them.
const VARIABLE_ENDS: [&str; 4] = ["", ".yml", ".yaml", ".json"];
const VAULT: &str = "$ANSIBLE_VAULT;";
/// A limit on nested folders; inventories are less deep.
const DEEPEST: usize = 8;

const ASK_ANSIBLE: &str =
    "let Ansible write it out, `ansible-inventory -i FILE --list --yaml --output hosts.yaml`, and give that file";

/// Reads an inventory, a file or a folder, into `data`.
pub(super) fn read(
    path: &Path,
    data: &mut Data,
    remarks: &mut Remarks,
    problems: &mut Remarks,
) -> Result<(), ImportError> {
    if path.is_dir() {
        return folder(path, "", data, remarks, 0);
    }
    let text = text_file::read(path)?;
    one(&text, path, &"".into(), data, remarks, problems);
    Ok(())
}

/// Reads every file of a folder that is an inventory. Other files are left out with a note, as Ansible does.
fn folder(path: &Path, name: &str, data: &mut Data, remarks: &mut Remarks, depth: usize) -> Result<(), ImportError> {
    for entry in entries(path)? {
        let ignored = IGNORED_ENDS.iter().any(|end| entry.ends_with(end))
            || entry.starts_with('.')
            || ["group_vars", "host_vars", "vars_plugins"].contains(&entry.as_str());
        if ignored {
            continue;
        }
        let (inner, shown) = (path.join(&entry), format!("{name}{entry}"));
        if inner.is_dir() {
            if depth < DEEPEST {
                folder(&inner, &format!("{shown}/"), data, remarks, depth + 1)?;
            }
            continue;
        }
        let file: Arc<str> = shown.as_str().into();
        let place = SourceLine { file: file.clone(), line: 0 };
        let (mut wrong, mut whole) = (Remarks::default(), data.clone());
        match text_file::read(&inner) {
            Ok(text) => one(&text, &inner, &file, &mut whole, remarks, &mut wrong),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => wrong.add(&place, "it is not text"),
            Err(error) => return Err(error.into()),
        }
        match wrong.none() {
            Err(ImportError::Problems { problems }) => {
                let message = format!("this file is not an inventory and is left out: {}", problems[0].message);
                remarks.add(problems[0].places.first().unwrap_or(&place), message);
            }
            other => {
                other?;
                *data = whole;
            }
        }
    }
    Ok(())
}

/// The names in a folder, sorted.
fn entries(path: &Path) -> Result<Vec<String>, ImportError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Reads one file: as YAML or JSON if its ending says so, as INI if it has another ending, and by its content if it has no ending.
fn one(text: &str, path: &Path, file: &Arc<str>, data: &mut Data, remarks: &mut Remarks, problems: &mut Remarks) {
    let place = SourceLine { file: file.clone(), line: 0 };
    let end = path.extension().and_then(|end| end.to_str());
    if text.starts_with("#!") {
        return problems.add(&place, format!("it is a program that prints an inventory; {ASK_ANSIBLE}"));
    }
    if text.starts_with(VAULT) {
        return problems
            .add(&place, "it is encrypted by `ansible-vault`; decrypt it for the import (`ansible-vault decrypt`)");
    }
    match (end, yaml::load(text)) {
        (Some("toml"), _) => problems.add(&place, format!("inventories in TOML are not read; {ASK_ANSIBLE}")),
        (Some("yml" | "yaml" | "json"), Ok(Some(whole))) => whole_tree(&whole, file, data, remarks, problems),
        (None, Ok(Some(whole))) if whole.value.entries().is_some() => whole_tree(&whole, file, data, remarks, problems),
        (Some("yml" | "yaml" | "json"), Err(error)) => {
            problems.add(
                &SourceLine { file: file.clone(), line: error.line },
                format!("it is not valid YAML: {}", error.message),
            );
        }
        // An empty file.
        (Some("yml" | "yaml" | "json"), Ok(None)) => {}
        _ => ini::read(text, file, data, problems),
    }
}

fn whole_tree(whole: &Node, file: &Arc<str>, data: &mut Data, remarks: &mut Remarks, problems: &mut Remarks) {
    let place = SourceLine { file: file.clone(), line: whole.line };
    if whole.value.get("plugin").is_some() {
        return problems.add(&place, format!("it configures a plugin that makes an inventory; {ASK_ANSIBLE}"));
    }
    if whole.value.get("_meta").is_some() {
        let message = "it is what `ansible-inventory --list` prints, which Ansible itself does not read; add `--yaml`";
        return problems.add(&place, message);
    }
    tree::read(whole, file, data, remarks, problems);
}

/// Reads the text of an inventory that has no file: as YAML or JSON if it is a mapping, or else as INI.
pub(super) fn read_text(text: &str, data: &mut Data, remarks: &mut Remarks, problems: &mut Remarks) {
    one(text, Path::new("inventory"), &"".into(), data, remarks, problems);
}

/// The owner of a file of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Group,
    Host,
}

/// The files of variables beside an inventory.
pub(super) struct VariableFiles<'a> {
    /// The folder that contains `group_vars` and `host_vars`; `None` for a text without a file.
    folder: Option<PathBuf>,
    remarks: &'a mut Remarks,
    problems: &'a mut Remarks,
}

impl<'a> VariableFiles<'a> {
    pub(super) fn beside(path: &Path, remarks: &'a mut Remarks, problems: &'a mut Remarks) -> Self {
        let folder = if path.is_dir() { path.to_owned() } else { path.with_file_name("") };
        Self { folder: Some(folder), remarks, problems }
    }

    pub(super) fn none(remarks: &'a mut Remarks, problems: &'a mut Remarks) -> Self {
        Self { folder: None, remarks, problems }
    }

    /// The variables from the files of a group or host: from a folder of its name, or else from one file of its name.
    pub(super) fn load(&mut self, kind: Kind, name: &str) -> Variables {
        let mut variables = Variables::new();
        let Some(folder) = &self.folder else { return variables };
        // A name with `/` would lead out of the folder.
        if name.contains('/') || [".", ".."].contains(&name) {
            return variables;
        }
        let base = match kind {
            Kind::Group => "group_vars",
            Kind::Host => "host_vars",
        };
        let mut found = Vec::new();
        for end in VARIABLE_ENDS {
            let (shown, path) = (format!("{base}/{name}{end}"), folder.join(base).join(format!("{name}{end}")));
            if path.is_dir() {
                if let Err(error) = files_below(&path, &shown, &mut found, 0) {
                    self.problems.add(&SourceLine { file: shown.into(), line: 0 }, error.to_string());
                }
                break;
            } else if path.is_file() {
                found.push((shown, path));
                break;
            }
        }
        for (shown, path) in found {
            self.file(&shown, &path, &mut variables);
        }
        variables
    }

    fn file(&mut self, shown: &str, path: &Path, variables: &mut Variables) {
        let file: Arc<str> = shown.into();
        let place = SourceLine { file: file.clone(), line: 0 };
        let text = match text_file::read(path) {
            Ok(text) => text,
            Err(error) => return self.problems.add(&place, format!("it cannot be read: {error}")),
        };
        if text.starts_with(VAULT) {
            let message = "it is encrypted by `ansible-vault` and not read; what it says is unknown to kinstall";
            return self.remarks.add(&place, message);
        }
        match yaml::load(&text) {
            Ok(None) => {}
            Ok(Some(Node { value, line })) => match value.entries() {
                Some(entries) => {
                    for (name, node) in entries {
                        let place = SourceLine { file: file.clone(), line: node.line };
                        variables.insert(name.clone(), Variable { value: node.value.clone(), place });
                    }
                }
                None => {
                    self.problems.add(&SourceLine { file, line }, "a file of variables is a mapping, `name: value`");
                }
            },
            Err(error) => {
                self.problems
                    .add(&SourceLine { file, line: error.line }, format!("it is not valid YAML: {}", error.message));
            }
        }
    }
}

/// The files of variables in a folder and those below it, sorted.
fn files_below(path: &Path, shown: &str, found: &mut Vec<(String, PathBuf)>, depth: usize) -> Result<(), ImportError> {
    for entry in entries(path)? {
        if entry.starts_with('.') || entry.ends_with('~') || depth > DEEPEST {
            continue;
        }
        let (inner, shown) = (path.join(&entry), format!("{shown}/{entry}"));
        let end = Path::new(&entry).extension().map_or_else(String::new, |end| format!(".{}", end.to_string_lossy()));
        if inner.is_dir() && end.is_empty() {
            files_below(&inner, &shown, found, depth + 1)?;
        } else if inner.is_file() && VARIABLE_ENDS.contains(&end.as_str()) {
            found.push((shown, inner));
        }
    }
    Ok(())
}
