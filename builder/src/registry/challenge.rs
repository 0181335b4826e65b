//! The demands of a registry before it answers: the header `WWW-Authenticate`.
//!
//! Source: RFC 9110, 11.6.1; CNCF distribution, "Token Authentication Specification".

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The demands of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenges {
    /// A token, and the server that gives it.
    pub bearer: Option<Bearer>,
    /// User and password.
    pub basic: bool,
}

/// The server that gives a token, and what to ask it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    pub realm: Url,
    pub service: Option<String>,
    /// Scopes, separated by spaces.
    pub scope: Option<String>,
}

impl Challenges {
    /// The demands in the headers of an answer: in one header or several, in any order. Unreadable ones are left out.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut challenges = Self::default();
        for value in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
            let Ok(parsed) = http_auth::parse_challenges(value) else {
                tracing::debug!("malformed authentication challenge");
                continue;
            };
            for challenge in parsed {
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    challenges.basic = true;
                } else if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    let named = |name: &str| {
                        let found = challenge.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                        found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
                    };
                    let realm = named("realm").and_then(|realm| Url::parse(&realm).ok());
                    let bearer = realm.map(|realm| Bearer { realm, service: named("service"), scope: named("scope") });
                    challenges.bearer = challenges.bearer.or(bearer);
                }
            }
        }
        challenges
    }

    /// Whether no known demand is in it.
    pub fn is_empty(&self) -> bool {
        self.bearer.is_none() && !self.basic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(values: &[&'static str]) -> Challenges {
        let header = |value: &&'static str| (WWW_AUTHENTICATE, value.parse().unwrap());
        Challenges::of(&values.iter().map(header).collect())
    }

    #[test]
    fn all_forms_are_read() {
        let bearer = Bearer {
            realm: "https://auth.example/token?x=1".parse().unwrap(),
            service: Some("reg, istry".to_owned()),
            scope: Some("repository:a:pull repository:b:pull".to_owned()),
        };
        let text = r#"Bearer realm="https://auth.example/token?x=1",service="reg, istry",scope="repository:a:pull repository:b:pull""#;
        assert_eq!(challenges(&[text]), Challenges { bearer: Some(bearer.clone()), basic: false });
        let both = Challenges { bearer: Some(bearer), basic: true };
        assert_eq!(challenges(&["Basic realm=\"x\"", text]), both);
        let joined = r#"BASIC realm="x", bearer realm="https://auth.example/token?x=1",service="reg, istry",scope="repository:a:pull repository:b:pull""#;
        assert_eq!(challenges(&[joined]), both);
        assert!(challenges(&[]).is_empty());
        assert!(challenges(&["Bearer realm=\"not an address\"", "Negotiate", "\""]).is_empty());
    }
}
