//! Rules of a policy about images and manifests, and rules of the site's own.

use fs_err as fs;
use serde_json::{Value, json};

use crate::audit::{audit, policy};
use crate::upstream::{Image, Upstream, success};

const DAEMON: &str = "apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: site}
spec:
  template:
    spec:
      containers:
        - name: agent
          image: registry.k8s.io/pause:distro
          securityContext: {privileged: true}
      volumes: [{name: run, hostPath: {path: /run}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: agent}
roleRef: {kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: agent, namespace: site}]
";

/// A signed bundle with a setuid file in an image, and a manifest that demands many rights.
fn built() -> Upstream {
    let upstream = Upstream::new();
    let config = json!({ "os": "linux", "architecture": "amd64", "config": { "User": "1000" }, "rootfs": { "type": "layers", "diff_ids": [] } });
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    header.set_mode(0o4755);
    layer.append_data(&mut header, "bin/su", &[][..]).unwrap();
    upstream.add_image("distro", &Image::of(&config, layer.into_inner().unwrap()));
    fs::write(upstream.path("agent.yaml"), DAEMON).unwrap();
    let settings = "schema: 1\nmanifests: {agent: agent.yaml}\n";
    fs::write(upstream.path("bundle.yaml"), settings).unwrap();
    success(&upstream.build(&["--file", "bundle.yaml", "--key", "signing.key", "--out", "bundle.tar.zst"]));
    upstream
}

#[test]
fn files_of_images_and_objects_of_manifests_are_judged() {
    let upstream = built();
    policy(
        &upstream,
        "images: {privileged-files: refuse}\nmanifests: {privileged: refuse, host-path: refuse, host-network: refuse, cluster-admin: refuse}\n",
    );
    let (code, text, errors) = audit(&upstream, &["--policy", "policy.yaml"]);
    assert_eq!(code, Some(3), "{text}{errors}");
    for part in [
        "bin/su (setuid)",
        "REFUSED  manifest-privileged DaemonSet site/agent",
        "found    container agent",
        "found    /run",
        "found    cluster-admin for ServiceAccount agent",
        "looked   manifests/agent/",
        "passed   manifest-host-network",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn rules_of_the_site_refuse_and_warn_and_a_waiver_answers_for_them() {
    let upstream = built();
    let rules = "package kbundle
deny contains {\"subject\": found.path, \"message\": \"an agent\"} if { some found in input.objects; found.object.kind == \"DaemonSet\" }
warn contains sprintf(\"signed by %d\", [count(input.signers)])
";
    fs::create_dir(upstream.path("rules")).unwrap();
    fs::write(upstream.path("rules/site.rego"), rules).unwrap();
    policy(&upstream, "rego: [rules/site.rego]\n");
    let (code, text, errors) = audit(&upstream, &["--policy", "policy.yaml"]);
    assert_eq!(code, Some(3), "{text}{errors}");
    for part in
        ["REFUSED  rego", "found    an agent", "WARNED   rego", "signed by 1", "rules      rules/site.rego sha256:"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let waiver = "waivers: [{rule: rego, item: an agent, name: A. Officer, reason: reviewed, until: 9999-12-31}]\n";
    policy(&upstream, &format!("rego: [rules/site.rego]\n{waiver}"));
    let (code, text, _) = audit(&upstream, &["--policy", "policy.yaml", "--output", "json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let outcomes: Vec<_> = report["verdicts"].as_array().unwrap().iter().map(|verdict| &verdict["outcome"]).collect();
    assert_eq!((code, outcomes), (Some(0), vec![&json!("warned"), &json!("waived")]), "{report:#}");
}

#[test]
fn a_rule_that_cannot_be_used_judges_nothing() {
    let upstream = built();
    policy(&upstream, "rego: [site.rego]\n");
    for (rules, part) in [
        ("package kbundle\ndeny contains", "site.rego is not Rego that can be used"),
        ("package kbundle\ndeny contains \"a\" if 1 / 0 == 1\n", "`data.kbundle.deny` cannot be evaluated"),
        ("package kbundle\nallow := true\n", "site.rego has no set `deny` or `warn`"),
    ] {
        fs::write(upstream.path("site.rego"), rules).unwrap();
        let (code, text, errors) = audit(&upstream, &["--policy", "policy.yaml"]);
        assert_eq!((code, text.as_str()), (Some(2), ""), "{errors}");
        assert!(errors.contains(part), "{errors}");
    }
    fs::remove_file(upstream.path("site.rego")).unwrap();
    let (code, _, errors) = audit(&upstream, &["--policy", "policy.yaml"]);
    assert_eq!((code, errors.contains("cannot read site.rego")), (Some(2), true), "{errors}");
}
