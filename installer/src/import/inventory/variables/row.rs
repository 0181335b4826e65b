//! What becomes of variables of Kubespray and Ansible.

/// What becomes of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They become this part of cluster.yaml, or need nothing since kinstall works that way.
    Taken(&'static str),
    /// Left out, for this reason.
    Left(&'static str),
    /// Left out, for this reason, where it is not false or empty: switched off is what kinstall has.
    LeftWhereOn(&'static str),
}

/// Variables with one fate. A name may begin or end with `*`.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The names; the first row that has a name decides, and a whole name is found before one with `*`.
    pub names: &'static [&'static str],
    /// What becomes of them.
    pub fate: Fate,
}

pub(super) const fn row(names: &'static [&'static str], fate: Fate) -> Row {
    Row { names, fate }
}
