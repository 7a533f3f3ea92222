//! `quittance verify`: receipts, offline.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use quittance_ledger::{
    digest::RecordId,
    limits::RECEIPT_BYTES_MAX,
    membership::Membership,
    record::Envelope,
    refusal::Code,
    transparency::{Check, Policy, Receipt, Verification, verify_bytes},
};
use serde::Serialize;

use super::{CommandResult, Failure, Outcome, output, source};
use crate::{files, layout::read_genesis};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The receipts
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<PathBuf>,
    /// The ledger's trust policy, which you should have from somebody you trust
    #[arg(long, value_name = "FILE", required_unless_present = "genesis")]
    policy: Option<PathBuf>,
    /// Also check the record's own signature and that its signer may sign it;
    /// without --policy, the genesis says whose signatures a checkpoint needs. Of
    /// keys and members that were added later it knows nothing: what they signed is
    /// neither valid nor invalid by it (2)
    #[arg(long, value_name = "GENESIS.TOML")]
    genesis: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found about one receipt.
#[derive(Debug, Serialize)]
struct Verified {
    receipt: String,
    id: Option<RecordId>,
    index: Option<u64>,
    #[serde(flatten)]
    verification: Verification,
    /// Whether nothing speaks against it, and the genesis does not tell whose key
    /// signed the record. It is not valid then, nor invalid.
    undecided: bool,
    #[serde(skip)]
    says: Option<String>,
}

pub(super) fn verify(args: &VerifyArgs) -> CommandResult {
    let membership = match &args.genesis {
        Some(path) => Some(Membership::from_genesis(&read_genesis(path)?)),
        None => None,
    };
    let policy = match (&args.policy, &membership) {
        (Some(path), _) => source::read_policy(path)?,
        (None, Some(membership)) => membership.policy(),
        (None, None) => return Err(Failure::unusable("give --policy or --genesis")),
    };
    let mut found = Vec::new();
    let mut unreadable = BTreeMap::new();
    for path in &args.receipts {
        match files::read(path, RECEIPT_BYTES_MAX) {
            Ok(bytes) => found.push(verified(path, &bytes, &policy, membership.as_ref())),
            // A file that is too large is there, and is no receipt.
            Err(files::FileError::TooLarge { .. }) => {
                let detail = format!("larger than {RECEIPT_BYTES_MAX} bytes");
                found.push(not_a_receipt(path, detail));
            }
            Err(error) => {
                if args.json {
                    found.push(not_a_receipt(path, error.to_string()));
                }
                unreadable.insert(path, error);
            }
        }
    }
    if args.json {
        output::json(&found)?;
    } else {
        for verified in &found {
            show(verified)?;
        }
    }
    let mut unreadable = unreadable.into_values();
    if let Some(first) = unreadable.next() {
        for error in unreadable {
            output::error(&error.to_string());
        }
        return Err(first.into());
    }
    // What is invalid is so whatever else cannot be told.
    let mut undecided = found.iter().filter(|verified| verified.undecided);
    if let Some(first) = undecided.next()
        && found.iter().all(|verified| verified.verification.is_valid() || verified.undecided)
    {
        let detail = first.verification.check(RECORD_SIGNATURE).map(|check| &check.detail);
        return Err(Failure::unusable(format_args!(
            "{}: {}",
            first.receipt,
            output::printable_line(detail.map_or("", |detail| detail))
        )));
    }
    let valid = found.iter().all(|verified| verified.verification.is_valid());
    Ok(if valid { Outcome::Yes } else { Outcome::No })
}

fn not_a_receipt(path: &Path, detail: String) -> Verified {
    Verified {
        receipt: path.display().to_string(),
        id: None,
        index: None,
        verification: Verification { checks: vec![Check::fail("format", detail)] },
        undecided: false,
        says: None,
    }
}

fn verified(
    path: &Path,
    bytes: &[u8],
    policy: &Policy,
    membership: Option<&Membership>,
) -> Verified {
    let mut verification = verify_bytes(bytes, policy);
    let receipt = Receipt::parse(bytes).ok();
    let record = receipt.as_ref().map(|receipt| Envelope::parse(receipt.record.clone()));
    let mut undecided = false;
    if let Some(membership) = membership {
        let sound = verification.is_valid();
        verification.checks.push(match &record {
            Some(Ok(record)) => match check_signer(record, membership) {
                Signer::Checked(check) => check,
                Signer::Unknown(detail) => {
                    undecided = sound;
                    Check::fail(RECORD_SIGNATURE, detail)
                }
            },
            Some(Err(refusal)) => Check::fail(RECORD_SIGNATURE, refusal.to_string()),
            None => Check::fail(RECORD_SIGNATURE, "not checked"),
        });
    }
    Verified {
        receipt: path.display().to_string(),
        id: receipt.as_ref().map(Receipt::id),
        index: receipt.as_ref().map(|receipt| receipt.index),
        verification,
        undecided,
        says: record.and_then(Result::ok).map(|record| says(&record)),
    }
}

/// The name of the check that a genesis adds.
const RECORD_SIGNATURE: &str = "record_signature";

/// What the genesis tells of who signed a record.
enum Signer {
    /// All of it.
    Checked(Check),
    /// Not whose key it is: it may have been added since, or not exist at all.
    Unknown(String),
}

/// Whether a member of the ledger signed the record, with a key of its own and
/// a role that may. Of members and keys that came later a genesis knows nothing.
fn check_signer(record: &Envelope, membership: &Membership) -> Signer {
    let (signer, key_id) = (record.signer(), record.key_id());
    let refusal = match record.clone().verify(membership) {
        Ok(_) => {
            let role = membership.member(signer).map_or("", |member| member.role.as_str());
            let detail = format!("signed by {signer}#{key_id}, {role}");
            return Signer::Checked(Check::pass(RECORD_SIGNATURE, detail));
        }
        Err(refusal) => refusal,
    };
    if matches!(refusal.code, Code::UnknownMember | Code::UnknownKey) {
        // The role of a member never changes, whatever its keys are.
        let record_type = record.payload().record_type;
        let known = membership.member(signer);
        if known.is_none_or(|member| record_type.roles().contains(&member.role)) {
            let missing = match known {
                Some(_) => format!("{signer} has no key {key_id} there"),
                None => format!("{signer} is no member there"),
            };
            return Signer::Unknown(format!(
                "cannot be decided with the genesis alone: {missing}; use --policy instead \
                 (quittance policy > policy.txt)"
            ));
        }
    }
    Signer::Checked(Check::fail(RECORD_SIGNATURE, refusal.to_string()))
}

/// What the record says, in a line.
fn says(record: &Envelope) -> String {
    let payload = record.payload();
    let mut text = format!("{} by {}", payload.record_type.as_str(), record.signer());
    if let Some(contract) = &payload.contract {
        text.push_str(&format!(", contract {}", contract.as_str()));
    }
    if let Some(claim) = &payload.claim {
        text.push_str(&format!(", claim {}", claim.as_str()));
    }
    text.push_str(&format!(", {}", payload.occurred_at));
    text
}

fn show(verified: &Verified) -> Result<(), Failure> {
    let Verified { receipt, id, verification, says, .. } = verified;
    let verdict = match (verification.is_valid(), verified.undecided) {
        (true, _) => "valid",
        (false, true) => "undecided",
        (false, false) => "INVALID",
    };
    output::line(format!("{verdict}  {receipt}"))?;
    if let Some(id) = id {
        output::line(format!("  id             {id}"))?;
    }
    if let Some(says) = says {
        output::line(format!("  says           {}", output::printable_line(says)))?;
    }
    for Check { name, ok, detail } in &verification.checks {
        let mark = match (ok, verified.undecided) {
            (true, _) => "ok  ",
            (false, true) => "?   ",
            (false, false) => "FAIL",
        };
        output::line(format!("  {name:<14} {mark} {}", output::printable_line(detail)))?;
    }
    Ok(())
}
