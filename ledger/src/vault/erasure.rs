//! An erasure, and the signed record that says so.

use super::{
    VaultError,
    files::{self, Layout},
};
use crate::{
    digest::RecordId,
    insurance::Data,
    limits::RECORD_BYTES_MAX,
    record::Envelope,
    refusal::{Code, Refusal},
};

/// An erasure that is done and is yet to be recorded on the ledger.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// The record whose disclosures are gone.
    pub record: RecordId,
    /// The signed `disclosure.erased` that says so.
    pub signed: Envelope,
}

/// Checks that `signed` says that the disclosures of `id` were erased.
pub(super) fn check_erasure(id: &RecordId, signed: &Envelope) -> Result<(), VaultError> {
    match &signed.payload().data {
        Data::DisclosureErased(data) if data.record.id() == *id => Ok(()),
        _ => {
            let detail = format!("the record does not say that what is private of {id} was erased");
            Err(Refusal::of_field(Code::Malformed, "data.record", detail).into())
        }
    }
}

pub(super) fn read_erasure(
    layout: &Layout,
    name: &str,
) -> Result<(RecordId, Envelope), VaultError> {
    let path = layout.erasing().join(name);
    let problem = "it is no signed erasure of the record that it is named after";
    let damaged = || VaultError::Damaged { path: path.clone(), problem };
    let bytes = files::read(&path, RECORD_BYTES_MAX)?.ok_or_else(damaged)?;
    let id: RecordId = name.parse().map_err(|_| damaged())?;
    let signed = Envelope::parse(bytes).map_err(|_| damaged())?;
    check_erasure(&id, &signed).map_err(|_| damaged())?;
    Ok((id, signed))
}
