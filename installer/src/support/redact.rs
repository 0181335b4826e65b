//! Removes secrets from text: text that looks like a secret, by its form or by the name before it, and every secret that this host keeps in
//! a file.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use regex::{Captures, Regex};

use crate::etcd_layout;
use crate::host::Host;
use crate::kubeadm::DIRECTORY;

/// Replaces a secret.
pub const REMOVED: &str = "[removed]";
/// Shorter values are too common to search for everywhere.
const SHORTEST_SECRET: usize = 16;

/// Names of secret values, as the end of a key: `client-key-data`, `bootstrapToken`, `password`.
const NAMES: &str = "password|passwd|passphrase|secret|secret-?key|token|client-key-data|key-data|certificate-?key|private-?key|identity-?token|api-?key|credentials?";

/// In each form, the group `keep` stays and the rest is removed.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let value = r#"(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,;}\]{\[][^\s,;}\]]*)"#;
    [
        // A key in PEM, even if its begin or end was cut off.
        r"(?s)(?P<keep>)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)".to_owned(),
        r"\A(?P<keep>)[A-Za-z0-9+/=\s]*-----END [A-Z ]*PRIVATE KEY-----".to_owned(),
        // Bearer and Basic, in headers and in the output of `curl -v`.
        r#"(?i)(?P<keep>authorization["']?\s*[:=]\s*["']?(?:bearer|basic|token)\s+)[^\s"']+"#.to_owned(),
        // YAML, JSON, TOML, variables: `password: x`, `"token":"x"`, `auth = "x"`.
        format!(r#"(?i)(?P<keep>[\w.\-/]*(?:{NAMES})["']?[ \t]*[:=][ \t]*){value}"#),
        format!(r#"(?i)(?P<keep>(?:^|[\s{{,"'])auth["']?[ \t]*[:=][ \t]*){value}"#),
        // Flags with a space: `--token x`.
        format!(r"(?i)(?P<keep>--[\w\-]*(?:{NAMES})[ \t]+)[^\s-]\S*"),
        // Users and passwords in URLs.
        r"(?P<keep>\b[a-zA-Z][a-zA-Z0-9+.\-]*://)[^/\s:@]+:[^/\s@]+@".to_owned(),
        // Bootstrap tokens, and signed JSON (service accounts, OIDC).
        r"(?P<keep>\b)[a-z0-9]{6}\.[a-z0-9]{16}\b".to_owned(),
        r"(?P<keep>\b)eyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]{8,}".to_owned(),
    ]
    .iter()
    .map(|form| Regex::new(form).expect("the forms are right"))
    .collect()
});

/// Knows what is secret on a host.
pub struct Redactor {
    known: Vec<String>,
}

impl Redactor {
    /// Knows every secret that Kubernetes and etcd keep in files of `host`. For a file that cannot be read, only the forms apply.
    pub fn knowing(host: &Host) -> Self {
        let mut known = BTreeSet::new();
        let mut learn = |path: &str| {
            let Ok(Some(text)) = host.read_text(path) else { return };
            known.extend(secrets_in(&text));
        };
        for directory in [
            DIRECTORY,
            "/etc/kubernetes/pki",
            "/etc/kubernetes/pki/etcd",
            etcd_layout::PKI_DIRECTORY,
            "/var/lib/kubelet/pki",
        ] {
            for name in host.names_in(directory).unwrap_or_default() {
                let is_secret = [".key", ".conf", ".pem", ".yaml"].iter().any(|ending| name.ends_with(ending));
                if is_secret {
                    learn(&format!("{directory}/{name}"));
                }
            }
        }
        // The longest first, so that no part of one is left over.
        let mut known: Vec<_> = known.into_iter().collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { known }
    }

    /// The text without secrets, and how many were removed.
    pub fn clean(&self, text: &str) -> (String, usize) {
        let mut removed = 0;
        let mut text = text.to_owned();
        for form in FORMS.iter() {
            let cleaned = form.replace_all(&text, |found: &Captures<'_>| {
                let (keep, whole) = (&found["keep"], &found[0]);
                let rest = &whole[keep.len()..];
                if is_plain(rest) {
                    return whole.to_owned();
                }
                removed += 1;
                let host_follows = if rest.ends_with('@') { "@" } else { "" };
                format!("{keep}{REMOVED}{host_follows}")
            });
            text = cleaned.into_owned();
        }
        for secret in &self.known {
            let count = text.matches(secret.as_str()).count();
            if count > 0 {
                removed += count;
                text = text.replace(secret.as_str(), REMOVED);
            }
        }
        (text, removed)
    }
}

/// Whether a value is not a secret despite its name: empty, a switch, or the path of a file that holds the secret.
fn is_plain(value: &str) -> bool {
    let inner = value.trim_matches(['"', '\'']);
    ["", "true", "false", "null", "{}", "[]", "|", "<none>", "<nil>", REMOVED].contains(&inner)
        || inner == REMOVED.trim_end_matches(']')
        || inner.starts_with('/')
}

/// The secrets in a file of Kubernetes: lines of private keys, and values in kubeconfigs and in the encryption of Secrets.
fn secrets_in(text: &str) -> BTreeSet<String> {
    static VALUES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?m)^[\s\-]*(?:client-key-data|token|secret|certificateKey):[ \t]*["']?([^\s"']+)"#)
            .expect("the form is right")
    });
    let mut found = BTreeSet::new();
    let mut in_key = false;
    let mut whole = String::new();
    for line in text.lines() {
        if line.starts_with("-----BEGIN") && line.contains("PRIVATE KEY") {
            (in_key, whole) = (true, String::new());
        }
        if in_key {
            whole.push_str(line);
            whole.push('\n');
            if !line.starts_with("-----") {
                found.insert(line.trim().to_owned());
            }
        }
        if in_key && line.starts_with("-----END") {
            in_key = false;
            // The form in kubeconfigs and Secrets.
            found.insert(BASE64_STANDARD.encode(&whole));
        }
    }
    found.extend(VALUES.captures_iter(text).map(|value| value[1].to_owned()));
    found.retain(|secret| secret.len() >= SHORTEST_SECRET && !secret.starts_with('/'));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::bench::Bench;

    fn of_nothing() -> Redactor {
        Redactor { known: Vec::new() }
    }

    #[test]
    fn what_looks_like_a_secret_goes_and_the_rest_stays() {
        let text = r#"token: 0a1b2c.0123456789abcdef
certificateKey: "aaaabbbb"
    client-key-data: TUlJQg==
--token=abc --certificate-key 00ff --v=2
{"auth":"dXNlcjpwYXNz","username":"u"}
auth = "dXNlcjpwYXNz"
Authorization: Bearer opaque-value
http_proxy=http://user:pass@proxy.example:3128/
join with 0a1b2c.0123456789abcdef and eyJhbGciOiJSUzI1.eyJpc3MiOiJrdWJl.c2lnbmF0dXJlLWhlcmU
secretName: web-tls
--token-auth-file=/etc/kubernetes/tokens.csv --authorization-mode=Node,RBAC
service-account-private-key: /etc/kubernetes/pki/sa.key
volumes: [{secret: {secretName: web-tls}}]
secret:
  defaultMode: 420
"#;
        insta::assert_snapshot!(of_nothing().clean(text).0, @r#"
        token: [removed]
        certificateKey: [removed]
            client-key-data: [removed]
        --token=[removed] --certificate-key [removed] --v=2
        {"auth":[removed],"username":"u"}
        auth = [removed]
        Authorization: Bearer [removed]
        http_proxy=http://[removed]@proxy.example:3128/
        join with [removed] and [removed]
        secretName: web-tls
        --token-auth-file=/etc/kubernetes/tokens.csv --authorization-mode=Node,RBAC
        service-account-private-key: /etc/kubernetes/pki/sa.key
        volumes: [{secret: {secretName: web-tls}}]
        secret:
          defaultMode: 420
        "#);
    }

    #[test]
    fn keys_in_pem_go_also_where_one_end_is_cut_off() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let (text, removed) = of_nothing().clean(&format!("{certificate}{key}after {key}"));
        assert_eq!((text, removed), (format!("{certificate}[removed]\nafter [removed]\n"), 2));
        assert_eq!(of_nothing().clean(&format!("MHcCAQEE\n{}", &key[40..])).0, "[removed]\n");
        assert_eq!(of_nothing().clean(&format!("before\n{}", &key[..50])).0, "before\n[removed]");
    }

    #[test]
    fn secrets_that_the_host_keeps_go_wherever_they_turn_up() {
        let bench = Bench::new();
        bench.file(
            "etc/kubernetes/pki/ca.key",
            "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\nshort\n-----END PRIVATE KEY-----\n",
        );
        bench.file("etc/kubernetes/encryption.yaml", "      - aescbc:\n          keys:\n          - name: key1\n            secret: c2VjcmV0IG9mIDMyIGJ5dGVzIQ==\n");
        bench.file("etc/kubernetes/admin.conf", "users:\n- user:\n    client-key-data: QUJDREVGR0hJSktMTU5PUA==\n");
        // The key of a label or a taint is not a secret.
        bench.file("etc/kubernetes/kubeadm.yaml", "taints:\n- key: node-role.kubernetes.io/control-plane\n");
        let redactor = Redactor::knowing(&bench.host());
        assert_eq!(redactor.clean("has node-role.kubernetes.io/control-plane").1, 0);
        let text =
            "E1 failed on MIGHAgEAMBMGByqGSM49AgEGCCqGSM49 / c2VjcmV0IG9mIDMyIGJ5dGVzIQ== / QUJDREVGR0hJSktMTU5PUA==";
        assert_eq!(redactor.clean(text), ("E1 failed on [removed] / [removed] / [removed]".to_owned(), 3));
    }

    proptest! {
        #[test]
        fn no_secret_gets_through(
            secret in "[A-Za-z0-9+/]{20,40}=?",
            before in "[a-z \n]{0,20}",
            form in prop::sample::select(vec![
                "password: {}", "\"token\": \"{}\"", "--token {}", "--token={}", "KINSTALL_SUDO_PASSWORD={}", "client-key-data: {}",
                "Authorization: Bearer {}", "https://user:{}@registry.example/v2/", "secret: '{}'", "identitytoken = \"{}\"",
            ]),
        ) {
            // A path is the place of a secret, not a secret.
            prop_assume!(!secret.starts_with('/') && (!form.contains("https") || !secret.contains('/')));
            let text = format!("{before}\n{}\nafter\n", form.replace("{}", &secret));
            let (cleaned, removed) = of_nothing().clean(&text);
            prop_assert!(removed == 1 && !cleaned.contains(&secret), "{cleaned}");
        }
    }
}
