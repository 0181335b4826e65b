//! `kinstall user`.

use std::fmt::Write as _;
use std::process::ExitCode;

use kbundle_cli::OutputFormat;
use kbundle_cli::output;
use kbundle_format::Moment;
use schemars::JsonSchema;
use serde::Serialize;

use super::require_root;
use crate::cli::UserCommand;
use crate::host::Host;
use crate::kubectl::Kubectl;
use crate::report::SCHEMA;
use crate::standing::Standing;
use crate::users::administrators::AdministratorBinding;
use crate::users::issued::Kept;
use crate::users::{self, UserReport};

/// Who has a certificate, and who may do everything.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserList {
    schema: u32,
    /// The certificates that kinstall had signed for users, those that end last first. They stay here for 90 days after their end.
    users: Vec<UserReport>,
    /// The cluster-wide bindings by which somebody may do everything.
    administrators: Vec<AdministratorBinding>,
    /// Keys of the `ConfigMap` `kube-system/kinstall-users` whose content is not kinstall's.
    unreadable: Vec<String>,
}

pub fn user(command: &UserCommand, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let UserCommand::List = command;
    require_root()?;
    let host = Host::local()?;
    Standing::find(&host)?.refuse_other_than_control_plane()?;
    let api = Kubectl::on(&host);
    let (kept, administrators) = (Kept::read(&api)?, AdministratorBinding::read_all(&api)?);
    let users = users::report(&kept, &administrators, Moment::now());
    let list = UserList { schema: SCHEMA, users, administrators, unreadable: kept.unreadable };
    output::result(output, &describe(&list), &list)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(list: &UserList) -> String {
    let mut text = String::new();
    for UserReport { issued, days_left, administrator_by, .. } in &list.users {
        let groups = if issued.groups.is_empty() { "no groups".to_owned() } else { issued.groups.join(", ") };
        let left = if *days_left < 0 { "ended".to_owned() } else { format!("{days_left} d") };
        let admin = match administrator_by.as_slice() {
            [] => String::new(),
            bindings => format!("; may do everything by {}", bindings.join(", ")),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} ({groups})  {left}, until {}{admin}", issued.user, issued.not_after);
    }
    if list.users.is_empty() {
        text.push_str("kinstall noted no certificate of a user\n");
    }
    text.push_str("may do everything in the cluster, by binding:\n");
    for AdministratorBinding { name, role, subjects } in &list.administrators {
        let subjects: Vec<_> = subjects.iter().map(ToString::to_string).collect();
        let subjects = if subjects.is_empty() { "nobody".to_owned() } else { subjects.join(", ") };
        let _ = writeln!(text, "  {name} (role {role}): {subjects}");
    }
    if !list.unreadable.is_empty() {
        let _ = writeln!(
            text,
            "not kinstall's in the ConfigMap kube-system/kinstall-users: {}",
            list.unreadable.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use kbundle_format::Digest;

    use super::*;
    use crate::users::administrators::Subject;
    use crate::users::issued::IssuedCertificate;

    fn issued(user: &str, groups: &[&str], not_after: &str) -> IssuedCertificate {
        IssuedCertificate {
            user: user.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            serial: "7f".to_owned(),
            issued: "2026-11-01T00:00:00Z".parse().unwrap(),
            not_after: not_after.parse().unwrap(),
            issued_on: "c1".to_owned(),
        }
    }

    #[test]
    fn users_are_told_with_their_end_and_who_may_do_everything() {
        let subject =
            |kind: &str, name: &str| Subject { kind: kind.to_owned(), namespace: None, name: name.to_owned() };
        let binding = |name: &str, role: &str, subjects: Vec<Subject>| AdministratorBinding {
            name: name.to_owned(),
            role: role.to_owned(),
            subjects,
        };
        let administrators = vec![
            binding("cluster-admin", "cluster-admin", vec![subject("Group", "system:masters")]),
            binding("ops", "site-admin", vec![subject("Group", "ops"), subject("User", "eve")]),
            binding("left", "cluster-admin", vec![]),
        ];
        let certificates = [
            (Digest::of(b"1"), issued("eve", &[], "2026-11-27T00:00:00Z")),
            (Digest::of(b"2"), issued("ana", &["dev", "ops"], "2026-12-28T12:00:00Z")),
            (Digest::of(b"3"), issued("bob", &["dev"], "2026-12-01T00:00:00Z")),
        ];
        let kept = Kept { certificates: certificates.into(), unreadable: vec!["by-hand".to_owned()] };
        let users = users::report(&kept, &administrators, "2026-11-28T00:00:00Z".parse().unwrap());
        let list = UserList { schema: SCHEMA, users, administrators, unreadable: kept.unreadable };
        insta::assert_snapshot!(describe(&list), @"
        ana (dev, ops)  30 d, until 2026-12-28T12:00:00Z; may do everything by ops
        bob (dev)  3 d, until 2026-12-01T00:00:00Z
        eve (no groups)  ended, until 2026-11-27T00:00:00Z; may do everything by ops
        may do everything in the cluster, by binding:
          cluster-admin (role cluster-admin): Group system:masters
          ops (role site-admin): Group ops, User eve
          left (role cluster-admin): nobody
        not kinstall's in the ConfigMap kube-system/kinstall-users: by-hand
        ");
        let none = UserList { schema: SCHEMA, users: vec![], administrators: vec![], unreadable: vec![] };
        assert!(describe(&none).starts_with("kinstall noted no certificate of a user\n"));
    }
}
