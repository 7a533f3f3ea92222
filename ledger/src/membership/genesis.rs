//! The genesis: the file that members agree on before a ledger starts.
//!
//! It is TOML for people (`genesis.toml`); its canonical form, whose SHA-256 is
//! the ledger id, is JSON after RFC 8785 (docs/FORMATS.md, "Genesis").

use std::{
    collections::{BTreeMap, HashSet},
    fmt::{self, Write as _},
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use super::{
    Algorithm, KeyId, Member, MemberId, Observer, Origin, RecordKey, RecordPublicKey,
    RecordPublicKeyError, Role, Validator, record_key::KeyIdentity,
};
use crate::{
    digest::{Digest, LedgerId},
    limits::{GENESIS_BYTES_MAX, MEMBERS_MAX, VALIDATORS_MAX},
    time_zones::time_zone,
    transparency::{KeyKind, VerifierKey, VerifierKeyError},
};

/// The marks of the canonical form; a new layout gets a new one.
const FORMAT: &str = "quittance-genesis@v1";

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
        if text.len() > GENESIS_BYTES_MAX {
            return Err(GenesisError::TooLarge);
        }
        let file: File =
            toml::from_str(text).map_err(|error| GenesisError::Toml(error.to_string()))?;
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
        toml::to_string(&file).map_err(|error| GenesisError::Toml(error.to_string()))
    }

    /// The canonical form: JSON after RFC 8785, which [`Genesis::ledger_id`] hashes.
    ///
    /// Addresses and peer ids, and so observers, are left out: where a node is
    /// reached may change without making another ledger.
    #[must_use]
    pub fn canonical(&self) -> String {
        // BTreeMap keeps RFC 8785's order of names, which are all ASCII here,
        // whatever features of serde_json another crate switches on.
        let members: Vec<_> = self
            .members
            .iter()
            .map(|member| {
                let keys: Vec<_> = member
                    .keys
                    .iter()
                    .map(|key| {
                        object([
                            ("alg", text(key.public.algorithm().as_str())),
                            ("id", text(key.id.as_str())),
                            ("public", text(key.public.to_string())),
                        ])
                    })
                    .collect();
                let mut fields = vec![
                    ("id", text(member.id.as_str())),
                    ("keys", Canonical::List(keys)),
                    ("name", text(&member.name)),
                    ("role", text(member.role.as_str())),
                ];
                if let Some(zone) = &member.time_zone {
                    fields.push(("time_zone", text(zone)));
                }
                if let Some(validator) = &member.validator {
                    fields.push((
                        "validator",
                        object([
                            ("consensus", text(STANDARD.encode(validator.consensus))),
                            ("cosigner", text(validator.cosigner.to_string())),
                            ("log", text(validator.log.to_string())),
                        ]),
                    ));
                }
                object(fields)
            })
            .collect();
        let rule = |disposition| {
            text(match disposition {
                Disposition::Reject => "reject",
                Disposition::Flag => "flag",
            })
        };
        let canonical = object([
            ("format", text(FORMAT)),
            (
                "ledger",
                object([
                    ("backdating", text(self.backdating.to_string())),
                    ("origin", text(self.origin.as_str())),
                ]),
            ),
            ("members", Canonical::List(members)),
            (
                "rules",
                object([
                    ("change_only_at_period_end", rule(self.rules.change_only_at_period_end)),
                    ("dossier_red", rule(self.rules.dossier_red)),
                    ("notice_too_late", rule(self.rules.notice_too_late)),
                ]),
            ),
        ]);
        let mut written = String::new();
        canonical.write(&mut written);
        written
    }

    /// SHA-256 of [`Genesis::canonical`]: the name every header carries.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        LedgerId::from_digest(Digest::of(self.canonical().as_bytes()))
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

/// One `[[member]]`: what `member.toml` holds and `genesis.toml` lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberEntry {
    /// The member's id.
    pub id: MemberId,
    /// What people call it; the id where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// IANA time zone of its contracts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What it may sign.
    pub role: Role,
    /// Its record keys.
    #[serde(default)]
    pub keys: Vec<KeyEntry>,
    /// What it validates with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<ValidatorEntry>,
    /// The node it follows the ledger with, where it does not validate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer: Option<ObserverEntry>,
}

/// One record key in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// The key's id.
    pub id: KeyId,
    /// `Ed25519` or `ES256`.
    pub alg: String,
    /// The public key in base64 (RFC 4648, section 4): 32 bytes for `Ed25519`;
    /// for `ES256` the 33 bytes of a compressed point (SEC 1, section 2.3.3).
    pub public: String,
}

impl KeyEntry {
    /// The entry that stands for this key in a file.
    #[must_use]
    pub fn of_key(id: KeyId, public: &RecordPublicKey) -> Self {
        Self { id, alg: public.algorithm().to_string(), public: public.to_string() }
    }

    /// Reads the key; the error is what is wrong with it.
    fn into_key(self) -> Result<RecordKey, String> {
        let algorithm: Algorithm =
            self.alg.parse().map_err(|_| "alg must be \"Ed25519\" or \"ES256\"".to_owned())?;
        let public: RecordPublicKey =
            self.public.parse().map_err(|wrong: RecordPublicKeyError| wrong.to_string())?;
        if public.algorithm() != algorithm {
            return Err(format!(
                "alg is {algorithm}, but the public key is one of {}",
                public.algorithm()
            ));
        }
        Ok(RecordKey { id: self.id, public })
    }
}

/// What a validator's entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorEntry {
    /// The consensus public key: 32 bytes in base64.
    pub consensus: String,
    /// vkey of type 0x01.
    pub log: String,
    /// vkey of type 0x04.
    pub cosigner: String,
    /// libp2p peer id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Multiaddress of the consensus engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_address: Option<String>,
    /// Multiaddress of the record gossip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gossip_address: Option<String>,
}

/// What an observer's entry holds. None of it is part of the canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserverEntry {
    /// libp2p peer id.
    pub peer: String,
    /// Multiaddress of the consensus engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_address: Option<String>,
    /// Multiaddress of the record gossip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gossip_address: Option<String>,
}

/// A `member.toml`: the public part of one member, to be joined into a genesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberFile {
    /// One or more members.
    pub member: Vec<MemberEntry>,
}

impl MemberFile {
    /// Reads a `member.toml`.
    ///
    /// # Errors
    /// It is not such a file; the text names line and field.
    pub fn from_toml(text: &str) -> Result<Self, GenesisError> {
        if text.len() > GENESIS_BYTES_MAX {
            return Err(GenesisError::TooLarge);
        }
        toml::from_str(text).map_err(|error| GenesisError::Toml(error.to_string()))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Never for an entry that was read; kept so that no caller has to panic.
    pub fn to_toml(&self) -> Result<String, GenesisError> {
        toml::to_string(self).map_err(|error| GenesisError::Toml(error.to_string()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    ledger: LedgerEntry,
    #[serde(default)]
    rules: RuleDispositions,
    #[serde(default)]
    member: Vec<MemberEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerEntry {
    origin: Origin,
    #[serde(default = "unlimited")]
    backdating: String,
}

fn unlimited() -> String {
    Backdating::Unlimited.to_string()
}

impl MemberEntry {
    /// Names the validator's vkeys for `origin`. A member makes its keys before
    /// it knows the ledger's name, so `member.toml` names them after the member.
    ///
    /// # Errors
    /// One of them is no vkey.
    pub fn named_for(mut self, origin: &Origin) -> Result<Self, GenesisError> {
        if let Some(validator) = &mut self.validator {
            let rename = |vkey: &str, name: String| -> Result<String, VerifierKeyError> {
                let key: VerifierKey = vkey.parse()?;
                Ok(VerifierKey::new(name, key.kind(), *key.public())?.to_string())
            };
            let wrong = |error: VerifierKeyError| problem(&self.id, error.to_string());
            validator.log = rename(&validator.log, origin.to_string()).map_err(wrong)?;
            validator.cosigner =
                rename(&validator.cosigner, cosigner_name(origin, &self.id)).map_err(wrong)?;
        }
        Ok(self)
    }

    /// Checks the entry's keys and makes it a member.
    ///
    /// # Errors
    /// A key cannot be read; the error names it.
    pub fn into_member(self) -> Result<Member, GenesisError> {
        let id = self.id;
        let keys = self
            .keys
            .into_iter()
            .map(|key| {
                let key_id = key.id.clone();
                key.into_key().map_err(|wrong| problem(&id, format!("key {key_id}: {wrong}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let validator = self
            .validator
            .map(|entry| {
                let vkey = |field: &str, text: &str| {
                    text.parse::<VerifierKey>()
                        .map_err(|wrong| problem(&id, format!("validator.{field}: {wrong}")))
                };
                Ok::<_, GenesisError>(Validator {
                    member: id.clone(),
                    consensus: public_key(&entry.consensus)
                        .map_err(|wrong| problem(&id, format!("validator.consensus: {wrong}")))?,
                    log: vkey("log", &entry.log)?,
                    cosigner: vkey("cosigner", &entry.cosigner)?,
                    peer: entry.peer,
                    engine_address: entry.engine_address,
                    gossip_address: entry.gossip_address,
                })
            })
            .transpose()?;
        Ok(Member {
            name: self.name.unwrap_or_else(|| id.to_string()),
            role: self.role,
            time_zone: self.time_zone,
            keys,
            validator,
            observer: self.observer.map(|entry| Observer {
                peer: entry.peer,
                engine_address: entry.engine_address,
                gossip_address: entry.gossip_address,
            }),
            id,
        })
    }

    /// The entry that stands for this member in a file.
    #[must_use]
    pub fn of_member(member: &Member) -> Self {
        Self {
            id: member.id.clone(),
            name: Some(member.name.clone()),
            time_zone: member.time_zone.clone(),
            role: member.role,
            keys: member
                .keys
                .iter()
                .map(|key| KeyEntry::of_key(key.id.clone(), &key.public))
                .collect(),
            validator: member.validator.as_ref().map(|validator| ValidatorEntry {
                consensus: STANDARD.encode(validator.consensus),
                log: validator.log.to_string(),
                cosigner: validator.cosigner.to_string(),
                peer: validator.peer.clone(),
                engine_address: validator.engine_address.clone(),
                gossip_address: validator.gossip_address.clone(),
            }),
            observer: member.observer.as_ref().map(|observer| ObserverEntry {
                peer: observer.peer.clone(),
                engine_address: observer.engine_address.clone(),
                gossip_address: observer.gossip_address.clone(),
            }),
        }
    }
}

/// Reads 32 bytes of base64 as an Ed25519 public key.
pub(crate) fn public_key(text: &str) -> Result<VerifyingKey, &'static str> {
    let bytes = STANDARD.decode(text).map_err(|_| "the public key is not base64")?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| "an Ed25519 public key has 32 bytes")?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| "the public key is no Ed25519 point")
}

/// The JSON that a canonical form is made of: objects, lists and texts.
enum Canonical {
    Text(String),
    List(Vec<Canonical>),
    Object(BTreeMap<&'static str, Canonical>),
}

fn text(text: impl Into<String>) -> Canonical {
    Canonical::Text(text.into())
}

fn object(fields: impl IntoIterator<Item = (&'static str, Canonical)>) -> Canonical {
    Canonical::Object(fields.into_iter().collect())
}

impl Canonical {
    fn write(&self, to: &mut String) {
        match self {
            // serde_json escapes exactly as RFC 8785, section 3.2.2.2, asks.
            Self::Text(text) => {
                let _ = write!(to, "{}", serde_json::Value::from(text.as_str()));
            }
            Self::List(items) => {
                to.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        to.push(',');
                    }
                    item.write(to);
                }
                to.push(']');
            }
            Self::Object(fields) => {
                to.push('{');
                for (position, (name, value)) in fields.iter().enumerate() {
                    if position > 0 {
                        to.push(',');
                    }
                    let _ = write!(to, "\"{name}\":");
                    value.write(to);
                }
                to.push('}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ed25519_dalek::SigningKey;

    use super::*;

    fn key(seed: u8) -> VerifyingKey {
        SigningKey::from_bytes(&[seed; 32]).verifying_key()
    }

    fn entry(id: &str, seed: u8) -> String {
        format!(
            "[[member]]\nid = \"{id}\"\nname = \"Name of {id}\"\nrole = \"insurer\"\n\
             keys = [{{ id = \"1\", alg = \"Ed25519\", public = \"{}\" }}]\n",
            STANDARD.encode(key(seed))
        )
    }

    fn validator(origin: &str, member: &str, seed: u8) -> String {
        let log = VerifierKey::new(origin, KeyKind::Log, key(seed)).unwrap();
        let name = format!("{origin}/{member}");
        let cosigner = VerifierKey::new(name, KeyKind::Cosigner, key(seed + 1)).unwrap();
        format!(
            "[member.validator]\nconsensus = \"{}\"\nlog = \"{log}\"\ncosigner = \"{cosigner}\"\n",
            STANDARD.encode(key(seed + 2))
        )
    }

    /// A member that signs with the key of RFC 7515, appendix A.3.
    fn es256_entry(id: &str) -> String {
        format!(
            "[[member]]\nid = \"{id}\"\nname = \"Name of {id}\"\nrole = \"insurer\"\n\
             keys = [{{ id = \"1\", alg = \"ES256\", \
             public = \"A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF\" }}]\n"
        )
    }

    #[test]
    fn a_key_of_es256_reads_back_and_stands_in_the_canonical_form() {
        let genesis = Genesis::from_toml(&format!("{LEDGER}{}", es256_entry("a"))).unwrap();
        let again = Genesis::from_toml(&genesis.to_toml().unwrap()).unwrap();
        assert_eq!(again, genesis);
        assert!(genesis.canonical().contains(
            r#""keys":[{"alg":"ES256","id":"1","public":"A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF"}]"#
        ));
    }

    const LEDGER: &str = "[ledger]\norigin = \"l.example/q\"\n";

    #[test]
    fn what_is_written_reads_back_the_same() {
        let toml = format!(
            "{LEDGER}backdating = \"1h\"\n[rules]\ndossier_red = \"flag\"\n{}{}{}",
            entry("b", 1),
            validator("l.example/q", "b", 10),
            entry("a", 2)
        ) + "[member.observer]\npeer = \"12D3KooW\"\ngossip_address = \"/ip4/127.0.0.1/tcp/1\"\n";
        let genesis = Genesis::from_toml(&toml).unwrap();
        assert_eq!(genesis.backdating, Backdating::Limited { age_ms_max: 3_600_000 });
        assert_eq!(genesis.rules.dossier_red, Disposition::Flag);
        let again = Genesis::from_toml(&genesis.to_toml().unwrap()).unwrap();
        assert_eq!(again, genesis);
        assert_eq!(again.ledger_id(), genesis.ledger_id());
    }

    #[test]
    fn the_order_of_members_and_their_addresses_do_not_make_another_ledger() {
        let one = format!("{LEDGER}{}{}", entry("a", 1), entry("b", 2));
        let two = format!("{LEDGER}{}{}", entry("b", 2), entry("a", 1));
        let id = |toml: &str| Genesis::from_toml(toml).unwrap().ledger_id();
        assert_eq!(id(&one), id(&two));
        let plain = format!("{LEDGER}{}{}", entry("a", 1), validator("l.example/q", "a", 10));
        let moved = format!("{plain}engine_address = \"/ip4/127.0.0.1/tcp/1\"\n");
        assert_eq!(id(&plain), id(&moved));
        assert_ne!(id(&one), id(&plain));
        let observed = format!("{one}[member.observer]\npeer = \"12D3KooW\"\n");
        assert_eq!(id(&one), id(&observed));
        let both = format!("{plain}[member.observer]\npeer = \"12D3KooW\"\n");
        assert!(Genesis::from_toml(&both).is_err());
    }

    #[test]
    fn canonical_form_is_rfc_8785() {
        let genesis = Genesis::from_toml(&format!("{LEDGER}{}", entry("a", 1))).unwrap();
        let canonical = genesis.canonical();
        let value: serde_json::Value = serde_json::from_str(&canonical).unwrap();
        assert!(canonical.starts_with(r#"{"format":"quittance-genesis@v1","ledger":{"#));
        assert!(!canonical.contains('\n') && !canonical.contains(": "));
        assert_eq!(value["members"][0]["id"], "a");
    }

    #[test]
    fn a_key_used_twice_is_refused_wherever_it_stands() {
        let twice = format!("{LEDGER}{}{}", entry("a", 1), entry("b", 1));
        assert!(Genesis::from_toml(&twice).unwrap_err().to_string().contains("used elsewhere"));
        let log_is_record =
            format!("{LEDGER}{}{}", entry("a", 10), validator("l.example/q", "a", 10));
        assert!(Genesis::from_toml(&log_is_record).is_err());
    }

    #[test]
    fn a_genesis_that_could_not_run_is_refused_with_the_member_named() {
        for (toml, says) in [
            (LEDGER.to_owned(), "1 to"),
            (format!("{LEDGER}{}{}", entry("a", 1), entry("a", 2)), "member a: stands twice"),
            (format!("{LEDGER}typo = 1\n{}", entry("a", 1)), "typo"),
            (format!("{LEDGER}backdating = \"soon\"\n{}", entry("a", 1)), "soon"),
            (
                format!("{LEDGER}{}{}", entry("a", 1), validator("other.example/q", "a", 10)),
                "member a: validator.log",
            ),
            (
                format!("{LEDGER}{}", entry("a", 1).replace("Ed25519", "RS256")),
                "member a: key 1: alg",
            ),
            (
                format!("{LEDGER}{}", entry("a", 1).replace("Ed25519", "ES256")),
                "member a: key 1: alg is ES256, but the public key is one of Ed25519",
            ),
            (
                format!("{LEDGER}{}", es256_entry("a").replace("ES256", "Ed25519")),
                "member a: key 1: alg is Ed25519, but the public key is one of ES256",
            ),
            (
                format!("{LEDGER}{}{}", es256_entry("a"), es256_entry("b")),
                "member b: record key 1 is used elsewhere",
            ),
            (format!("{LEDGER}[rules]\nversion_gap = \"flag\"\n{}", entry("a", 1)), "version_gap"),
        ] {
            let error = Genesis::from_toml(&toml).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn member_files_are_named_for_the_ledger_they_join() {
        let toml = format!("{}{}", entry("a", 1), validator("a", "a", 10));
        let file = MemberFile::from_toml(&toml).unwrap();
        let origin: Origin = "l.example/q".parse().unwrap();
        let member = file.member[0].clone().named_for(&origin).unwrap().into_member().unwrap();
        let genesis = Genesis::from_members(origin, vec![member]).unwrap();
        assert_eq!(genesis.members[0].validator.as_ref().unwrap().log.name(), "l.example/q");
    }
}
