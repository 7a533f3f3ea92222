//! JSON without a signature, signed with a record key that the node holds: taken
//! with a token whose scope is `append:<member>`, and without one from programs
//! on the node's own machine.
//!
//! A web page that a person on this machine has open must not get there. So
//! without a token the peer must have a loopback address, the request must be
//! addressed to a loopback name (DNS rebinding), it must not come from a page of
//! another origin (CSRF), and its content type must be one that a page cannot
//! send without asking first. A token comes as `Bearer` only, which no page gets
//! a browser to send.

use std::fmt;

use axum::http::{HeaderMap, Uri, Version, header, uri::Authority};
use quittance_ledger::{
    membership::MemberId,
    refusal::{Code, Refusal},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{
    access::{Identity, Need, TokenId},
    append::Peer,
    extract::parse,
    host::check_is_this_machine,
    problem::{Kind, Problem},
    state::App,
    submit::Submit,
    vault::{self, Opened, PrivateRoom},
};

/// What proxies add, in lower case as header names are here. One of them before a
/// node that does not know of it makes every request look as if it came from
/// this machine.
const PROXY_HEADERS: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "fly-client-ip",
    "fastly-client-ip",
];

/// How the names of more such headers begin.
const PROXY_PREFIXES: [&str; 5] = ["x-forwarded-", "x-original-", "x-envoy-", "x-azure-", "cf-"];

/// Who may have records signed by this node.
#[derive(Debug, Clone)]
pub(crate) enum Sender {
    /// A program on this machine: for every member that the node signs for.
    ThisMachine,
    /// Somebody with a token: for the members it names.
    Token(Identity),
}

impl Sender {
    /// Finds out who sends. A token decides where there is one, on this machine
    /// too, so that it is good for the same everywhere.
    pub(crate) fn of(
        app: &App,
        peer: &Peer,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        match app.bearer(headers)? {
            Some(identity) => Ok(Self::Token(identity)),
            None => check_is_program_here(app, peer, uri, headers).map(|()| Self::ThisMachine),
        }
    }

    /// The member meant where none is named.
    fn default_member(&self, node: &dyn Submit) -> Result<MemberId, Problem> {
        if let Self::Token(identity) = self
            && let Some(member) = identity.appends_as()
        {
            return Ok(member.clone());
        }
        only_member(node)
    }

    /// The token that was shown, where one was.
    pub(crate) fn token_id(&self) -> Option<TokenId> {
        match self {
            Self::ThisMachine => None,
            Self::Token(identity) => identity.token_id(),
        }
    }

    /// Whether it may read what is on the ledger, by what it showed.
    pub(crate) fn reads(&self) -> bool {
        match self {
            Self::ThisMachine => true,
            Self::Token(identity) => identity.check(Need::Read).is_ok(),
        }
    }

    fn check(&self, member: &MemberId) -> Result<(), Problem> {
        match self {
            Self::ThisMachine => Ok(()),
            Self::Token(identity) => identity.check(Need::AppendAs(member)),
        }
    }
}

/// Checks that a program on this machine sends, and that those are trusted.
fn check_is_program_here(
    app: &App,
    peer: &Peer,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let refuse = |detail| Err(Problem::new(Kind::UnsignedNotAllowed, detail));
    if app.config.behind_proxy || !app.config.unsigned_allowed {
        return refuse("this node takes signed records, or JSON with a token, only");
    }
    if !peer.address.is_some_and(|address| address.ip().to_canonical().is_loopback()) {
        return refuse("JSON without a signature is taken only from this machine");
    }
    // What a proxy that adds no header speaks by default, and hardly a program today.
    if peer.version < Version::HTTP_11 {
        return refuse(
            "JSON without a signature is not taken over HTTP/1.0, which proxies speak; send it \
             over HTTP/1.1",
        );
    }
    if headers.keys().any(|name| is_of_a_proxy(name.as_str())) {
        return refuse("JSON without a signature is not taken through a proxy");
    }
    if check_is_this_machine(uri, headers).is_err() {
        return refuse("JSON without a signature must be sent to a loopback name or address");
    }
    let host = match headers.get(header::HOST) {
        Some(host) => host.to_str().ok(),
        None => uri.authority().map(Authority::as_str),
    };
    for origin in headers.get_all(header::ORIGIN) {
        let same = origin.to_str().ok().and_then(|origin| {
            origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
        });
        if !same.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host)) {
            return refuse("JSON without a signature is not taken from pages of another site");
        }
    }
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return refuse("JSON without a signature is not taken from pages of another site");
    }
    Ok(())
}

fn is_of_a_proxy(header: &str) -> bool {
    PROXY_HEADERS.contains(&header)
        || PROXY_PREFIXES.iter().any(|prefix| header.starts_with(prefix))
}

/// Signs what `json` says: the fields of a record, or those under `record` with
/// the member under `signer` and the names of more private fields under `private`.
pub(crate) fn sign(
    json: &[u8],
    signer: Option<&str>,
    sender: &Sender,
    room: &PrivateRoom,
    app: &App,
) -> Result<Opened, Problem> {
    let Unique(value) = serde_json::from_slice(json).map_err(|error| not_json(json, &error))?;
    let Value::Object(mut object) = value else {
        return Err(malformed("record", "the body must be a JSON object"));
    };
    let mut named = signer.map(str::to_owned);
    let mut private = Vec::new();
    if object.get("record").is_some_and(Value::is_object)
        && let Some(Value::Object(record)) = object.remove("record")
    {
        let mut wrapper = std::mem::replace(&mut object, record);
        if let Some(fields) = wrapper.remove("private") {
            private = vault::named_fields(&fields)?;
        }
        named = signer_of(wrapper, named)?;
    }
    if !object.contains_key("type") {
        let detail = "type is missing: the body is a record, or an object with a record under \
                      record, and its signer under signer";
        return Err(malformed("type", detail));
    }
    let member = match named {
        Some(name) => parse::<MemberId>("signer", &name)?,
        None => sender.default_member(&*app.node)?,
    };
    sender.check(&member)?;
    vault::sign(app, &member, object, &private, sender, room)
}

fn signer_of(
    wrapper: Map<String, Value>,
    mut named: Option<String>,
) -> Result<Option<String>, Problem> {
    for (name, value) in wrapper {
        match (name.as_str(), value) {
            ("signer", Value::String(signer)) => {
                if named.as_ref().is_some_and(|named| *named != signer) {
                    return Err(malformed("signer", "two different signers are named"));
                }
                named = Some(signer);
            }
            ("signer", _) => return Err(malformed("signer", "signer must be a member id")),
            _ => {
                let detail = format!("{name} is not a field beside record; signer and private are");
                return Err(Refusal::of_field(Code::UnknownField, name, detail).into());
            }
        }
    }
    Ok(named)
}

fn only_member(node: &dyn Submit) -> Result<MemberId, Problem> {
    let mut held = node.held_members();
    match (held.pop(), held.len()) {
        (Some(member), 0) => Ok(member),
        (None, _) => {
            let detail = "this node holds no record key; sign the record before sending it";
            Err(Problem::new(Kind::KeyNotHeld, detail))
        }
        (Some(_), _) => {
            Err(malformed("signer", "this node signs for several members; name one as signer"))
        }
    }
}

fn malformed(field: &'static str, detail: &str) -> Problem {
    Refusal::of_field(Code::Malformed, field, detail).into()
}

fn not_json(json: &[u8], error: &serde_json::Error) -> Problem {
    if std::str::from_utf8(json).is_err() {
        return malformed("record", "the body is not UTF-8");
    }
    malformed("record", &format!("the body is not JSON as a record needs it: {error}"))
}

/// A JSON value in which no object has a name twice (RFC 7493, section 2.3).
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> DeserializeSeed<'de> for UniqueVisitor {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(UniqueVisitor)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(de::Error::custom(format_args!("the name {name:?} stands twice")));
            }
            object.insert(name, members.next_value_seed(UniqueVisitor)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth() {
        assert!(serde_json::from_str::<Unique>(r#"{"a":1,"b":[{"a":null}]}"#).is_ok());
        for twice in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#] {
            assert!(serde_json::from_str::<Unique>(twice).is_err(), "{twice}");
        }
    }
}
