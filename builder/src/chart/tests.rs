use fs_err as fs;

use super::*;

fn read(text: &str) -> Result<SiteChart, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("app")).unwrap();
    fs::write(folder.path().join("app/Chart.yaml"), "apiVersion: v2\nname: app\nversion: 1.2.3\n").unwrap();
    fs::write(folder.path().join("values.yaml"), "a: 1\n").unwrap();
    let settings: ChartSettings = serde_yaml::from_str(text).unwrap();
    let read = SiteChart::read(folder.path(), &"shop".parse().unwrap(), &settings);
    read.map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "DIR"))
}

#[test]
fn charts_come_from_folders_repositories_and_registries() {
    let local = read("{chart: app, values: values.yaml}").unwrap();
    assert!(matches!(&local.origin, ChartOrigin::Local(file) if file.url == "file:app"));
    assert_eq!((local.version.as_str(), local.namespace.as_str()), ("1.2.3", "default"));
    assert_eq!((local.values[0].url.as_str(), local.folder()), ("file:values.yaml", "charts/default/shop".to_owned()));
    let repository = read("{chart: app, repository: 'https://charts.example.com/', version: 1.2.3, namespace: web}");
    let address = "https://charts.example.com".to_owned();
    assert_eq!(repository.unwrap().origin, ChartOrigin::Repository { address, name: "app".to_owned() });
    let registry = read("{chart: 'oci://ghcr.io/team/app', version: 1.2.3+build}").unwrap();
    assert_eq!(registry.origin, ChartOrigin::Registry("ghcr.io/team/app:1.2.3_build".parse().unwrap()));
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (text, reason) in [
        ("{chart: app, version: 2.0.0}", "chart shop in bundle.yaml: DIR/app has version 1.2.3 instead of 2.0.0"),
        ("{chart: other}", "cannot read DIR/other"),
        ("{chart: values.yaml}", "cannot read DIR/values.yaml"),
        ("{chart: app, repository: 'https://a'}", "chart shop in bundle.yaml: it needs a `version`"),
        (
            "{chart: app, repository: a, version: '1'}",
            "chart shop in bundle.yaml: `a` is not an https:// address of a repository",
        ),
        ("{chart: 'oci://a', version: '1'}", "chart shop in bundle.yaml: `oci://a` is not the address of a registry"),
        (
            "{chart: 'oci://a/b', repository: 'https://a', version: '1'}",
            "chart shop in bundle.yaml: it has a `repository` and an `oci://` address",
        ),
    ] {
        assert_eq!(read(text), Err(reason.to_owned()));
    }
}
