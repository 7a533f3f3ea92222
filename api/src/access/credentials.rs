//! What a client shows in `Authorization`.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::token::Token;

/// What stands in the one `Authorization` header of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// No such header.
    None,
    /// `Bearer` (RFC 6750, section 2.1) with a token.
    Bearer(Token),
    /// `Basic` (RFC 7617), as browsers ask their user for it, with a token as
    /// the password. The name is nobody's.
    Basic(Token),
    /// Something else.
    Unusable,
}

impl Credentials {
    /// Reads them. A token in the address or in a body is never looked for:
    /// addresses stand in logs and histories.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::None,
            (Some(value), None) => Self::parse(value).unwrap_or(Self::Unusable),
            (Some(_), Some(_)) => Self::Unusable,
        }
    }

    fn parse(value: &HeaderValue) -> Option<Self> {
        let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
        let rest = rest.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("bearer") {
            return rest.parse().ok().map(Self::Bearer);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            let (_, password) = pair.split_once(':')?;
            return password.trim().parse().ok().map(Self::Basic);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(values: &[&str]) -> Credentials {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        Credentials::of(&headers)
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_the_password_of_a_browser() {
        let token = Token::from_secret(&[1; 32]);
        let text = token.expose();
        for scheme in ["Bearer", "bearer", "BEARER", "Bearer  "] {
            let found = of(&[&format!("{scheme} {text}")]);
            assert_eq!(found, Credentials::Bearer(token.clone()), "{scheme}");
        }
        for user in ["", "token", "anybody"] {
            let pair = STANDARD.encode(format!("{user}:{text}"));
            assert_eq!(of(&[&format!("Basic {pair}")]), Credentials::Basic(token.clone()));
        }
        assert_eq!(of(&[]), Credentials::None);
    }

    #[test]
    fn what_is_no_single_token_cannot_be_used() {
        let token = Token::from_secret(&[1; 32]);
        let text = token.expose();
        let good = format!("Bearer {text}");
        for bad in [
            vec![""],
            vec!["Bearer"],
            vec!["Bearer "],
            vec![text],
            vec![&*format!("Bearer {text} {text}")],
            vec![&*format!("Bearer {text},")],
            vec![&*format!("Digest {text}")],
            vec!["Basic !"],
            vec![&*format!("Basic {}", STANDARD.encode(text))],
            vec![&*good, &*good],
        ] {
            assert_eq!(of(&bad), Credentials::Unusable, "{bad:?}");
        }
    }
}
