//! Signed records, good ones and forged ones.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::Members;

/// A record as its signer keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// SHA-256 of its bytes, in hexadecimal.
    pub id: String,
    /// Its bytes: a compact JWS.
    pub jws: String,
}

impl Signed {
    /// A record of these bytes.
    pub fn of(jws: String) -> Self {
        Self { id: hex::encode(Sha256::digest(&jws)), jws }
    }
}

/// Signs any header and any payload, made with nothing of the ledger's own code.
#[must_use]
pub fn forge(header: &str, payload: &[u8], key: &SigningKey) -> Signed {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).to_bytes());
    Signed::of(format!("{input}.{signature}"))
}

/// `count` different records, as a load generator makes them: small, and by the
/// same broker, each about one of a hundred contracts.
#[must_use]
pub fn load_records(members: &Members, count: usize) -> Vec<Signed> {
    (0..count)
        .map(|number| {
            members.sign(
                "heca",
                &json!({
                    "type": "contract.quoted",
                    "occurred_at": "2026-01-02T09:00:00Z",
                    "contract": format!("comp-it/L-{}", number % 100),
                    "data": { "quote": format!("Q-{number}"), "premium": number, "currency": "EUR" },
                }),
            )
        })
        .collect()
}
