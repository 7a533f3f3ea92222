//! The files that people write and read: `genesis.toml` and `member.toml`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    super::{
        Algorithm, KeyId, Member, MemberId, Observer, Origin, RecordKey, RecordPublicKey,
        RecordPublicKeyError, Role, Validator,
    },
    Backdating, GenesisError, RuleDispositions, cosigner_name, problem,
};
use crate::{
    limits::GENESIS_BYTES_MAX,
    transparency::{VerifierKey, VerifierKeyError},
};

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
        read(text)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Never for an entry that was read; kept so that no caller has to panic.
    pub fn to_toml(&self) -> Result<String, GenesisError> {
        write(self)
    }
}

/// Reads a file of a bounded size.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, GenesisError> {
    if text.len() > GENESIS_BYTES_MAX {
        return Err(GenesisError::TooLarge);
    }
    toml::from_str(text).map_err(|error| GenesisError::Toml(error.to_string()))
}

pub(super) fn write(file: &impl Serialize) -> Result<String, GenesisError> {
    toml::to_string(file).map_err(|error| GenesisError::Toml(error.to_string()))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) ledger: LedgerEntry,
    #[serde(default)]
    pub(super) rules: RuleDispositions,
    #[serde(default)]
    pub(super) member: Vec<MemberEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LedgerEntry {
    pub(super) origin: Origin,
    #[serde(default = "unlimited")]
    pub(super) backdating: String,
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
