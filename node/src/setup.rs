//! Making a ledger that one node runs by itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use quittance_ledger::{
    membership::{
        Genesis, GenesisError, KeyEntry, MemberEntry, MemberFile, MemberId, NameError,
        ObserverEntry, Origin, Role, ValidatorEntry,
    },
    transparency::{KeyKind, VerifierKey, VerifierKeyError},
};
use rand_core::{OsRng, RngCore as _};

use crate::{
    files::{self, FileError},
    keys::{KeyError, Keys, ValidatorKeys, public_text},
    layout::{DataFolder, FolderError},
};

/// Stands in a folder while a ledger is made in it, so that a making that was
/// cut short is started over instead of being taken for a damaged ledger.
const UNFINISHED: &str = ".setup";

/// A data folder could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key could not be made or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The genesis that is there cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Something else is in the folder.
    #[error("{} holds files but no genesis.toml; put the ledger's genesis.toml there, or choose an empty folder for a new ledger", .0.display())]
    NoGenesis(PathBuf),
    /// The members do not make a genesis.
    #[error("the members do not make a ledger: {0}")]
    Genesis(#[from] GenesisError),
    /// A name does not fit.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A key does not make a vkey.
    #[error(transparent)]
    VerifierKey(#[from] VerifierKeyError),
}

/// A member of a ledger that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMember<'a> {
    /// Its id.
    pub id: &'a str,
    /// What people call it.
    pub name: &'a str,
    /// What it may sign.
    pub role: Role,
    /// The IANA time zone in which its contracts count days.
    pub time_zone: Option<&'a str>,
}

/// The members of the ledger that `run` makes where there is none: one of each
/// role that signs, so that any record can be tried at once.
const FIRST_MEMBERS: [NewMember<'static>; 4] = [
    NewMember { id: "insurer", name: "Insurer", role: Role::Insurer, time_zone: None },
    NewMember { id: "broker", name: "Broker", role: Role::Broker, time_zone: None },
    NewMember { id: "provider", name: "Provider", role: Role::Provider, time_zone: None },
    NewMember { id: "trust", name: "Trust service", role: Role::TrustService, time_zone: None },
];

/// The data folder at `root`, with a new single-validator ledger in it where
/// the folder is empty or absent.
///
/// # Errors
/// The folder holds files but no ledger, the genesis there is none, or the
/// system refuses.
pub fn ensure(root: &Path) -> Result<DataFolder, SetupError> {
    let folder = DataFolder::new(root);
    if folder.genesis_path().exists() && !root.join(UNFINISHED).exists() {
        folder.genesis()?;
        return Ok(folder);
    }
    let mut random = [0; 4];
    OsRng.try_fill_bytes(&mut random).map_err(|error| KeyError::Randomness(error.to_string()))?;
    let origin = format!("quittance.local/{}", hex::encode(random)).parse()?;
    create(root, origin, &FIRST_MEMBERS)
}

/// Makes a ledger in the empty or absent folder `root`: this node validates for
/// the first of `members` and holds the record keys of all.
///
/// # Errors
/// The folder is not empty, the members do not make a genesis, or the system refuses.
pub fn create(
    root: &Path,
    origin: Origin,
    members: &[NewMember<'_>],
) -> Result<DataFolder, SetupError> {
    let folder = DataFolder::new(root);
    clear(&folder)?;
    files::create_folder(root, true)?;
    let unfinished = root.join(UNFINISHED);
    if !unfinished.exists() {
        files::create(&unfinished, b"", false)?;
    }
    let Some((first, others)) = members.split_first() else {
        // Says what a ledger without members lacks.
        return Err(Genesis::from_members(origin, Vec::new())
            .map_or_else(SetupError::from, |_| SetupError::NoGenesis(root.to_owned())));
    };
    let keys_path = folder.keys_path();
    let validator: MemberId = first.id.parse()?;
    let mut keys = Keys::create(&keys_path, &validator, true)?;
    for member in others {
        keys.add_record_key(&keys_path, &member.id.parse()?)?;
    }
    files::sync_folder(&keys_path)?;
    let members = members
        .iter()
        .enumerate()
        .map(|(position, member)| {
            Ok(entry(*member, &keys, position == 0)?.named_for(&origin)?.into_member()?)
        })
        .collect::<Result<_, SetupError>>()?;
    let genesis = Genesis::from_members(origin, members)?;
    // The genesis makes the folder a ledger, so it comes after all that it names.
    files::create(&folder.genesis_path(), genesis.to_toml()?.as_bytes(), false)?;
    fs::remove_file(&unfinished).map_err(FileError::io("remove", unfinished))?;
    files::sync_folder(root)?;
    files::sync_folder(files::folder_of(root))?;
    Ok(folder)
}

/// Makes a consortium on this machine, below the empty or absent folder `root`:
/// a node for each of the first `validators` members, which validate, and one
/// more for all the others, with which the first of them observes. Gives their
/// data folders, `root/<member>`.
///
/// # Errors
/// A folder is not empty, the members do not make a genesis, or the system refuses.
pub fn create_consortium(
    root: &Path,
    origin: &Origin,
    members: &[NewMember<'_>],
    validators: usize,
) -> Result<Vec<DataFolder>, SetupError> {
    let (validating, others) = members.split_at(validators.min(members.len()));
    let mut folders = Vec::new();
    let mut entries = Vec::new();
    let observing = others.first();
    for member in validating.iter().chain(observing) {
        let folder = DataFolder::new(root.join(member.id));
        clear(&folder)?;
        files::create_folder(root, true)?;
        files::create_folder(folder.root(), true)?;
        let validates = folders.len() < validating.len();
        let mut keys = Keys::create(&folder.keys_path(), &member.id.parse()?, validates)?;
        let [engine, gossip] = free_addresses()?;
        let addresses = Some(Addresses { engine, gossip });
        let mut entry = member_entry(member.id.parse()?, member.role, &keys, validates, addresses)?;
        entry.name = Some(member.name.to_owned());
        entry.time_zone = member.time_zone.map(str::to_owned);
        let text = MemberFile { member: vec![entry.clone()] }.to_toml()?;
        files::create(&folder.member_path(), text.as_bytes(), false)?;
        entries.push(entry);
        if !validates {
            for other in others.iter().skip(1) {
                let id: MemberId = other.id.parse()?;
                keys.add_record_key(&folder.keys_path(), &id)?;
                let mut entry = member_entry(id, other.role, &keys, false, None)?;
                entry.name = Some(other.name.to_owned());
                entry.time_zone = other.time_zone.map(str::to_owned);
                // It has no node of its own.
                entry.observer = None;
                entries.push(entry);
            }
        }
        folders.push(folder);
    }
    let members = entries
        .into_iter()
        .map(|entry| Ok(entry.named_for(origin)?.into_member()?))
        .collect::<Result<_, SetupError>>()?;
    let genesis = Genesis::from_members(origin.clone(), members)?.to_toml()?;
    for folder in &folders {
        files::create(&folder.genesis_path(), genesis.as_bytes(), false)?;
    }
    Ok(folders)
}

/// Two addresses on loopback that nobody listens on at the moment.
fn free_addresses() -> Result<[String; 2], SetupError> {
    let free = || std::net::TcpListener::bind(("127.0.0.1", 0));
    let failed = |error| SetupError::File(FileError::io("listen on", "127.0.0.1")(error));
    // Both at once, so that they differ.
    let listeners = [free().map_err(failed)?, free().map_err(failed)?];
    let mut addresses = [const { String::new() }; 2];
    for (address, listener) in addresses.iter_mut().zip(&listeners) {
        let port = listener.local_addr().map_err(failed)?.port();
        *address = format!("/ip4/127.0.0.1/tcp/{port}");
    }
    Ok(addresses)
}

fn entry(member: NewMember<'_>, keys: &Keys, validates: bool) -> Result<MemberEntry, SetupError> {
    let mut entry = member_entry(member.id.parse()?, member.role, keys, validates, None)?;
    entry.name = Some(member.name.to_owned());
    entry.time_zone = member.time_zone.map(str::to_owned);
    Ok(entry)
}

/// Where other nodes reach this one: multiaddresses of engine and record gossip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Of the consensus engine.
    pub engine: String,
    /// Of the record gossip.
    pub gossip: String,
}

/// The public part of `member` on the node with these keys: its record key,
/// and the validator's keys where it is the one that `validates` with them, or
/// the node's peer id where nobody does.
///
/// A node makes its keys before it knows the ledger's name, so the vkeys are
/// named after the member; [`MemberEntry::named_for`] names them for a ledger.
///
/// # Errors
/// The member's id cannot name a vkey.
pub fn member_entry(
    member: MemberId,
    role: Role,
    keys: &Keys,
    validates: bool,
    addresses: Option<Addresses>,
) -> Result<MemberEntry, SetupError> {
    let record =
        keys.record.get(&member).map(|(id, key)| KeyEntry::of_key(id.clone(), &key.public()));
    let validator = match &keys.validator {
        Some(validator) if validates => {
            Some(validator_entry(&member, validator, keys, addresses.clone())?)
        }
        _ => None,
    };
    // A node that also validates, for this member or another, is no observer's.
    let observer = match &keys.validator {
        Some(_) => None,
        None => Some(ObserverEntry {
            peer: keys.peer_id()?,
            engine_address: addresses.as_ref().map(|addresses| addresses.engine.clone()),
            gossip_address: addresses.map(|addresses| addresses.gossip),
        }),
    };
    Ok(MemberEntry {
        id: member,
        name: None,
        time_zone: None,
        role,
        keys: record.into_iter().collect(),
        validator,
        observer,
    })
}

fn validator_entry(
    member: &MemberId,
    validator: &ValidatorKeys,
    keys: &Keys,
    addresses: Option<Addresses>,
) -> Result<ValidatorEntry, SetupError> {
    let vkey = |kind, key: &ed25519_dalek::SigningKey| {
        VerifierKey::new(member.as_str(), kind, key.verifying_key()).map(|key| key.to_string())
    };
    let (engine_address, gossip_address) =
        addresses.map(|addresses| (addresses.engine, addresses.gossip)).unzip();
    Ok(ValidatorEntry {
        consensus: public_text(&validator.consensus.verifying_key()),
        log: vkey(KeyKind::Log, &validator.log)?,
        cosigner: vkey(KeyKind::Cosigner, &validator.cosigner)?,
        peer: Some(keys.peer_id()?),
        engine_address,
        gossip_address,
    })
}

/// Leaves the folder empty: checks that it is, or takes away what a making that
/// was cut short left behind. Nothing that anybody signed with is lost, because
/// a ledger exists only once the mark of an unfinished making is gone.
fn clear(folder: &DataFolder) -> Result<(), SetupError> {
    let root = folder.root();
    if root.join(UNFINISHED).exists() {
        for removed in
            [fs::remove_dir_all(folder.keys_path()), fs::remove_file(folder.genesis_path())]
        {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::io("empty", root)(error).into());
                }
                _ => {}
            }
        }
    }
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::io("read", root))?,
    };
    for entry in entries {
        let name = entry.map_err(FileError::io("read", root))?.file_name();
        // A file system of its own has this folder from the start.
        if name != UNFINISHED && name != "lost+found" {
            return Err(SetupError::NoGenesis(root.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn an_absent_folder_becomes_a_ledger_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("a/b");
        let folder = ensure(&root).unwrap();
        let membership = folder.membership().unwrap();
        let keys = folder.keys().unwrap();
        keys.check(&membership).unwrap();
        assert_eq!(keys.member(&membership).unwrap().as_str(), "insurer");
        assert_eq!(membership.validators().len(), 1);
        assert_eq!(keys.record.len(), 4);
        assert!(membership.origin().as_str().starts_with("quittance.local/"));
        // Starting again finds the same ledger.
        let again = ensure(&root).unwrap().membership().unwrap();
        assert_eq!(again.ledger_id(), membership.ledger_id());
    }

    #[test]
    fn a_making_that_was_cut_short_is_started_over() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(UNFINISHED), "").unwrap();
        fs::create_dir(root.path().join("keys")).unwrap();
        fs::write(root.path().join("keys/network.pem"), "half a ke").unwrap();
        let folder = ensure(root.path()).unwrap();
        folder.keys().unwrap().check(&folder.membership().unwrap()).unwrap();
        assert!(!root.path().join(UNFINISHED).exists());
    }

    #[test]
    fn a_folder_with_other_files_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.txt"), "years of work").unwrap();
        let error = ensure(root.path()).unwrap_err();
        assert!(matches!(error, SetupError::NoGenesis(_)), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn keys_of_another_ledger_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let one = ensure(&folder.path().join("one")).unwrap();
        let two = ensure(&folder.path().join("two")).unwrap();
        let error = two.keys().unwrap().check(&one.membership().unwrap()).unwrap_err();
        assert!(matches!(error, KeyError::NotInGenesis { .. }), "{error}");
    }

    #[test]
    fn a_genesis_that_cannot_be_read_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("genesis.toml"), "[ledger]").unwrap();
        let error = ensure(root.path()).unwrap_err().to_string();
        assert!(error.contains("genesis.toml"), "{error}");
    }
}
