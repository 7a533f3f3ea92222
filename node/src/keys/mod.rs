//! A node's secret keys: one key for each purpose, each in a file of its own. All
//! are Ed25519 but record keys, which may be P-256 too.
//!
//! ```text
//! keys/network.pem                 names the node to other nodes
//! keys/consensus.pem               signs votes                        ┐
//! keys/log.pem                     signs the checkpoints it serves    │ of a validator
//! keys/cosigner.pem                cosigns checkpoints                ┘
//! keys/record-<member>-<key>.pem   signs records; one for every member this node signs for
//! ```
//!
//! `keys/vault.key` is no signing key: it opens the vault (`vault.rs`).
//!
//! Files are PKCS#8 PEM (RFC 8410), as `openssl genpkey -algorithm ed25519`
//! writes them, and readable by their owner only: a key that others can read is
//! refused, because whoever reads it can sign.

mod match_key;
mod record;
#[cfg(test)]
mod tests;
mod vault;

pub use vault::open_vault_key;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes, spki::der::pem::LineEnding,
    },
};
use quittance_ledger::{
    membership::{Algorithm, KeyId, MemberId, Membership},
    record::RecordSecretKey,
};
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

pub use self::match_key::{create_match_key, load_match_key};
pub use self::record::{
    generate_record, load_record, load_record_public, record_to_pem, save_record,
};
use crate::files::{self, FileError};

/// What a PEM file of one key takes at most, in bytes; a real one has about 120.
const PEM_BYTES_MAX: usize = 16 * 1024;

/// Record keys that one node holds at most.
const RECORD_KEYS_MAX: usize = 10_000;

/// A key could not be made, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key is there already; keys are never overwritten.
    #[error("{} is there already, and keys are never overwritten; choose another place or move it away", .0.display())]
    Exists(PathBuf),
    /// Others than the owner may read or write the file.
    #[error("{} is open to others (mode {mode:04o}); close it with: chmod 600 {}", path.display(), path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not an Ed25519 key in PKCS#8 PEM.
    #[error("{} is no Ed25519 key in PEM; make one with: quittance key new --out FILE", .0.display())]
    NotAKey(PathBuf),
    /// Neither an Ed25519 nor a P-256 key in PKCS#8 PEM.
    #[error("{} is no Ed25519 or P-256 key in PKCS#8 PEM; make one with: quittance key new --out FILE, or convert one with: openssl pkcs8 -topk8 -nocrypt", .0.display())]
    NotARecordKey(PathBuf),
    /// Not 32 bytes in base64.
    #[error("{} is no match key; make one with: quittance key match --out FILE, and share it with the other members", .0.display())]
    NotAMatchKey(PathBuf),
    /// Not the key of a vault.
    #[error("{} is no key of a vault (32 bytes in base64); put it back from your backup", .0.display())]
    NotAVaultKey(PathBuf),
    /// The folder lacks a key.
    #[error("{} is missing; put it back from your backup, or make the folder's keys with `quittance init`", .0.display())]
    Missing(PathBuf),
    /// The name of a record key says neither member nor key.
    #[error("{}: the file of a record key is named record-<member>-<key>.pem, with no - in <key>", .0.display())]
    Name(PathBuf),
    /// Two record keys of one member.
    #[error("two record keys of member {member} in {}; keep only the one to sign with", folder.display())]
    Twice {
        /// Whose keys.
        member: MemberId,
        /// Where they are.
        folder: PathBuf,
    },
    /// More record keys than a node holds.
    #[error("{} holds more than {RECORD_KEYS_MAX} record keys", .0.display())]
    TooMany(PathBuf),
    /// A key of this node is not the one in the genesis.
    #[error(
        "the {what} of this node is not the one that genesis.toml lists for member {member}; use the folder that `quittance init` made for it, or correct genesis.toml"
    )]
    NotInGenesis {
        /// Which key.
        what: String,
        /// Whose.
        member: MemberId,
    },
    /// No source of randomness.
    #[error("this machine has no randomness to make a key from: {0}")]
    Randomness(String),
}

/// The keys of a node that validates.
#[derive(Debug, Clone)]
pub struct ValidatorKeys {
    /// Signs consensus votes.
    pub consensus: SigningKey,
    /// Cosigns checkpoints (C2SP type 0x04).
    pub cosigner: SigningKey,
    /// Signs the checkpoints that the node serves (C2SP type 0x01).
    pub log: SigningKey,
}

/// The secret keys of one node. They are wiped from memory when dropped.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Names the node to other nodes.
    pub network: SigningKey,
    /// What it validates with, where it does.
    pub validator: Option<ValidatorKeys>,
    /// The record key of every member this node signs for.
    pub record: BTreeMap<MemberId, (KeyId, RecordSecretKey)>,
}

impl Keys {
    /// Makes the keys of a node of `member`, which validates or not, in the
    /// folder `folder`, and writes them there.
    ///
    /// # Errors
    /// A key is there already (nothing was written then), or the system refuses.
    pub fn create(folder: &Path, member: &MemberId, validator: bool) -> Result<Self, KeyError> {
        Self::create_with(folder, member, validator, Algorithm::Ed25519)
    }

    /// As [`Keys::create`], with a record key of that algorithm.
    ///
    /// # Errors
    /// As [`Keys::create`].
    pub fn create_with(
        folder: &Path,
        member: &MemberId,
        validator: bool,
        algorithm: Algorithm,
    ) -> Result<Self, KeyError> {
        let keys = Self {
            network: generate()?,
            validator: if validator {
                Some(ValidatorKeys {
                    consensus: generate()?,
                    cosigner: generate()?,
                    log: generate()?,
                })
            } else {
                None
            },
            record: BTreeMap::from([(
                member.clone(),
                (first_key_id()?, generate_record(algorithm)?),
            )]),
        };
        keys.save(folder)?;
        Ok(keys)
    }

    /// Adds a record key of another member that this node signs for, and writes it.
    ///
    /// # Errors
    /// The member has one already, or the system refuses.
    pub fn add_record_key(&mut self, folder: &Path, member: &MemberId) -> Result<(), KeyError> {
        if self.record.contains_key(member) {
            return Err(KeyError::Twice { member: member.clone(), folder: folder.to_owned() });
        }
        let (id, key) = (first_key_id()?, generate_record(Algorithm::Ed25519)?);
        save_record(&folder.join(record_file(member, &id)), &key)?;
        self.record.insert(member.clone(), (id, key));
        Ok(())
    }

    /// Reads the keys in `folder`.
    ///
    /// # Errors
    /// One is missing, open to others, unreadable or not named as it must be;
    /// the error names the file.
    pub fn load(folder: &Path) -> Result<Self, KeyError> {
        let required = |name: &str| {
            let path = folder.join(name);
            if path.exists() { load(&path) } else { Err(KeyError::Missing(path)) }
        };
        let validates = VALIDATOR_FILES.iter().any(|name| folder.join(name).exists());
        let [consensus, cosigner, log] = VALIDATOR_FILES;
        Ok(Self {
            network: required(NETWORK_FILE)?,
            validator: if validates {
                Some(ValidatorKeys {
                    consensus: required(consensus)?,
                    cosigner: required(cosigner)?,
                    log: required(log)?,
                })
            } else {
                None
            },
            record: load_record_keys(folder)?,
        })
    }

    /// Checks that every key here is the one the ledger knows: record keys
    /// belong to their member, in force or not, and the validator's three to one
    /// validator.
    ///
    /// # Errors
    /// The first key that the membership does not list.
    pub fn check(&self, membership: &Membership) -> Result<(), KeyError> {
        for (member, (id, key)) in &self.record {
            // Of a member that is yet to be added, nothing is known.
            let Some(history) = membership.past(member) else { continue };
            let listed = history.key(id);
            if listed.map(|listed| listed.of.public) != Some(key.public()) {
                let what = format!("record key {id}");
                return Err(KeyError::NotInGenesis { what, member: member.clone() });
            }
        }
        if let (Some(keys), Some(member)) = (&self.validator, self.member(membership))
            && let Some(validator) = membership.validators().of_member(&member)
        {
            for (what, key, listed) in [
                ("cosigner key", &keys.cosigner, validator.cosigner.public()),
                ("log key", &keys.log, validator.log.public()),
            ] {
                if key.verifying_key() != *listed {
                    return Err(KeyError::NotInGenesis { what: what.to_owned(), member });
                }
            }
        }
        Ok(())
    }

    /// The member whose node this is: the one that validates with its consensus
    /// key, or observes with its network key.
    #[must_use]
    pub fn member(&self, membership: &Membership) -> Option<MemberId> {
        let validates = self.validator.as_ref().and_then(|keys| {
            membership.validators().by_consensus_key(keys.consensus.verifying_key().as_bytes())
        });
        if let Some(validator) = validates {
            return Some(validator.member.clone());
        }
        let peer = self.peer_id().ok()?;
        membership
            .members()
            .find(|member| member.observer.as_ref().is_some_and(|observer| observer.peer == peer))
            .map(|member| member.id.clone())
    }

    /// The node's libp2p peer id, which its network key decides.
    ///
    /// # Errors
    /// Never for an Ed25519 key; kept so that no caller has to panic.
    pub fn peer_id(&self) -> Result<String, KeyError> {
        peer_id(&self.network.verifying_key())
            .ok_or_else(|| KeyError::NotAKey(PathBuf::from(NETWORK_FILE)))
    }

    fn save(&self, folder: &Path) -> Result<(), KeyError> {
        let mut files = vec![(NETWORK_FILE.to_owned(), to_pem(&self.network)?)];
        if let Some(ValidatorKeys { consensus, cosigner, log }) = &self.validator {
            for (name, key) in VALIDATOR_FILES.into_iter().zip([consensus, cosigner, log]) {
                files.push((name.to_owned(), to_pem(key)?));
            }
        }
        for (member, (id, key)) in &self.record {
            files.push((record_file(member, id), record_to_pem(key)?));
        }
        files::create_folder(folder, true)?;
        // All or none: half a set of new keys beside half a set of old ones
        // would be hard to tell apart.
        for (name, _) in &files {
            let path = folder.join(name);
            if path.exists() {
                return Err(KeyError::Exists(path));
            }
        }
        for (name, pem) in files {
            create_pem(&folder.join(name), &pem)?;
        }
        Ok(files::sync_folder(folder)?)
    }
}

const NETWORK_FILE: &str = "network.pem";
const VALIDATOR_FILES: [&str; 3] = ["consensus.pem", "cosigner.pem", "log.pem"];

fn record_file(member: &MemberId, id: &KeyId) -> String {
    format!("record-{member}-{id}.pem")
}

/// The id that `init` gives a member's first record key.
fn first_key_id() -> Result<KeyId, KeyError> {
    "1".parse().map_err(|_| KeyError::Name(PathBuf::from("1")))
}

/// The member and key id that a file's name tells; none for other files.
fn parse_record_file(path: &Path) -> Result<Option<(MemberId, KeyId)>, KeyError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let Some(name) = name.strip_prefix("record-").and_then(|name| name.strip_suffix(".pem")) else {
        return Ok(None);
    };
    let wrong = || KeyError::Name(path.to_owned());
    let (member, id) = name.rsplit_once('-').ok_or_else(wrong)?;
    let member = member.parse().map_err(|_| wrong())?;
    let id = id.parse().map_err(|_| wrong())?;
    Ok(Some((member, id)))
}

fn load_record_keys(
    folder: &Path,
) -> Result<BTreeMap<MemberId, (KeyId, RecordSecretKey)>, KeyError> {
    let mut keys = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(FileError::io("read", folder))? {
        let path = entry.map_err(FileError::io("read", folder))?.path();
        if let Some((member, id)) = parse_record_file(&path)? {
            let key = load_record(&path)?;
            if keys.insert(member.clone(), (id, key)).is_some() {
                return Err(KeyError::Twice { member, folder: folder.to_owned() });
            }
            if keys.len() > RECORD_KEYS_MAX {
                return Err(KeyError::TooMany(folder.to_owned()));
            }
        }
    }
    Ok(keys)
}

/// A new key from the system's randomness.
///
/// # Errors
/// The system has none.
pub fn generate() -> Result<SigningKey, KeyError> {
    Ok(SigningKey::from_bytes(&*random_bytes()?))
}

fn random_bytes() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut secret = Zeroizing::new([0; 32]);
    OsRng
        .try_fill_bytes(secret.as_mut())
        .map_err(|error| KeyError::Randomness(error.to_string()))?;
    Ok(secret)
}

/// The key as PKCS#8 PEM.
///
/// Without the public key, as OpenSSL writes it: the form with it (RFC 5958,
/// version 2) is one that several tools do not read.
///
/// # Errors
/// Never for an Ed25519 key; kept so that no caller has to panic.
pub fn to_pem(key: &SigningKey) -> Result<Zeroizing<String>, KeyError> {
    let bytes = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    bytes.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::NotAKey(PathBuf::new()))
}

/// Writes a key to a new file that only its owner may read.
///
/// # Errors
/// The file is there already, or the system refuses.
pub fn save(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    create_pem(path, &to_pem(key)?)
}

fn create_pem(path: &Path, pem: &str) -> Result<(), KeyError> {
    files::create(path, pem.as_bytes(), true).map_err(|error| match error {
        FileError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
            KeyError::Exists(path.to_owned())
        }
        error => error.into(),
    })
}

/// Reads a secret key.
///
/// # Errors
/// The file cannot be read, is open to others, or holds no such key.
pub fn load(path: &Path) -> Result<SigningKey, KeyError> {
    refuse_open_to_others(path)?;
    let text = read_pem(path)?;
    text.and_then(|text| SigningKey::from_pkcs8_pem(text.trim()).ok())
        .ok_or_else(|| KeyError::NotAKey(path.to_owned()))
}

/// The text of a PEM file; none where it is no text.
fn read_pem(path: &Path) -> Result<Option<Zeroizing<String>>, KeyError> {
    let bytes = Zeroizing::new(files::read(path, PEM_BYTES_MAX)?);
    Ok(std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned())))
}

#[cfg(unix)]
fn refuse_open_to_others(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = fs::metadata(path).map_err(FileError::io("read", path))?.permissions().mode();
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyError::OpenToOthers { path: path.to_owned(), mode: mode & 0o7777 })
    }
}

#[cfg(not(unix))]
fn refuse_open_to_others(_: &Path) -> Result<(), KeyError> {
    Ok(())
}

/// A public key as it stands in genesis.toml: its 32 bytes in base64.
#[must_use]
pub fn public_text(key: &VerifyingKey) -> String {
    STANDARD.encode(key.as_bytes())
}

/// The libp2p peer id of a network key.
#[must_use]
pub fn peer_id(key: &VerifyingKey) -> Option<String> {
    use libp2p::identity::{PublicKey, ed25519};

    let key = ed25519::PublicKey::try_from_bytes(key.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id().to_string())
}
