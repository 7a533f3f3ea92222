//! The keys of the state: one byte for the kind, then what names the thing.
//!
//! A text is followed by a zero byte, which none of them holds, so that no key
//! is the beginning of another of its kind.

use std::marker::PhantomData;

use super::entities::*;
use crate::{
    digest::RecordId,
    insurance::{ClaimRef, Code, ContractRef, Currency, Moment},
};

/// The key of a value of type `E`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key<E> {
    bytes: Vec<u8>,
    entity: PhantomData<fn() -> E>,
}

impl<E> Key<E> {
    const fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, entity: PhantomData }
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key's bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn key(kind: u8, texts: &[&str]) -> Vec<u8> {
    let length = texts.iter().map(|text| text.len() + 1).sum::<usize>();
    let mut bytes = Vec::with_capacity(1 + length + 4);
    bytes.push(kind);
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// A contract.
#[must_use]
pub fn contract(contract: &ContractRef) -> Key<Contract> {
    Key::of(key(0x10, &[contract.as_str()]))
}

/// The period of that number, counted from 1.
#[must_use]
pub fn period(contract: &ContractRef, number: u32) -> Key<Period> {
    let mut bytes = key(0x11, &[contract.as_str()]);
    bytes.extend_from_slice(&number.to_be_bytes());
    Key::of(bytes)
}

/// How many documents were asked for about a contract.
#[must_use]
pub fn dossier(contract: &ContractRef) -> Key<Dossier> {
    Key::of(key(0x12, &[contract.as_str()]))
}

/// A document that was asked for about a contract.
#[must_use]
pub fn item(contract: &ContractRef, item: &Code) -> Key<Item> {
    Key::of(key(0x13, &[contract.as_str(), item.as_str()]))
}

/// All documents asked for about a contract: from the first key on, before the second.
#[must_use]
pub fn items(contract: &ContractRef) -> (Vec<u8>, Vec<u8>) {
    let from = key(0x13, &[contract.as_str()]);
    let mut to = from.clone();
    if let Some(last) = to.last_mut() {
        // In place of the zero byte that ends the contract.
        *last = 1;
    }
    (from, to)
}

/// A pre-authorisation.
#[must_use]
pub fn preauthorisation(contract: &ContractRef, number: &Code) -> Key<Preauthorisation> {
    Key::of(key(0x14, &[contract.as_str(), number.as_str()]))
}

/// A signature.
#[must_use]
pub fn signature(contract: &ContractRef, number: &Code) -> Key<Signature> {
    Key::of(key(0x15, &[contract.as_str(), number.as_str()]))
}

/// The deductible of a contract.
#[must_use]
pub fn ladder(contract: &ContractRef) -> Key<Ladder> {
    Key::of(key(0x16, &[contract.as_str()]))
}

/// What moved the deductible of a contract upwards in one year.
#[must_use]
pub fn year_steps(contract: &ContractRef, year: i16) -> Key<YearSteps> {
    let mut bytes = key(0x17, &[contract.as_str()]);
    bytes.extend_from_slice(&year_of_key(year));
    Key::of(bytes)
}

/// A claim.
#[must_use]
pub fn claim(claim: &ClaimRef) -> Key<Claim> {
    Key::of(key(0x18, &[claim.as_str()]))
}

/// The documents that came with a claim.
#[must_use]
pub fn attached(claim: &ClaimRef) -> Key<Attached> {
    Key::of(key(0x19, &[claim.as_str()]))
}

/// How many documents were asked for about a claim.
#[must_use]
pub fn claim_dossier(claim: &ClaimRef) -> Key<Dossier> {
    Key::of(key(0x1a, &[claim.as_str()]))
}

/// A document that was asked for about a claim.
#[must_use]
pub fn claim_item(claim: &ClaimRef, item: &Code) -> Key<Item> {
    Key::of(key(0x1b, &[claim.as_str(), item.as_str()]))
}

/// A number that an insurer gave a claim.
#[must_use]
pub fn registered(insurer: &str, number: &Code) -> Key<Registered> {
    Key::of(key(0x1c, &[insurer, number.as_str()]))
}

/// A quote.
#[must_use]
pub fn quote(number: &Code) -> Key<Named> {
    Key::of(key(0x1d, &[number.as_str()]))
}

/// An application.
#[must_use]
pub fn application(number: &Code) -> Key<Named> {
    Key::of(key(0x1e, &[number.as_str()]))
}

/// A consent.
#[must_use]
pub fn consent(number: &Code) -> Key<Named> {
    Key::of(key(0x1f, &[number.as_str()]))
}

/// A contract issued on a referral.
#[must_use]
pub fn referral(consent: &Code) -> Key<Referral> {
    Key::of(key(0x20, &[consent.as_str()]))
}

/// Whose figures a tally holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Those of all contracts of an insurer.
    Insurer(&'a str),
    /// Those of one contract.
    Contract(&'a ContractRef),
}

/// What a tally counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Payments executed, less those that came back.
    Paid(Currency),
    /// Claims opened, less those that ended.
    Open,
}

/// All that a payee has to do with, by months.
#[must_use]
pub fn tally_all(scope: Scope<'_>, payee: &str, figure: Figure) -> Key<Tally> {
    Key::of(tally(1, scope, payee, figure))
}

/// A month of a payee, by days. Months are counted as in a [`Slot`].
#[must_use]
pub fn tally_month(scope: Scope<'_>, payee: &str, figure: Figure, month: u32) -> Key<Tally> {
    let mut bytes = tally(2, scope, payee, figure);
    bytes.extend_from_slice(&month.to_be_bytes());
    Key::of(bytes)
}

fn tally(grain: u8, scope: Scope<'_>, payee: &str, figure: Figure) -> Vec<u8> {
    let (scope_kind, scope) = match scope {
        Scope::Insurer(insurer) => (1, insurer),
        Scope::Contract(contract) => (2, contract.as_str()),
    };
    let mut bytes = vec![0x21, grain, scope_kind];
    for text in [scope, payee] {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    match figure {
        Figure::Paid(currency) => bytes.extend_from_slice(currency.code().as_bytes()),
        Figure::Open => bytes.push(0),
    }
    bytes
}

/// Years are written with four digits, so none is below 0 or above 9999.
fn year_of_key(year: i16) -> [u8; 2] {
    u16::try_from(year).unwrap_or(0).to_be_bytes()
}

/// The flags of the record at an index of the log.
#[must_use]
pub fn flags(index: u64) -> Key<Flags> {
    let mut bytes = vec![0x22];
    bytes.extend_from_slice(&index.to_be_bytes());
    Key::of(bytes)
}

/// What rests on a contract being in force at a moment.
#[must_use]
pub fn cover(contract: &ContractRef, at: Moment, record: &RecordId) -> Key<Mark> {
    let mut bytes = covers(contract, Some(at));
    bytes.extend_from_slice(record.as_bytes());
    Key::of(bytes)
}

/// All that rests on a contract from a moment on, in the order of the moments; from
/// the first on where none is given.
#[must_use]
pub fn covers(contract: &ContractRef, from: Option<Moment>) -> Vec<u8> {
    let mut bytes = key(0x24, &[contract.as_str()]);
    // Nanoseconds since the Unix epoch, which may be negative.
    let nanoseconds = |from: Moment| from.timestamp().as_nanosecond() ^ i128::MIN;
    bytes.extend_from_slice(&from.map_or(0, nanoseconds).to_be_bytes());
    bytes
}

/// What corrects a record.
#[must_use]
pub fn correction(corrected: &RecordId) -> Key<Correction> {
    let mut bytes = vec![0x23];
    bytes.extend_from_slice(corrected.as_bytes());
    Key::of(bytes)
}
