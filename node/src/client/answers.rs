//! What is sent to a node, and what it answers as far as the command line reads it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::{
    chain::{Certificate, CommitSignature},
    digest::RecordId,
};
use serde::{Deserialize, Serialize};

/// What a node says when it says no (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// The stable code.
    #[serde(default)]
    pub code: String,
    /// The field it is about.
    pub field: Option<String>,
    /// A sentence for people.
    #[serde(default)]
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        // Some sentences begin with the field.
        let says_it = |field: &String| self.detail.starts_with(&format!("{field}: "));
        if let Some(field) = self.field.as_ref().filter(|field| !says_it(field)) {
            write!(f, " ({field})")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// What the ledger says about a record that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LineAnswer {
    /// HTTP status: 200 and 201 are final, 202 waits, the others refuse.
    pub status: u16,
    /// The record's id.
    pub id: Option<RecordId>,
    /// Its place on the ledger.
    pub index: Option<u64>,
    /// Its block.
    pub height: Option<u64>,
    /// The code of a refusal.
    pub code: Option<String>,
    /// The field it is about.
    pub field: Option<String>,
    /// Why, in a sentence.
    pub detail: Option<String>,
}

/// What a node says of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ErasedAnswer {
    /// The record of which nothing private is kept there any more.
    pub id: RecordId,
    /// The record that says so, of the type `disclosure.erased`.
    pub erased_by: RecordId,
    /// Whether that record is `final` or `pending`.
    pub status: String,
}

/// How a node and its ledger are.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// Which ledger.
    pub ledger: LedgerStatus,
    /// The node.
    pub node: NodeStatus,
    /// Its newest block.
    pub head: HeadStatus,
    /// What waits.
    pub pending: PendingStatus,
    /// Members of the ledger.
    pub members: u64,
    /// Members that validate.
    pub validators: u64,
    /// Validators that a checkpoint needs.
    pub quorum: u64,
    /// The other members' nodes.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// What somebody should look at.
    #[serde(default)]
    pub alerts: Vec<serde_json::Value>,
}

/// What a node knows of another member's.
#[derive(Debug, Clone, Deserialize)]
pub struct PeerStatus {
    /// The member.
    pub member: Option<String>,
    /// Whether it is reached.
    pub connected: bool,
}

/// Which ledger a node serves.
#[derive(Debug, Clone, Deserialize)]
pub struct LedgerStatus {
    /// Its name.
    pub origin: String,
    /// The digest of its genesis.
    pub id: String,
}

/// What a node says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeStatus {
    /// Its release.
    pub version: String,
    /// The member it belongs to.
    pub member: Option<String>,
    /// Whether it validates.
    pub validator: bool,
    /// How long it has run, in seconds.
    pub uptime_s: u64,
}

/// The end of the chain.
#[derive(Debug, Clone, Deserialize)]
pub struct HeadStatus {
    /// Height of the last block.
    pub height: u64,
    /// Its hash.
    pub hash: String,
    /// Its time; none before the first block.
    pub time: Option<serde_json::Value>,
    /// Records on the ledger.
    pub tree_size: u64,
    /// Root of the tree over them.
    pub root: String,
    /// Records that the newest checkpoint covers.
    pub checkpoint_size: Option<u64>,
}

/// What waits for a block.
#[derive(Debug, Clone, Deserialize)]
pub struct PendingStatus {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One block of a listing.
#[derive(Debug, Clone, Deserialize)]
pub struct BlockItem {
    /// Its height.
    pub height: u64,
    /// Its header.
    pub header: HeaderItem,
    /// Place of its first record.
    pub first_index: u64,
    /// The precommits by which it was decided.
    pub certificate: CertificateItem,
}

/// Precommits of validators, not verified.
#[derive(Debug, Clone, Deserialize)]
pub struct CertificateItem {
    /// Their round.
    pub round: u32,
    /// One for each validator.
    pub signatures: Vec<CommitSignatureItem>,
}

/// One validator's precommit.
#[derive(Debug, Clone, Deserialize)]
pub struct CommitSignatureItem {
    /// Its consensus key in hexadecimal digits.
    pub validator: String,
    /// Its signature in base64.
    pub signature: String,
}

impl CertificateItem {
    /// The certificate; none where a key or a signature is not spelt as one.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        let signatures = self
            .signatures
            .iter()
            .map(|item| {
                let mut validator = [0; 32];
                hex::decode_to_slice(&item.validator, &mut validator).ok()?;
                let signature = STANDARD.decode(&item.signature).ok()?.try_into().ok()?;
                Some(CommitSignature { validator, signature })
            })
            .collect::<Option<_>>()?;
        Some(Certificate { round: self.round, signatures })
    }
}

/// The part of a header's JSON that the rest follows from.
#[derive(Debug, Clone, Deserialize)]
pub struct HeaderItem {
    /// Its bytes in base64.
    pub bytes: String,
}

/// One record of a listing.
#[derive(Debug, Clone, Deserialize)]
pub struct RecordItem {
    /// Its place on the ledger.
    pub index: u64,
    /// Its JWS.
    pub jws: String,
}

/// One checkpoint of a listing.
#[derive(Debug, Clone, Deserialize)]
pub struct CheckpointItem {
    /// Records it covers.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

#[derive(Deserialize)]
pub(super) struct Blocks {
    pub(super) blocks: Vec<BlockItem>,
}

#[derive(Deserialize)]
pub(super) struct Records {
    pub(super) records: Vec<RecordItem>,
}

#[derive(Deserialize)]
pub(super) struct Checkpoints {
    pub(super) checkpoints: Vec<CheckpointItem>,
}

/// Who is and was on the ledger, and what is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Members {
    /// The members, by id.
    pub members: Vec<MemberItem>,
    /// Changes that can be approved, the oldest first.
    #[serde(default)]
    pub proposals: Vec<ProposalItem>,
}

/// An organisation that is or was on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct MemberItem {
    /// The name it signs under.
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// What it may sign.
    #[serde(default)]
    pub role: String,
    /// The first block it is a member for.
    #[serde(default)]
    pub from_height: u64,
    /// The last block it is a member for; none while it is one.
    pub to_height: Option<u64>,
    /// Its record keys over time.
    #[serde(default)]
    pub keys: Vec<KeyItem>,
    /// What it validated and validates with over time.
    #[serde(default)]
    pub validators: Vec<ValidatorItem>,
}

/// A record key of a member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeyItem {
    /// Its name among the member's keys.
    pub id: String,
    /// The public key, 32 bytes in base64.
    #[serde(default)]
    pub public: String,
    /// The first block it is in force for.
    pub from_height: u64,
    /// The last block it is in force for; none while it is in force.
    pub to_height: Option<u64>,
}

/// What a member validates with for some blocks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ValidatorItem {
    /// Consensus public key, 32 bytes in base64.
    #[serde(default)]
    pub consensus: String,
    /// The first block it decides on.
    pub from_height: u64,
    /// The last block it decides on; none while no end is known.
    pub to_height: Option<u64>,
}

/// A change that can be approved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProposalItem {
    /// The record that proposes it.
    pub id: RecordId,
    /// Who signed that.
    pub proposer: String,
    /// What is to change.
    pub change: String,
    /// The member it is about.
    pub member: String,
    /// When it lapses, RFC 3339.
    #[serde(default)]
    pub lapses_at: String,
    /// Who approved.
    #[serde(default)]
    pub approvals: Vec<ApprovalItem>,
    /// How many have to.
    pub quorum: u64,
}

/// An approval of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ApprovalItem {
    /// The member.
    pub member: String,
    /// Whether it validates, so that its approval counts.
    #[serde(default)]
    pub counts: bool,
}

/// What of a record's answer is read here.
#[derive(Deserialize)]
pub(super) struct RecordAnswer {
    pub(super) jws: String,
}

/// A record on its way to the node, as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A JWS.
    Signed(String),
    /// `{"signer": …, "record": {…}}` or the record object, for the node to sign.
    Unsigned(String),
}

impl Outgoing {
    /// The line's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Signed(text) | Self::Unsigned(text) => text.as_bytes(),
        }
    }
}
