//! Who may do what: bearer tokens (RFC 6750), what they are good for, and which
//! route asks for which.
//!
//! Records that come signed need no token anywhere: their signature says who
//! sends them, and nothing else does. JSON that the node is to sign needs
//! `append:<member>`, unless it comes from this machine (`append/unsigned.rs`).
//! Reading needs `read` wherever the node's operator has not opened it.
//!
//! There is nothing to guess: a token has 256 random bits. So tries are neither
//! counted nor slowed down, beyond the bounds that every request has.

mod credentials;
mod guard;
mod list;
mod scope;
mod token;
mod tokens;

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use jiff::Timestamp;
use quittance_ledger::membership::MemberId;

pub(crate) use self::guard::{guard, secure_document};
pub use self::{
    list::{
        LABEL_CHARS_MAX, ListError, SCOPES_MAX, TOKENS_MAX, TokenList, TokenRecord, TokenState,
    },
    scope::{Need, NotAScope, Scope},
    token::{NotAToken, NotATokenId, SECRET_BYTES, Token, TokenHash, TokenId},
    tokens::{Tokens, TokensError, read_list},
};

use self::credentials::Credentials;
use crate::{
    problem::{Kind, Problem},
    state::App,
};

/// How often an open stream is asked whether it may go on.
const STREAM_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How the API decides who may do what.
#[derive(Debug, Clone)]
pub struct Access {
    open_reading: bool,
    tokens: Arc<Tokens>,
}

impl Access {
    /// Access by these tokens; with `open_reading`, reading needs none.
    #[must_use]
    pub const fn new(open_reading: bool, tokens: Arc<Tokens>) -> Self {
        Self { open_reading, tokens }
    }

    /// Everybody reads, and no token is good for anything.
    #[must_use]
    pub fn open() -> Self {
        Self::new(true, Tokens::none())
    }

    /// Whether reading needs no token.
    pub(crate) const fn has_open_reading(&self) -> bool {
        self.open_reading
    }

    /// Whether somebody who was allowed something still is: a token may have
    /// been revoked, or its time be over.
    fn still_allows(&self, identity: &Identity, need: Need<'_>) -> bool {
        let Some(token) = &identity.token else { return true };
        self.tokens
            .find_hash(token.hash())
            .is_some_and(|now| judge(&now).is_ok() && now.allows(need))
    }

    /// Resolves once `identity` may no longer read; for streams, which outlive
    /// the moment in which they were allowed.
    pub(crate) async fn reading_ends(&self, identity: &Identity) {
        while self.still_allows(identity, Need::Read) {
            tokio::time::sleep(STREAM_LOOK_INTERVAL).await;
        }
    }
}

/// Who asks, as far as it mattered.
#[derive(Debug, Clone)]
pub struct Identity {
    /// None where no token was needed.
    token: Option<Arc<TokenRecord>>,
}

impl Identity {
    /// Somebody of whom nothing was asked.
    const ANYBODY: Self = Self { token: None };

    /// The token that was shown, by its public id.
    #[must_use]
    pub fn token_id(&self) -> Option<TokenId> {
        self.token.as_ref().map(|token| token.id())
    }

    /// The one member that the token is to append as, where there is one only.
    #[must_use]
    pub fn appends_as(&self) -> Option<&MemberId> {
        let mut members =
            self.token.iter().flat_map(|token| &token.scopes).filter_map(|scope| match scope {
                Scope::Append(member) => Some(member),
                _ => None,
            });
        members.next().filter(|_| members.next().is_none())
    }

    /// Checks that the token is good for `need`.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check(&self, need: Need<'_>) -> Result<(), Problem> {
        match &self.token {
            Some(token) if token.allows(need) => Ok(()),
            Some(token) => {
                let detail = format!(
                    "the token {} is not good for this; it needs the scope {need}",
                    token.id()
                );
                Err(Problem::new(Kind::InsufficientScope, detail))
            }
            None => Err(missing(need)),
        }
    }
}

impl App {
    /// Checks that whoever sent these headers may do what `need` says.
    ///
    /// # Errors
    /// `token_required`, `invalid_token` or `insufficient_scope`.
    pub(crate) fn authorize(
        &self,
        headers: &HeaderMap,
        need: Need<'_>,
    ) -> Result<Identity, Problem> {
        if need == Need::Read && self.access.open_reading {
            // What is no token of this node was meant for somebody before it. One that
            // was revoked or has lapsed is said to be, though, so that it is noticed.
            if let Credentials::Bearer(token) = Credentials::of(headers) {
                self.identify(&token)?;
            }
            return Ok(Identity::ANYBODY);
        }
        let token = match Credentials::of(headers) {
            Credentials::Bearer(token) => token,
            // Browsers send it along with whatever request a page of another
            // site makes them send, so it is good for nothing but reading.
            Credentials::Basic(token) if need == Need::Read => token,
            Credentials::Basic(_) => {
                return Err(invalid(
                    "a token in Basic is good for reading only; send it as Bearer",
                ));
            }
            Credentials::Unusable => {
                return Err(invalid("the Authorization header must be `Bearer` and one token"));
            }
            Credentials::None => return Err(missing(need)),
        };
        let identity = self.identify(&token)?;
        identity.check(need)?;
        Ok(identity)
    }

    /// Whose Bearer token stands in these headers, whatever it is good for;
    /// none where there is no `Authorization` header.
    ///
    /// # Errors
    /// `invalid_token`.
    pub(crate) fn bearer(&self, headers: &HeaderMap) -> Result<Option<Identity>, Problem> {
        match Credentials::of(headers) {
            Credentials::None => Ok(None),
            Credentials::Bearer(token) => self.identify(&token).map(Some),
            Credentials::Basic(_) | Credentials::Unusable => {
                Err(invalid("the Authorization header must be `Bearer` and one token"))
            }
        }
    }

    fn identify(&self, token: &Token) -> Result<Identity, Problem> {
        let known = self.access.tokens.find(token);
        let known = known.ok_or_else(|| invalid("this node does not know the token"))?;
        judge(&known)?;
        Ok(Identity { token: Some(known) })
    }
}

/// Checks that a token is still good.
fn judge(token: &TokenRecord) -> Result<(), Problem> {
    match token.state(Timestamp::now()) {
        TokenState::Valid => Ok(()),
        TokenState::Expired => Err(invalid(format!("the token {} has expired", token.id()))),
        TokenState::Revoked => Err(invalid(format!("the token {} was revoked", token.id()))),
    }
}

fn missing(need: Need<'_>) -> Problem {
    let what = match need {
        Need::Read => "reading needs a token at this node",
        Need::AppendAs(_) => "having records signed needs a token",
        Need::PrivateOf(_) => "private data needs a token",
        Need::Admin => "managing the node needs a token",
    };
    let detail = format!("{what}: send Authorization: Bearer, and a token with the scope {need}");
    Problem::new(Kind::TokenRequired, detail)
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Kind::InvalidToken, detail)
}

/// What an answer of this kind says of how to prove who one is
/// (`WWW-Authenticate`; RFC 6750, section 3).
pub(crate) const fn challenge(kind: Kind) -> Option<&'static str> {
    match kind {
        // No error: nothing was shown that could be wrong.
        Kind::TokenRequired => Some(r#"Bearer realm="quittance""#),
        Kind::InvalidToken => Some(r#"Bearer realm="quittance", error="invalid_token""#),
        Kind::InsufficientScope => Some(r#"Bearer realm="quittance", error="insufficient_scope""#),
        _ => None,
    }
}
