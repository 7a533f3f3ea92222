//! The genesis: the file that members agree on before a ledger starts.
//!
//! It is TOML for people (`genesis.toml`); its canonical form, whose SHA-256 is
//! the ledger id, is JSON after RFC 8785 (docs/FORMATS.md, "Genesis").

mod canonical;
mod files;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Member, MemberId, Origin, RecordPublicKey, Validator, record_key::KeyIdentity};
use crate::{
    limits::{GENESIS_BYTES_MAX, MEMBERS_MAX, VALIDATORS_MAX},
    time_zones::time_zone,
    transparency::KeyKind,
};

pub(crate) use self::files::public_key;
pub use self::files::{KeyEntry, MemberEntry, MemberFile, ObserverEntry, ValidatorEntry};

use self::files::{File, LedgerEntry};

/// A genesis that no node should start from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// Larger than [`GENESIS_BYTES_MAX`].
    #[error("the genesis is larger than {GENESIS_BYTES_MAX} bytes")]
    TooLarge,
    /// Not the TOML this file must be. The text names line and field.
    #[error("{0}")]
    Toml(String),
    /// Something about one member is wrong.
    #[error("member {member}: {problem}")]
    Member {
        /// Whose entry.
        member: MemberId,
        /// What is wrong with it.
        problem: String,
    },
    /// A count is out of bounds.
    #[error("{0}")]
    Count(String),
    /// The `backdating` limit cannot be read.
    #[error("ledger.backdating: {0:?} is neither \"unlimited\" nor a duration such as \"1h\"")]
    Backdating(String),
}

/// How old a record may be when it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backdating {
    /// Any age: for imports of history.
    Unlimited,
    /// At most so many milliseconds.
    Limited {
        /// The oldest age taken, in milliseconds.
        age_ms_max: u64,
    },
}

impl FromStr for Backdating {
    type Err = GenesisError;

    fn from_str(text: &str) -> Result<Self, GenesisError> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let unreadable = || GenesisError::Backdating(text.chars().take(40).collect());
        let duration: jiff::SignedDuration = text.parse().map_err(|_| unreadable())?;
        let age_ms_max = u64::try_from(duration.as_millis()).map_err(|_| unreadable())?;
        Ok(Self::Limited { age_ms_max })
    }
}

impl fmt::Display for Backdating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Limited { age_ms_max } => {
                let age_ms = i64::try_from(*age_ms_max).unwrap_or(i64::MAX);
                write!(f, "{:#}", jiff::SignedDuration::from_millis(age_ms))
            }
        }
    }
}

/// What happens to a record that breaks a rule which the genesis may soften.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// It is refused.
    #[default]
    Reject,
    /// It is taken, carries the rule's code and is listed as an exception.
    Flag,
}

/// The rules that a genesis may set to `flag` (marked ⚑ in the domain).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleDispositions {
    /// A ceiling changed inside its period.
    pub change_only_at_period_end: Disposition,
    /// A document or direct debit while requested items are missing.
    pub dossier_red: Disposition,
    /// A ceiling change asked for later than six weeks before the period ends.
    pub notice_too_late: Disposition,
}

/// What a ledger starts from: its name, its settings and its first members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The ledger's name.
    pub origin: Origin,
    /// How old a record may be.
    pub backdating: Backdating,
    /// Rules that flag instead of rejecting.
    pub rules: RuleDispositions,
    /// The members, by id.
    pub members: Vec<Member>,
}

impl Genesis {
    /// A genesis of these members with every setting at its default.
    ///
    /// # Errors
    /// Two members, or two keys, are the same; a validator's keys are not named
    /// for this ledger; there are too many.
    pub fn from_members(origin: Origin, members: Vec<Member>) -> Result<Self, GenesisError> {
        let genesis = Self {
            origin,
            backdating: Backdating::Unlimited,
            rules: RuleDispositions::default(),
            members,
        };
        genesis.checked()
    }

    /// Reads a `genesis.toml`.
    ///
    /// # Errors
    /// It is not such a file, or describes no ledger that could run; the error
    /// names the field or member.
    pub fn from_toml(text: &str) -> Result<Self, GenesisError> {
        let file: File = files::read(text)?;
        let genesis = Self {
            backdating: file.ledger.backdating.parse()?,
            origin: file.ledger.origin,
            rules: file.rules,
            members: file
                .member
                .into_iter()
                .map(MemberEntry::into_member)
                .collect::<Result<_, _>>()?,
        };
        genesis.checked()
    }

    /// Writes the file that [`Genesis::from_toml`] reads.
    ///
    /// # Errors
    /// Never for a genesis that was read or checked; kept so that no caller has to panic.
    pub fn to_toml(&self) -> Result<String, GenesisError> {
        let file = File {
            ledger: LedgerEntry {
                origin: self.origin.clone(),
                backdating: self.backdating.to_string(),
            },
            rules: self.rules,
            member: self.members.iter().map(MemberEntry::of_member).collect(),
        };
        files::write(&file)
    }

    /// Sorts the members and keys and checks everything a node relies on later.
    fn checked(mut self) -> Result<Self, GenesisError> {
        if self.members.is_empty() || self.members.len() > MEMBERS_MAX {
            return Err(GenesisError::Count(format!(
                "a ledger has 1 to {MEMBERS_MAX} members, not {}",
                self.members.len()
            )));
        }
        let validators = self.members.iter().filter(|member| member.validator.is_some()).count();
        if validators > VALIDATORS_MAX {
            return Err(GenesisError::Count(format!(
                "a ledger has at most {VALIDATORS_MAX} validators, not {validators}"
            )));
        }
        self.members.sort_by(|a, b| a.id.cmp(&b.id));
        for pair in self.members.windows(2) {
            if let [first, second] = pair
                && first.id == second.id
            {
                return Err(problem(&first.id, "stands twice"));
            }
        }
        // One key for one purpose of one member: a key that two uses share
        // would let a signature made for one pass as the other.
        let mut seen = HashSet::new();
        for member in &mut self.members {
            member.keys.sort_by(|a, b| a.id.cmp(&b.id));
            check_member(member, &self.origin, |key| seen.insert(key))?;
        }
        Ok(self)
    }
}

/// Checks one member's entry. Its keys are sorted by id; `is_new` is asked once
/// about each of its public keys, and says whether nobody has used it before.
pub(super) fn check_member(
    member: &Member,
    origin: &Origin,
    mut is_new: impl FnMut(KeyIdentity) -> bool,
) -> Result<(), GenesisError> {
    let name_characters = member.name.chars().count();
    if name_characters == 0 || name_characters > 200 || member.name.chars().any(char::is_control) {
        return Err(problem(&member.id, "a name has 1 to 200 printable characters"));
    }
    if let Some(zone) = &member.time_zone {
        time_zone(zone)
            .ok_or_else(|| problem(&member.id, format!("{zone:?} is no IANA time zone")))?;
    }
    let mut fresh = |key: RecordPublicKey, what: &str| {
        if key.is_weak() {
            return Err(problem(&member.id, format!("{what} is a weak Ed25519 key")));
        }
        if is_new(KeyIdentity::from(&key)) {
            Ok(())
        } else {
            Err(problem(&member.id, format!("{what} is used elsewhere; each purpose has its own")))
        }
    };
    if member.validator.is_some() && member.observer.is_some() {
        return Err(problem(&member.id, "validates, so it has no observer beside that"));
    }
    for pair in member.keys.windows(2) {
        if let [first, second] = pair
            && first.id == second.id
        {
            return Err(problem(&member.id, format!("key {} stands twice", first.id)));
        }
    }
    for key in &member.keys {
        fresh(key.public, &format!("record key {}", key.id))?;
    }
    if let Some(validator) = &member.validator {
        let Validator { consensus, log, cosigner, .. } = validator;
        if log.kind() != KeyKind::Log || log.name() != origin.as_str() {
            return Err(problem(
                &member.id,
                format!("validator.log must be a vkey of type 0x01 named {origin}"),
            ));
        }
        let cosigner_name = cosigner_name(origin, &member.id);
        if cosigner.kind() != KeyKind::Cosigner || cosigner.name() != cosigner_name {
            return Err(problem(
                &member.id,
                format!("validator.cosigner must be a vkey of type 0x04 named {cosigner_name}"),
            ));
        }
        fresh((*consensus).into(), "validator.consensus")?;
        fresh((*log.public()).into(), "validator.log")?;
        fresh((*cosigner.public()).into(), "validator.cosigner")?;
    }
    Ok(())
}

/// The name of a validator's cosigner key: `<origin>/<member>`.
#[must_use]
pub fn cosigner_name(origin: &Origin, member: &MemberId) -> String {
    format!("{origin}/{member}")
}

fn problem(member: &MemberId, problem: impl Into<String>) -> GenesisError {
    GenesisError::Member { member: member.clone(), problem: problem.into() }
}
