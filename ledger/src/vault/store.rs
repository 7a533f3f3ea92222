//! The vault itself: what is held of each record.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zeroize::Zeroizing;

use super::{
    VaultError, VaultKey,
    disclosure::{Disclosure, malformed},
    erasure::{Erasure, check_erasure, read_erasure},
    files::{self, Layout},
    presentation::{Disclosed, Place, disclosed},
    seal::{NONCE_BYTES, RecordKey, TAG_BYTES},
    slots::{SALT_TAG_BYTES, Slot, SlotState, Slots, salt_tag},
};
use crate::{
    digest::RecordId,
    limits::{DISCLOSURES_BYTES_MAX, DISCLOSURES_MAX},
    record::{Envelope, Record, Salt},
};

/// A sealed file, in bytes: its version, nonce and tag, and with each disclosure
/// its place and a mark behind it.
const SEALED_BYTES_MAX: usize =
    1 + NONCE_BYTES + TAG_BYTES + DISCLOSURES_BYTES_MAX + 2 * DISCLOSURES_MAX;

/// Sealed files without a slot that a crash leaves, at most: puts and erasures
/// follow one after the other, each with one file, and a few crashes may come
/// before the node starts for once.
const LEFT_OVERS_MAX: usize = 8;

/// Records with one salt that are looked at, at most. Who draws salts as they must
/// be drawn has one; looking at all would be quadratic work for whoever does not.
const SAME_SALT_MAX: usize = 64;

/// What became of disclosures that were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// They are held now.
    Stored,
    /// All of them were held before.
    Unchanged,
}

/// What a vault holds of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// Disclosures.
    Disclosures(Vec<Disclosure>),
    /// They were erased; that record says so.
    Erased(RecordId),
}

/// How a vault stands to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has nothing of it.
    Nothing,
    /// It holds disclosures, readable or not.
    Held,
    /// They were erased; that record says so.
    Erased(RecordId),
}

/// A record is on its way to the ledger; what is private of it is not taken for
/// left over until this is dropped.
#[derive(Debug)]
pub struct Staging {
    vault: Arc<Vault>,
    id: RecordId,
}

impl Staging {
    fn new(vault: Arc<Vault>, id: RecordId) -> Self {
        let mut state = vault.state();
        let count = state.in_flight.entry(id).or_default();
        *count = count.saturating_add(1);
        drop(state);
        Self { vault, id }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let mut state = self.vault.state();
        if let Some(count) = state.in_flight.get_mut(&self.id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.in_flight.remove(&self.id);
            }
        }
    }
}

/// Disclosures of records, sealed on disk and erasable. Safe to share between
/// threads; each call waits for the disk.
#[derive(Debug)]
pub struct Vault {
    layout: Layout,
    key: VaultKey,
    records_max: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    slots: Slots,
    by_id: HashMap<RecordId, Slot>,
    by_salt: HashMap<[u8; SALT_TAG_BYTES], Vec<RecordId>>,
    free: Vec<u64>,
    damaged: usize,
    /// Sealed files that no slot opens, where there are more than a crash leaves.
    orphans: usize,
    /// Records that are on their way to the ledger just now.
    in_flight: HashMap<RecordId, usize>,
    /// Erasures that are not recorded yet, and whether their step on the disk is done.
    erasures: BTreeMap<RecordId, (Envelope, bool)>,
}

impl Vault {
    /// Opens the vault in `folder`, makes it where there is none, and finishes
    /// every erasure that was begun. It holds `records_max` records at most,
    /// those that were erased included.
    ///
    /// # Errors
    /// `WrongKey`, `InUse`, `Damaged`, or the system refuses.
    pub fn open(folder: &Path, key: VaultKey, records_max: usize) -> Result<Self, VaultError> {
        let layout = Layout { root: folder.to_owned() };
        for folder in [&layout.root, &layout.sealed(), &layout.erasing()] {
            files::create_folder(folder)?;
        }
        let sealed = files::names(&layout.sealed())?;
        // Without its slots what is sealed is lost, unless they come back.
        let (slots, found) = Slots::open(&layout.slots(), &key, sealed.is_empty())?;
        files::sync_folder(&layout.root)?;
        let mut state = State {
            slots,
            by_id: HashMap::with_capacity(found.used.len()),
            by_salt: HashMap::new(),
            free: found.free,
            damaged: found.damaged,
            orphans: 0,
            in_flight: HashMap::new(),
            erasures: BTreeMap::new(),
        };
        for (id, slot) in found.used {
            state.insert(id, slot);
        }
        for name in files::names(&layout.erasing())? {
            let (id, signed) = read_erasure(&layout, &name)?;
            state.erasures.insert(id, (signed, false));
        }
        let vault = Self { layout, key, records_max, state: Mutex::new(state) };
        vault.resume_erasures()?;
        vault.destroy_left_overs()?;
        Ok(vault)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is in memory changes only once the disk has changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Destroys sealed files that no slot opens: of a `put` that was cut off, or
    /// of an erasure. Where slots are damaged, or so many files have none that
    /// slots must be missing, they stay, for a backup may bring the slots back.
    fn destroy_left_overs(&self) -> Result<(), VaultError> {
        let mut state = self.state();
        let mut names = files::names(&self.layout.sealed())?;
        names.retain(|name| {
            !name.parse().is_ok_and(|id: RecordId| {
                state.by_id.get(&id).is_some_and(|slot| !matches!(slot.state, SlotState::Erased(_)))
            })
        });
        // What was erased is to be gone, whatever became of other slots.
        let erased =
            |name: &String| name.parse().is_ok_and(|id: RecordId| state.by_id.contains_key(&id));
        let (erased, mut left): (Vec<_>, Vec<_>) = names.into_iter().partition(erased);
        if left.len() > LEFT_OVERS_MAX {
            state.orphans = left.len();
        }
        if state.damaged > 0 || state.orphans > 0 {
            left.clear();
        }
        erased.iter().chain(&left).try_for_each(|name| files::destroy(&self.layout.sealed(), name))
    }

    /// Slots that are in use and cannot be read; their disclosures are lost
    /// unless the file of slots comes back from a backup.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.state().damaged
    }

    /// Sealed files whose slots are missing: more than a crash leaves, so that the
    /// file of slots was cut off or is an old one. Nothing of them is destroyed,
    /// and they can be read again once the file comes back from a backup.
    #[must_use]
    pub fn orphans(&self) -> usize {
        self.state().orphans
    }

    /// Whether something is held of a record, or by which record it was erased.
    /// The disk is not asked: what cannot be read is held.
    #[must_use]
    pub fn standing(&self, id: &RecordId) -> Standing {
        let state = self.state();
        match state.erased_by(id) {
            Some(by) => Standing::Erased(by),
            None if state.by_id.contains_key(id) => Standing::Held,
            None => Standing::Nothing,
        }
    }

    /// The records of which disclosures are held.
    #[must_use]
    pub fn ids(&self) -> Vec<RecordId> {
        let state = self.state();
        let held = state.by_id.iter().filter(|(id, slot)| {
            !matches!(slot.state, SlotState::Erased(_)) && !state.erasures.contains_key(*id)
        });
        let mut ids: Vec<_> = held.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Takes disclosures of a record that is on the ledger. Putting the same
    /// again changes nothing; more of the same record are added.
    ///
    /// # Errors
    /// `Refused`: one does not belong to the record, or there are too many.
    /// `Erased`, `Full`, or the system refuses; nothing was taken then.
    pub fn put(&self, record: &Record, disclosures: Vec<Disclosure>) -> Result<Put, VaultError> {
        self.put_as(record, disclosures, SlotState::Kept)
    }

    /// As [`Vault::put`], of a record that is on its way to the ledger, until what
    /// is given back is dropped.
    ///
    /// # Errors
    /// As [`Vault::put`].
    pub fn stage(
        self: &Arc<Self>,
        record: &Record,
        disclosures: Vec<Disclosure>,
    ) -> Result<Staging, VaultError> {
        let id = record.id();
        let staging = Staging::new(Arc::clone(self), id);
        self.put_as(record, disclosures, SlotState::Staged)?;
        Ok(staging)
    }

    /// Records whose disclosures were staged and of which it is not known here
    /// whether they came onto the ledger.
    #[must_use]
    pub fn staged(&self) -> Vec<RecordId> {
        let state = self.state();
        let staged = |(id, slot): &(&RecordId, &Slot)| {
            slot.state == SlotState::Staged && !state.in_flight.contains_key(*id)
        };
        state.by_id.iter().filter(staged).map(|(id, _)| *id).collect()
    }

    /// The staged record is on the ledger.
    ///
    /// # Errors
    /// The system refuses.
    pub fn keep(&self, id: &RecordId) -> Result<(), VaultError> {
        let mut state = self.state();
        let Some(slot) = state.by_id.get(id).copied() else { return Ok(()) };
        state.promote(id, slot)
    }

    /// The staged record will never be on the ledger: its disclosures are
    /// destroyed, and nothing tells of them.
    ///
    /// # Errors
    /// The system refuses.
    pub fn discard(&self, id: &RecordId) -> Result<(), VaultError> {
        let mut state = self.state();
        let Some(slot) = state.by_id.get(id).copied() else { return Ok(()) };
        if slot.state != SlotState::Staged || state.in_flight.contains_key(id) {
            return Ok(());
        }
        state.slots.clear(slot.number)?;
        state.by_id.remove(id);
        state.forget_salt(id, &slot);
        state.free.push(slot.number);
        files::destroy(&self.layout.sealed(), &id.to_string())
    }

    fn put_as(
        &self,
        record: &Record,
        disclosures: Vec<Disclosure>,
        wanted: SlotState,
    ) -> Result<Put, VaultError> {
        let id = record.id();
        let (payload, json) = (record.payload(), record.payload_json());
        let new = disclosed(payload, json, disclosures)?;
        let mut state = self.state();
        state.refuse_erased(&id)?;
        let Some(slot) = state.by_id.get(&id).copied() else {
            if new.is_empty() {
                return Err(malformed("is missing; there is nothing to keep").into());
            }
            return self.put_new(&mut state, record, &new, wanted);
        };
        let key = state.slots.key(&id, &slot, &self.key)?;
        let held = self.read(&id, &key)?;
        let added = new.iter().any(|new| !held.contains(new));
        if added {
            let texts = held.iter().chain(new.iter().filter(|new| !held.contains(new)));
            let union = texts.map(|field| field.disclosure.clone()).collect();
            self.write(&id, &key, &disclosed(payload, json, union)?)?;
        }
        if wanted == SlotState::Kept {
            state.promote(&id, slot)?;
        }
        Ok(if added { Put::Stored } else { Put::Unchanged })
    }

    fn put_new(
        &self,
        state: &mut State,
        record: &Record,
        fields: &[Disclosed],
        wanted: SlotState,
    ) -> Result<Put, VaultError> {
        let id = record.id();
        if state.by_id.len() >= self.records_max {
            return Err(VaultError::Full { records_max: self.records_max });
        }
        let key = RecordKey::generate()?;
        let tag = salt_tag(record.payload().salt.as_bytes());
        let wrapped = self.key.wrap(&key, &id, &tag)?;
        // The slot makes it count, so it comes last.
        self.write(&id, &key, fields)?;
        let number = state.free.last().copied().unwrap_or_else(|| state.slots.next_number());
        let slot = state.slots.put(number, &id, tag, &wrapped, wanted)?;
        state.free.retain(|free| *free != number);
        state.insert(id, slot);
        Ok(Put::Stored)
    }

    /// What is held of a record.
    ///
    /// # Errors
    /// `Damaged`, or the system refuses.
    pub fn get(&self, id: &RecordId) -> Result<Held, VaultError> {
        let state = self.state();
        match state.refuse_erased(id) {
            Ok(()) => {}
            Err(VaultError::Erased { by, .. }) => return Ok(Held::Erased(by)),
            Err(error) => return Err(error),
        }
        let Some(slot) = state.by_id.get(id) else { return Ok(Held::Nothing) };
        let key = state.slots.key(id, slot, &self.key)?;
        let fields = self.read(id, &key)?;
        Ok(Held::Disclosures(fields.into_iter().map(|field| field.disclosure).collect()))
    }

    /// The records with this salt of their own of which disclosures are held, and
    /// these; only of those that `may_be` lets through is anything read, and of the
    /// first few. So whoever signs the same again can use the same salts and get the
    /// same record.
    ///
    /// # Errors
    /// As [`Vault::get`].
    pub fn held_with_salt(
        &self,
        of_record: &Salt,
        may_be: impl Fn(&RecordId) -> bool,
    ) -> Result<Vec<(RecordId, Vec<Disclosed>)>, VaultError> {
        let state = self.state();
        let mut held = Vec::new();
        let ids = state.by_salt.get(&salt_tag(of_record.as_bytes()));
        let held_ids =
            ids.into_iter().flatten().filter(|id| state.erased_by(id).is_none() && may_be(id));
        for id in held_ids.take(SAME_SALT_MAX) {
            let Some(slot) = state.by_id.get(id) else { continue };
            held.push((*id, self.read(id, &state.slots.key(id, slot, &self.key)?)?));
        }
        Ok(held)
    }

    /// The records with this salt of their own of which disclosures were erased,
    /// each with the record that says so: what is made of the same fields again
    /// would bring them back. Tombstones of versions that kept no digest of the
    /// salt are not found.
    #[must_use]
    pub fn erased_with_salt(&self, of_record: &Salt) -> Vec<(RecordId, RecordId)> {
        let state = self.state();
        let ids = state.by_salt.get(&salt_tag(of_record.as_bytes()));
        let erased = ids.into_iter().flatten().filter_map(|id| Some((*id, state.erased_by(id)?)));
        erased.take(SAME_SALT_MAX).collect()
    }

    /// Erases what is held of a record, for good. `signed` is the
    /// `disclosure.erased` that says so; it is durable here before anything is
    /// erased, and [`Vault::erasures`] lists it until
    /// [`Vault::erasure_recorded`].
    ///
    /// # Errors
    /// `NotHeld`, `Erased` where it was done before; `Refused` where `signed` is
    /// about something else; or the system refuses, and the erasure is finished
    /// by [`Vault::resume_erasures`] or at the next open.
    pub fn erase(&self, id: &RecordId, signed: &Envelope) -> Result<(), VaultError> {
        check_erasure(id, signed)?;
        let mut state = self.state();
        state.refuse_erased(id)?;
        if !state.by_id.contains_key(id) {
            return Err(VaultError::NotHeld(*id));
        }
        files::replace(&self.layout.erasing(), &id.to_string(), signed.jws())?;
        state.erasures.insert(*id, (signed.clone(), false));
        self.shred(&mut state, id)
    }

    /// Takes the steps on the disk of every erasure that was begun.
    ///
    /// # Errors
    /// The system refuses.
    pub fn resume_erasures(&self) -> Result<(), VaultError> {
        let mut state = self.state();
        let open = state.erasures.iter().filter(|(_, (_, done))| !done).map(|(id, _)| *id);
        let open: Vec<_> = open.collect();
        open.iter().try_for_each(|id| self.shred(&mut state, id))
    }

    fn shred(&self, state: &mut State, id: &RecordId) -> Result<(), VaultError> {
        let Some((signed, _)) = state.erasures.get(id) else { return Ok(()) };
        let by = signed.id();
        if let Some(slot) = state.by_id.get(id).copied() {
            state.slots.bury(&slot, id, &by)?;
            state.by_id.insert(*id, Slot { state: SlotState::Erased(by), ..slot });
        }
        files::destroy(&self.layout.sealed(), &id.to_string())?;
        if let Some((_, done)) = state.erasures.get_mut(id) {
            *done = true;
        }
        Ok(())
    }

    /// Erasures that are done and not yet known to be on the ledger.
    #[must_use]
    pub fn erasures(&self) -> Vec<Erasure> {
        let state = self.state();
        let done = state.erasures.iter().filter(|(_, (_, done))| *done);
        done.map(|(id, (signed, _))| Erasure { record: *id, signed: signed.clone() }).collect()
    }

    /// The erasure of a record is on the ledger.
    ///
    /// # Errors
    /// The system refuses.
    pub fn erasure_recorded(&self, id: &RecordId) -> Result<(), VaultError> {
        let mut state = self.state();
        if state.erasures.get(id).is_some_and(|(_, done)| *done) {
            files::remove(&self.layout.erasing(), &id.to_string())?;
            state.erasures.remove(id);
        }
        Ok(())
    }

    /// Says an erasure that is done with another record: the ledger refused the
    /// one before, for its key has ended since.
    ///
    /// # Errors
    /// `NotHeld` where no such erasure waits; `Refused` where `signed` is about
    /// something else; or the system refuses.
    pub fn sign_erasure_again(&self, id: &RecordId, signed: &Envelope) -> Result<(), VaultError> {
        check_erasure(id, signed)?;
        let mut state = self.state();
        if !state.erasures.contains_key(id) {
            return Err(VaultError::NotHeld(*id));
        }
        files::replace(&self.layout.erasing(), &id.to_string(), signed.jws())?;
        state.erasures.insert(*id, (signed.clone(), false));
        // The tombstone names the record, too.
        self.shred(&mut state, id)
    }

    fn read(&self, id: &RecordId, key: &RecordKey) -> Result<Vec<Disclosed>, VaultError> {
        let path = self.layout.sealed().join(id.to_string());
        let damaged = |problem| VaultError::Damaged { path: path.clone(), problem };
        let file = files::read(&path, SEALED_BYTES_MAX)?.ok_or_else(|| damaged("it is missing"))?;
        let message =
            key.open(&file, id).ok_or_else(|| damaged("it does not open with the record's key"))?;
        let text = std::str::from_utf8(&message).map_err(|_| damaged("it holds no disclosures"))?;
        let mut fields = Vec::new();
        for part in text.split_terminator('~') {
            let (place, text) = match (part.strip_prefix('p'), part.strip_prefix('d')) {
                (Some(text), _) => (Place::Payload, text),
                (_, Some(text)) => (Place::Data, text),
                _ => return Err(damaged("it holds no disclosures")),
            };
            let disclosure =
                Disclosure::parse(text).map_err(|_| damaged("it holds no disclosures"))?;
            fields.push(Disclosed { place, disclosure });
        }
        Ok(fields)
    }

    fn write(
        &self,
        id: &RecordId,
        key: &RecordKey,
        fields: &[Disclosed],
    ) -> Result<(), VaultError> {
        let mut message = Zeroizing::new(String::with_capacity(SEALED_BYTES_MAX));
        for Disclosed { place, disclosure } in fields {
            message.push(match place {
                Place::Payload => 'p',
                Place::Data => 'd',
            });
            message.push_str(disclosure.as_str());
            message.push('~');
        }
        let sealed = key.seal(message.as_bytes(), id)?;
        files::replace(&self.layout.sealed(), &id.to_string(), &sealed)
    }
}

impl State {
    fn insert(&mut self, id: RecordId, slot: Slot) {
        let ids = self.by_salt.entry(slot.salt_tag).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
        self.by_id.insert(id, slot);
    }

    fn forget_salt(&mut self, id: &RecordId, slot: &Slot) {
        if let Some(ids) = self.by_salt.get_mut(&slot.salt_tag) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_salt.remove(&slot.salt_tag);
            }
        }
    }

    /// The record that says that what is private of this one was erased, or is
    /// being erased.
    fn erased_by(&self, id: &RecordId) -> Option<RecordId> {
        let begun = self.erasures.get(id).map(|(signed, _)| signed.id());
        let buried = self.by_id.get(id).and_then(|slot| match slot.state {
            SlotState::Erased(by) => Some(by),
            SlotState::Staged | SlotState::Kept => None,
        });
        begun.or(buried)
    }

    fn refuse_erased(&self, id: &RecordId) -> Result<(), VaultError> {
        match self.erased_by(id) {
            Some(by) => Err(VaultError::Erased { record: *id, by }),
            None => Ok(()),
        }
    }

    fn promote(&mut self, id: &RecordId, slot: Slot) -> Result<(), VaultError> {
        if slot.state == SlotState::Staged {
            self.slots.mark(slot.number, SlotState::Kept)?;
            self.by_id.insert(*id, Slot { state: SlotState::Kept, ..slot });
        }
        Ok(())
    }
}
