//! The administrator's kubeconfig for root, and for the user who called kinstall through sudo.

use std::env;

use kbundle_format::Role;

use super::{Check, Context, Step, needed};
use crate::certificates::place::{KUBECONFIG_COPY, kubeconfig_copies};
use crate::host::{Host, Owner};
use crate::inputs::Inputs;
use crate::kubectl::ADMIN_KUBECONFIG;

/// Gives root a kubeconfig.
pub struct Kubeconfig;

impl Step for Kubeconfig {
    fn id(&self) -> &'static str {
        "kubeconfig"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        let caller = caller().map_or("", |_| " and the calling user");
        format!("give root{caller} a kubeconfig")
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let host = &context.host;
        let Some(content) = host.read(ADMIN_KUBECONFIG)? else {
            return needed(format!("{ADMIN_KUBECONFIG} is not there"));
        };
        for account in accounts(host)? {
            let path = account.kubeconfig();
            if !host.has_file(&path, &content, 0o600)? || host.owner(&path)? != Some(account.owner) {
                return needed(format!("{path} is not that of this cluster"));
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let host = &mut context.host;
        let Some(content) = host.read(ADMIN_KUBECONFIG)? else {
            anyhow::bail!("kubeadm left no {ADMIN_KUBECONFIG}");
        };
        for account in accounts(host)? {
            let directory = format!("{}/.kube", account.home);
            let path = account.kubeconfig();
            let is_new = !host.exists(&directory);
            let is_others = host.exists(&path) && !host.ledger().knows(&path);
            host.make_directory(&directory, 0o700)?;
            if is_new {
                host.own(&directory, account.owner)?;
            }
            // kubectl fills the cache as soon as it is used.
            host.claim_tree(&format!("{directory}/cache"))?;
            host.write_file(&path, &content, 0o600)?;
            host.own(&path, account.owner)?;
            if is_others {
                tracing::warn!(%path, "replaced an existing file; `kinstall reset` restores it");
            }
        }
        Ok(())
    }
}

/// Updates the copies of the administrator's kubeconfig; each keeps its owner. A copy that somebody changed stays as it is.
pub fn renew_copies(host: &mut Host) -> anyhow::Result<()> {
    let Some(content) = host.read_text(ADMIN_KUBECONFIG)? else { anyhow::bail!("there is no {ADMIN_KUBECONFIG}") };
    for path in kubeconfig_copies(host) {
        let (Some(copy), Some(owner)) = (host.read_text(&path)?, host.owner(&path)?) else { continue };
        if copy == content {
            continue;
        }
        if without_credential(&copy) != without_credential(&content) {
            tracing::warn!(path, "not renewed: the file was changed; it holds the former credential");
            continue;
        }
        host.write_file(&path, content.as_bytes(), 0o600)?;
        host.own(&path, owner)?;
    }
    Ok(())
}

/// A kubeconfig without its user's credential; `None` for other text.
fn without_credential(kubeconfig: &str) -> Option<serde_yaml::Value> {
    let mut config: serde_yaml::Value = serde_yaml::from_str(kubeconfig).ok()?;
    let user = config.get_mut("users")?.get_mut(0)?.get_mut("user")?.as_mapping_mut()?;
    for part in ["client-certificate-data", "client-key-data"] {
        user.remove(part)?;
    }
    Some(config)
}

/// A user who gets a kubeconfig.
struct Account {
    home: String,
    owner: Owner,
}

impl Account {
    fn kubeconfig(&self) -> String {
        format!("{}{KUBECONFIG_COPY}", self.home)
    }
}

/// The user who called sudo, from sudo's environment variables (sudo(8), ENVIRONMENT).
fn caller() -> Option<u32> {
    env::var("SUDO_UID").ok()?.parse().ok().filter(|&user| user != 0)
}

fn accounts(host: &Host) -> anyhow::Result<Vec<Account>> {
    let passwd = host.read_text("/etc/passwd")?.unwrap_or_default();
    let wanted = [Some(0), caller()];
    Ok(wanted
        .into_iter()
        .flatten()
        .filter_map(|user| find(&passwd, user))
        .filter(|found| host.exists(&found.home))
        .collect())
}

/// A user in the text of `/etc/passwd`. Users of other sources are not found, since this program does not use the libc's lookup.
fn find(passwd: &str, user: u32) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [_, _, id, group, _, home, _] = fields[..] else { return None };
        let owner = Owner { user: id.parse().ok()?, group: group.parse().ok()? };
        (owner.user == user && home.starts_with('/'))
            .then(|| Account { home: home.trim_end_matches('/').to_owned(), owner })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kubeconfig in kubeadm's form, with `credential`.
    fn kubeconfig(credential: &str) -> String {
        crate::fixture::bench::KUBECONFIG.replace("TUlJQg==", credential)
    }

    #[test]
    fn copies_get_the_new_credential_unless_somebody_changed_them() {
        let bench = crate::fixture::bench::Bench::new();
        let mut host = bench.host();
        for home in ["root", "home/ana", "home/eva"] {
            host.write_file(&format!("/{home}{KUBECONFIG_COPY}"), b"", 0o600).unwrap();
        }
        bench.file("etc/kubernetes/admin.conf", &kubeconfig("bmV3"));
        bench.file("root/.kube/config", &kubeconfig("b2xk"));
        bench.file(
            "home/ana/.kube/config",
            &kubeconfig("b2xk").replace("current-context: context", "current-context: mine"),
        );
        bench.file("home/eva/.kube/config", "half a fi");
        renew_copies(&mut host).unwrap();
        assert_eq!(bench.read("root/.kube/config"), kubeconfig("bmV3"));
        assert!(bench.read("home/ana/.kube/config").contains("b2xk"));
        assert_eq!(bench.read("home/eva/.kube/config"), "half a fi");
    }

    #[test]
    fn homes_come_from_the_text_of_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken:x\nana:x:1000:100:Ana,,,:/home/ana/:/bin/sh\n";
        let ana = find(passwd, 1000).unwrap();
        assert_eq!(
            (ana.kubeconfig().as_str(), ana.owner),
            ("/home/ana/.kube/config", Owner { user: 1000, group: 100 })
        );
        assert_eq!(find(passwd, 0).unwrap().home, "/root");
        assert!(find(passwd, 7).is_none());
    }
}
