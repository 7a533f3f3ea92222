//! From bytes to a well-formed envelope, and from that to a verified record.

use std::{fmt, sync::Arc};

use super::{Payload, encoding, header::Header, signature::verify_signature};
use crate::{
    digest::RecordId,
    limits::RECORD_BYTES_MAX,
    membership::{Algorithm, KeyId, MemberHistory, MemberId, Membership, Origin, Role},
    refusal::{Code, Refusal},
};

/// A record whose structure has been checked, but not who signed it. Cheap to clone.
#[derive(Clone)]
pub struct Envelope(Arc<Contents>);

/// A record that a member of the ledger signed and may sign. Cheap to clone.
#[derive(Clone)]
pub struct Record(Arc<Contents>);

struct Contents {
    id: RecordId,
    jws: Arc<[u8]>,
    /// Where the ASCII bytes end that were signed: `header.payload`.
    signed_bytes: usize,
    header: Header,
    payload: Payload,
    payload_json: Vec<u8>,
    signature: [u8; 64],
}

macro_rules! accessors {
    ($name:ident) => {
        impl $name {
            /// The record's id: SHA-256 of its bytes.
            #[must_use]
            pub fn id(&self) -> RecordId {
                self.0.id
            }

            /// The record's bytes, as they came.
            #[must_use]
            pub fn jws(&self) -> &Arc<[u8]> {
                &self.0.jws
            }

            /// The member that its header names as signer.
            #[must_use]
            pub fn signer(&self) -> &MemberId {
                &self.0.header.signer
            }

            /// Which of the member's keys its header names.
            #[must_use]
            pub fn key_id(&self) -> &KeyId {
                &self.0.header.key_id
            }

            /// How its header says that it is signed.
            #[must_use]
            pub fn algorithm(&self) -> Algorithm {
                self.0.header.algorithm
            }

            /// What it says.
            #[must_use]
            pub fn payload(&self) -> &Payload {
                &self.0.payload
            }

            /// What it says, as the JSON bytes that were signed.
            #[must_use]
            pub fn payload_json(&self) -> &[u8] {
                &self.0.payload_json
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("id", &self.id())
                    .field("signer", self.signer())
                    .field("key_id", self.key_id())
                    .field("payload", self.payload())
                    .finish_non_exhaustive()
            }
        }

        /// Equal ids are equal bytes.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.id() == other.id()
            }
        }

        impl Eq for $name {}
    };
}

accessors! { Envelope }
accessors! { Record }

impl Envelope {
    /// Reads the bytes of a record and checks all that needs no other knowledge.
    ///
    /// # Errors
    /// `too_large`, `malformed`, `unknown_field` or `amount_negative`, with the field.
    pub fn parse(jws: impl Into<Arc<[u8]>>) -> Result<Self, Refusal> {
        let jws = jws.into();
        if jws.len() > RECORD_BYTES_MAX {
            let detail =
                format!("the record has {} bytes; a record may have {RECORD_BYTES_MAX}", jws.len());
            return Err(Refusal::new(Code::TooLarge, detail));
        }
        let parts = Parts::of(&jws).ok_or_else(|| {
            malformed(
                "record",
                "the record must be a JWS of three parts with a dot between each: \
                 header.payload.signature",
            )
        })?;
        let header = decode(parts.header, "header")?;
        let header = Header::parse(&header)?;
        let signature = encoding::decode_exactly(parts.signature).ok_or_else(|| {
            malformed(
                "signature",
                "signature must be 64 bytes in canonical base64url, 86 characters \
                 (of ES256: r and s in 32 bytes each, not DER)",
            )
        })?;
        let payload_json = decode(parts.payload, "payload")?;
        let payload = Payload::parse(&payload_json)?;
        let (id, signed_bytes) = (RecordId::of(&jws), parts.signed_bytes);
        Ok(Self(Arc::new(Contents {
            id,
            jws,
            signed_bytes,
            header,
            payload,
            payload_json,
            signature,
        })))
    }

    /// Checks who signed it: the ledger it is for, the member, its key, that
    /// the key is in force, the signature, what the role may sign, and that an
    /// insurer speaks of its own contracts only; in this order.
    ///
    /// # Errors
    /// `wrong_ledger`, `unknown_member`, `unknown_key`, `key_not_valid_then`,
    /// `bad_signature`, `role_not_allowed` or `not_a_party`.
    pub fn verify(self, membership: &Membership) -> Result<Record, Refusal> {
        self.check_ledger(membership)?;
        membership.signing_key(self.signer(), self.key_id())?;
        self.verify_at_any_time(membership)
    }

    /// As [`Envelope::verify`], with keys that are in force no more, or not yet,
    /// as well. Whether the key is in force for the block that holds the record
    /// is checked with that block.
    ///
    /// # Errors
    /// As [`Envelope::verify`], without `key_not_valid_then`.
    pub fn verify_at_any_time(self, membership: &Membership) -> Result<Record, Refusal> {
        self.check_ledger(membership)?;
        let key = membership.known_key(self.signer(), self.key_id())?;
        verify_signature(
            &key.of.public,
            self.0.header.algorithm,
            self.0.signed(),
            &self.0.signature,
        )?;
        // Id and role of a member never change.
        if let Some(MemberHistory { id, role, .. }) = membership.past(self.signer()) {
            self.check_role(id, *role)?;
            self.check_party(id, *role)?;
        }
        Ok(self.trusted())
    }

    fn check_ledger(&self, membership: &Membership) -> Result<(), Refusal> {
        let ledger = &self.payload().ledger;
        if ledger == membership.origin() {
            Ok(())
        } else {
            Err(wrong_ledger(ledger.as_str(), membership.origin()))
        }
    }

    /// Takes it for verified. For those who verified the same bytes before.
    #[must_use]
    pub fn trusted(self) -> Record {
        Record(self.0)
    }

    fn check_role(&self, member: &MemberId, role: Role) -> Result<(), Refusal> {
        let record_type = self.payload().record_type;
        if record_type.roles().contains(&role) {
            return Ok(());
        }
        let roles: Vec<_> = record_type.roles().iter().map(|role| role.as_str()).collect();
        let detail = format!(
            "{member} is a member with the role {role}; a {record_type} may be signed by: {}",
            roles.join(", ")
        );
        Err(Refusal::of_field(Code::RoleNotAllowed, "type", detail))
    }

    /// An insurer has nothing to say about another insurer's contracts. What
    /// takes knowledge of earlier records, such as a contract's broker, is a rule.
    fn check_party(&self, member: &MemberId, role: Role) -> Result<(), Refusal> {
        if role != Role::Insurer {
            return Ok(());
        }
        let contract = self.payload().contract.as_ref().map(|contract| contract.insurer());
        let claim = self.payload().claim.as_ref().map(|claim| claim.insurer());
        for (field, insurer) in [("contract", contract), ("claim", claim)] {
            if let Some(insurer) = insurer.filter(|insurer| *insurer != member.as_str()) {
                let detail = format!("the {field} is {insurer}'s, and {member} is another insurer");
                return Err(Refusal::of_field(Code::NotAParty, field, detail));
            }
        }
        Ok(())
    }
}

/// The same record, as it was before its signature was verified.
impl From<Record> for Envelope {
    fn from(record: Record) -> Self {
        Self(record.0)
    }
}

impl Record {
    /// Reads and verifies the bytes of a record.
    ///
    /// # Errors
    /// As [`Envelope::parse`], then as [`Envelope::verify`].
    pub fn open(jws: impl Into<Arc<[u8]>>, membership: &Membership) -> Result<Self, Refusal> {
        Envelope::parse(jws)?.verify(membership)
    }

    /// Reads and verifies the bytes of a record, whether its key is in force or
    /// not: for records that have waited, and for a whole history.
    ///
    /// # Errors
    /// As [`Envelope::parse`], then as [`Envelope::verify_at_any_time`].
    pub fn open_at_any_time(
        jws: impl Into<Arc<[u8]>>,
        membership: &Membership,
    ) -> Result<Self, Refusal> {
        Envelope::parse(jws)?.verify_at_any_time(membership)
    }

    /// Reads the bytes of a record that this node verified before and has read
    /// back under the same id. The signature is not checked again.
    ///
    /// # Errors
    /// As [`Envelope::parse`].
    pub fn trusted(jws: impl Into<Arc<[u8]>>) -> Result<Self, Refusal> {
        Envelope::parse(jws).map(Envelope::trusted)
    }
}

impl Contents {
    fn signed(&self) -> &[u8] {
        self.jws.get(..self.signed_bytes).unwrap_or_default()
    }
}

/// The three parts of a compact serialization.
struct Parts<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
    signed_bytes: usize,
}

impl<'a> Parts<'a> {
    fn of(jws: &'a [u8]) -> Option<Self> {
        let mut parts = jws.split(|byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let signed_bytes = header.len() + 1 + payload.len();
        parts.next().is_none().then_some(Self { header, payload, signature, signed_bytes })
    }
}

fn decode(part: &[u8], name: &'static str) -> Result<Vec<u8>, Refusal> {
    encoding::decode(part).ok_or_else(|| {
        malformed(name, format!("{name} must be canonical base64url without padding or spaces"))
    })
}

fn malformed(field: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal::of_field(Code::Malformed, field, detail)
}

/// A record is for one ledger, so that nobody replays it on another.
pub(super) fn wrong_ledger(given: &str, origin: &Origin) -> Refusal {
    let detail = format!("the record is for the ledger {given}; this ledger is {origin}");
    Refusal::of_field(Code::WrongLedger, "ledger", detail)
}
