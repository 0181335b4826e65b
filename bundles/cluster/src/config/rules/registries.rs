//! Rules for registries of the site.

use std::collections::BTreeSet;
use std::net::IpAddr;

use x509_parser::pem::Pem;

use super::Problems;
use crate::config::{ClusterSpec, DnsName, EVERY_OTHER, Registry};

pub(super) fn check(spec: &ClusterSpec, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (index, registry) in spec.registries.iter().enumerate() {
        let place = format!("registries[{index}]");
        let what = format!("registry {}", registry.host);
        if registry.host != EVERY_OTHER && !is_authority(&registry.host) {
            let message =
                format!("`{}` is not a registry: a name or address, with `:port` where images have it", registry.host);
            problems.add(format!("{place}.host"), message);
        } else if !seen.insert(&registry.host) {
            problems.add(format!("{place}.host"), format!("{what} is there twice; list its mirrors in one place"));
        }
        mirrors(&place, &what, registry, problems);
        if registry.ca.as_ref().is_some_and(|text| !are_certificates(text)) {
            problems.add(format!("{place}.ca"), format!("{what}: ca is not one or more certificates in PEM form"));
        }
    }
}

fn mirrors(place: &str, what: &str, registry: &Registry, problems: &mut Problems) {
    if registry.mirrors.is_empty() {
        problems.add(format!("{place}.mirrors"), format!("{what} has no mirror; give at least one, or leave it out"));
    }
    for (index, mirror) in registry.mirrors.iter().enumerate() {
        let rest = ["https://", "http://"].iter().find_map(|scheme| mirror.strip_prefix(scheme));
        let is_sound = rest.is_some_and(|rest| {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            is_authority(authority) && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
        });
        if !is_sound {
            let message = format!("{what}: mirror `{mirror}` is not a URL such as `https://registry.example.com:5000`");
            problems.add(format!("{place}.mirrors[{index}]"), message);
        }
    }
}

/// A name or an IPv4 address, perhaps with a port.
fn is_authority(text: &str) -> bool {
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    (name.parse::<DnsName>().is_ok() || name.parse::<IpAddr>().is_ok()) && port.is_none_or(is_port)
}

pub(super) fn are_certificates(text: &str) -> bool {
    let mut found = 0;
    for pem in Pem::iter_from_buffer(text.as_bytes()) {
        if !pem.is_ok_and(|pem| pem.label == "CERTIFICATE" && pem.parse_x509().is_ok()) {
            return false;
        }
        found += 1;
    }
    found > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;

    /// The certificate of an authority that signed itself; nobody has its key.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUTzq0+yIp9Is/AqIYm5kj9rc75s0wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEc2l0ZTAgFw0yNjExMjgwMjI1MTVaGA8yMTI2MTEwNDAyMjUx
NVowDzENMAsGA1UEAwwEc2l0ZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPYo
HutTc0acAbLqivdalzQzTFuwqCN9VtlQVQI7VLjHprVxjo9Vg0sj+CE0R8aE6cu4
FXS2LnGy0CubreTuPYujUzBRMB0GA1UdDgQWBBTPumSo9RlADCagTe0M7eulUpzE
kTAfBgNVHSMEGDAWgBTPumSo9RlADCagTe0M7eulUpzEkTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIBIEf3in+jV7+hgEG3QiDczzPJrXYNX+YE8w
4mDWtwhnAiB/8fmCMosqj201A0hP9b/R8eWTxvAyhR5LW7ylnE7tEw==
-----END CERTIFICATE-----
";

    fn problems(registries: &str) -> String {
        match ClusterSpec::parse(&format!("registries:\n{registries}")) {
            Ok(_) => "fine".to_owned(),
            Err(ConfigError::Invalid { problems }) => {
                let lines: Vec<_> = problems.iter().map(|found| format!("{}: {found}", found.place)).collect();
                lines.join("\n")
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn registries_of_a_site_are_taken() {
        let certificate = CERTIFICATE.trim_end();
        let ca = certificate.replace('\n', "\n    ");
        let text = format!(
            "- {{host: docker.io, mirrors: ['https://registry.example.com:5000', 'http://192.0.2.7/v2/hub_1']}}\n\
             - host: 'registry.example.com:5000'\n  mirrors: ['https://192.0.2.8:5000']\n  ca: |\n    {ca}\n\
             - {{host: '*', mirrors: ['https://registry.example.com']}}\n"
        );
        assert_eq!(problems(&text), "fine");
    }

    #[test]
    fn what_no_image_comes_from_is_refused() {
        insta::assert_snapshot!(problems(
            "- {host: 'https://docker.io', mirrors: []}\n\
             - {host: docker.io, mirrors: ['registry.example.com', 'https://user:word@registry.example.com', 'https://a:0']}\n\
             - {host: docker.io, mirrors: ['https://a\"b'], ca: nonsense}\n"
        ), @r#"
        registries[0].host: `https://docker.io` is not a registry: a name or address, with `:port` where images have it
        registries[0].mirrors: registry https://docker.io has no mirror; give at least one, or leave it out
        registries[1].mirrors[0]: registry docker.io: mirror `registry.example.com` is not a URL such as `https://registry.example.com:5000`
        registries[1].mirrors[1]: registry docker.io: mirror `https://user:word@registry.example.com` is not a URL such as `https://registry.example.com:5000`
        registries[1].mirrors[2]: registry docker.io: mirror `https://a:0` is not a URL such as `https://registry.example.com:5000`
        registries[2].host: registry docker.io is there twice; list its mirrors in one place
        registries[2].mirrors[0]: registry docker.io: mirror `https://a"b` is not a URL such as `https://registry.example.com:5000`
        registries[2].ca: registry docker.io: ca is not one or more certificates in PEM form
        "#);
    }
}
