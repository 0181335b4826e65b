use super::*;
use crate::Platform;

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn descriptor(media_type: &str, fields: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":5{fields}}}"#, Digest::of(fields.as_bytes()))
}

fn manifest(config: &str, layer: &str) -> String {
    format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, descriptor(config, ""), descriptor(layer, ""))
}

/// The fields for `OS/ARCHITECTURE[/VARIANT]`, or none.
fn platform_fields(text: &str) -> String {
    let parts: Vec<_> = text.split('/').collect();
    let variant = parts.get(2).map(|variant| format!(r#","variant":"{variant}""#)).unwrap_or_default();
    match parts.as_slice() {
        [os, architecture, ..] => format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"{variant}}}"#),
        _ => String::new(),
    }
}

fn index_of(entries: &[String]) -> Vec<IndexEntry> {
    let json = format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_INDEX}","manifests":[{}]}}"#, entries.join(","));
    let Document::Index { manifests, media_type } = Document::parse(json.as_bytes()).unwrap() else { panic!() };
    assert_eq!(media_type, DOCKER_INDEX);
    manifests
}

/// Positions of the candidates among entries of these platforms.
fn candidates(entries: &[&str], wanted: &str) -> Vec<usize> {
    let number = |index: usize| format!(r#","annotations":{{"number":"{index}"}}"#);
    let describe = |(index, text): (usize, &&str)| descriptor(OCI_MANIFEST, &(platform_fields(text) + &number(index)));
    let entries = index_of(&entries.iter().enumerate().map(describe).collect::<Vec<_>>());
    let place = |entry: &IndexEntry| entries.iter().position(|other| other == entry).unwrap();
    IndexEntry::candidates(&entries, &platform(wanted)).into_iter().map(place).collect()
}

#[test]
fn finds_the_manifest_of_a_platform_and_leaves_attestations_alone() {
    let entries = ["unknown/unknown", "linux/amd64", "linux/arm64/v8", "windows/amd64"];
    assert_eq!(candidates(&entries, "linux/amd64"), [1]);
    assert_eq!(candidates(&entries, "linux/arm64"), [2]);
    assert_eq!(candidates(&entries, "linux/s390x"), Vec::<usize>::new());
}

#[test]
fn variants_and_spellings_are_those_of_containerd() {
    for same in ["linux/amd64", "linux/amd64/v1", "linux/x86_64", "Linux/AMD64"] {
        assert_eq!(candidates(&[same], "linux/amd64"), [0], "{same}");
    }
    for other in ["linux/amd64/v2", "linux/amd64/v3", "linux/386", "linux/arm64"] {
        assert_eq!(candidates(&[other], "linux/amd64"), Vec::<usize>::new(), "{other}");
    }
    for same in ["linux/arm64", "linux/arm64/v8", "linux/arm64/8", "linux/aarch64"] {
        assert_eq!(candidates(&[same], "linux/arm64"), [0], "{same}");
    }
    for other in ["linux/arm64/v9", "linux/arm/v8", "linux/arm/v7"] {
        assert_eq!(candidates(&[other], "linux/arm64"), Vec::<usize>::new(), "{other}");
    }
}

#[test]
fn what_an_index_says_comes_before_what_only_a_config_can_tell() {
    assert_eq!(candidates(&["", "linux/amd64/v3", "linux/amd64/v1", "linux/amd64"], "linux/amd64"), [2, 3, 0]);
}

#[test]
fn statements_about_images_and_other_artifacts_are_no_candidates() {
    let attestation = r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#;
    let entries = index_of(&[descriptor(OCI_MANIFEST, attestation), descriptor("application/vnd.wasm", "")]);
    assert_eq!(IndexEntry::candidates(&entries, &platform("linux/amd64")), Vec::<&IndexEntry>::new());
}

#[test]
fn an_index_within_an_index_is_a_candidate() {
    let entries = index_of(&[descriptor(OCI_INDEX, &platform_fields("linux/amd64"))]);
    assert!(IndexEntry::candidates(&entries, &platform("linux/amd64"))[0].is_index());
}

#[test]
fn an_index_outweighs_a_config() {
    let arm64 = platform("linux/arm64");
    let fit = |os: &str, architecture: &str, index_has_it| {
        let config = format!(r#"{{"os":"{os}","architecture":"{architecture}","variant":"v8","rootfs":{{}}}}"#);
        ConfigFit::of(&config_platform(config.as_bytes()).unwrap(), &arm64, index_has_it)
    };
    assert_eq!(fit("linux", "arm64", true), ConfigFit::Same);
    assert_eq!(fit("linux", "aarch64", false), ConfigFit::Same);
    assert_eq!(fit("linux", "amd64", true), ConfigFit::IndexSaysSo);
    assert_eq!(fit("linux", "amd64", false), ConfigFit::Other);
    assert_eq!(fit("windows", "arm64", true), ConfigFit::Other);
    assert!(config_platform(br#"{"os":"linux"}"#).unwrap_err().contains("architecture"));
}

#[test]
fn reads_oci_and_docker_manifests() {
    for layer in LAYER_TYPES {
        let json = manifest(CONFIG_TYPES[1], layer);
        assert!(matches!(Document::parse(json.as_bytes()), Ok(Document::Manifest { .. })), "{layer}");
    }
}

#[test]
fn refuses_what_no_runtime_takes_and_says_why() {
    let refuse = |json: &str| Document::parse(json.as_bytes()).unwrap_err();
    insta::assert_snapshot!(
        refuse(&manifest(CONFIG_TYPES[0], "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
        @"has a layer that may not be passed on (application/vnd.docker.image.rootfs.foreign.diff.tar.gzip)"
    );
    insta::assert_snapshot!(
        refuse(&manifest("application/vnd.cncf.helm.config.v1+json", LAYER_TYPES[0])),
        @"has a config of a type that no container runtime here takes (application/vnd.cncf.helm.config.v1+json)"
    );
    insta::assert_snapshot!(refuse(r#"{"schemaVersion":1}"#), @"has schema version 1 instead of 2");
    let both = manifest(CONFIG_TYPES[0], LAYER_TYPES[0]).replacen('{', r#"{"manifests":[],"#, 1);
    insta::assert_snapshot!(refuse(&both), @"is neither an image index nor an image manifest, or both");
    let misnamed =
        manifest(CONFIG_TYPES[0], LAYER_TYPES[0]).replacen('{', &format!(r#"{{"mediaType":"{OCI_INDEX}","#), 1);
    assert!(refuse(&misnamed).contains("calls itself"));
}

#[test]
fn a_layout_index_comes_back_and_is_the_same_each_time() {
    let named = |name: &str| NamedManifest {
        blob: Blob { media_type: OCI_MANIFEST.to_owned(), digest: Digest::of(name.as_bytes()), size: 7 },
        platform: Some(platform("linux/arm64")),
        annotations: [("one".to_owned(), name.to_owned()), ("two".to_owned(), name.to_owned())].into(),
    };
    let index: LayoutIndex = ["a", "b"].map(named).into_iter().collect();
    assert_eq!(serde_json::from_slice::<LayoutIndex>(&index.to_bytes()).unwrap(), index);
    assert_eq!(index.to_bytes(), ["a", "b"].map(named).into_iter().collect::<LayoutIndex>().to_bytes());
    let text = String::from_utf8(index.to_bytes()).unwrap();
    assert!(text.contains(r#""platform":{"architecture":"arm64","os":"linux"}"#), "{text}");
    let only = index.only(|entry| entry.annotation("one") == Some("b"));
    let digests: Vec<_> = only.entries().map(|entry| (entry.digest, entry.has_platform)).collect();
    assert_eq!(digests, [(Digest::of(b"b"), true)]);
}
