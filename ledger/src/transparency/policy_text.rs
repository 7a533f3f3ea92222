//! How a trust policy is written: the lines of C2SP tlog-policy.
//!
//! ```text
//! log <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group <name> all|any|<k> <member>…
//! quorum <name>|none
//! ```

use std::{collections::HashMap, fmt};

use super::{
    KeyKind, VerifierKey, VerifierKeyError,
    policy::{Group, Log, Member, Name, Node, Policy, Witness},
};
use crate::limits::POLICY_BYTES_MAX;

/// The quorum that needs no witness.
const NONE: &[u8] = b"none";

/// Why a line of a policy cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyReason {
    /// Larger than [`POLICY_BYTES_MAX`].
    #[error("the policy has {0} bytes, at most {POLICY_BYTES_MAX} are read")]
    TooLarge(usize),
    /// A control character other than tab and newline.
    #[error(
        "control character 0x{0:02X}; only tabs, and newlines at the end of lines, are allowed"
    )]
    ControlCharacter(u8),
    /// A line that does not begin with `log`, `witness`, `group` or `quorum`.
    #[error("unknown keyword {0:?}; expected log, witness, group, quorum or a # comment")]
    Keyword(String),
    /// Too few or too many words.
    #[error("expected {0}")]
    Shape(&'static str),
    /// Not a verifier key.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// A witness's key as a log's, or the other way round.
    #[error("{0}")]
    Kind(&'static str),
    /// A public key that an earlier log or witness line has.
    #[error("the public key is that of line {0} already")]
    DuplicateKey(usize),
    /// A name that an earlier line defines.
    #[error("{0:?} is defined on an earlier line")]
    DuplicateName(String),
    /// `none` as the name of a witness or group, or as a member.
    #[error("none is predefined: it can only be a quorum")]
    None,
    /// A name that no earlier line defines.
    #[error("{0:?} is not defined on an earlier line")]
    Undefined(String),
    /// A name that is a member of a group already.
    #[error("{0:?} is a member of a group already; each name counts once")]
    Reused(String),
    /// A threshold that is not `all`, `any` or a number from 1 to the number of members.
    #[error("the threshold is all, any or a number from 1 to {0}, the number of members")]
    Threshold(usize),
    /// A second quorum line.
    #[error("the quorum is defined on line {0} already")]
    DuplicateQuorum(usize),
    /// No quorum line up to the end.
    #[error("no quorum line; a policy has exactly one")]
    NoQuorum,
}

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy line {line}: {reason}")]
pub struct PolicyError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: PolicyReason,
}

/// A name as people see it; names are bytes, in UTF-8 by convention only.
fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(80).collect()
}

#[derive(Default)]
struct Parser {
    logs: Vec<Log>,
    nodes: Vec<Node>,
    log_keys: HashMap<[u8; 32], usize>,
    witness_keys: HashMap<[u8; 32], usize>,
    /// Where each name stands in `nodes`, and whether a group has it.
    names: HashMap<Name, (usize, bool)>,
    quorum: Option<(usize, Option<usize>)>,
}

impl Policy {
    /// Reads a policy (C2SP tlog-policy). Names and URLs are opaque bytes.
    ///
    /// # Errors
    /// The first line that cannot be taken, and why.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(PolicyError { line: 1, reason: PolicyReason::TooLarge(bytes.len()) });
        }
        let mut parser = Parser::default();
        let mut lines = 0;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            lines = index.saturating_add(1);
            parser.line(line, lines).map_err(|reason| PolicyError { line: lines, reason })?;
        }
        match parser.quorum {
            Some((_, quorum)) => Ok(Self::new(parser.logs, parser.nodes, quorum)),
            None => Err(PolicyError { line: lines, reason: PolicyReason::NoQuorum }),
        }
    }

    /// The policy's lines. [`Self::parse`] reads them back as the same policy.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut line = |words: &[&[u8]]| {
            bytes.extend_from_slice(&words.join(&b' '));
            bytes.push(b'\n');
        };
        for log in self.log_lines() {
            let key = log.key.to_string();
            match &log.url {
                Some(url) => line(&[b"log", key.as_bytes(), url]),
                None => line(&[b"log", key.as_bytes()]),
            }
        }
        for node in self.nodes() {
            match &node.member {
                Member::Witness(witness) => {
                    let key = witness.key.to_string();
                    match &witness.url {
                        Some(url) => line(&[b"witness", &node.name, key.as_bytes(), url]),
                        None => line(&[b"witness", &node.name, key.as_bytes()]),
                    }
                }
                Member::Group(group) => {
                    let threshold = group.threshold.to_string();
                    let mut words: Vec<&[u8]> = vec![b"group", &node.name, threshold.as_bytes()];
                    let members = group.members.iter().filter_map(|index| self.nodes().get(*index));
                    words.extend(members.map(|member| &member.name[..]));
                    line(&words);
                }
            }
        }
        line(&[b"quorum", self.quorum_node().map_or(NONE, |node| &node.name)]);
        bytes
    }
}

impl fmt::Display for Policy {
    /// The policy's lines; bytes of names that are not UTF-8 are shown as `�`, so
    /// [`Policy::to_bytes`] is what to write into a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl Parser {
    fn line(&mut self, line: &[u8], number: usize) -> Result<(), PolicyReason> {
        let allowed = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7E | 0x80..);
        if let Some(byte) = line.iter().find(|byte| !allowed(byte)) {
            return Err(PolicyReason::ControlCharacter(*byte));
        }
        let words: Vec<&[u8]> = line
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] => self.log(key, None, number),
            [b"log", key, url] => self.log(key, Some(url), number),
            [b"log", ..] => Err(PolicyReason::Shape("log <vkey> [<url>]")),
            [b"witness", name, key] => self.witness(name, key, None, number),
            [b"witness", name, key, url] => self.witness(name, key, Some(url), number),
            [b"witness", ..] => Err(PolicyReason::Shape("witness <name> <vkey> [<url>]")),
            [b"group", name, threshold, members @ ..] if !members.is_empty() => {
                self.group(name, threshold, members)
            }
            [b"group", ..] => Err(PolicyReason::Shape("group <name> all|any|<k> <member>...")),
            [b"quorum", name] => self.quorum(name, number),
            [b"quorum", ..] => Err(PolicyReason::Shape("quorum <name>, or quorum none")),
            [other, ..] => Err(PolicyReason::Keyword(lossy(other))),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&&[u8]>, line: usize) -> Result<(), PolicyReason> {
        let key = verifier_key(key)?;
        if key.kind() != KeyKind::Log {
            return Err(PolicyReason::Kind(
                "a log's vkey is of type 0x01; this one is a cosigner's",
            ));
        }
        if let Some(earlier) = self.log_keys.insert(key.public().to_bytes(), line) {
            return Err(PolicyReason::DuplicateKey(earlier));
        }
        self.logs.push(Log { key, url: url.map(|url| (*url).into()) });
        Ok(())
    }

    fn witness(
        &mut self,
        name: &[u8],
        key: &[u8],
        url: Option<&&[u8]>,
        line: usize,
    ) -> Result<(), PolicyReason> {
        let key = verifier_key(key)?;
        if key.kind() != KeyKind::Cosigner {
            return Err(PolicyReason::Kind(
                "a witness's vkey is of type 0x04; this one is a log's",
            ));
        }
        if let Some(earlier) = self.witness_keys.insert(key.public().to_bytes(), line) {
            return Err(PolicyReason::DuplicateKey(earlier));
        }
        self.define(
            name,
            Member::Witness(Box::new(Witness { key, url: url.map(|url| (*url).into()) })),
        )
    }

    fn group(
        &mut self,
        name: &[u8],
        threshold: &[u8],
        members: &[&[u8]],
    ) -> Result<(), PolicyReason> {
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            k => decimal(k)
                .filter(|k| (1..=members.len()).contains(k))
                .ok_or(PolicyReason::Threshold(members.len()))?,
        };
        let mut indexes = Vec::with_capacity(members.len());
        for member in members {
            let (index, used) = self.lookup(member)?;
            if std::mem::replace(used, true) {
                return Err(PolicyReason::Reused(lossy(member)));
            }
            indexes.push(*index);
        }
        self.define(name, Member::Group(Group { threshold, members: indexes }))
    }

    fn quorum(&mut self, name: &[u8], line: usize) -> Result<(), PolicyReason> {
        if let Some((earlier, _)) = self.quorum {
            return Err(PolicyReason::DuplicateQuorum(earlier));
        }
        let index = if name == NONE { None } else { Some(*self.lookup(name)?.0) };
        self.quorum = Some((line, index));
        Ok(())
    }

    fn lookup(&mut self, name: &[u8]) -> Result<(&usize, &mut bool), PolicyReason> {
        if name == NONE {
            return Err(PolicyReason::None);
        }
        match self.names.get_mut(name) {
            Some((index, used)) => Ok((index, used)),
            None => Err(PolicyReason::Undefined(lossy(name))),
        }
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<(), PolicyReason> {
        if name == NONE {
            return Err(PolicyReason::None);
        }
        if self.names.contains_key(name) {
            return Err(PolicyReason::DuplicateName(lossy(name)));
        }
        let name: Name = name.into();
        self.names.insert(name.clone(), (self.nodes.len(), false));
        self.nodes.push(Node { name, member });
        Ok(())
    }
}

fn verifier_key(bytes: &[u8]) -> Result<VerifierKey, PolicyReason> {
    let text = std::str::from_utf8(bytes).map_err(|_| VerifierKeyError::Format)?;
    Ok(text.parse::<VerifierKey>()?)
}

/// Decimal digits only; leading zeros do no harm here and C2SP does not forbid them.
fn decimal(text: &[u8]) -> Option<usize> {
    if text.iter().all(u8::is_ascii_digit) {
        std::str::from_utf8(text).ok()?.parse().ok()
    } else {
        None
    }
}
