//! Tests of private data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod crashes;
mod formats;
mod keeping;
mod vectors;

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    record::{Envelope, Record},
    testing::Ledger,
};

const ADDRESS: &str = "Via Garibaldi 12, 20121 Milano";

fn ledger() -> Ledger {
    Ledger::new("ledger.example/vault")
}

/// A payload whose private fields are its address and its name.
fn payload(number: u64) -> Map<String, Value> {
    let payload = json!({
        "type": "party.updated",
        "salt": format!("{number:A>21}A"),
        "occurred_at": "2026-01-01T00:00:00Z",
        "contract": "insurer/C-1",
        "name": "Anna Rossi",
        "data": {"what": "address", "effective": "2026-02-01", "address": ADDRESS},
    });
    payload.as_object().unwrap().clone()
}

/// The `number`th of a series of records with two private fields.
fn private(ledger: &Ledger, number: u64) -> (Record, Vec<Disclosure>) {
    let concealed = conceal(payload(number), &[], |_, _, _| random_salt()).unwrap();
    (ledger.sign("broker", concealed.payload.into()), concealed.disclosures)
}

fn erased(ledger: &Ledger, record: &Record) -> Envelope {
    let payload = json!({
        "type": "disclosure.erased",
        "occurred_at": "2026-03-01T00:00:00Z",
        "data": {"record": record.id(), "basis": "gdpr_17_1_b"},
    });
    Envelope::parse(ledger.sign("broker", payload).jws().to_vec()).unwrap()
}
