//! Time stamps by a real authority: OpenSSL's.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::process::Command;

use fs_err as fs;
use kbundle_format::timestamp::{Authorities, Timestamp, TimestampError, TimestampToken, request};
use tempfile::TempDir;

const LIST: &[u8] = b"the list of a bundle";

const CONFIGURATION: &str = "
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = tsa.pem
certs = chain.pem
signer_key = tsa.key
signer_digest = sha512
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
tsa_name = yes
";

/// An authority for time stamps; an intermediate authority issued its certificate.
struct Authority(TempDir);

impl Authority {
    /// `key` is in the form of `openssl req -newkey`.
    fn new(key: &str, usage: &str) -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        fs::write(authority.0.path().join("tsa.cnf"), CONFIGURATION).unwrap();
        authority.shell(&format!(
            "openssl req -x509 -newkey {key} -nodes -keyout root.key -subj '/CN=Root of Example' -days 30 -out root.pem
            openssl req -newkey {key} -nodes -keyout chain.key -subj '/CN=Issuer of Example' -out chain.csr
            printf 'basicConstraints=critical,CA:true\\n' >chain.ext
            openssl x509 -req -in chain.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile chain.ext -out chain.pem
            openssl req -newkey {key} -nodes -keyout tsa.key -subj '/CN=Time of Example' -out tsa.csr
            printf 'extendedKeyUsage=critical,{usage}\\n' >tsa.ext
            openssl x509 -req -in tsa.csr -CA chain.pem -CAkey chain.key -CAcreateserial -days 30 -extfile tsa.ext -out tsa.pem"
        ));
        authority
    }

    fn shell(&self, script: &str) {
        let output = Command::new("sh").args(["-euc", script]).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).unwrap()
    }

    /// The authority's answer to a request for the list.
    fn answer(&self) -> Vec<u8> {
        fs::write(self.0.path().join("list"), LIST).unwrap();
        fs::write(self.0.path().join("request.tsq"), request(LIST).unwrap()).unwrap();
        self.shell("openssl ts -reply -config tsa.cnf -queryfile request.tsq -out answer.tsr");
        self.read("answer.tsr")
    }

    fn authorities(&self, file: &str) -> Authorities {
        Authorities::read(&self.read(file)).unwrap()
    }
}

fn verify(answer: &[u8], authorities: &Authorities) -> Result<Timestamp, TimestampError> {
    TimestampToken::read("answer.tsr", answer)?.verify(LIST, authorities)
}

#[test]
fn a_token_counts_whichever_certificate_above_it_is_trusted() {
    for key in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384"] {
        let authority = Authority::new(key, "timeStamping");
        authority
            .shell(&format!("sed -i s/sha512/{}/ tsa.cnf", if key.starts_with("rsa") { "sha512" } else { "sha384" }));
        let answer = authority.answer();
        authority.shell("openssl ts -verify -data list -in answer.tsr -CAfile root.pem");
        authority.shell("openssl ts -reply -in answer.tsr -token_out -out token.der");
        for trusted in ["root.pem", "chain.pem", "tsa.pem"] {
            for stamp in [&answer, &authority.read("token.der")] {
                let found = verify(stamp, &authority.authorities(trusted)).unwrap();
                assert_eq!(
                    (found.authority.as_str(), found.policy.as_str()),
                    ("CN=Time of Example", "1.2.3.4.1"),
                    "{key}"
                );
                let day = kbundle_format::Moment::now();
                assert!(found.time.days_until(day).abs() <= 1, "{key}: {}", found.time);
            }
        }
    }
}

#[test]
fn what_does_not_lead_to_a_trusted_certificate_is_refused() {
    let authority = Authority::new("rsa:2048", "timeStamping");
    let answer = authority.answer();
    let stranger = Authority::new("rsa:2048", "timeStamping");
    for file in ["root.pem", "chain.pem", "tsa.pem"] {
        let error = verify(&answer, &stranger.authorities(file)).unwrap_err();
        assert!(matches!(error, TimestampError::Untrusted { .. }), "{error}");
    }
    // A certificate for other work, issued by the same authority.
    authority.shell(
        "printf 'extendedKeyUsage=critical,timeStamping\\n' >old.ext
        openssl x509 -req -in tsa.csr -CA chain.pem -CAkey chain.key -CAcreateserial -extfile old.ext -out tsa.pem \\
            -not_before 20200101000000Z -not_after 20200201000000Z 2>/dev/null || \\
        faketime '2020-01-01' openssl x509 -req -in tsa.csr -CA chain.pem -CAkey chain.key -CAcreateserial -days 30 -extfile old.ext -out tsa.pem",
    );
    let error = verify(&authority.answer(), &authority.authorities("root.pem")).unwrap_err();
    assert!(error.to_string().contains("valid at the time"), "{error}");
}

#[test]
fn a_certificate_for_other_work_does_not_stamp() {
    let authority = Authority::new("rsa:2048", "timeStamping");
    let answer = authority.answer();
    // OpenSSL does not sign time stamps with such a certificate, but another program may: the same key with a certificate for servers.
    authority.shell(
        "printf 'extendedKeyUsage=serverAuth\\n' >server.ext
        openssl x509 -in tsa.pem -noout -serial | sed 's/serial=/0x/' >number
        openssl x509 -req -in tsa.csr -CA chain.pem -CAkey chain.key -set_serial \"$(cat number)\" -days 30 -extfile server.ext -out server.pem
        openssl ts -reply -in answer.tsr -token_out -out token.der
        openssl cms -cmsout -in token.der -inform DER -noout
        openssl ts -query -data list -sha256 -out bare.tsq
        openssl ts -reply -config tsa.cnf -queryfile bare.tsq -out bare.tsr",
    );
    // Without certificates in the token, the trusted one is checked.
    let bare = authority.read("bare.tsr");
    assert!(bare.len() < answer.len());
    let error = verify(&bare, &authority.authorities("server.pem")).unwrap_err();
    assert!(error.to_string().contains("is not for time stamps"), "{error}");
    assert!(verify(&bare, &authority.authorities("tsa.pem")).is_ok());
}

#[test]
fn a_token_of_another_list_and_a_refusal_are_named() {
    let authority = Authority::new("rsa:2048", "timeStamping");
    let answer = authority.answer();
    let trusted = authority.authorities("root.pem");
    let error = TimestampToken::read("a.tsr", &answer).unwrap().verify(b"another list", &trusted).unwrap_err();
    assert!(matches!(error, TimestampError::OtherList { .. }), "{error}");
    authority.shell(
        "openssl ts -query -data list -sha512 -out sha512.tsq
        openssl ts -reply -config tsa.cnf -queryfile sha512.tsq -out refused.tsr",
    );
    let error = TimestampToken::read("refused.tsr", &authority.read("refused.tsr")).map(drop).unwrap_err();
    assert!(matches!(&error, TimestampError::Refused { status, .. } if status.contains("algorithm")), "{error}");
    for noise in [&b""[..], b"<html>", &answer[..answer.len() / 2]] {
        let error = TimestampToken::read("noise", noise).map(drop).unwrap_err();
        assert!(matches!(error, TimestampError::Shape { .. }), "{error}");
    }
    assert!(Authorities::read(b"no certificate").is_none());
}

#[test]
fn no_changed_byte_changes_what_a_token_says() {
    let authority = Authority::new("ec -pkeyopt ec_paramgen_curve:P-256", "timeStamping");
    authority.shell("sed -i s/sha512/sha256/ tsa.cnf");
    let answer = authority.answer();
    let trusted = authority.authorities("root.pem");
    let said = verify(&answer, &trusted).unwrap();
    let mut refused = 0;
    for place in 0..answer.len() {
        let mut changed = answer.clone();
        changed[place] ^= 1;
        match verify(&changed, &trusted) {
            Ok(still) => assert_eq!(still, said, "byte {place}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > answer.len() / 2, "{refused} of {} changed bytes were refused", answer.len());
}
