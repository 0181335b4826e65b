use std::time::{Duration, UNIX_EPOCH};

use super::release::Compression;
use super::*;

/// A key made by `gpg`, which signs nothing.
pub(crate) const KEY: &str = include_str!("test-key.asc");

/// An index of these packages: name, version and additional fields.
fn index(packages: &[(&str, &str, &str)]) -> Index {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for (name, version, more) in packages {
        let digest = kbundle_format::Digest::of(name.as_bytes()).hex();
        write!(
            packed,
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {digest}\n\n"
        )
        .unwrap();
    }
    let mut index = Index::default();
    index.add(&"https://x/debian".into(), packed.finish().unwrap().as_slice(), Compression::Gzip).unwrap();
    index.link().unwrap();
    index
}

fn resolved(index: &Index, wanted: &[&str], base: &Base) -> Result<String, String> {
    let wanted: Vec<_> = wanted.iter().map(|&name| name.to_owned()).collect();
    let taken = resolve(index, &wanted, base, "amd64").map_err(|error| error.to_string())?;
    Ok(taken.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(" "))
}

#[test]
fn what_others_need_comes_before_them_and_the_base_stays_out() {
    let index = index(&[
        ("tool", "1", "Pre-Depends: init\nDepends: libb (>= 2), liba,\n libbase"),
        ("liba", "1", "Depends: libb"),
        ("libb", "2", "Priority: optional"),
        ("libb", "1", "Priority: optional"),
        ("init", "1", "Essential: yes"),
        ("shell", "1", "Priority: important\nDepends: libbase"),
        ("libbase", "1", "Priority: optional"),
    ]);
    assert_eq!(resolved(&index, &["tool"], &Base::ByPriority).unwrap(), "libb liba tool");
    assert_eq!(resolved(&index, &["shell"], &Base::ByPriority).unwrap(), "shell", "asked for by name");
    let listed = Base::Listed(["liba".to_owned()].into());
    assert_eq!(resolved(&index, &["tool"], &listed).unwrap(), "init libb libbase tool");
    let index = self::index(&[("tool", "1", "Depends: gone (>= 7)")]);
    assert_eq!(resolved(&index, &["tool"], &Base::Listed(["gone".to_owned()].into())).unwrap(), "tool");
}

#[test]
fn alternatives_and_names_that_are_provided_satisfy() {
    let index = index(&[
        ("a", "1", "Depends: gone | first | second"),
        ("first", "1", "Depends: nowhere"),
        ("second", "1", "Priority: optional"),
        ("b", "1", "Depends: first | second, mail (>= 2)"),
        ("exim", "9", "Provides: mail"),
        ("postfix", "9", "Provides: mail (= 2)"),
        ("round", "1", "Depends: trip"),
        ("trip", "1", "Depends: round"),
    ]);
    assert_eq!(resolved(&index, &["a"], &Base::ByPriority).unwrap(), "second a");
    assert_eq!(resolved(&index, &["second", "b"], &Base::ByPriority).unwrap(), "second postfix b");
    assert_eq!(resolved(&index, &["round"], &Base::ByPriority).unwrap(), "trip round");
}

#[test]
fn versions_are_compared_as_dpkg_does() {
    let index = index(&[
        ("lib", "1:1.0~rc1-1", "Priority: optional"),
        ("old", "1", "Depends: lib (>= 1:1.0)"),
        ("good", "1", "Depends: lib (>= 2.0), lib (<< 1:1.0)"),
    ]);
    assert_eq!(resolved(&index, &["good"], &Base::ByPriority).unwrap(), "lib good");
    let error = resolved(&index, &["old"], &Base::ByPriority).unwrap_err();
    assert_eq!(error, "old needs lib (>= 1:1.0), which nothing in the suites and in the base satisfies");
    assert_eq!(resolved(&index, &["libb"], &Base::ByPriority).unwrap_err(), "no suite has the package libb for amd64");
}

#[test]
fn packages_that_exclude_each_other_are_refused() {
    let index = index(&[
        ("exim", "1", "Provides: mail\nConflicts: mail"),
        ("postfix", "1", "Provides: mail\nConflicts: mail"),
        ("shell", "1", "Essential: yes\nBreaks: tool (<< 2)"),
        ("tool", "1", "Priority: optional"),
    ]);
    assert_eq!(resolved(&index, &["exim"], &Base::ByPriority).unwrap(), "exim");
    let error = resolved(&index, &["exim", "postfix"], &Base::ByPriority).unwrap_err();
    assert_eq!(error, "exim conflicts with postfix: mail");
    let error = resolved(&index, &["tool"], &Base::ByPriority).unwrap_err();
    assert_eq!(error, "shell conflicts with tool: tool (<< 2)");
}

#[test]
fn an_index_that_is_none_is_refused() {
    let add = |text: &str, compression| Index::default().add(&"u".into(), text.as_bytes(), compression).is_err();
    assert!(add("not packed", Compression::Gzip) && add("not packed", Compression::Xz));
}

#[test]
fn a_release_has_names_an_end_and_indexes() {
    let digest = kbundle_format::Digest::of(b"index").hex();
    let text = format!(
        "Suite: stable\nCodename: bookworm\nAcquire-By-Hash: yes\nValid-Until: Sat, 07 Feb 2026 10:00:00 UTC\nSHA256:\n {digest} 12 main/binary-amd64/Packages.gz\n {digest} 10 main/binary-amd64/Packages.xz\n"
    );
    let release = Release::parse(&text, "u").unwrap();
    let file = release.index("main", "amd64").unwrap();
    assert_eq!((file.size, file.compression), (10, Compression::Xz));
    assert_eq!(file.paths[0], format!("main/binary-amd64/by-hash/SHA256/{digest}"));
    assert_eq!(file.paths[1], "main/binary-amd64/Packages.xz");
    assert_eq!(release.index("main", "arm64"), None);
    // 2026-02-07 10:00:00 UTC
    let end = UNIX_EPOCH + Duration::from_hours(491_794);
    assert!(release.check("bookworm", "u", end).is_ok() && release.check("stable", "u", end).is_ok());
    let late = release.check("bookworm", "u", end + Duration::from_secs(1));
    assert_eq!(late.unwrap_err().to_string(), "u was valid until Sat, 07 Feb 2026 10:00:00 UTC");
    assert!(matches!(release.check("trixie", "u", end), Err(OsPackageError::Suite { .. })));
    for bad in ["", "Suite: stable\n", "Suite: stable\nSHA256:\n x 1 y\n"] {
        assert!(matches!(Release::parse(bad, "u"), Err(OsPackageError::Release { .. })), "{bad}");
    }
}

#[test]
fn settings_have_the_defaults_of_their_distribution() {
    let read = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("k"), "no key").unwrap();
        let settings: Vec<OsPackageSettings> = serde_yaml::from_str(text).unwrap();
        OsPackages::read_all(folder.path(), &settings).unwrap_err().to_string()
    };
    for (text, reason) in [
        ("[{distribution: debian-12, keyring: k}]", "has no OpenPGP key"),
        ("[{distribution: debian-12, keyring: gone}]", "cannot read "),
        ("[{distribution: debian-12, keyring: k, mirror: 'ftp://x'}]", "`ftp://x` is not an address"),
        ("[{distribution: debian-12, keyring: k, packages: ['../x']}]", "`../x` is not the name of a package"),
        ("[{distribution: mint-21, keyring: k}]", "it needs `mirror`, which is known for debian-12, debian-13"),
        ("[{distribution: debian-12, keyring: k, security-mirror: x}]", "`x` is not an address"),
        ("[{distribution: ubuntu-24.04, keyring: k, security-mirror: 'http://x'}]", "it needs `security-suites`"),
        (
            "[{distribution: debian-12, keyring: k, mirror: 'http://x', security-suites: [s]}]",
            "it needs `security-mirror`",
        ),
        ("[{distribution: debian-12, keyring: k}, {distribution: debian-12, keyring: k}]", "it is there twice"),
    ] {
        let error = read(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("k"), KEY).unwrap();
    fs_err::write(folder.path().join("i"), "libc6\ndpkg\n").unwrap();
    let settings = "[{distribution: ubuntu-24.04, keyring: k, installed: i, mirror: 'https://x/ubuntu/'}]";
    let settings: Vec<OsPackageSettings> = serde_yaml::from_str(settings).unwrap();
    let read = &OsPackages::read_all(folder.path(), &settings).unwrap()[0];
    assert_eq!((&*read.archives[0].mirror, read.archives[0].suites.len()), ("https://x/ubuntu", 3));
    assert_eq!(read.archives.len(), 1);
    assert_eq!(
        (read.components.join(" "), read.packages.join(" ")),
        ("main universe".into(), DEFAULT_PACKAGES.join(" "))
    );
    assert_eq!(read.base, Base::Listed(["dpkg".to_owned(), "libc6".to_owned()].into()));
    let archives = |settings: &str| {
        let settings: Vec<OsPackageSettings> = serde_yaml::from_str(settings).unwrap();
        let read = OsPackages::read_all(folder.path(), &settings).unwrap().remove(0).archives;
        read.into_iter().map(|archive| format!("{} {}", archive.mirror, archive.suites.join(","))).collect::<Vec<_>>()
    };
    assert_eq!(
        archives("[{distribution: debian-12, keyring: k}]"),
        [
            "https://deb.debian.org/debian bookworm,bookworm-updates",
            "https://deb.debian.org/debian-security bookworm-security"
        ]
    );
    assert_eq!(
        archives("[{distribution: debian-12, keyring: k, mirror: 'http://x/debian'}]"),
        ["http://x/debian bookworm,bookworm-updates"],
        "a site's mirror does not make kbundle ask elsewhere"
    );
    assert_eq!(
        archives(
            "[{distribution: debian-13, keyring: k, mirror: 'http://x/debian', security-mirror: 'http://x/sec/'}]"
        ),
        ["http://x/debian trixie,trixie-updates", "http://x/sec trixie-security"]
    );
    for known in &KNOWN {
        assert!(known.distribution.parse::<DistributionName>().is_ok(), "{}", known.distribution);
    }
}
