//! Whose signatures make a checkpoint valid (C2SP tlog-policy).

use std::fmt;

use super::{
    KeyKind, SignedCheckpoint, VerifierKey,
    note::{self, NoteSignature, Verified},
};
use crate::membership::{Validator, ValidatorSet};

/// The name of a witness or group: opaque bytes (C2SP tlog-policy, "Character set").
pub(super) type Name = Box<[u8]>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) key: VerifierKey,
    pub(super) url: Option<Box<[u8]>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) key: VerifierKey,
    pub(super) url: Option<Box<[u8]>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) threshold: usize,
    /// Positions of earlier nodes.
    pub(super) members: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Member {
    Witness(Box<Witness>),
    Group(Group),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: Name,
    pub(super) member: Member,
}

/// A trust policy: the logs whose signature counts, the witnesses, and which of
/// them are enough. Witnesses of a ledger are its validators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    /// In the order of definition, so that members of a group stand before it.
    nodes: Vec<Node>,
    /// `None` needs no witness.
    quorum: Option<usize>,
}

/// A witness whose cosignature of the checkpoint verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness's name in the policy: the member's id on a ledger.
    pub witness: String,
    /// Its key.
    pub key: VerifierKey,
    /// When it says it cosigned, in POSIX seconds.
    pub time_s: u64,
}

/// Why a policy does not accept a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The policy lists no log of that name.
    #[error("the policy knows no log named {origin}")]
    UnknownLog {
        /// The checkpoint's origin.
        origin: String,
    },
    /// None of the log's keys in the policy signed it.
    #[error("no log key that the policy lists for {origin} signed the checkpoint")]
    NotSigned {
        /// The checkpoint's origin.
        origin: String,
    },
    /// A line with the name and id of a known key does not verify.
    #[error("bad signature of {name}+{key_id:08x}")]
    BadSignature {
        /// Whether the key is a log's or a witness's.
        kind: KeyKind,
        /// The key's name.
        name: String,
        /// The key's id.
        key_id: u32,
    },
    /// A known key signed more than once.
    #[error("{name}+{key_id:08x} signed more than once")]
    Repeated {
        /// Whether the key is a log's or a witness's.
        kind: KeyKind,
        /// The key's name.
        name: String,
        /// The key's id.
        key_id: u32,
    },
    /// Too few witnesses cosigned.
    #[error("quorum {quorum}: {have} of {need} needed")]
    Quorum {
        /// The name of the witness or group that must have cosigned.
        quorum: String,
        /// How many of its members did.
        have: usize,
        /// How many must.
        need: usize,
    },
}

impl PolicyFault {
    /// Whether the fault is about the log's signature rather than the witnesses'.
    #[must_use]
    pub const fn is_about_log(&self) -> bool {
        match self {
            Self::UnknownLog { .. } | Self::NotSigned { .. } => true,
            Self::BadSignature { kind, .. } | Self::Repeated { kind, .. } => {
                matches!(kind, KeyKind::Log)
            }
            Self::Quorum { .. } => false,
        }
    }
}

/// What a policy says about one signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// The log keys of the checkpoint's origin whose signatures verified.
    pub logs: Vec<VerifierKey>,
    /// The witnesses whose cosignatures verified, in the order of their lines.
    pub witnesses: Vec<Cosigned>,
    /// How many members of the quorum have cosigned, and how many must; 0 of 0
    /// for `quorum none`.
    pub quorum: (usize, usize),
    /// All that speaks against the checkpoint.
    pub faults: Vec<PolicyFault>,
}

impl PolicyVerdict {
    /// Whether the checkpoint may be relied on.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    /// The verdict, if the checkpoint may be relied on.
    ///
    /// # Errors
    /// The first fault.
    pub fn accept(mut self) -> Result<Self, PolicyFault> {
        if self.holds() { Ok(self) } else { Err(self.faults.swap_remove(0)) }
    }
}

impl Policy {
    pub(super) const fn new(logs: Vec<Log>, nodes: Vec<Node>, quorum: Option<usize>) -> Self {
        Self { logs, nodes, quorum }
    }

    /// The policy of a ledger with these validators: each one's log key, each one
    /// as a witness under its member id, and more than two thirds of them as the
    /// quorum. Without validators it accepts nothing.
    #[must_use]
    pub fn for_validators<'a>(validators: impl Iterator<Item = &'a Validator>) -> Self {
        let validators = ValidatorSet::new(validators.cloned().collect());
        let threshold = validators.quorum();
        let mut logs: Vec<Log> = Vec::new();
        let mut nodes: Vec<Node> = Vec::new();
        for validator in validators.iter() {
            if !logs.iter().any(|log| log.key.public() == validator.log.public()) {
                logs.push(Log { key: validator.log.clone(), url: None });
            }
            // Two names have a meaning in the policy. A member of such a name goes by
            // its cosigner's, which holds a slash and so is no other member's.
            let name = match validator.member.as_str() {
                "none" | "validators" => validator.cosigner.name(),
                member => member,
            };
            let key = validator.cosigner.clone();
            nodes.push(Node {
                name: name.as_bytes().into(),
                member: Member::Witness(Box::new(Witness { key, url: None })),
            });
        }
        let group = Group { threshold, members: (0..nodes.len()).collect() };
        let quorum = nodes.len();
        nodes.push(Node { name: b"validators".as_slice().into(), member: Member::Group(group) });
        Self { logs, nodes, quorum: Some(quorum) }
    }

    pub(super) fn log_lines(&self) -> &[Log] {
        &self.logs
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn quorum_node(&self) -> Option<&Node> {
        self.quorum.and_then(|index| self.nodes.get(index))
    }

    /// The keys of the logs it accepts.
    pub fn logs(&self) -> impl Iterator<Item = &VerifierKey> {
        self.logs.iter().map(|log| &log.key)
    }

    /// The witnesses, each with its name in the policy.
    pub fn witnesses(&self) -> impl Iterator<Item = (&[u8], &VerifierKey)> {
        self.nodes.iter().filter_map(|node| match &node.member {
            Member::Witness(witness) => Some((&*node.name, &witness.key)),
            Member::Group(_) => None,
        })
    }

    /// Judges a signed checkpoint: some log key listed for its origin must have
    /// signed it, the quorum must have cosigned it, and no signature of a known
    /// key may fail or stand twice. Signatures of unknown keys are ignored.
    #[must_use]
    pub fn check(&self, signed: &SignedCheckpoint) -> PolicyVerdict {
        let body = signed.checkpoint().body();
        let origin = signed.checkpoint().origin.as_str();
        let mut signed_by = vec![false; self.logs.len()];
        let mut cosigned_by: Vec<bool> = vec![false; self.nodes.len()];
        let mut witnesses = Vec::new();
        let mut faults = Vec::new();

        for signature in signed.signatures() {
            let known = self.known(signature);
            let Some(first) = known.first() else { continue };
            let (kind, name, key_id) =
                (first.key.kind(), signature.name().to_owned(), signature.id());
            // An id has 32 bits only, so two keys may claim one line: anyone could
            // make such a key for a name of its own. The line is the one's whose it is.
            let signer = known.iter().find_map(|known| {
                let verified = note::verify(known.key, body.as_bytes(), signature.signature())?;
                Some((known, verified))
            });
            let Some((known, verified)) = signer else {
                faults.push(PolicyFault::BadSignature { kind, name, key_id });
                continue;
            };
            let seen = match verified {
                Verified::Log => signed_by.get_mut(known.position),
                Verified::Cosigned { .. } => cosigned_by.get_mut(known.position),
            };
            if seen.is_none_or(|seen| std::mem::replace(seen, true)) {
                let kind = known.key.kind();
                faults.push(PolicyFault::Repeated { kind, name, key_id });
            } else if let Verified::Cosigned { time_s } = verified {
                let witness = String::from_utf8_lossy(known.name).into_owned();
                witnesses.push(Cosigned { witness, key: known.key.clone(), time_s });
            }
        }

        let logs: Vec<VerifierKey> = (self.logs.iter().zip(&signed_by))
            .filter(|(log, signed)| **signed && log.key.name() == origin)
            .map(|(log, _)| log.key.clone())
            .collect();
        if logs.is_empty() {
            let origin = origin.to_owned();
            // Says the least that explains it: a bad signature is named above.
            if !self.logs().any(|key| key.name() == origin) {
                faults.insert(0, PolicyFault::UnknownLog { origin });
            } else if !faults.iter().any(PolicyFault::is_about_log) {
                faults.push(PolicyFault::NotSigned { origin });
            }
        }

        let quorum = self.tally(&mut cosigned_by);
        if quorum.0 < quorum.1 {
            let name = self.quorum_node().map_or("none".into(), |node| display(&node.name));
            faults.push(PolicyFault::Quorum { quorum: name, have: quorum.0, need: quorum.1 });
        }
        PolicyVerdict { logs, witnesses, quorum, faults }
    }

    /// Carries the witnesses' marks up through the groups, and counts the quorum:
    /// how many of its members stand behind the checkpoint, and how many must.
    fn tally(&self, marks: &mut [bool]) -> (usize, usize) {
        let mut counts = (0, 0);
        for (position, node) in self.nodes.iter().enumerate() {
            let marked = |marks: &[bool], index: usize| marks.get(index).copied().unwrap_or(false);
            let (have, need) = match &node.member {
                Member::Witness(_) => (usize::from(marked(marks, position)), 1),
                Member::Group(group) => {
                    let have = group.members.iter().filter(|index| marked(marks, **index)).count();
                    (have, group.threshold)
                }
            };
            if let Some(mark) = marks.get_mut(position) {
                *mark = have >= need;
            }
            if self.quorum == Some(position) {
                counts = (have, need);
            }
        }
        counts
    }

    /// The keys that a signature line claims to be by.
    fn known(&self, signature: &NoteSignature) -> Vec<Known<'_>> {
        let logs = self.logs.iter().enumerate().map(|(position, log)| Known {
            key: &log.key,
            name: &[],
            position,
        });
        let witnesses =
            self.nodes.iter().enumerate().filter_map(|(position, node)| match &node.member {
                Member::Witness(witness) => {
                    Some(Known { key: &witness.key, name: &node.name, position })
                }
                Member::Group(_) => None,
            });
        logs.chain(witnesses).filter(|known| note::claims(signature, known.key)).collect()
    }
}

/// A key of the policy, its name there, and where it stands.
struct Known<'a> {
    key: &'a VerifierKey,
    name: &'a [u8],
    position: usize,
}

fn display(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl fmt::Display for PolicyVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.as_slice() {
            [] => {
                let names: Vec<_> =
                    self.witnesses.iter().map(|cosigned| cosigned.witness.as_str()).collect();
                write!(f, "cosigned by {}", names.join(", "))
            }
            faults => {
                let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
                f.write_str(&faults.join("; "))
            }
        }
    }
}
