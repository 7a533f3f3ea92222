//! Making a record: filling in what every record has, and signing it.

use ed25519_dalek::Signer as _;
use rand_core::{OsRng, RngCore as _};
use serde_json::{Map, Value};

use super::{Envelope, encoding, header};
use crate::{
    membership::{Algorithm, KeyId, MemberId, Origin, RecordPublicKey},
    refusal::{Code, Refusal},
};

const SALT_BYTES: usize = 16;

/// The members that stand first, in this order; the others follow as given.
const FIRST: [&str; 4] = ["ledger", "type", "salt", "occurred_at"];

/// What signs records: a secret key of one of the algorithms.
pub trait SignRecord {
    /// How it signs.
    fn algorithm(&self) -> Algorithm;

    /// The 64 bytes of the signature of a signing input, in the spelling that a
    /// record must have. The same input gives the same signature.
    fn signature_of(&self, signing_input: &[u8]) -> [u8; 64];
}

impl SignRecord for ed25519_dalek::SigningKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn signature_of(&self, signing_input: &[u8]) -> [u8; 64] {
        self.sign(signing_input).to_bytes()
    }
}

/// ES256 with the nonces of RFC 6979, so that the same input gives the same
/// signature, and with s in the lower half.
impl SignRecord for p256::ecdsa::SigningKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn signature_of(&self, signing_input: &[u8]) -> [u8; 64] {
        let signature: p256::ecdsa::Signature = self.sign(signing_input);
        signature.normalize_s().unwrap_or(signature).to_bytes().into()
    }
}

/// A secret record key of either algorithm. It is wiped from memory when dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordSecretKey {
    /// Signs with Ed25519.
    Ed25519(ed25519_dalek::SigningKey),
    /// Signs with ES256.
    Es256(p256::ecdsa::SigningKey),
}

impl RecordSecretKey {
    /// Its public half.
    #[must_use]
    pub fn public(&self) -> RecordPublicKey {
        match self {
            Self::Ed25519(key) => key.verifying_key().into(),
            Self::Es256(key) => (*key.verifying_key()).into(),
        }
    }
}

impl From<ed25519_dalek::SigningKey> for RecordSecretKey {
    fn from(key: ed25519_dalek::SigningKey) -> Self {
        Self::Ed25519(key)
    }
}

impl From<p256::ecdsa::SigningKey> for RecordSecretKey {
    fn from(key: p256::ecdsa::SigningKey) -> Self {
        Self::Es256(key)
    }
}

impl SignRecord for RecordSecretKey {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(key) => key.algorithm(),
            Self::Es256(key) => key.algorithm(),
        }
    }

    fn signature_of(&self, signing_input: &[u8]) -> [u8; 64] {
        match self {
            Self::Ed25519(key) => key.signature_of(signing_input),
            Self::Es256(key) => key.signature_of(signing_input),
        }
    }
}

/// Signs a payload for the ledger `origin` as the key `key_id` of `member`.
///
/// Fills in `ledger`, and `salt` with 16 random bytes, unless they are given.
/// The same payload with the same salt gives the same record. The record is
/// well-formed and its signature good; that the member is on the ledger, has
/// this key and may sign this type is for [`Envelope::verify`] to say.
///
/// # Errors
/// As [`Envelope::parse`], and `wrong_ledger` for a payload that names another ledger.
pub fn sign(
    payload: Map<String, Value>,
    origin: &Origin,
    member: &MemberId,
    key_id: &KeyId,
    key: &impl SignRecord,
) -> Result<Envelope, Refusal> {
    let payload = complete(payload, origin)?;
    let mut jws = String::with_capacity(payload.len() * 3 / 2 + 256);
    let (algorithm, typ) = (key.algorithm(), header::TYPE);
    let header = format!(r#"{{"alg":"{algorithm}","kid":"{member}#{key_id}","typ":"{typ}"}}"#);
    encoding::encode_into(header.as_bytes(), &mut jws);
    jws.push('.');
    encoding::encode_into(&payload, &mut jws);
    let signature = key.signature_of(jws.as_bytes());
    jws.push('.');
    encoding::encode_into(&signature, &mut jws);
    Envelope::parse(jws.into_bytes())
}

/// The payload's bytes: compact JSON in a stable order.
fn complete(mut payload: Map<String, Value>, origin: &Origin) -> Result<Vec<u8>, Refusal> {
    match payload.entry("ledger").or_insert_with(|| origin.as_str().into()) {
        Value::String(ledger) if ledger == origin.as_str() => {}
        Value::String(ledger) if ledger.parse::<Origin>().is_ok() => {
            return Err(super::envelope::wrong_ledger(ledger, origin));
        }
        // Of no shape at all, which the check of the structure says better.
        _ => {}
    }
    if !payload.contains_key("salt") {
        payload.insert("salt".to_owned(), random_salt()?.into());
    }
    let first = FIRST.iter().filter_map(|name| payload.get_key_value(*name));
    let rest = payload.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let mut json = vec![b'{'];
    for (name, value) in first.chain(rest) {
        if json.len() > 1 {
            json.push(b',');
        }
        let written = serde_json::to_writer(&mut json, name).and_then(|()| {
            json.push(b':');
            serde_json::to_writer(&mut json, value)
        });
        written.map_err(|_| {
            Refusal::of_field(
                Code::Malformed,
                name.clone(),
                format!("{name} cannot be written as JSON"),
            )
        })?;
    }
    json.push(b'}');
    Ok(json)
}

fn random_salt() -> Result<String, Refusal> {
    let mut salt = [0; SALT_BYTES];
    OsRng.try_fill_bytes(&mut salt).map_err(|error| {
        let detail = format!("salt cannot be filled in: this machine has no randomness ({error})");
        Refusal::of_field(Code::Malformed, "salt", detail)
    })?;
    let mut text = String::new();
    encoding::encode_into(&salt, &mut text);
    Ok(text)
}
