//! Records as members would sign them, about 512 bytes each, as many as needed.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use quittance_ledger::{
    membership::{KeyId, MemberId, Origin, Role},
    record::{self, Envelope, RecordSecretKey},
    refusal::Refusal,
};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Records that are signed between two reports of progress.
const REPORT_RECORDS: u64 = 1024;

/// A member with the key it signs records with.
#[derive(Clone)]
pub struct RecordSigner {
    /// The member.
    pub member: MemberId,
    /// Its role, which decides what it may sign.
    pub role: Role,
    /// Which of its keys it is.
    pub key_id: KeyId,
    /// The key.
    pub key: RecordSecretKey,
}

/// Shows whose key it is, never the key.
impl std::fmt::Debug for RecordSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordSigner({}#{}, {})", self.member, self.key_id, self.role)
    }
}

/// Why records cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// None of the keys belongs to a member that may sign any of the types.
    #[error(
        "none of the members whose keys are given may sign records; give one of an insurer, a broker or a provider"
    )]
    NobodySigns,
    /// The number of contracts is zero.
    #[error("records are spread over at least one contract")]
    NoContract,
    /// A record came out wrong.
    #[error("making record {number}: {refusal}")]
    Refused {
        /// Which one of the series.
        number: u64,
        /// What is wrong with it.
        refusal: Refusal,
    },
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    ClaimOpened,
    DocumentAssessed,
    PaymentRecorded,
    ConsentRecorded,
}

/// An endless series of records. The same series gives the same records.
#[derive(Debug)]
pub struct Series {
    origin: Origin,
    signers: Vec<RecordSigner>,
    /// Who may sign what, in turn.
    turns: Vec<(usize, Kind)>,
    /// Whose contracts they are.
    insurer: MemberId,
    contracts: u64,
    occurred_at: String,
    seed: [u8; 32],
}

impl Series {
    /// A series for the ledger `origin`, about `contracts` contracts, in which
    /// the signers take turns. `occurred_at` is an RFC 3339 time that every
    /// record bears; `seed` tells one series from another.
    ///
    /// # Errors
    /// Nobody may sign, or there is no contract.
    pub fn new(
        origin: &Origin,
        signers: Vec<RecordSigner>,
        contracts: u64,
        occurred_at: impl Into<String>,
        seed: &[u8],
    ) -> Result<Self, RecordsError> {
        if contracts == 0 {
            return Err(RecordsError::NoContract);
        }
        let insurer = signers
            .iter()
            .find(|signer| signer.role == Role::Insurer)
            .or_else(|| signers.first())
            .map(|signer| signer.member.clone())
            .ok_or(RecordsError::NobodySigns)?;
        let turns: Vec<_> = signers
            .iter()
            .enumerate()
            // An insurer may speak of its own contracts only.
            .filter(|(_, signer)| signer.role != Role::Insurer || signer.member == insurer)
            .flat_map(|(place, signer)| {
                kinds_of(signer.role).iter().map(move |kind| (place, *kind))
            })
            .collect();
        if turns.is_empty() {
            return Err(RecordsError::NobodySigns);
        }
        Ok(Self {
            origin: origin.clone(),
            signers,
            turns,
            insurer,
            contracts,
            occurred_at: occurred_at.into(),
            seed: Sha256::digest(seed).into(),
        })
    }

    /// Record `number` of the series.
    ///
    /// # Errors
    /// It came out wrong, such as with a time that is none.
    pub fn record(&self, number: u64) -> Result<Envelope, RecordsError> {
        let turn = number % self.turns.len() as u64;
        let signed = usize::try_from(turn)
            .ok()
            .and_then(|turn| self.turns.get(turn))
            .and_then(|(place, kind)| Some((self.signers.get(*place)?, *kind)));
        let (signer, kind) = signed.ok_or(RecordsError::NobodySigns)?;
        let payload = self.payload(kind, number);
        record::sign(payload, &self.origin, &signer.member, &signer.key_id, &signer.key)
            .map_err(|refusal| RecordsError::Refused { number, refusal })
    }

    /// The records of `numbers`, signed on all cores. `progress` is told how
    /// many are done, from any thread.
    ///
    /// # Errors
    /// See [`Series::record`].
    pub fn records(
        &self,
        numbers: Range<u64>,
        progress: impl Fn(u64) + Sync,
    ) -> Result<Vec<Envelope>, RecordsError> {
        let done = AtomicU64::new(0);
        numbers
            .into_par_iter()
            .map(|number| {
                let record = self.record(number);
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if done.is_multiple_of(REPORT_RECORDS) {
                    progress(done);
                }
                record
            })
            .collect()
    }

    fn payload(&self, kind: Kind, number: u64) -> Map<String, Value> {
        let contract = format!("{}/C-{:07}", self.insurer, number % self.contracts);
        let claim = format!("{}/S-{:07}", self.insurer, number % (self.contracts * 4));
        let mut payload = Map::new();
        payload.insert("salt".to_owned(), self.salt(number).into());
        payload.insert("occurred_at".to_owned(), self.occurred_at.as_str().into());
        payload.insert("contract".to_owned(), contract.into());
        let (record_type, data) = match kind {
            Kind::ClaimOpened => {
                payload.insert("claim".to_owned(), claim.into());
                let data = json!({
                    "channel": "crm", "attached": ["invoice"],
                    "claimed": 24_000 + number % 1000, "currency": "EUR",
                });
                ("claim.opened", data)
            }
            Kind::DocumentAssessed => {
                let data = json!({
                    "item": "bank_details", "verdict": "unreadable",
                    "label": "Illisible, à renvoyer", "action": "resend",
                });
                ("document.assessed", data)
            }
            Kind::PaymentRecorded => {
                payload.insert("claim".to_owned(), claim.into());
                let data = json!({
                    "amount": 12_000 + number % 1000, "currency": "EUR", "status": "executed",
                    "payee": "policyholder",
                });
                ("payment.recorded", data)
            }
            Kind::ConsentRecorded => {
                let data = json!({
                    "consent": format!("consent-{number:09}"), "state": "given",
                    "purpose": "electronic correspondence about this contract",
                });
                ("consent.recorded", data)
            }
        };
        payload.insert("type".to_owned(), record_type.into());
        payload.insert("data".to_owned(), data);
        payload
    }

    /// Random to whoever does not know the seed; the same for the same number.
    fn salt(&self, number: u64) -> String {
        let digest = Sha256::new().chain_update(self.seed).chain_update(number.to_be_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        URL_SAFE_NO_PAD.encode(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
    }
}

const fn kinds_of(role: Role) -> &'static [Kind] {
    match role {
        Role::Insurer => &[Kind::ClaimOpened, Kind::DocumentAssessed, Kind::PaymentRecorded],
        Role::Broker => &[Kind::ClaimOpened, Kind::DocumentAssessed],
        Role::Provider => &[Kind::ClaimOpened, Kind::ConsentRecorded],
        Role::TrustService => &[Kind::ConsentRecorded],
        Role::Regulator => &[],
    }
}
