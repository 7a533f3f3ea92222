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
        "none of the members whose keys are given may sign records; give one of another role than regulator"
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

/// Records of one dossier that stand next to each other in a [`Series`]: a
/// request that holds a multiple of them depends on no other request.
pub const DOSSIER_RECORDS: u64 = 10;

/// What a record of a dossier is, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The contract; where the dossier exists already, a change of address.
    ContractIssued,
    DocumentRequested,
    DocumentReceived,
    DocumentAssessed,
    ClaimOpened,
    ClaimRegistered,
    ClaimDecided,
    PaymentRecorded,
    ClaimClosed,
    ConsentRecorded,
}

const DOSSIER: [Kind; DOSSIER_RECORDS as usize] = [
    Kind::ContractIssued,
    Kind::DocumentRequested,
    Kind::DocumentReceived,
    Kind::DocumentAssessed,
    Kind::ClaimOpened,
    Kind::ClaimRegistered,
    Kind::ClaimDecided,
    Kind::PaymentRecorded,
    Kind::ClaimClosed,
    Kind::ConsentRecorded,
];

/// An endless series of records, which the rules of the ledger let pass in this
/// order. The same series gives the same records.
#[derive(Debug)]
pub struct Series {
    origin: Origin,
    signers: Vec<RecordSigner>,
    /// Whose contracts they are; without an insurer, the records are consents.
    insurers: Vec<usize>,
    contracts: u64,
    occurred_at: String,
    seed: [u8; 32],
}

impl Series {
    /// A series for the ledger `origin`, about `contracts` contracts of the
    /// insurers among the signers; members that may sign the same take turns.
    /// `occurred_at` is an RFC 3339 time that every record bears; `seed` tells one
    /// series from another.
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
        let signers: Vec<_> =
            signers.into_iter().filter(|signer| signer.role != Role::Regulator).collect();
        if signers.is_empty() {
            return Err(RecordsError::NobodySigns);
        }
        let insurers = (0..signers.len())
            .filter(|place| signers.get(*place).is_some_and(|one| one.role == Role::Insurer))
            .collect();
        let (occurred_at, seed) = (occurred_at.into(), Sha256::digest(seed).into());
        Ok(Self { origin: origin.clone(), signers, insurers, contracts, occurred_at, seed })
    }

    /// Record `number` of the series.
    ///
    /// # Errors
    /// It came out wrong, such as with a time that is none.
    pub fn record(&self, number: u64) -> Result<Envelope, RecordsError> {
        let place = Place::of(number, self.contracts);
        let insurer = pick(&self.insurers, place.contract).and_then(|at| self.signers.get(at));
        let kind = if insurer.is_some() { place.kind } else { Kind::ConsentRecorded };
        let signer = self.signer(kind, insurer, number).ok_or(RecordsError::NobodySigns)?;
        let payload = self.payload(kind, number, &place, insurer);
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

    /// Who signs: the contract's own insurer what only an insurer may, and else
    /// those in turn who may.
    fn signer<'a>(
        &'a self,
        kind: Kind,
        insurer: Option<&'a RecordSigner>,
        number: u64,
    ) -> Option<&'a RecordSigner> {
        let roles = roles_of(kind);
        let may = |signer: &&RecordSigner| match signer.role {
            Role::Insurer => insurer.is_none_or(|insurer| insurer.member == signer.member),
            role => roles.contains(&role),
        };
        let able = self.signers.iter().filter(may).count() as u64;
        let turn = (number / DOSSIER_RECORDS + number) % able.max(1);
        self.signers.iter().filter(may).nth(usize::try_from(turn).ok()?)
    }

    fn payload(
        &self,
        kind: Kind,
        number: u64,
        place: &Place,
        insurer: Option<&RecordSigner>,
    ) -> Map<String, Value> {
        let mut payload = Map::new();
        payload.insert("salt".to_owned(), self.salt(number).into());
        payload.insert("occurred_at".to_owned(), self.occurred_at.as_str().into());
        if let Some(insurer) = insurer {
            let contract = format!("{}/C-{}-{:07}", insurer.member, self.run(), place.contract);
            payload.insert("contract".to_owned(), contract.into());
            if kind.is_of_claim() {
                let claim = format!("{}/S-{}", insurer.member, self.claim(place));
                payload.insert("claim".to_owned(), claim.into());
            }
        }
        let (record_type, data) = self.data(kind, number, place);
        payload.insert("type".to_owned(), record_type.into());
        payload.insert("data".to_owned(), data);
        payload
    }

    fn data(&self, kind: Kind, number: u64, place: &Place) -> (&'static str, Value) {
        let amount = 24_000 + place.lap % 1000;
        let item = format!("bank_details_{}", place.lap);
        match kind {
            Kind::ContractIssued if place.lap > 0 => (
                "party.updated",
                json!({ "what": "address", "confirmed": true, "effective": self.day() }),
            ),
            Kind::ContractIssued => (
                "contract.issued",
                json!({
                    "version": 1, "line_of_business": "pet_health", "signature_required": false,
                    "period": { "from": "2000-01-01", "to": "2099-12-31" },
                    "risk": format!("animal:{:016x}", number),
                }),
            ),
            Kind::DocumentRequested => {
                ("document.requested", json!({ "items": [item], "due": "2099-12-31" }))
            }
            Kind::DocumentReceived => {
                ("document.received", json!({ "item": item, "label": "Reçu" }))
            }
            Kind::DocumentAssessed => (
                "document.assessed",
                json!({
                    "item": item, "verdict": "accepted",
                    "label": "Lisible", "action": "none",
                }),
            ),
            Kind::ClaimOpened => (
                "claim.opened",
                json!({
                    "channel": "crm", "attached": ["invoice"], "claimed": amount,
                    "currency": "EUR", "kind": "accident",
                }),
            ),
            Kind::ClaimRegistered => (
                "claim.registered",
                json!({ "number": format!("N-{}", self.claim(place)), "adjuster": "adjuster:17" }),
            ),
            Kind::ClaimDecided => (
                "claim.decided",
                json!({
                    "outcome": "approved", "approved": amount, "refused": 0, "currency": "EUR",
                    "reason": "covered_in_full",
                }),
            ),
            Kind::PaymentRecorded => (
                "payment.recorded",
                json!({
                    "amount": amount, "currency": "EUR", "status": "executed",
                    "payee": "policyholder",
                }),
            ),
            Kind::ClaimClosed => ("claim.closed", json!({ "paid": amount, "currency": "EUR" })),
            Kind::ConsentRecorded => (
                "consent.recorded",
                json!({
                    "consent": format!("consent-{}-{number:09}", self.run()), "state": "given",
                    "purpose": "electronic correspondence",
                }),
            ),
        }
    }

    /// The number of a claim, which no other claim of this or another series has.
    fn claim(&self, place: &Place) -> String {
        format!("{}-{:07}-{}", self.run(), place.contract, place.lap)
    }

    /// Tells the numbers of this series from those of others.
    fn run(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(*self.seed.first_chunk().unwrap_or(&[0; 4])))
    }

    fn day(&self) -> &str {
        self.occurred_at.get(..10).unwrap_or("2026-01-01")
    }

    /// Random to whoever does not know the seed; the same for the same number.
    fn salt(&self, number: u64) -> String {
        let digest = Sha256::new().chain_update(self.seed).chain_update(number.to_be_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        URL_SAFE_NO_PAD.encode(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
    }
}

/// Where a record stands in a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    contract: u64,
    /// How often the series has come to this contract before.
    lap: u64,
    kind: Kind,
}

impl Place {
    fn of(number: u64, contracts: u64) -> Self {
        let dossier = number / DOSSIER_RECORDS;
        let step = usize::try_from(number % DOSSIER_RECORDS).unwrap_or_default();
        let kind = DOSSIER.get(step).copied().unwrap_or(Kind::ConsentRecorded);
        Self { contract: dossier % contracts, lap: dossier / contracts, kind }
    }
}

impl Kind {
    const fn is_of_claim(self) -> bool {
        matches!(
            self,
            Self::ClaimOpened
                | Self::ClaimRegistered
                | Self::ClaimDecided
                | Self::PaymentRecorded
                | Self::ClaimClosed
        )
    }
}

/// Who may sign it besides the contract's insurer.
const fn roles_of(kind: Kind) -> &'static [Role] {
    match kind {
        Kind::ContractIssued
        | Kind::ClaimRegistered
        | Kind::ClaimDecided
        | Kind::PaymentRecorded
        | Kind::ClaimClosed => &[],
        Kind::DocumentRequested | Kind::DocumentReceived | Kind::DocumentAssessed => {
            &[Role::Broker]
        }
        Kind::ClaimOpened => &[Role::Broker, Role::Provider],
        Kind::ConsentRecorded => &[Role::Broker, Role::Provider, Role::TrustService],
    }
}

fn pick(from: &[usize], turn: u64) -> Option<usize> {
    let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
    from.get(usize::try_from(turn % count).ok()?).copied()
}
