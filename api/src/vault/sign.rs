//! Signing JSON whose private fields stay in this node's vault.

use quittance_ledger::{
    membership::MemberId,
    record::{Record, Salt},
    refusal::{Code, Refusal},
    vault::{Concealed, PrivateField, Staging, VaultError, conceal, random_salt},
};
use serde_json::{Map, Value};

use super::vault_of;
use crate::{problem::Problem, submit::Submit};

/// A record that is to be submitted, with what is private of it staged.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) record: Record,
    pub(crate) staging: Option<Staging>,
}

impl From<Record> for Opened {
    fn from(record: Record) -> Self {
        Self { record, staging: None }
    }
}

/// The fields that whoever sends JSON wants to be private besides those that
/// always are: a list of names such as `data.premium`.
pub(crate) fn named_fields(value: &Value) -> Result<Vec<PrivateField>, Problem> {
    let malformed = || {
        let detail = "private must be a list of fields such as data.premium";
        Problem::from(Refusal::of_field(Code::Malformed, "private", detail))
    };
    let names = value.as_array().ok_or_else(malformed)?;
    names
        .iter()
        .map(|name| Ok(name.as_str().ok_or_else(malformed)?.parse::<PrivateField>()?))
        .collect()
}

/// Signs `payload` for `member`. Its private fields are in the vault, and durable
/// there, before there is a record of them. The same payload with the same salt
/// gives the same record, as long as its fields are not erased.
pub(crate) fn sign(
    node: &dyn Submit,
    member: &MemberId,
    payload: Map<String, Value>,
    named: &[PrivateField],
) -> Result<Opened, Problem> {
    let of_record: Option<Salt> =
        payload.get("salt").and_then(Value::as_str).and_then(|salt| salt.parse().ok());
    let vault = node.vault();
    let mut failed: Option<VaultError> = None;
    let concealed = conceal(payload, named, |place, name, value| {
        let known = match (&vault, &of_record) {
            (Some(vault), Some(of_record)) => vault.salt_of(of_record, place, name, value),
            _ => Ok(None),
        };
        match known {
            Ok(Some(salt)) => Ok(salt),
            Ok(None) => random_salt(),
            Err(error) => {
                failed = Some(error);
                random_salt()
            }
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let Concealed { payload, disclosures } = concealed?;
    if disclosures.is_empty() {
        return Ok(node.sign(member, payload)?.into());
    }
    let vault = vault_of(node)?;
    let record = node.sign(member, payload)?;
    let staging = vault.stage(&record, disclosures)?;
    Ok(Opened { record, staging: Some(staging) })
}
