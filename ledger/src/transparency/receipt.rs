//! Receipts: one file that proves one record (C2SP tlog-proof).
//!
//! A receipt holds the record itself, its place in the tree, the path from its
//! leaf to the root, and the cosigned checkpoint with that root. With a
//! [`Policy`] it verifies offline, in this crate and in tools of others. What
//! the record says, and whether its signer may say it, is checked by
//! [`crate::record`].

use std::{borrow::Cow, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{
    Policy, PolicyVerdict, SignedCheckpoint,
    format::{self, FormatError, FormatReason},
    tree::{self, PROOF_HASHES_MAX},
};
use crate::{
    digest::{Digest, RecordId},
    limits::{RECEIPT_BYTES_MAX, RECORD_BYTES_MAX},
};

/// `Content-Type` of a receipt; files end in `.tlog-proof`.
pub const RECEIPT_MEDIA_TYPE: &str = "text/plain; charset=utf-8";

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A record with the proof that the ledger holds it. Nothing in it is verified
/// until [`Receipt::verify`] has said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The record's JWS.
    pub record: Arc<[u8]>,
    /// Its place in the ledger, from 0.
    pub index: u64,
    /// Inclusion proof, from the leaf's sibling to the child of the root.
    pub proof: Vec<Digest>,
    /// The checkpoint that the proof leads to.
    pub checkpoint: SignedCheckpoint,
}

impl Receipt {
    /// Reads a receipt. Every byte counts: [`Self::to_text`] gives the same again.
    ///
    /// # Errors
    /// The first line that is not as it must be.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut lines = Lines { rest: format::text(bytes, RECEIPT_BYTES_MAX)?, number: 0 };

        if lines.next("the first line and a newline")? != HEADER {
            return Err(lines.error(FormatReason::Expected("the line c2sp.org/tlog-proof@v1")));
        }
        let extra = lines
            .next("extra, the record and a newline")?
            .strip_prefix("extra ")
            .filter(|extra| !extra.is_empty())
            .ok_or(FormatReason::Expected("extra and the base64 of the record"))
            .map_err(|reason| lines.error(reason))?;
        let record = STANDARD.decode(extra).map_err(|_| lines.error(FormatReason::Base64))?;
        if record.len() > RECORD_BYTES_MAX {
            return Err(lines.error(FormatReason::TooLarge {
                bytes: record.len(),
                bytes_max: RECORD_BYTES_MAX,
            }));
        }
        let index = lines
            .next("index, a number and a newline")?
            .strip_prefix("index ")
            .ok_or(FormatReason::Expected("index and a number"))
            .and_then(|index| format::decimal(index).ok_or(FormatReason::Decimal))
            .map_err(|reason| lines.error(reason))?;
        let mut proof = Vec::new();
        loop {
            match lines.next("a hash or an empty line")? {
                "" => break,
                _ if proof.len() >= PROOF_HASHES_MAX => {
                    return Err(lines.error(FormatReason::TooManyHashes(PROOF_HASHES_MAX)));
                }
                hash => {
                    let hash = format::hash(hash).ok_or(FormatReason::Hash);
                    proof.push(hash.map_err(|reason| lines.error(reason))?);
                }
            }
        }
        let checkpoint =
            SignedCheckpoint::parse_text(lines.rest).map_err(|error| error.below(lines.number))?;
        Ok(Self { record: record.into(), index, proof, checkpoint })
    }

    /// The receipt as a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        use fmt::Write as _;

        let mut text =
            format!("{HEADER}\nextra {}\nindex {}\n", STANDARD.encode(&self.record), self.index);
        for hash in &self.proof {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", format::hash_text(hash));
        }
        text.push('\n');
        text.push_str(&self.checkpoint.to_text());
        text
    }

    /// The record's id.
    #[must_use]
    pub fn id(&self) -> RecordId {
        RecordId::of(&self.record)
    }

    /// Checks everything that the receipt itself proves, each check whatever came
    /// of the others: `format`, `record`, `inclusion`, `log_signature`,
    /// `cosignatures`.
    #[must_use]
    pub fn verify(&self, policy: &Policy) -> Verification {
        let verdict = policy.check(&self.checkpoint);
        Verification {
            checks: vec![
                self.check_format(),
                self.check_record(),
                self.check_inclusion(),
                check_log_signature(&verdict),
                check_cosignatures(&verdict),
            ],
        }
    }

    /// Whether a file of this receipt could be read back.
    fn check_format(&self) -> Check {
        if self.record.len() > RECORD_BYTES_MAX || self.proof.len() > PROOF_HASHES_MAX {
            return Check::fail("format", "larger than a receipt may be");
        }
        let (index, size) = (self.index, self.checkpoint.checkpoint().size);
        Check::pass("format", format!("{HEADER}: index {index}, tree of {size}"))
    }

    fn check_record(&self) -> Check {
        let id = self.id();
        if is_compact_jws(&self.record) {
            Check::pass("record", format!("{id}, {} bytes", self.record.len()))
        } else {
            let detail =
                format!("{id} is not a signed record: three base64url parts joined by dots");
            Check::fail("record", detail)
        }
    }

    fn check_inclusion(&self) -> Check {
        let checkpoint = self.checkpoint.checkpoint();
        let leaf = tree::leaf_hash(&self.id());
        let (index, size, root) = (self.index, checkpoint.size, &checkpoint.root);
        match tree::verify_inclusion(&leaf, index, size, &self.proof, root) {
            Ok(()) => {
                Check::pass("inclusion", format!("index {index} of {size} under root {root}"))
            }
            Err(error) => Check::fail("inclusion", error.to_string()),
        }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// Verifies a file that may be a receipt. Never fails: what is no receipt fails
/// the check `format`, which names the line, and the others are not checked.
#[must_use]
pub fn verify_bytes(bytes: &[u8], policy: &Policy) -> Verification {
    match Receipt::parse(bytes) {
        Ok(receipt) => receipt.verify(policy),
        Err(error) => {
            let unchecked = ["record", "inclusion", "log_signature", "cosignatures"]
                .map(|name| Check::fail(name, "not checked"));
            let mut checks = vec![Check::fail("format", error.to_string())];
            checks.extend(unchecked);
            Verification { checks }
        }
    }
}

/// Takes a text apart line by line.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self, what: &'static str) -> Result<&'a str, FormatError> {
        self.number = self.number.saturating_add(1);
        match self.rest.split_once('\n') {
            Some((line, rest)) => {
                self.rest = rest;
                Ok(line)
            }
            None => Err(self.error(FormatReason::Missing(what))),
        }
    }

    /// An error on the line read last.
    const fn error(&self, reason: FormatReason) -> FormatError {
        FormatError::new(self.number, reason)
    }
}

/// Three non-empty parts of base64url, joined by dots (RFC 7515, section 7.1).
fn is_compact_jws(bytes: &[u8]) -> bool {
    let base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut parts = 0_usize;
    bytes.split(|byte| *byte == b'.').all(|part| {
        parts = parts.saturating_add(1);
        !part.is_empty() && part.iter().all(base64url)
    }) && parts == 3
}

fn check_log_signature(verdict: &PolicyVerdict) -> Check {
    let faults: Vec<_> = verdict
        .faults
        .iter()
        .filter(|fault| fault.is_about_log())
        .map(ToString::to_string)
        .collect();
    if !faults.is_empty() {
        return Check::fail("log_signature", faults.join("; "));
    }
    let keys: Vec<_> =
        verdict.logs.iter().map(|key| format!("{}+{:08x}", key.name(), key.key_id())).collect();
    Check::pass("log_signature", format!("signed by {}", keys.join(", ")))
}

fn check_cosignatures(verdict: &PolicyVerdict) -> Check {
    let faults: Vec<_> = verdict
        .faults
        .iter()
        .filter(|fault| !fault.is_about_log())
        .map(ToString::to_string)
        .collect();
    if !faults.is_empty() {
        return Check::fail("cosignatures", faults.join("; "));
    }
    let (have, need) = verdict.quorum;
    let mut detail = if need == 0 {
        "the policy needs none".to_owned()
    } else {
        format!("{have} where {need} are needed")
    };
    for (position, cosigned) in verdict.witnesses.iter().enumerate() {
        let separator = if position == 0 { ": " } else { ", " };
        detail.push_str(separator);
        detail.push_str(&cosigned.witness);
        detail.push_str(" at ");
        detail.push_str(&time_text(cosigned.time_s));
    }
    Check::pass("cosignatures", detail)
}

/// A POSIX time as RFC 3339, or as a number where it is beyond the year 9999.
fn time_text(time_s: u64) -> String {
    i64::try_from(time_s)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{time_s} s"), |time| time.to_string())
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked. Programs may rely on it.
    pub name: Cow<'static, str>,
    /// Whether it is as it must be.
    pub ok: bool,
    /// What was found, for people.
    pub detail: String,
}

impl Check {
    /// A check that came out well.
    pub fn pass(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name: Cow::Borrowed(name), ok: true, detail: detail.into() }
    }

    /// A check that did not.
    pub fn fail(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name: Cow::Borrowed(name), ok: false, detail: detail.into() }
    }
}

/// What verifying a receipt found, in the order of the checks. As JSON it is
/// `{"valid": …, "checks": [{"name": …, "ok": …, "detail": …}, …]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The checks. Callers may add their own.
    pub checks: Vec<Check>,
}

impl Verification {
    /// Whether every check came out well. Where nothing was checked, nothing is valid.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.ok)
    }

    /// The check of that name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

impl Serialize for Verification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Verification", 2)?;
        fields.serialize_field("valid", &self.is_valid())?;
        fields.serialize_field("checks", &self.checks)?;
        fields.end()
    }
}
