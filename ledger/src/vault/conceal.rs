//! Making disclosures of private fields before a record is signed.

use std::{fmt, str::FromStr};

use rand_core::{OsRng, RngCore as _};
use serde_json::{Map, Value};

use super::{
    disclosure::{Disclosure, digest_text},
    presentation::Place,
};
use crate::{
    insurance::{Family, RecordType},
    limits::DISCLOSURES_MAX,
    record::{Salt, encoding},
    refusal::{Code, Refusal},
};

const SALT_BYTES: usize = 16;

/// Fields that are private in every record about contracts and claims, wherever
/// in the payload or its `data` they stand (DOMAIN, "Private fields"). No such
/// type has one of these names among its own fields. What records of the family
/// `member` say of organisations is public.
pub const PRIVATE_FIELDS: &[&str] = &[
    // People
    "name",
    "first_name",
    "last_name",
    "birth_name",
    "date_of_birth",
    "place_of_birth",
    "nationality",
    "occupation",
    "tax_id",
    "national_id",
    "policyholder_name",
    "insured_name",
    "beneficiary_name",
    "driver_name",
    "witness_name",
    "signer_name",
    // Where and how they are reached
    "address",
    "street",
    "postal_code",
    "city",
    "phone",
    "mobile",
    "email",
    // Money
    "iban",
    "bic",
    "account_holder",
    // Health, of people and animals
    "diagnosis",
    "symptoms",
    "treatment",
    "medication",
    "medical_history",
    "animal_name",
    "chip_number",
    "breed",
    // Vehicles and homes
    "plate",
    "vin",
    "driving_licence_number",
    "location",
    // What somebody tells or writes
    "description",
    "circumstances",
    "notes",
    // A document's commitment hides the file only with its salt
    DOCUMENT_SALTS,
];

/// The salts of a record's documents, which are private in records of every type.
const DOCUMENT_SALTS: &str = "document_salts";

/// Fields that are private in records of one type only.
const PRIVATE_FIELDS_OF_TYPES: &[(RecordType, &[&str])] = &[
    (RecordType::PartyUpdated, &["previous", "value"]),
    (RecordType::ClaimOpened, &["injured", "third_party", "police_report"]),
    (RecordType::ClaimDisputed, &["grounds"]),
    (RecordType::PaymentRecorded, &["remittance_information"]),
    (RecordType::AlertRaised, &["suspicion"]),
];

/// Fields of a type's own that may be private where somebody names them: no rule
/// asks for them, and no figure of a view is made of them. They are optional, so
/// that the record reads without them.
const OWN_FIELDS_THAT_MAY_BE_PRIVATE: &[(RecordType, &[&str])] = &[
    (RecordType::ContractQuoted, &["premium", "valid_until"]),
    (RecordType::ContractApplied, &["branch"]),
    (RecordType::ContractIssued, &["cover", "premium", "payment_mode"]),
    (RecordType::ContractRenewed, &["responsible"]),
    (RecordType::DocumentReceived, &["label", "action"]),
    (RecordType::DocumentAssessed, &["label", "action"]),
    (RecordType::SignatureRequested, &["link_sent_to"]),
    (RecordType::PreauthorisationAnswered, &["reason"]),
    (RecordType::ClaimOpened, &["kind"]),
    (RecordType::ClaimRegistered, &["adjuster"]),
    (RecordType::ClaimState, &["label"]),
    (RecordType::ClaimDecided, &["reason"]),
];

/// The fields of a type's own `data` that may be private where somebody names them.
pub fn own_fields_that_may_be_private(
    record_type: RecordType,
) -> impl Iterator<Item = &'static str> {
    OWN_FIELDS_THAT_MAY_BE_PRIVATE
        .iter()
        .filter(move |(of, _)| *of == record_type)
        .flat_map(|(_, names)| names.iter().copied())
}

/// Whether the type names that field of `data` itself.
pub(super) fn is_own_field_of_data(record_type: RecordType, name: &str) -> bool {
    record_type.fields().iter().any(|(own, _)| *own == name)
}

/// Whether the ledger goes by that field. If it could be hidden, the record would
/// open to something that was never judged.
pub(super) fn is_judged(record_type: RecordType, place: Place, name: &str) -> bool {
    match place {
        Place::Payload => OWN_FIELDS.contains(&name),
        Place::Data => {
            is_own_field_of_data(record_type, name)
                && !own_fields_that_may_be_private(record_type).any(|may_be| may_be == name)
        }
    }
}

/// The fields that are private in records of a type: those of every type first.
pub fn private_fields_of(record_type: RecordType) -> impl Iterator<Item = &'static str> {
    let everywhere: &[&str] = match record_type.family() {
        Family::Member => &[DOCUMENT_SALTS],
        Family::Contract | Family::Signature | Family::Settlement => PRIVATE_FIELDS,
    };
    let own = PRIVATE_FIELDS_OF_TYPES
        .iter()
        .filter(move |(of, _)| *of == record_type)
        .flat_map(|(_, names)| names.iter().copied());
    everywhere.iter().copied().chain(own)
}

/// Whether a field of that name is private in records of that type.
#[must_use]
pub fn is_private(record_type: Option<RecordType>, name: &str) -> bool {
    match record_type {
        Some(record_type) => private_fields_of(record_type).any(|private| private == name),
        None => PRIVATE_FIELDS.contains(&name),
    }
}

/// The payload's own fields, which the ledger works with and which therefore
/// cannot be hidden.
const OWN_FIELDS: [&str; 13] = [
    "ledger",
    "type",
    "salt",
    "occurred_at",
    "contract",
    "claim",
    "declared_by",
    "data",
    "documents",
    "corrects",
    "expires_at",
    "_sd",
    "_sd_alg",
];

/// A field that somebody wants to be private: `data.<name>`, or `<name>` in the
/// payload itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateField {
    place: Place,
    name: String,
}

impl FromStr for PrivateField {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (place, name) = match text.strip_prefix("data.") {
            Some(name) => (Place::Data, name),
            None => (Place::Payload, text),
        };
        let refuse = |predicate: &str| {
            let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(Refusal::of_field(
                Code::Malformed,
                "private",
                format!("private: {text} {predicate}"),
            ))
        };
        if name.is_empty() || name.starts_with("_sd") || name == "..." {
            return refuse("is no field; name one such as data.premium");
        }
        if place == Place::Payload && OWN_FIELDS.contains(&name) {
            return refuse("is what the ledger works with and cannot be private");
        }
        Ok(Self { place, name: name.to_owned() })
    }
}

impl fmt::Display for PrivateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Payload => f.write_str(&self.name),
            Place::Data => write!(f, "data.{}", self.name),
        }
    }
}

/// A payload without its private fields, and these.
#[derive(Debug, Clone)]
pub struct Concealed {
    /// The payload with digests in the place of private fields.
    pub payload: Map<String, Value>,
    /// The private fields.
    pub disclosures: Vec<Disclosure>,
}

/// Moves the private fields of a payload into disclosures: those that are
/// private by default in records of its type, and those in `named`. The digests
/// are sorted, so that their order says nothing (RFC 9901, section 4.2.4.1).
///
/// `salt` gives the salt of each, mostly [`random_salt`]: random, for one
/// disclosure only, and kept nowhere but in the disclosure. Whether the rest is a
/// record is for signing it to say.
///
/// # Errors
/// `malformed` or `too_large`: a field of `named` is not there, or the ledger goes
/// by it, or a value cannot be disclosed. The error of `salt`.
pub fn conceal(
    mut payload: Map<String, Value>,
    named: &[PrivateField],
    mut salt: impl FnMut(Place, &str, &Value) -> Result<Salt, Refusal>,
) -> Result<Concealed, Refusal> {
    let record_type =
        payload.get("type").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let judged = |field: &&PrivateField| {
        record_type.is_some_and(|record_type| is_judged(record_type, field.place, &field.name))
    };
    if let (Some(record_type), Some(field)) = (record_type, named.iter().find(judged)) {
        let detail = format!(
            "private: {field} is what the ledger judges a {record_type} by and cannot be private"
        );
        return Err(Refusal::of_field(Code::Malformed, "private", detail));
    }
    let mut disclosures = Vec::new();
    for place in [Place::Payload, Place::Data] {
        let object = match place {
            Place::Payload => Some(&mut payload),
            Place::Data => payload.get_mut("data").and_then(Value::as_object_mut),
        };
        let mut absent = named
            .iter()
            .filter(|field| field.place == place)
            .filter(|field| object.as_ref().is_none_or(|object| !object.contains_key(&field.name)));
        if let Some(absent) = absent.next() {
            let detail = format!("private: {absent} is not in the record");
            return Err(Refusal::of_field(Code::Malformed, "private", detail));
        }
        let Some(object) = object else { continue };
        let hidden = hide(object, place, record_type, named, &mut salt)?;
        disclosures.extend(hidden);
        if disclosures.len() > DISCLOSURES_MAX {
            let detail = format!("a record may have {DISCLOSURES_MAX} private fields");
            return Err(Refusal::of_field(Code::TooLarge, "private", detail));
        }
    }
    if !disclosures.is_empty() {
        payload.entry("_sd_alg").or_insert_with(|| "sha-256".into());
    }
    Ok(Concealed { payload, disclosures })
}

/// Moves the private fields of one object into disclosures.
fn hide(
    object: &mut Map<String, Value>,
    place: Place,
    record_type: Option<RecordType>,
    named: &[PrivateField],
    salt: &mut impl FnMut(Place, &str, &Value) -> Result<Salt, Refusal>,
) -> Result<Vec<Disclosure>, Refusal> {
    let is_named =
        |name: &String| named.iter().any(|field| field.place == place && field.name == *name);
    let names: Vec<String> = object
        .keys()
        .filter(|name| is_private(record_type, name) || is_named(name))
        .cloned()
        .collect();
    let mut disclosures = Vec::with_capacity(names.len());
    for name in names {
        let Some(value) = object.remove(&name) else { continue };
        let disclosure =
            Disclosure::new(&salt(place, &name, &value)?, &name, &value).map_err(|refusal| {
                let field = PrivateField { place, name: name.clone() }.to_string();
                let detail = format!("{field} cannot be private as it is: {}", refusal.detail);
                Refusal::of_field(refusal.code, field, detail)
            })?;
        disclosures.push(disclosure);
    }
    if disclosures.is_empty() {
        return Ok(disclosures);
    }
    let digests = object.entry("_sd").or_insert_with(|| Value::Array(Vec::new()));
    // Something else under that name is left for the check of the record to refuse.
    if let Value::Array(digests) = digests {
        digests.extend(
            disclosures.iter().map(|disclosure| Value::from(digest_text(&disclosure.digest()))),
        );
        digests.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
    }
    Ok(disclosures)
}

/// Sixteen bytes of the system's randomness.
///
/// # Errors
/// The system has none.
pub fn random_salt() -> Result<Salt, Refusal> {
    let mut bytes = [0; SALT_BYTES];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| {
        let detail = format!("a salt cannot be made: this machine has no randomness ({error})");
        Refusal::of_field(Code::Malformed, "salt", detail)
    })?;
    let mut text = String::new();
    encoding::encode_into(&bytes, &mut text);
    text.parse()
        .map_err(|error| Refusal::of_field(Code::Malformed, "salt", format!("salt {error}")))
}
