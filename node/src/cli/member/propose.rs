//! `quittance member propose`: the record of a change, from options or a member.toml.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use quittance_ledger::{
    limits::GENESIS_BYTES_MAX,
    membership::{KeyId, MemberEntry, MemberFile, MemberId, Origin, RecordPublicKey},
};
use serde_json::{Value, json};

use super::{CommandResult, Failure, How};
use crate::files;

pub(super) const EXAMPLES: &str = "Examples:\n  \
    quittance member propose add vet-3/member.toml --key keys/record-petexpert-1.pem \
    --kid petexpert#1 --ledger ledger.example/quittance\n  \
    quittance member propose remove vet-1 --signer petexpert\n  \
    quittance member propose key-added petexpert 2 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= --signer petexpert\n  \
    quittance member propose key-revoked petexpert 1 --signer petexpert\n  \
    quittance member propose validator-in petexpert-new/member.toml --signer petexpert\n  \
    quittance member propose validator-out petexpert --signer broker";

#[derive(Debug, Args)]
pub(super) struct ProposeArgs {
    #[command(subcommand)]
    change: ChangeArgs,
}

#[derive(Debug, Subcommand)]
enum ChangeArgs {
    /// An organisation joins: what its member.toml says
    #[command(
        after_help = "Example:\n  quittance member propose add vet-3/member.toml --signer petexpert"
    )]
    Add(FileArgs),
    /// A member leaves; what it signed stays valid
    #[command(after_help = "Example:\n  quittance member propose remove vet-1 --signer petexpert")]
    Remove(MemberOnlyArgs),
    /// A member gets one more record key
    #[command(after_help = "Example:\n  quittance member propose key-added petexpert 2 \
        11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= --signer petexpert\n\n\
        `quittance key show key.pem` prints a key's public part.")]
    KeyAdded(KeyAddedArgs),
    /// A member's record key is in force no more
    #[command(
        after_help = "Example:\n  quittance member propose key-revoked petexpert 1 --signer petexpert"
    )]
    KeyRevoked(KeyRevokedArgs),
    /// A member validates, or validates with other keys: those in its member.toml
    #[command(
        after_help = "Example:\n  quittance member propose validator-in petexpert-new/member.toml --signer petexpert"
    )]
    ValidatorIn(FileArgs),
    /// A member validates no more, and stays a member
    #[command(
        after_help = "Example:\n  quittance member propose validator-out petexpert --signer broker"
    )]
    ValidatorOut(MemberOnlyArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// The member's public part, as `quittance init` makes it
    #[arg(value_name = "MEMBER.TOML")]
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct MemberOnlyArgs {
    /// The member it is about
    #[arg(value_name = "MEMBER")]
    member_id: MemberId,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct KeyAddedArgs {
    /// The member it is about
    #[arg(value_name = "MEMBER")]
    member_id: MemberId,
    /// The new key's id, which the member never used before
    #[arg(value_name = "KEY")]
    key_id: KeyId,
    /// The new public key in base64, as `quittance key show` prints it: 32 bytes for Ed25519, 33 for ES256
    #[arg(value_name = "BASE64")]
    public_key: RecordPublicKey,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct KeyRevokedArgs {
    /// The member it is about
    #[arg(value_name = "MEMBER")]
    member_id: MemberId,
    /// The key's id
    #[arg(value_name = "KEY")]
    key_id: KeyId,
    #[command(flatten)]
    how: How,
}

pub(super) fn propose(args: &ProposeArgs) -> CommandResult {
    let how = match &args.change {
        ChangeArgs::Add(args) | ChangeArgs::ValidatorIn(args) => &args.how,
        ChangeArgs::Remove(args) | ChangeArgs::ValidatorOut(args) => &args.how,
        ChangeArgs::KeyAdded(args) => &args.how,
        ChangeArgs::KeyRevoked(args) => &args.how,
    };
    let (client, origin) = how.node()?;
    let data = data(&args.change, &origin)?;
    let answer = how.send(&client, &origin, "member.proposed", data)?;
    how.tell(&answer, "The proposal", |id| {
        format!("It waits for approvals: quittance member approve {id}")
    })
}

/// The `data` of the record.
fn data(change: &ChangeArgs, origin: &Origin) -> Result<Value, Failure> {
    Ok(match change {
        ChangeArgs::Add(args) => added(entry(&args.file, origin)?)?,
        ChangeArgs::Remove(args) => json!({"change": "remove", "member": args.member_id}),
        ChangeArgs::KeyAdded(KeyAddedArgs { member_id, key_id, public_key, .. }) => json!({
            "change": "key_added", "member": member_id,
            "key": {
                "id": key_id, "alg": public_key.algorithm().as_str(), "public": public_key.to_string(),
            },
        }),
        ChangeArgs::KeyRevoked(KeyRevokedArgs { member_id, key_id, .. }) => json!({
            "change": "key_revoked", "member": member_id, "key_id": key_id,
        }),
        ChangeArgs::ValidatorIn(args) => {
            let entry = entry(&args.file, origin)?;
            let Some(validator) = &entry.validator else {
                return Err(Failure::unusable(format_args!(
                    "{} holds no [member.validator]",
                    args.file.display()
                )));
            };
            json!({"change": "validator_in", "member": entry.id, "validator": validator})
        }
        ChangeArgs::ValidatorOut(args) => {
            json!({"change": "validator_out", "member": args.member_id})
        }
    })
}

fn added(entry: MemberEntry) -> Result<Value, Failure> {
    let mut data = json!({
        "change": "add",
        "member": entry.id,
        "name": entry.name.unwrap_or_else(|| entry.id.to_string()),
        "role": entry.role,
        "keys": entry.keys,
    });
    for (name, value) in [
        ("time_zone", serde_json::to_value(entry.time_zone)?),
        ("validator", serde_json::to_value(entry.validator)?),
        ("observer", serde_json::to_value(entry.observer)?),
    ] {
        if let (Some(data), false) = (data.as_object_mut(), value.is_null()) {
            data.insert(name.to_owned(), value);
        }
    }
    Ok(data)
}

/// The one member of a file, with its vkeys named for the ledger.
fn entry(path: &Path, origin: &Origin) -> Result<MemberEntry, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::unusable(format_args!("{}: {}", path.display(), error.to_string().trim_end()))
    };
    let text = files::read_text(path, GENESIS_BYTES_MAX)?;
    let mut entries = MemberFile::from_toml(&text).map_err(|error| wrong(&error))?.member;
    match (entries.pop(), entries.len()) {
        (Some(entry), 0) => entry.named_for(origin).map_err(|error| wrong(&error)),
        _ => Err(wrong(&"expected one [[member]]; each change has a record of its own")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quittance_ledger::{
        insurance::Data,
        record::{Envelope, sign},
    };

    use super::*;
    use crate::{keys, keys::Keys, setup};

    fn parsed(data: Value) -> Envelope {
        let Value::Object(payload) = json!({
            "type": "member.proposed", "occurred_at": "2026-01-01T00:00:00Z", "data": data,
        }) else {
            return parsed(Value::Null);
        };
        let key = keys::generate().unwrap();
        let (member, key_id) = ("a".parse().unwrap(), "1".parse().unwrap());
        sign(payload, &"l.example/q".parse().unwrap(), &member, &key_id, &key).unwrap()
    }

    #[test]
    fn what_init_makes_is_proposed_as_a_record_that_is_read() {
        let root = tempfile::tempdir().unwrap();
        let origin = "l.example/q".parse().unwrap();
        for validates in [true, false] {
            let member: MemberId = "vet-3".parse().unwrap();
            let keys = root.path().join(format!("keys-{validates}"));
            let keys = Keys::create(&keys, &member, validates).unwrap();
            let role = quittance_ledger::membership::Role::Provider;
            let made = setup::member_entry(member, role, &keys, validates, None).unwrap();
            assert_eq!(made.observer.is_some(), !validates);
            let path = root.path().join("member.toml");
            let text = MemberFile { member: vec![made] }.to_toml().unwrap();
            std::fs::write(&path, text).unwrap();
            let record = parsed(added(entry(&path, &origin).unwrap()).unwrap());
            let Data::MemberProposed(data) = &record.payload().data else { unreachable!() };
            assert_eq!(data.validator.is_some(), validates);
            assert_eq!(data.observer.is_some(), !validates);
        }
    }
}
