//! Every bound of the ledger, in one place. Sizes are in bytes.

/// A record's JWS (DOMAIN: at most 64 KiB).
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The record bytes of one block, each with [`RECORD_OVERHEAD_BYTES`] for its frame.
pub const BLOCK_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a record costs in a block besides its own bytes.
pub const RECORD_OVERHEAD_BYTES: usize = 8;

/// A signed checkpoint; 100 cosignatures fit.
pub const CHECKPOINT_BYTES_MAX: usize = 32 * 1024;

/// A receipt: the record in base64, 64 hashes and a checkpoint.
pub const RECEIPT_BYTES_MAX: usize = 160 * 1024;

/// A trust policy.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;

/// A genesis file.
pub const GENESIS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Members of one ledger.
pub const MEMBERS_MAX: usize = 10_000;

/// Validators of one ledger; a checkpoint with all their cosignatures stays
/// within what C2SP tools accept.
pub const VALIDATORS_MAX: usize = 64;

/// Record keys of one member that are in force at once, where records add them.
pub const MEMBER_KEYS_MAX: usize = 64;

/// Open proposals to change the membership that one member made.
pub const OPEN_PROPOSALS_OF_MEMBER_MAX: usize = 16;

/// Open proposals of one ledger. As many as all validators may have are kept
/// for them.
pub const OPEN_PROPOSALS_MAX: usize = 4096;

/// Proposals that came in force or are void and are still told apart from ones
/// that never were.
pub const CLOSED_PROPOSALS_MAX: usize = 4096;

/// How long a proposal can be approved, in milliseconds of block time (90 days).
pub const PROPOSAL_AGE_MS_MAX: u64 = 90 * 24 * 60 * 60 * 1000;

/// Elements of any list inside a record.
pub const LIST_ITEMS_MAX: usize = 256;

/// Documents of one record.
pub const DOCUMENTS_MAX: usize = 64;

/// Members of one JSON object of a record: no record type has a third of them.
/// Few enough to compare each name with all before it.
pub const OBJECT_MEMBERS_MAX: usize = 64;

/// How deep the JSON of a record may nest.
pub const JSON_DEPTH_MAX: usize = 16;

/// Characters of a code, name or number inside a record.
pub const CODE_CHARS_MAX: usize = 128;

/// Characters of a label or other free text inside a record.
pub const TEXT_CHARS_MAX: usize = 1_000;

/// The largest integer that every JSON reader keeps exact (RFC 7493, section 2.2).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// How far the clock of a signer may be ahead of the block, in milliseconds (DOMAIN: two minutes).
pub const FUTURE_MS_MAX: u64 = 2 * 60 * 1000;

/// A record older than this when its block is made is shown as `late`, in milliseconds (DOMAIN: one hour).
pub const LATE_AFTER_MS: u64 = 60 * 60 * 1000;

/// A value of the state: a list of [`LIST_ITEMS_MAX`] names of [`CODE_CHARS_MAX`]
/// characters of four bytes fits, with what stands beside each.
pub const STATE_VALUE_BYTES_MAX: usize = 256 * 1024;

/// Holds of one insurance period that are not known to be over.
pub const PERIOD_HOLDS_MAX: usize = 256;

/// Moments at which what is spent of an insurance period changed, the newest, that are
/// remembered for what is told late.
pub const PERIOD_SPENDING_MAX: usize = 256;

/// Ceilings asked for in one insurance period that are remembered. Who asks more often
/// makes the ledger forget what it asked for itself.
pub const PERIOD_CEILINGS_REQUESTED_MAX: usize = 16;

/// Ceilings agreed in one period for periods to come, and for days of its own.
pub const PERIOD_CEILINGS_AGREED_MAX: usize = 16;

/// Documents asked for about one contract, or about one claim.
pub const DOSSIER_ITEMS_MAX: usize = 256;

/// Times that one document was asked for or looked at, the newest, that are remembered
/// for what is told late.
pub const ITEM_CHANGES_MAX: usize = 16;

/// Changes of a contract's broker that are remembered.
pub const BROKER_CHANGES_MAX: usize = 16;

/// Steps of a contract's deductible, cost commitments among them, that are remembered.
pub const LADDER_STEPS_MAX: usize = 32;

/// Decisions, answers and payments of a claim, the newest, that can be corrected.
pub const CLAIM_STEPS_MAX: usize = 64;

/// Times that the notification of one offer is remembered.
pub const NOTIFICATIONS_MAX: usize = 16;

/// Corrections that follow each other: of a record, of its correction, and so on.
pub const CORRECTION_CHAIN_MAX: u32 = 64;

/// The first moment that a record can tell of: 1 January 1900 UTC, in milliseconds
/// from the Unix epoch. What a ledger counts by day has a first day so.
pub const OCCURRED_MS_MIN: i64 = -2_208_988_800_000;

/// Earlier uses of a document that are listed with a later one.
pub const DUPLICATE_USES_MAX: usize = 16;
/// A disclosure (RFC 9901) as base64url text.
pub const DISCLOSURE_BYTES_MAX: usize = 16 * 1024;

/// Disclosures of one record.
pub const DISCLOSURES_MAX: usize = 128;

/// All disclosures of one record together, as base64url text.
pub const DISCLOSURES_BYTES_MAX: usize = 64 * 1024;

/// A record with its disclosures: `<jws>~<disclosure>~…~`.
pub const PRESENTATION_BYTES_MAX: usize =
    RECORD_BYTES_MAX + DISCLOSURES_BYTES_MAX + DISCLOSURES_MAX + 1;

/// Records in a vault, those that were erased included, unless the node says otherwise.
pub const VAULT_RECORDS_MAX: usize = 200_000;

/// Other records that an exception names; the newest of more.
pub const EXCEPTION_OTHERS_MAX: usize = 16;
