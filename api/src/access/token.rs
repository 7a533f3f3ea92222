//! The secret that a client shows: what it looks like, and what is kept of it.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use quittance_ledger::digest::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a token begins with, so that people and programs that look for leaked
/// secrets know it for what it is.
const PREFIX: &str = "qt_";

/// Random bytes in a token.
pub const SECRET_BYTES: usize = 32;

/// Bytes behind them that tell a token that was cut or mistyped.
const CHECK_BYTES: usize = 4;

/// The characters of a token: the prefix and 36 bytes in base64url.
const TOKEN_CHARS: usize = 51;

/// Hexadecimal digits of a token's public id.
const ID_CHARS: usize = 12;

/// A text is no token. It is not repeated: it may be one that was mistyped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no token of a Quittance node: it was cut or mistyped (a token is {PREFIX} and {} characters)",
    TOKEN_CHARS - PREFIX.len()
)]
pub struct NotAToken;

/// A bearer token (RFC 6750): `qt_` and base64url without padding (RFC 4648,
/// section 5) of 32 random bytes and the first 4 bytes of their SHA-256.
///
/// Whoever has it may do what its scopes say, so it is neither logged nor
/// stored: its `Debug` shows its public id.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token of these random bytes.
    #[must_use]
    pub fn from_secret(secret: &[u8; SECRET_BYTES]) -> Self {
        let mut bytes = secret.to_vec();
        bytes.extend(check_bytes(secret));
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The token itself, to be shown to its owner once or sent to a node.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    ///
    /// One SHA-256 is right here, other than for passwords: nobody can try out
    /// 2^256 secrets, however fast each try is, and each request has to pay for
    /// it. For the same reason failed tries are not counted.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Digest::of(self.0.as_bytes()))
    }
}

/// The first bytes of the secret's SHA-256, which end a token.
fn check_bytes(secret: &[u8]) -> Vec<u8> {
    Digest::of(secret).as_bytes().iter().copied().take(CHECK_BYTES).collect()
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let encoded = text.strip_prefix(PREFIX).filter(|_| text.len() == TOKEN_CHARS);
        let bytes = URL_SAFE_NO_PAD.decode(encoded.ok_or(NotAToken)?).map_err(|_| NotAToken)?;
        match bytes.split_at_checked(SECRET_BYTES) {
            Some((secret, check)) if check == check_bytes(secret) => Ok(Self(text.to_owned())),
            _ => Err(NotAToken),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.hash().id())
    }
}

/// SHA-256 of all characters of a token: what `printf %s TOKEN | sha256sum` prints.
///
/// Tokens are looked up by it. How long that takes can tell something of the
/// hash of what was shown, from which nobody gets to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(Digest);

impl TokenHash {
    /// The public id of that token.
    #[must_use]
    pub fn id(&self) -> TokenId {
        TokenId(self.0.to_string().chars().take(ID_CHARS).collect())
    }
}

/// The name by which people speak of a token: the first 12 hexadecimal digits
/// of its hash. It is no secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenId(String);

/// A text is no id of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the id of a token is {ID_CHARS} lower-case hexadecimal digits; `quittance token list` shows them"
)]
pub struct NotATokenId;

impl FromStr for TokenId {
    type Err = NotATokenId;

    fn from_str(text: &str) -> Result<Self, NotATokenId> {
        let fits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == ID_CHARS && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotATokenId)
        }
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn token() -> Token {
        let mut secret = [0; SECRET_BYTES];
        (0..).zip(&mut secret).for_each(|(number, byte)| *byte = number);
        Token::from_secret(&secret)
    }

    /// Made with other tools: see docs/FORMATS.md.
    const VECTORS: &str = include_str!("../../../docs/vectors/access.json");

    #[test]
    fn a_token_is_what_the_formats_say() {
        let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
        for vector in vectors["tokens"].as_array().unwrap() {
            let field = |name: &str| vector[name].as_str().unwrap();
            let secret = hex::decode(field("secret")).unwrap();
            let token = Token::from_secret(&secret.try_into().unwrap());
            assert_eq!(token.expose(), field("token"));
            assert_eq!(field("token").parse::<Token>().unwrap(), token);
            assert_eq!(serde_json::to_value(token.hash()).unwrap(), field("hash"));
            assert_eq!(token.hash().id().to_string(), field("id"));
        }
    }

    #[test]
    fn a_token_that_was_cut_or_mistyped_is_none() {
        let token = token();
        let text = token.expose();
        for position in 0..text.len() {
            let (before, after) = text.split_at(position);
            assert_eq!(before.parse::<Token>(), Err(NotAToken));
            assert_eq!(format!("{before}x{after}").parse::<Token>(), Err(NotAToken));
            let other = if after.starts_with('A') { 'B' } else { 'A' };
            let (_, rest) = after.split_at(1);
            assert_eq!(format!("{before}{other}{rest}").parse::<Token>(), Err(NotAToken));
        }
        for other in ["", "qt_", "qt_é", &format!(" {text}"), &format!("{text}=")] {
            assert_eq!(other.parse::<Token>(), Err(NotAToken), "{other}");
        }
    }

    #[test]
    fn neither_debug_nor_errors_show_a_token() {
        let token = token();
        let secret = token.expose().strip_prefix(PREFIX).unwrap();
        assert!(!format!("{token:?} {:?}", token.hash()).contains(secret));
        assert!(!NotAToken.to_string().contains(secret));
    }
}
