//! A record with the private fields that somebody may see:
//! `<jws>~<disclosure>~…~` (RFC 9901, section 4).

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    conceal::{is_judged, is_own_field_of_data},
    disclosure::{Disclosure, malformed},
};
use crate::{
    limits::{DISCLOSURES_BYTES_MAX, DISCLOSURES_MAX, PRESENTATION_BYTES_MAX},
    record::{Envelope, Payload},
    refusal::{Code, Refusal},
};

/// Media type of a presentation (RFC 9901, section 11.2).
pub const PRESENTATION_MEDIA_TYPE: &str = "application/sd-jwt";

/// Where in a record a private field would stand: where the `_sd` is that holds
/// its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the payload itself.
    Payload,
    /// In its `data`.
    Data,
}

impl Place {
    /// The place as it stands in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Data => "data",
        }
    }
}

/// A disclosure that belongs to a record, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosed {
    /// Where its digest stands.
    pub place: Place,
    /// The disclosure.
    pub disclosure: Disclosure,
}

/// Finds the place of each disclosure in a record, and checks that all belong to
/// it: the digest of each is one of the record's, none stands twice, and no name
/// is there already (RFC 9901, section 7.1, steps 3 and 4).
///
/// Nor is any a field that the ledger judges the record by: whoever signs by hand
/// can hide one, and the record would open to what no rule ever saw. What the type
/// has a field for and may be hidden is read as strictly as if it were shown.
///
/// # Errors
/// `malformed` or `too_large`; where a field is not what its type has there, the
/// refusal that a record with it would get.
pub fn disclosed(
    payload: &Payload,
    payload_json: &[u8],
    disclosures: Vec<Disclosure>,
) -> Result<Vec<Disclosed>, Refusal> {
    check_size(&disclosures)?;
    let visible: Map<String, Value> = serde_json::from_slice(payload_json)
        .map_err(|_| malformed("belongs to a record that cannot be read"))?;
    let mut found: Vec<Disclosed> = Vec::with_capacity(disclosures.len());
    for disclosure in disclosures {
        let digest = disclosure.digest();
        let name = disclosure.name();
        let Some(position) = payload.sd.iter().position(|held| *held == digest) else {
            return Err(malformed(&format!("of {name} does not belong to the record")));
        };
        let place = if position < payload.sd_of_payload { Place::Payload } else { Place::Data };
        let visible = match place {
            Place::Payload => Some(&visible),
            Place::Data => visible.get("data").and_then(Value::as_object),
        };
        if visible.is_some_and(|visible| visible.contains_key(name)) {
            return Err(malformed(&format!("of {name} names a field that the record shows")));
        }
        let record_type = payload.record_type;
        if is_judged(record_type, place, name) {
            let detail = format!(
                "of {name} hides what the ledger judges a {record_type} by, so that nothing may \
                 open to it"
            );
            return Err(malformed(&detail));
        }
        let same = |other: &Disclosed| other.place == place && other.disclosure.name() == name;
        if found.iter().any(same) {
            return Err(malformed(&format!("of {name} stands twice")));
        }
        found.push(Disclosed { place, disclosure });
    }
    check_own_fields(payload, visible, &found)?;
    Ok(found)
}

/// Checks that the record reads with what its type has a field for in place.
fn check_own_fields(
    payload: &Payload,
    mut opened: Map<String, Value>,
    disclosed: &[Disclosed],
) -> Result<(), Refusal> {
    let own: Vec<_> = disclosed
        .iter()
        .filter(|field| field.place == Place::Data)
        .map(|field| (field.disclosure.name(), field.disclosure.value()))
        .filter(|(name, _)| is_own_field_of_data(payload.record_type, name))
        .collect();
    let Some(data) = opened.get_mut("data").and_then(Value::as_object_mut) else { return Ok(()) };
    if own.is_empty() {
        return Ok(());
    }
    data.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value.clone())));
    let json = serde_json::to_vec(&opened).map_err(|_| malformed("cannot be written as JSON"))?;
    Payload::parse(&json).map(drop)
}

fn check_size(disclosures: &[Disclosure]) -> Result<(), Refusal> {
    let bytes: usize = disclosures.iter().map(|disclosure| disclosure.as_str().len()).sum();
    if disclosures.len() > DISCLOSURES_MAX || bytes > DISCLOSURES_BYTES_MAX {
        let detail = format!(
            "a record may have {DISCLOSURES_MAX} disclosures of {DISCLOSURES_BYTES_MAX} characters \
             together, not {} of {bytes}",
            disclosures.len()
        );
        return Err(Refusal::of_field(Code::TooLarge, "disclosures", detail));
    }
    Ok(())
}

/// A record and disclosures that belong to it. Who signed the record is not
/// checked here: [`Envelope::verify`] does.
#[derive(Debug, Clone)]
pub struct Presentation {
    record: Envelope,
    fields: Vec<Disclosed>,
}

impl Presentation {
    /// Puts a record and disclosures together.
    ///
    /// # Errors
    /// As [`disclosed`].
    pub fn new(record: Envelope, disclosures: Vec<Disclosure>) -> Result<Self, Refusal> {
        let fields = disclosed(record.payload(), record.payload_json(), disclosures)?;
        Ok(Self { record, fields })
    }

    /// Reads the text of a presentation. One that is bound to a key (RFC 9901,
    /// section 4.3) is refused: members present with tokens, not with such keys.
    ///
    /// # Errors
    /// As [`Envelope::parse`], [`Disclosure::parse`] and [`disclosed`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > PRESENTATION_BYTES_MAX {
            let detail = format!(
                "the presentation has {} bytes; it may have {PRESENTATION_BYTES_MAX}",
                text.len()
            );
            return Err(Refusal::of_field(Code::TooLarge, "presentation", detail));
        }
        let not_one = |detail: &str| Refusal::of_field(Code::Malformed, "presentation", detail);
        let Some(text) = text.strip_suffix('~') else {
            return Err(not_one(
                "a presentation is a record and its disclosures with ~ behind each: \
                 <jws>~<disclosure>~; a key binding behind the last ~ is not taken",
            ));
        };
        let mut parts = text.split('~');
        let record = Envelope::parse(parts.next().unwrap_or_default().as_bytes())?;
        let disclosures: Vec<_> = parts
            .take(DISCLOSURES_MAX.saturating_add(1))
            .map(Disclosure::parse)
            .collect::<Result<_, _>>()?;
        Self::new(record, disclosures)
    }

    /// The record.
    #[must_use]
    pub const fn record(&self) -> &Envelope {
        &self.record
    }

    /// What is disclosed, in the order of the presentation.
    #[must_use]
    pub fn fields(&self) -> &[Disclosed] {
        &self.fields
    }

    /// The disclosures alone.
    #[must_use]
    pub fn into_disclosures(self) -> Vec<Disclosure> {
        self.fields.into_iter().map(|field| field.disclosure).collect()
    }
}

/// The text of the presentation, without a line break.
impl fmt::Display for Presentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~", String::from_utf8_lossy(self.record.jws()))?;
        self.fields.iter().try_for_each(|field| write!(f, "{}~", field.disclosure.as_str()))
    }
}
