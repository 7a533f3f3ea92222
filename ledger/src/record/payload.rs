//! What a record says: the typed payload.

use jiff::Timestamp;

use super::{
    Document, encoding,
    fields::{Field, FieldError},
    json::{self, Json},
    path::Path,
};
use crate::{
    digest::{Digest, RecordId},
    insurance::{ClaimRef, Code as Name, ContractRef, Data, Moment, RecordType, ValueError},
    limits::DOCUMENTS_MAX,
    membership::Origin,
    refusal::{Code, Refusal},
};

const SALT_BYTES_MIN: usize = 16;
const SALT_BYTES_MAX: usize = 64;

/// What a member signed, read into types. It is well-formed by itself; whether
/// it may stand after what the ledger already holds is for the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payload {
    /// The ledger it is meant for.
    pub ledger: Origin,
    /// What kind of thing happened.
    pub record_type: RecordType,
    /// Random bytes that keep the record from being guessed from its id.
    pub salt: Salt,
    /// When it happened, as the signer claims.
    pub occurred_at: Timestamp,
    /// The contract it is about.
    pub contract: Option<ContractRef>,
    /// The claim it is about.
    pub claim: Option<ClaimRef>,
    /// Whose statement it is, when not the signer's own.
    pub declared_by: Option<Name>,
    /// What the type says.
    pub data: Data,
    /// Files that it commits to.
    pub documents: Vec<Document>,
    /// The record that this one supersedes.
    pub corrects: Option<RecordId>,
    /// The last block time at which it may still be included.
    pub expires_at: Option<Timestamp>,
    /// Digests of private fields that are disclosed elsewhere or not at all
    /// (RFC 9901): those of the payload, then those of its `data`.
    pub sd: Vec<Digest>,
    /// How many of these are the payload's own.
    pub sd_of_payload: usize,
}

/// 16 to 64 random bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Salt(Box<[u8]>);

impl Salt {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl std::str::FromStr for Salt {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        encoding::decode(text.as_bytes())
            .filter(|bytes| (SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&bytes.len()))
            .map(|bytes| Self(bytes.into()))
            .ok_or(ValueError("must be 16 to 64 random bytes in base64url without padding"))
    }
}

impl Payload {
    /// Reads a decoded payload.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let members = json::parse_object(bytes, &Path::Payload)?;
        Ok(Self::read(&members)?)
    }

    fn read(members: &[json::Member<'_>]) -> Result<Self, FieldError> {
        let root = Path::Payload;
        let mut ledger = None;
        let mut record_type = None;
        let mut salt = None;
        let mut occurred_at = None;
        let mut contract = None;
        let mut claim = None;
        let mut declared_by = None;
        let mut data = None;
        let mut documents = Vec::new();
        let mut corrects = None;
        let mut expires_at = None;
        let mut sd = Vec::new();
        for json::Member { name, value } in members {
            let path = root.member(name);
            let field = Field::new(value, &path);
            match &**name {
                "ledger" => ledger = Some(field.text(origin)?),
                "type" => record_type = Some(field.text(type_of)?),
                "salt" => salt = Some(field.text(str::parse)?),
                "occurred_at" => occurred_at = Some(field.text(timestamp)?),
                "contract" => contract = Some(field.read()?),
                "claim" => claim = Some(field.read()?),
                "declared_by" => declared_by = Some(field.read()?),
                "data" => data = Some(value),
                "documents" => documents = documents_of(field)?,
                "corrects" => corrects = Some(field.text(record_id)?),
                "expires_at" => expires_at = Some(field.text(timestamp)?),
                "_sd" => append_digests(&mut sd, field)?,
                "_sd_alg" => field.text(digest_algorithm)?,
                _ => {
                    let predicate = "is not a field of a record; check its spelling, \
                                     or put it into data if the type has it there";
                    return Err(FieldError::new(Code::UnknownField, predicate).at(&path));
                }
            }
        }
        let missing = |name| FieldError::of_member(name, "is missing").at(&root);
        let ledger = ledger.ok_or_else(|| missing("ledger"))?;
        let record_type = record_type.ok_or_else(|| missing("type"))?;
        let salt = salt.ok_or_else(|| missing("salt"))?;
        let occurred_at = occurred_at.ok_or_else(|| missing("occurred_at"))?;
        let data = data.ok_or_else(|| missing("data"))?;
        let sd_of_payload = sd.len();
        let data = data_of(record_type, data, &mut sd)?;
        check_references(record_type, contract.as_ref(), claim.as_ref())?;
        Ok(Self {
            ledger,
            record_type,
            salt,
            occurred_at,
            contract,
            claim,
            declared_by,
            data,
            documents,
            corrects,
            expires_at,
            sd,
            sd_of_payload,
        })
    }
}

fn data_of(
    record_type: RecordType,
    value: &Json<'_>,
    sd: &mut Vec<Digest>,
) -> Result<Data, FieldError> {
    let root = Path::Payload;
    let path = root.member("data");
    let field = Field::new(value, &path);
    let data = Data::read(record_type, field.without("_sd"))?;
    if let Some(value) = field.value_of("_sd") {
        append_digests(sd, Field::new(value, &path.member("_sd")))?;
    }
    match data.defect() {
        None => Ok(data),
        Some(defect) => Err(FieldError::of_member(defect.member, defect.predicate).at(&path)),
    }
}

fn documents_of(field: Field<'_, '_, '_>) -> Result<Vec<Document>, FieldError> {
    let documents: Vec<Document> = field.read()?;
    if documents.len() <= DOCUMENTS_MAX {
        Ok(documents)
    } else {
        let predicate = format!("must not list more than {DOCUMENTS_MAX} documents");
        Err(FieldError::new(Code::Malformed, predicate).at(field.path()))
    }
}

/// RFC 9901 section 4.2.4: digests are texts, and none stands twice in the
/// whole payload (section 7.1, step 4).
fn append_digests(sd: &mut Vec<Digest>, field: Field<'_, '_, '_>) -> Result<(), FieldError> {
    let Json::List(items) = field.value() else {
        return Err(FieldError::new(Code::Malformed, "must be a list").at(field.path()));
    };
    for (index, item) in items.iter().enumerate() {
        let path = field.path().item(index);
        let digest = Field::new(item, &path).text(|text| {
            encoding::decode_exactly(text.as_bytes())
                .map(Digest::from_bytes)
                .ok_or(ValueError("must be a SHA-256 digest in base64url, 43 characters"))
        })?;
        if sd.contains(&digest) {
            return Err(FieldError::new(Code::Malformed, "is a digest that stands twice").at(&path));
        }
        sd.push(digest);
    }
    Ok(())
}

fn check_references(
    record_type: RecordType,
    contract: Option<&ContractRef>,
    claim: Option<&ClaimRef>,
) -> Result<(), FieldError> {
    let needs = record_type.references();
    let missing = |name| {
        FieldError::of_member(name, format!("is missing; a {record_type} must name it"))
            .at(&Path::Payload)
    };
    if needs.needs_contract() && contract.is_none() {
        return Err(missing("contract"));
    }
    if needs.needs_claim() && claim.is_none() {
        return Err(missing("claim"));
    }
    match (contract, claim) {
        (Some(contract), Some(claim)) if contract.insurer() != claim.insurer() => {
            Err(FieldError::of_member("claim", "must be of the same insurer as the contract")
                .at(&Path::Payload))
        }
        _ => Ok(()),
    }
}

fn origin(text: &str) -> Result<Origin, ValueError> {
    text.parse()
        .map_err(|_| ValueError("must be the name of a ledger, such as ledger.example/quittance"))
}

fn type_of(text: &str) -> Result<RecordType, ValueError> {
    text.parse().map_err(|_| ValueError("must be a record type, such as contract.issued"))
}

fn timestamp(text: &str) -> Result<Timestamp, ValueError> {
    text.parse().map(Moment::timestamp)
}

fn record_id(text: &str) -> Result<RecordId, ValueError> {
    text.parse().map_err(|_| ValueError("must be a record id, 64 hexadecimal digits in lower case"))
}

fn digest_algorithm(text: &str) -> Result<(), ValueError> {
    match text {
        "sha-256" => Ok(()),
        _ => Err(ValueError("must be sha-256")),
    }
}
