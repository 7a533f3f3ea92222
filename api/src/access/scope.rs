//! What a token lets its owner do, and what a route asks for.

use std::{fmt, str::FromStr};

use quittance_ledger::membership::MemberId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One right of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// To read what is on the ledger and how the node is: `read`.
    Read,
    /// To have JSON signed as this member by the node: `append:<member>`.
    Append(MemberId),
    /// To read, put and erase private data of the records that this member
    /// signed: `private:<member>`.
    Private(MemberId),
    /// To manage the node, and to read: `admin`. It neither signs nor sees
    /// private data.
    Admin,
}

/// A text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; there are read, append:MEMBER, private:MEMBER and admin")]
pub struct NotAScope(String);

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        let wrong = || NotAScope(text.chars().take(80).collect());
        let member = |member: &str| member.parse().map_err(|_| wrong());
        match text.split_once(':') {
            None if text == "read" => Ok(Self::Read),
            None if text == "admin" => Ok(Self::Admin),
            Some(("append", id)) => member(id).map(Self::Append),
            Some(("private", id)) => member(id).map(Self::Private),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::Append(member) => write!(f, "append:{member}"),
            Self::Private(member) => write!(f, "private:{member}"),
            Self::Admin => f.write_str("admin"),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What somebody who asks needs to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// To read what is on the ledger and how the node is.
    Read,
    /// To have JSON signed as this member.
    AppendAs(&'a MemberId),
    /// To handle private data of the records that this member signed.
    PrivateOf(&'a MemberId),
    /// To manage the node.
    Admin,
}

impl Need<'_> {
    /// Whether `scope` is enough. A scope that names a member is good for that
    /// member only, and for nothing else.
    #[must_use]
    pub fn is_met_by(self, scope: &Scope) -> bool {
        match (self, scope) {
            (Self::Read, Scope::Read | Scope::Admin) | (Self::Admin, Scope::Admin) => true,
            (Self::AppendAs(needed), Scope::Append(given))
            | (Self::PrivateOf(needed), Scope::Private(given)) => needed == given,
            _ => false,
        }
    }
}

/// The scope that is asked for.
impl fmt::Display for Need<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::AppendAs(member) => write!(f, "append:{member}"),
            Self::PrivateOf(member) => write!(f, "private:{member}"),
            Self::Admin => f.write_str("admin"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SCOPES: [&str; 6] =
        ["read", "append:heca", "append:vet-1", "private:heca", "private:vet-1", "admin"];

    #[test]
    fn a_scope_is_read_as_it_is_written() {
        for text in SCOPES {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for wrong in
            ["", "write", "Read", "append", "append:", "append:HECA", "read:heca", "admin:"]
        {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_scope_meets_its_own_need_and_admin_reads_but_neither_signs_nor_sees_private_data() {
        let (heca, vet) = ("heca".parse().unwrap(), "vet-1".parse().unwrap());
        let needs = [
            Need::Read,
            Need::AppendAs(&heca),
            Need::AppendAs(&vet),
            Need::PrivateOf(&heca),
            Need::PrivateOf(&vet),
            Need::Admin,
        ];
        for (row, text) in SCOPES.iter().enumerate() {
            let scope: Scope = text.parse().unwrap();
            for (column, need) in needs.iter().enumerate() {
                let admin_reads = *text == "admin" && *need == Need::Read;
                assert_eq!(need.is_met_by(&scope), row == column || admin_reads, "{text} {need}");
            }
        }
    }
}
