//! What the import does with variables of Kubespray and Ansible.

/// What the import does with variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They become this part of cluster.yaml, or need nothing because kinstall works that way anyway.
    Taken(&'static str),
    /// Left out, for this reason.
    Left(&'static str),
    /// Left out for this reason, unless they are false or empty: kinstall has them switched off anyway.
    LeftWhereOn(&'static str),
}

/// Variables with the same fate. A name may begin or end with `*`.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The names. The first row that has a name decides; a full name takes precedence over a name with `*`.
    pub names: &'static [&'static str],
    /// What becomes of them.
    pub fate: Fate,
}

pub(super) const fn row(names: &'static [&'static str], fate: Fate) -> Row {
    Row { names, fate }
}
