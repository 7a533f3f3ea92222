//! All tokens of one node, as they stand in its data folder.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    scope::{Need, Scope},
    token::{Token, TokenHash, TokenId},
};

/// Tokens that one node knows at most, those that are no longer valid included.
pub const TOKENS_MAX: usize = 1000;

/// Scopes that one token has at most.
pub const SCOPES_MAX: usize = 64;

/// Characters of a label.
pub const LABEL_CHARS_MAX: usize = 100;

/// The largest file of tokens, in bytes: each of the most tokens with the most
/// scopes stays below 10,000.
pub(super) const LIST_BYTES_MAX: u64 = 10_000_000;

/// A list of tokens cannot be used, or not be changed so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It is not as this program writes it.
    #[error("it is not as `quittance token` writes it: {0}")]
    Json(#[from] serde_json::Error),
    /// It holds more tokens than a node may know.
    #[error("there are {TOKENS_MAX} tokens, more than which a node does not know; revoke some")]
    Full,
    /// A token has no scope, or too many.
    #[error("a token has from 1 to {SCOPES_MAX} scopes")]
    Scopes,
    /// A label is too long, or would disturb a list.
    #[error("a label has at most {LABEL_CHARS_MAX} characters, and no line breaks")]
    Label,
    /// The same token stands twice.
    #[error("the token {0} stands twice")]
    Twice(TokenId),
    /// It would never be valid.
    #[error("the token would expire at {0}, which is past")]
    Expired(Timestamp),
}

/// What a node knows of one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    hash: TokenHash,
    /// What it is for, in the words of whoever made it; may be empty.
    pub label: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    #[serde(with = "time")]
    pub created_at: Timestamp,
    /// From when on it is no longer valid.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::option")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::option")]
    pub revoked_at: Option<Timestamp>,
}

/// Whether a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It is.
    Valid,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl TokenState {
    /// The state as it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl TokenRecord {
    /// What is kept of a new token.
    ///
    /// # Errors
    /// It has no scope or too many, its label is too long, or its time is over.
    pub fn new(
        token: &Token,
        label: String,
        scopes: Vec<Scope>,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<Self, ListError> {
        if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at <= created_at) {
            return Err(ListError::Expired(expires_at));
        }
        let record =
            Self { hash: token.hash(), label, scopes, created_at, expires_at, revoked_at: None };
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), ListError> {
        if self.scopes.is_empty() || self.scopes.len() > SCOPES_MAX {
            return Err(ListError::Scopes);
        }
        if self.label.chars().count() > LABEL_CHARS_MAX || self.label.chars().any(char::is_control)
        {
            return Err(ListError::Label);
        }
        Ok(())
    }

    /// Its public id.
    #[must_use]
    pub fn id(&self) -> TokenId {
        self.hash.id()
    }

    pub(super) const fn hash(&self) -> &TokenHash {
        &self.hash
    }

    /// Whether it is good at `now`: up to the last moment before it expires.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> TokenState {
        if self.revoked_at.is_some() {
            TokenState::Revoked
        } else if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            TokenState::Expired
        } else {
            TokenState::Valid
        }
    }

    /// Whether one of its scopes is enough.
    #[must_use]
    pub fn allows(&self, need: Need<'_>) -> bool {
        self.scopes.iter().any(|scope| need.is_met_by(scope))
    }
}

/// The tokens of a node, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenList {
    tokens: Vec<TokenRecord>,
}

impl TokenList {
    /// Reads what [`TokenList::to_json`] wrote.
    ///
    /// # Errors
    /// It is something else, or beyond a bound.
    pub fn from_json(text: &[u8]) -> Result<Self, ListError> {
        let list: Self = serde_json::from_slice(text)?;
        if list.tokens.len() > TOKENS_MAX {
            return Err(ListError::Full);
        }
        let mut ids = HashSet::new();
        for token in &list.tokens {
            token.check()?;
            // By the id: what people revoke by must mean one token.
            if !ids.insert(token.id()) {
                return Err(ListError::Twice(token.id()));
            }
        }
        Ok(list)
    }

    /// The list as it is stored: JSON, indented, with a line break at its end.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_json(&self) -> Result<Vec<u8>, ListError> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Adds a token. Where there is no room left, the oldest that is no longer
    /// valid makes it.
    ///
    /// # Errors
    /// All of the most there may be are valid, or the token is there already.
    pub fn add(&mut self, token: TokenRecord) -> Result<(), ListError> {
        if self.tokens.iter().any(|other| other.id() == token.id()) {
            return Err(ListError::Twice(token.id()));
        }
        if self.tokens.len() >= TOKENS_MAX {
            let is_over = |old: &TokenRecord| old.state(token.created_at) != TokenState::Valid;
            let over = self.tokens.iter().position(is_over).ok_or(ListError::Full)?;
            self.tokens.remove(over);
        }
        self.tokens.push(token);
        Ok(())
    }

    /// Takes a token back for good, and gives it; none where there is no such.
    /// One that was revoked before keeps the time of that.
    pub fn revoke(&mut self, id: &TokenId, now: Timestamp) -> Option<&TokenRecord> {
        let token = self.tokens.iter_mut().find(|token| token.id() == *id)?;
        token.revoked_at.get_or_insert(now);
        Some(token)
    }

    /// The tokens, oldest first.
    #[must_use]
    pub fn tokens(&self) -> &[TokenRecord] {
        &self.tokens
    }

    pub(super) fn into_tokens(self) -> Vec<TokenRecord> {
        self.tokens
    }
}

/// Times as RFC 3339 in UTC.
mod time {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }

    pub(super) mod option {
        use super::{Deserializer, Serializer, Timestamp};

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn record(number: u16, expires_at: Option<&str>) -> TokenRecord {
        let mut secret = [0; 32];
        secret[..2].copy_from_slice(&number.to_be_bytes());
        let token = Token::from_secret(&secret);
        let created_at = at("2026-01-01T00:00:00Z");
        let scopes = vec![Scope::Read, Scope::Append("heca".parse().unwrap())];
        TokenRecord::new(&token, "a label".to_owned(), scopes, created_at, expires_at.map(at))
            .unwrap()
    }

    #[test]
    fn a_token_is_good_up_to_the_last_moment_before_it_expires() {
        let record = record(1, Some("2027-01-01T00:00:00Z"));
        assert_eq!(record.state(at("2026-12-31T23:59:59.999999999Z")), TokenState::Valid);
        assert_eq!(record.state(at("2027-01-01T00:00:00Z")), TokenState::Expired);
    }

    #[test]
    fn what_is_written_is_read_again_and_holds_no_token() {
        let mut list = TokenList::default();
        list.add(record(1, None)).unwrap();
        list.add(record(2, Some("2027-01-01T00:00:00Z"))).unwrap();
        list.revoke(&record(1, None).id(), at("2026-02-01T00:00:00Z")).unwrap();
        let text = list.to_json().unwrap();
        assert_eq!(TokenList::from_json(&text).unwrap(), list);
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("qt_"), "{text}");
        assert!(text.contains(r#""revoked_at": "2026-02-01T00:00:00Z""#), "{text}");
    }

    #[test]
    fn what_was_revoked_keeps_its_time_and_its_place_in_the_list() {
        let mut list = TokenList::default();
        list.add(record(1, None)).unwrap();
        let id = record(1, None).id();
        for time in ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"] {
            let revoked = list.revoke(&id, at(time)).unwrap();
            assert_eq!(revoked.revoked_at, Some(at("2026-02-01T00:00:00Z")));
        }
        assert_eq!(list.revoke(&record(2, None).id(), at("2026-02-01T00:00:00Z")), None);
        assert!(matches!(list.add(record(1, None)), Err(ListError::Twice(_))));
        assert_eq!(list.tokens().len(), 1);
    }

    #[test]
    fn only_what_is_no_longer_valid_makes_room_and_there_is_a_bound() {
        let mut list = TokenList::default();
        for number in 0..u16::try_from(TOKENS_MAX).unwrap() {
            list.add(record(number, None)).unwrap();
        }
        assert!(matches!(list.add(record(5000, None)), Err(ListError::Full)));
        list.revoke(&record(7, None).id(), at("2026-01-01T00:00:00Z")).unwrap();
        list.add(record(5000, None)).unwrap();
        assert_eq!(list.tokens().len(), TOKENS_MAX);
        assert!(!list.tokens().contains(&record(7, None)));
        assert!(list.to_json().unwrap().len() as u64 <= LIST_BYTES_MAX);
        list.tokens.push(record(5001, None));
        assert!(matches!(TokenList::from_json(&list.to_json().unwrap()), Err(ListError::Full)));
    }

    #[test]
    fn a_token_beyond_a_bound_is_none() {
        let token = Token::from_secret(&[1; 32]);
        let now = at("2026-01-01T00:00:00Z");
        let new = |label: &str, scopes: Vec<Scope>, expires_at| {
            TokenRecord::new(&token, label.to_owned(), scopes, now, expires_at)
        };
        assert!(matches!(new("", vec![], None), Err(ListError::Scopes)));
        let many = vec![Scope::Read; SCOPES_MAX + 1];
        assert!(matches!(new("", many, None), Err(ListError::Scopes)));
        assert!(matches!(new("a\nb", vec![Scope::Read], None), Err(ListError::Label)));
        let long = "x".repeat(LABEL_CHARS_MAX + 1);
        assert!(matches!(new(&long, vec![Scope::Read], None), Err(ListError::Label)));
        assert!(matches!(new("", vec![Scope::Read], Some(now)), Err(ListError::Expired(_))));
        assert!(new(&"é".repeat(LABEL_CHARS_MAX), vec![Scope::Read; SCOPES_MAX], None).is_ok());
        assert!(TokenList::from_json(b"{\"tokens\":[],\"more\":1}").is_err());
    }
}
