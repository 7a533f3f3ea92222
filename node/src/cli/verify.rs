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
    record::{Envelope, Record},
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
    /// without --policy, the genesis says whose signatures a checkpoint needs
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
    let valid = found.iter().all(|verified| verified.verification.is_valid());
    Ok(if valid { Outcome::Yes } else { Outcome::No })
}

fn not_a_receipt(path: &Path, detail: String) -> Verified {
    Verified {
        receipt: path.display().to_string(),
        id: None,
        index: None,
        verification: Verification { checks: vec![Check::fail("format", detail)] },
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
    if let Some(membership) = membership {
        verification.checks.push(match &receipt {
            Some(receipt) => check_signer(receipt, membership),
            None => Check::fail("record_signature", "not checked"),
        });
    }
    Verified {
        receipt: path.display().to_string(),
        id: receipt.as_ref().map(Receipt::id),
        index: receipt.as_ref().map(|receipt| receipt.index),
        verification,
        says: receipt.and_then(|receipt| says(&receipt)),
    }
}

/// Whether a member of the ledger signed the record, with a key of its own and
/// a role that may.
fn check_signer(receipt: &Receipt, membership: &Membership) -> Check {
    match Record::open(receipt.record.clone(), membership) {
        Ok(record) => {
            let (signer, key_id) = (record.signer(), record.key_id());
            let role = membership.member(signer).map_or("", |member| member.role.as_str());
            Check::pass("record_signature", format!("signed by {signer}#{key_id}, {role}"))
        }
        Err(refusal) => Check::fail("record_signature", refusal.to_string()),
    }
}

/// What the record says, in a line.
fn says(receipt: &Receipt) -> Option<String> {
    let record = Envelope::parse(receipt.record.clone()).ok()?;
    let payload = record.payload();
    let mut text = format!("{} by {}", payload.record_type.as_str(), record.signer());
    if let Some(contract) = &payload.contract {
        text.push_str(&format!(", contract {}", contract.as_str()));
    }
    if let Some(claim) = &payload.claim {
        text.push_str(&format!(", claim {}", claim.as_str()));
    }
    text.push_str(&format!(", {}", payload.occurred_at));
    Some(text)
}

fn show(verified: &Verified) -> Result<(), Failure> {
    let Verified { receipt, id, verification, says, .. } = verified;
    let verdict = if verification.is_valid() { "valid" } else { "INVALID" };
    output::line(format!("{verdict}  {receipt}"))?;
    if let Some(id) = id {
        output::line(format!("  id             {id}"))?;
    }
    if let Some(says) = says {
        output::line(format!("  says           {}", output::printable_line(says)))?;
    }
    for Check { name, ok, detail } in &verification.checks {
        let mark = if *ok { "ok  " } else { "FAIL" };
        output::line(format!("  {name:<14} {mark} {}", output::printable_line(detail)))?;
    }
    Ok(())
}
