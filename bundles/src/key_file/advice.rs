//! What to do about a file that is not the required key.

use std::path::Path;

use super::{Half, KeyFileContent};
use crate::key::KeyError;
use crate::shell::{word, word_with};

impl KeyError {
    /// What to do about the file at `path`: a command that makes the right file from it, or that makes another one.
    #[must_use]
    pub fn advice(&self, path: &Path) -> Option<String> {
        match self {
            Self::Found { needed, found } => Some(advice(*needed, found, path)),
            _ => None,
        }
    }
}

fn advice(needed: Half, found: &KeyFileContent, path: &Path) -> String {
    let (file, other) = (word(path), |ending| word_with(path, ending));
    match (found, needed) {
        (KeyFileContent::Text(error), _) => error.advice(path),
        (KeyFileContent::PrivateKey, _) => {
            format!("give the public key that belongs to it: `openssl pkey -in {file} -pubout -out {}`", other(".pub"))
        }
        (KeyFileContent::PublicKey, _) => "give the private key that belongs to it".to_owned(),
        (KeyFileContent::Several { .. }, _) => "keep each key in a file of its own".to_owned(),
        (KeyFileContent::OldEncryption, Half::Private) => {
            format!("encrypt it again: `openssl pkcs8 -topk8 -v2 aes-256-cbc -in {file} -out {}`", other(".pkcs8"))
        }
        (KeyFileContent::ExplicitCurve, Half::Private) => format!(
            "`openssl pkey -in {file} -ec_param_enc named_curve -out {}` makes one of it that can be read",
            other(".named")
        ),
        (KeyFileContent::ExplicitCurve, Half::Public) => format!(
            "`openssl pkey -pubin -in {file} -ec_param_enc named_curve -pubout -out {}` makes one of it that can be read",
            other(".named")
        ),
        (KeyFileContent::Cosign, Half::Private) => format!(
            "let cosign sign what `kbundle cat BUNDLE bundle.json --unsigned` writes: `cosign sign-blob --key {file} \
             --tlog-upload=false --output-signature list.sig bundle.json`, and add that with `kbundle sign BUNDLE --attach list.sig \
             --public-key cosign.pub`"
        ),
        (KeyFileContent::Cosign, Half::Public) => {
            format!("give the public key that belongs to it: `cosign public-key --key {file} > cosign.pub`")
        }
        (KeyFileContent::OpenSsh { convertible: true }, Half::Public) => {
            format!("`ssh-keygen -e -m PKCS8 -f {file} > {}` makes one of it that can be read", other(".pem"))
        }
        (KeyFileContent::OpenSsh { convertible: true }, Half::Private) => format!(
            "copy it and convert the copy: `cp -p {file} {0} && ssh-keygen -p -m PKCS8 -f {0}`",
            other(".pem")
        ),
        (KeyFileContent::Pkcs12, Half::Private) => {
            format!("take the key out of it: `openssl pkcs12 -in {file} -nocerts -out {}`", other(".pem"))
        }
        (KeyFileContent::Pkcs12, Half::Public) => {
            format!("take the certificate out of it: `openssl pkcs12 -in {file} -nokeys -clcerts -out {}`", other(".pem"))
        }
        (KeyFileContent::Request, Half::Public) => {
            format!("take the key out of it: `openssl req -in {file} -noout -pubkey -out {}`", other(".pub"))
        }
        (KeyFileContent::Damaged, _) => "get the key again from where it was made".to_owned(),
        (_, Half::Private) => {
            "make a key: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signing.key`, or `kbundle keygen`"
                .to_owned()
        }
        (_, Half::Public) => {
            "give the signer's public key in PEM; the signer writes it with `openssl pkey -in signing.key -pubout -out signing.pub`"
                .to_owned()
        }
    }
}
