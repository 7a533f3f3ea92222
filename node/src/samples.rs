//! The five real-life dossiers that the demo plays, and the lines they are made of.

use std::fmt;

use quittance_ledger::membership::Role;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    json::{self, JsonError},
    setup::NewMember,
};

/// One dossier: what happened around a few contracts, a record a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dossier {
    /// Its short name.
    pub name: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// The records as JSON lines.
    pub lines: &'static str,
}

/// The dossiers, in the order in which they are played.
pub const DOSSIERS: [Dossier; 5] = [
    Dossier {
        name: "petexpert",
        title: "pet health in Belgium: pre-authorisations, claims, a renewal",
        lines: include_str!("../../tests/samples/petexpert.jsonl"),
    },
    Dossier {
        name: "heca",
        title: "digital signature and settlement in Italy: policy, two offers, payment",
        lines: include_str!("../../tests/samples/heca.jsonl"),
    },
    Dossier {
        name: "legal-de",
        title: "legal expenses in Germany: claims and the deductible's ladder",
        lines: include_str!("../../tests/samples/legal-de.jsonl"),
    },
    Dossier {
        name: "netvox",
        title: "motor in France: documents asked for, received, missing",
        lines: include_str!("../../tests/samples/netvox.jsonl"),
    },
    Dossier {
        name: "santevet",
        title: "pet health in France: care sheets, decisions, reimbursements",
        lines: include_str!("../../tests/samples/santevet.jsonl"),
    },
];

/// The organisations of the dossiers. The first one validates in the demo.
pub const ORGANISATIONS: [NewMember<'static>; 11] = [
    organisation("petexpert", "PetExpert", Role::Insurer, Some("Europe/Brussels")),
    organisation("comp-it", "Compagnia Italiana", Role::Insurer, Some("Europe/Rome")),
    organisation("rs-de", "Rechtsschutz Deutschland", Role::Insurer, Some("Europe/Berlin")),
    organisation("auto-fr", "Auto France", Role::Insurer, Some("Europe/Paris")),
    organisation("santevet", "SantéVet", Role::Insurer, Some("Europe/Paris")),
    organisation("heca", "Heca", Role::Broker, None),
    organisation("makler-1", "Makler Eins", Role::Broker, None),
    organisation("netvox", "Netvox", Role::Broker, None),
    organisation("vet-1", "Vet One", Role::Provider, None),
    organisation("vet-2", "Vet Two", Role::Provider, None),
    organisation("otp-it", "OTP Italia", Role::TrustService, None),
];

const fn organisation(
    id: &'static str,
    name: &'static str,
    role: Role,
    time_zone: Option<&'static str>,
) -> NewMember<'static> {
    NewMember { id, name, role, time_zone }
}

/// How lines say that the ledger will take them.
const ACCEPTED: &str = "accepted";

/// How what lines say begins where the ledger will refuse them; the code follows.
const REFUSED: &str = "refused:";

/// What should become of a line's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// The ledger takes it.
    Accepted,
    /// The ledger refuses it with this code.
    Refused(String),
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str(ACCEPTED),
            Self::Refused(code) => write!(f, "{REFUSED}{code}"),
        }
    }
}

impl Serialize for Expectation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A record to be signed, as it stands in a line or file.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsigned {
    /// The member that signs, where the line names one.
    pub signer: Option<String>,
    /// What should become of it, where the line says so.
    pub expectation: Option<Expectation>,
    /// The payload, without what signing fills in.
    pub record: Map<String, Value>,
}

/// A line is none of the forms that hold a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Not a JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Something else than signer, expect and record.
    #[error("{0:?} is neither signer, expect nor record")]
    Field(String),
    /// A field of the wrong type.
    #[error("{0} is not {1}")]
    Shape(&'static str, &'static str),
}

impl Unsigned {
    /// Reads a record object, or `{"signer": …, "record": {…}}`, which may also
    /// say what is expected: `"expect": "accepted"` or `"refused:<code>"`.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let mut object = json::object(text)?;
        let Some(record) = object.remove("record") else {
            return Ok(Self { signer: None, expectation: None, record: object });
        };
        let Value::Object(record) = record else {
            return Err(LineError::Shape("record", "an object"));
        };
        let mut text = |name: &'static str| match object.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(LineError::Shape(name, "a text")),
        };
        let signer = text("signer")?;
        let expectation = match text("expect")? {
            None => None,
            Some(expected) if expected == ACCEPTED => Some(Expectation::Accepted),
            Some(expected) => match expected.strip_prefix(REFUSED) {
                Some(code) => Some(Expectation::Refused(code.to_owned())),
                None => return Err(LineError::Shape("expect", "accepted or refused:<code>")),
            },
        };
        match object.keys().next() {
            Some(unknown) => Err(LineError::Field(unknown.clone())),
            None => Ok(Self { signer, expectation, record }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_line_of_the_dossiers_is_by_an_organisation_and_says_what_to_expect() {
        let (mut accepted, mut refused) = (0, 0);
        for line in DOSSIERS.iter().flat_map(|dossier| dossier.lines.lines()) {
            let line = Unsigned::parse(line).unwrap();
            let signer = line.signer.unwrap();
            assert!(ORGANISATIONS.iter().any(|member| member.id == signer), "{signer}");
            match line.expectation.unwrap() {
                Expectation::Accepted => accepted += 1,
                Expectation::Refused(_) => refused += 1,
            }
        }
        assert_eq!((accepted, refused), (96, 18));
    }

    #[test]
    fn a_bare_record_is_taken_as_it_is() {
        let line = Unsigned::parse(r#"{"type":"claim.closed","data":{"paid":1}}"#).unwrap();
        assert_eq!((line.signer, line.expectation), (None, None));
        assert_eq!(line.record.len(), 2);
    }

    #[test]
    fn lines_that_would_be_misread_are_refused() {
        for (line, says) in [
            (r#"{"record":[]}"#, "record is not an object"),
            (r#"{"record":{},"signer":1}"#, "signer is not a text"),
            (r#"{"record":{},"expect":"maybe"}"#, "expect is not"),
            (r#"{"record":{},"singer":"a"}"#, "\"singer\" is neither"),
            ("nothing", "not JSON"),
        ] {
            let error = Unsigned::parse(line).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
