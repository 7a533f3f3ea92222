//! Signing JSON whose private fields stay in this node's vault.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

/// How many records with private fields one request may still bring. Each of them
/// waits for the disk by itself, so that many would be cut off by the time that a
/// request may take, again and again.
#[derive(Debug)]
pub(crate) struct PrivateRoom {
    left: AtomicUsize,
    max: usize,
    exceeded: AtomicBool,
}

impl PrivateRoom {
    pub(crate) const fn new(max: usize) -> Self {
        Self { left: AtomicUsize::new(max), max, exceeded: AtomicBool::new(false) }
    }

    fn take(&self) -> Result<(), Problem> {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if taken.is_err() {
            self.exceeded.store(true, Ordering::Relaxed);
        }
        taken.map(drop).map_err(|_| self.problem())
    }

    fn problem(&self) -> Problem {
        let detail =
            format!("a batch may have {} lines with private fields; send it in parts", self.max);
        Problem::new(Code::TooLarge, detail)
    }

    /// # Errors
    /// `too_large`: there were more.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.exceeded.load(Ordering::Relaxed) { Err(self.problem()) } else { Ok(()) }
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
/// Where its fields were erased, it would bring them back:
/// [`Again::refuse_erased`].
pub(crate) fn sign(
    app: &App,
    member: &MemberId,
    payload: Map<String, Value>,
    named: &[PrivateField],
    sender: &Sender,
    room: &PrivateRoom,
) -> Result<Opened, Problem> {
    if let Some(vault) = app.node.vault()
        && let Some(of_record) = salt_of(&payload)
    {
        let again =
            Again { app, vault: &vault, member, payload: &payload, named, of_record, sender };
        if let Some((record, disclosures)) = again.signed_before()? {
            room.take()?;
            let staging = vault.stage(&record, disclosures)?;
            return Ok(Opened { record, staging: Some(staging) });
        }
        again.refuse_erased()?;
    }
    let Concealed { payload, disclosures } = conceal(payload, named, |_, _, _| random_salt())?;
    if disclosures.is_empty() {
        return Ok(app.node.sign(member, payload)?.into());
    }
    let vault = vault_of(&*app.node)?;
    room.take()?;
    let record = app.node.sign(member, payload)?;
    let staging = vault.stage(&record, disclosures)?;
    if let Some(token) = sender.token_id() {
        app.senders.note(record.id(), token);
    }
    Ok(Opened { record, staging: Some(staging) })
}

/// What is to be signed, as something that may have been signed before.
struct Again<'a> {
    app: &'a App,
    vault: &'a Vault,
    member: &'a MemberId,
    payload: &'a Map<String, Value>,
    named: &'a [PrivateField],
    /// The salt in the payload, by which it is found.
    of_record: Salt,
    sender: &'a Sender,
}

impl Again<'_> {
    /// The record that it was signed as before, if its private fields are held and
    /// whoever sends it may know of that. Salts are taken from it all together or
    /// not at all: one that stood in two records would tell that they say the same
    /// (RFC 9901, section 9.3).
    fn signed_before(&self) -> Result<Option<(Record, Vec<Disclosure>)>, Problem> {
        let may_know = self.may_know(self.reads_private());
        for (id, held) in self.vault.held_with_salt(&self.of_record, may_know)? {
            let mut all_held = true;
            let Concealed { payload, disclosures } =
                conceal(self.payload.clone(), self.named, |place, name, value| {
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
            let record = self.app.node.sign(self.member, payload)?;
            if record.id() == id {
                return Ok(Some((record, disclosures)));
            }
        }
        Ok(None)
    }

    /// Refuses what was signed before as a record whose private fields were erased
    /// since. It is known by its salt and its signer: a salt is drawn for one record,
    /// and what else may differ without making it another one (the spelling of a
    /// moment, say) is not to be listed. What was hidden is gone, so that it is not
    /// compared, and the answer tells nobody whether a guess of it is right. It tells
    /// that there is such a record and that it was erased, as the ledger does; so
    /// whoever may neither read the ledger nor had it signed a moment ago is not
    /// told, and gets another record.
    fn refuse_erased(&self) -> Result<(), Problem> {
        let erased = self.vault.erased_with_salt(&self.of_record);
        if erased.is_empty() {
            return Ok(());
        }
        let concealed = conceal(self.payload.clone(), self.named, |_, _, _| random_salt())?;
        if concealed.disclosures.is_empty() {
            return Ok(());
        }
        let may_know = self.may_know(
            self.app.access.has_open_reading() || self.sender.reads() || self.reads_private(),
        );
        for (id, by) in erased {
            if may_know(&id) && is_of(self.app, &id, self.member)? {
                return Err(VaultError::Erased { record: id, by }.into());
            }
        }
        Ok(())
    }

    /// Whether it reads what is private of the member's records.
    fn reads_private(&self) -> bool {
        Asker(self.sender.clone()).check(self.member).is_ok()
    }

    /// Of which records whoever sends this may know that they say the same: of all
    /// that it `reads`, and of what it had signed a moment ago.
    fn may_know(&self, reads: bool) -> impl Fn(&RecordId) -> bool {
        let token = self.sender.token_id();
        move |id| {
            reads || token.as_ref().is_some_and(|token| self.app.senders.was_sent_by(id, token))
        }
    }
}

/// Whether the record on the ledger is of that signer.
fn is_of(app: &App, id: &RecordId, signer: &MemberId) -> Result<bool, Problem> {
    let failed = |error: StoreError| app.store_failed(error);
    let Some(location) = app.store.find(id).map_err(failed)? else { return Ok(false) };
    let entry = app.store.entry(location.index).map_err(failed)?;
    Ok(entry.is_some_and(|entry| entry.record.signer() == signer))
}

fn salt_of(payload: &Map<String, Value>) -> Option<Salt> {
    payload.get("salt")?.as_str()?.parse().ok()
}
