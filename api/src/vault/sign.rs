//! Signing JSON whose private fields stay in this node's vault.

use quittance_ledger::{
    digest::RecordId,
    membership::MemberId,
    record::{Record, Salt},
    refusal::{Code, Refusal},
    store::StoreError,
    vault::{
        Concealed, Disclosure, PrivateField, Staging, Vault, VaultError, conceal, random_salt,
    },
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
///
/// Where its fields were erased, it would bring them back: [`refuse_erased`].
pub(crate) fn sign(
    app: &App,
    member: &MemberId,
    payload: Map<String, Value>,
    named: &[PrivateField],
    sender: &Sender,
) -> Result<Opened, Problem> {
    let vault = app.node.vault();
    if let Some(vault) = &vault {
        let before = signed_before(app, vault, member, &payload, named, sender)?;
        if let Some((record, disclosures)) = before {
            let staging = vault.stage(&record, disclosures)?;
            return Ok(Opened { record, staging: Some(staging) });
        }
        refuse_erased(app, vault, member, &payload, named, sender)?;
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
    let Some(of_record) = salt_of(payload) else { return Ok(None) };
    let reads = reads_private(sender, member);
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

/// Refuses what was signed before as a record whose private fields were erased
/// since. It is known by what everybody sees of that record: its salt, its
/// signer, and all that it does not hide. What was hidden is gone, so that it is
/// not compared, and the answer tells nobody whether a guess of it is right. It
/// tells that there is such a record and that it was erased, as the ledger does;
/// so whoever may neither read the ledger nor had it signed a moment ago is not
/// told, and gets another record.
fn refuse_erased(
    app: &App,
    vault: &Vault,
    member: &MemberId,
    payload: &Map<String, Value>,
    named: &[PrivateField],
    sender: &Sender,
) -> Result<(), Problem> {
    let Some(of_record) = salt_of(payload) else { return Ok(()) };
    let erased = vault.erased_with_salt(&of_record);
    if erased.is_empty() {
        return Ok(());
    }
    let concealed = conceal(payload.clone(), named, |_, _, _| random_salt())?;
    if concealed.disclosures.is_empty() {
        return Ok(());
    }
    let shown = shown(concealed.payload);
    let reads = app.access.has_open_reading() || sender.reads() || reads_private(sender, member);
    let token = sender.token_id();
    for (id, by) in erased {
        let may_know =
            reads || token.as_ref().is_some_and(|token| app.senders.was_sent_by(&id, token));
        if may_know && shows(app, &id, member, &shown)? {
            return Err(VaultError::Erased { record: id, by }.into());
        }
    }
    Ok(())
}

/// Whether the record on the ledger is of that signer, and shows that.
fn shows(
    app: &App,
    id: &RecordId,
    signer: &MemberId,
    expected: &Map<String, Value>,
) -> Result<bool, Problem> {
    let failed = |error: StoreError| Problem::internal(&error);
    let Some(location) = app.store.find(id).map_err(failed)? else { return Ok(false) };
    let Some(entry) = app.store.entry(location.index).map_err(failed)? else { return Ok(false) };
    let payload = serde_json::from_slice(entry.record.payload_json());
    let Ok(mut payload) = payload.map(shown) else { return Ok(false) };
    // The node fills it in.
    if !expected.contains_key("ledger") {
        payload.remove("ledger");
    }
    Ok(entry.record.signer() == signer && payload == *expected)
}

/// A payload with how many fields it hides in the place of their digests.
fn shown(mut payload: Map<String, Value>) -> Map<String, Value> {
    let count = |object: &mut Map<String, Value>| {
        if let Some(digests) = object.get_mut("_sd")
            && let Some(count) = digests.as_array().map(Vec::len)
        {
            *digests = count.into();
        }
    };
    count(&mut payload);
    if let Some(data) = payload.get_mut("data").and_then(Value::as_object_mut) {
        count(data);
    }
    payload
}

fn reads_private(sender: &Sender, member: &MemberId) -> bool {
    Asker(sender.clone()).check(member).is_ok()
}

fn salt_of(payload: &Map<String, Value>) -> Option<Salt> {
    payload.get("salt")?.as_str()?.parse().ok()
}
