//! Signing JSON whose private fields stay in this node's vault.

use quittance_ledger::{
    digest::RecordId,
    membership::MemberId,
    record::{Record, Salt},
    refusal::{Code, Refusal},
    vault::{Concealed, Disclosure, PrivateField, Staging, Vault, conceal, random_salt},
};
use serde_json::{Map, Value};

use super::{Asker, vault_of};
use crate::{append::Sender, problem::Problem, state::App};

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
/// there, before there is a record of them.
///
/// The same payload with the same salt gives the same record, as long as its
/// fields are not erased, to those who may know what they are: whoever reads what
/// is private of the member's records, and the token that had it signed a moment
/// ago. To everybody else the same record would tell that they guessed the
/// fields, so their salts are made anew, and it is another record.
pub(crate) fn sign(
    app: &App,
    member: &MemberId,
    payload: Map<String, Value>,
    named: &[PrivateField],
    sender: &Sender,
) -> Result<Opened, Problem> {
    let vault = app.node.vault();
    if let Some(vault) = &vault
        && let Some((record, disclosures)) =
            signed_before(app, vault, member, &payload, named, sender)?
    {
        let staging = vault.stage(&record, disclosures)?;
        return Ok(Opened { record, staging: Some(staging) });
    }
    let Concealed { payload, disclosures } = conceal(payload, named, |_, _, _| random_salt())?;
    if disclosures.is_empty() {
        return Ok(app.node.sign(member, payload)?.into());
    }
    let vault = vault_of(&*app.node)?;
    let record = app.node.sign(member, payload)?;
    let staging = vault.stage(&record, disclosures)?;
    if let Some(token) = sender.token_id() {
        app.senders.note(record.id(), token);
    }
    Ok(Opened { record, staging: Some(staging) })
}

/// The record that `payload` was signed as before, if its private fields are
/// held and whoever sends it may know of that. Salts are taken from it all
/// together or not at all: one that stood in two records would tell that they say
/// the same (RFC 9901, section 9.3).
fn signed_before(
    app: &App,
    vault: &Vault,
    member: &MemberId,
    payload: &Map<String, Value>,
    named: &[PrivateField],
    sender: &Sender,
) -> Result<Option<(Record, Vec<Disclosure>)>, Problem> {
    let of_record = payload.get("salt").and_then(Value::as_str);
    let Some(of_record) = of_record.and_then(|salt| salt.parse::<Salt>().ok()) else {
        return Ok(None);
    };
    let reads = Asker(sender.clone()).check(member).is_ok();
    let token = sender.token_id();
    let may_be = |id: &RecordId| {
        reads || token.as_ref().is_some_and(|token| app.senders.was_sent_by(id, token))
    };
    for (id, held) in vault.held_with_salt(&of_record, may_be)? {
        let mut all_held = true;
        let Concealed { payload, disclosures } =
            conceal(payload.clone(), named, |place, name, value| {
                let same = held.iter().find(|field| {
                    field.place == place
                        && field.disclosure.name() == name
                        && field.disclosure.value() == value
                });
                all_held &= same.is_some();
                same.map_or_else(random_salt, |field| Ok(field.disclosure.salt().clone()))
            })?;
        if !all_held || disclosures.is_empty() {
            continue;
        }
        // Whether it is of this member, and says the rest alike, the id tells.
        let record = app.node.sign(member, payload)?;
        if record.id() == id {
            return Ok(Some((record, disclosures)));
        }
    }
    Ok(None)
}
