//! What somebody must know who is to be let in.

use std::{fmt, str::FromStr};

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use rtmfp::crypto::sha256;

/// A secret, kept as its hash, so that comparing takes the same time whatever is compared.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a token cannot be empty".into());
        }
        Ok(Self(sha256(&[text.as_bytes()])))
    }
}

impl Token {
    fn is(&self, text: &str) -> bool {
        sha256(&[text.as_bytes()]) == self.0
    }
}

/// Whether a request shows the token that is wanted: `?token=…`, or RFC 6750 §2.1,
/// `Authorization: Bearer …`.
pub fn may(wanted: Option<&Token>, given: Option<&str>, headers: &HeaderMap) -> bool {
    let Some(wanted) = wanted else { return true };
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    given.into_iter().chain(bearer).any(|token| wanted.is(token))
}

/// The answer to who does not.
pub fn refusal() -> Response {
    const HINT: &str = "a token is wanted: add ?token=… to the address, or ask whoever runs this\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], HINT).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_shown_in_either_way() {
        let token: Token = "secret".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert!(may(None, None, &headers));
        assert!(may(Some(&token), Some("secret"), &headers));
        assert!(!may(Some(&token), None, &headers));
        assert!(!may(Some(&token), Some(""), &headers));
        headers.insert(header::AUTHORIZATION, "bearer secret".parse().unwrap());
        assert!(may(Some(&token), Some("wrong"), &headers));
        headers.insert(header::AUTHORIZATION, "Basic secret".parse().unwrap());
        assert!(!may(Some(&token), None, &headers));
        assert!("".parse::<Token>().is_err());
    }
}
