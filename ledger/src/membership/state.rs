//! How a membership changes: what was proposed, who approved it, and what came
//! of it. A pure state machine, so that every node, every replay and every
//! auditor comes to the same membership at every height.
//!
//! Any member proposes. More than two thirds of the members that validate when
//! they are counted approve, each by a record of its own, the proposer's
//! included. The change is in force from the block after the one whose approval
//! made them enough. Of two proposals about one member, the first to get there
//! wins and the other is void.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{Change, Genesis, MemberHistory, MemberId, Membership, record_key::KeyIdentity};
use crate::{
    digest::{Digest, RecordId},
    limits::{
        CLOSED_PROPOSALS_MAX, OPEN_PROPOSALS_MAX, OPEN_PROPOSALS_OF_MEMBER_MAX,
        PROPOSAL_AGE_MS_MAX, VALIDATORS_MAX,
    },
    refusal::{Code, Refusal},
};

/// A change that was proposed and is not in force yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The record that proposes it.
    pub id: RecordId,
    /// Who signed that.
    pub proposer: MemberId,
    /// The change.
    pub change: Change,
    /// The block it was proposed in.
    pub height: u64,
    /// The time of that block, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Members that approved, each with the height of the block that holds its approval.
    pub approvals: BTreeMap<MemberId, u64>,
}

impl Proposal {
    /// The last block time at which it can be approved, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn lapses_ms(&self) -> u64 {
        self.time_ms.saturating_add(PROPOSAL_AGE_MS_MAX)
    }

    const fn has_lapsed(&self, time_ms: u64) -> bool {
        time_ms > self.lapses_ms()
    }
}

/// What became of a proposal that is open no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It came in force.
    Settled,
    /// It never will.
    Void,
}

/// One step of a membership (docs/FORMATS.md, "Effects").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Proposed(RecordId),
    Approved(RecordId, &'a MemberId),
    InForce { proposal: RecordId, from_height: u64, validators: Digest },
    Void(RecordId),
}

impl Step<'_> {
    /// The bytes that a block's effects digest covers.
    pub(crate) fn encode(self) -> Vec<u8> {
        let (kind, proposal) = match self {
            Self::Proposed(proposal) => (1, proposal),
            Self::Approved(proposal, _) => (2, proposal),
            Self::InForce { proposal, .. } => (3, proposal),
            Self::Void(proposal) => (4, proposal),
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(proposal.as_bytes());
        match self {
            Self::Proposed(_) | Self::Void(_) => {}
            Self::Approved(_, approver) => {
                bytes.push(u8::try_from(approver.as_str().len()).unwrap_or(u8::MAX));
                bytes.extend_from_slice(approver.as_str().as_bytes());
            }
            Self::InForce { from_height, validators, .. } => {
                bytes.extend_from_slice(&from_height.to_be_bytes());
                bytes.extend_from_slice(validators.as_bytes());
            }
        }
        bytes
    }
}

/// The block in which a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) height: u64,
    /// The block's time, in milliseconds since the Unix epoch.
    pub(crate) time_ms: u64,
}

/// Who is on a ledger after some block, and what is proposed. Cheap to clone:
/// clones share all until one of them changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipState {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    /// In force for the block after.
    membership: Membership,
    open: BTreeMap<RecordId, Arc<Proposal>>,
    /// The proposals that were closed last, the oldest first, so that their
    /// approval is refused with the right reason.
    closed: VecDeque<(RecordId, Fate)>,
    /// Every public key that anybody ever had.
    used: Arc<HashSet<KeyIdentity>>,
    /// The last block that held a record of the family `member`; 0 before the first.
    changed_height: u64,
}

impl MembershipState {
    /// Where a ledger starts.
    #[must_use]
    pub fn from_genesis(genesis: &Genesis) -> Self {
        Self::of(Membership::from_genesis(genesis))
    }

    pub(crate) fn of(membership: Membership) -> Self {
        let used = used_keys(&membership);
        Self {
            inner: Arc::new(Inner {
                membership,
                open: BTreeMap::new(),
                closed: VecDeque::new(),
                used: Arc::new(used),
                changed_height: 0,
            }),
        }
    }

    /// Who is on the ledger for the next block.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.inner.membership
    }

    /// The proposals that can be approved in a block of time `time_ms`, the oldest first.
    #[must_use]
    pub fn open_proposals(&self, time_ms: u64) -> Vec<Arc<Proposal>> {
        let open = self.inner.open.values().filter(|proposal| !proposal.has_lapsed(time_ms));
        let mut open: Vec<_> = open.cloned().collect();
        open.sort_by_key(|proposal| (proposal.height, proposal.id));
        open
    }

    /// The last block that held a record of the family `member`; 0 before the
    /// first. Since then the state has not changed.
    #[must_use]
    pub fn changed_height(&self) -> u64 {
        self.inner.changed_height
    }

    /// Takes a proposal. On a refusal nothing has changed.
    ///
    /// # Errors
    /// `change_impossible` or `too_many_proposals`.
    pub(crate) fn propose(
        &mut self,
        at: At,
        id: RecordId,
        proposer: &MemberId,
        change: Change,
        note: &mut impl FnMut(Step<'_>),
    ) -> Result<(), Refusal> {
        change.check(&self.inner.membership, &self.inner.used)?;
        self.check_room(at.time_ms, proposer)?;
        let inner = self.begin(at, note);
        let proposal = Proposal {
            id,
            proposer: proposer.clone(),
            change,
            height: at.height,
            time_ms: at.time_ms,
            approvals: BTreeMap::new(),
        };
        inner.open.insert(id, Arc::new(proposal));
        note(Step::Proposed(id));
        Ok(())
    }

    /// Bounds what is open: for each member, and in all with room kept for those
    /// that validate, so that the others cannot keep them from changing anything.
    fn check_room(&self, time_ms: u64, proposer: &MemberId) -> Result<(), Refusal> {
        let open = || self.inner.open.values().filter(|proposal| !proposal.has_lapsed(time_ms));
        let own = open().filter(|proposal| proposal.proposer == *proposer).count();
        if own >= OPEN_PROPOSALS_OF_MEMBER_MAX {
            let detail = format!(
                "{proposer} has {own} open proposals; a member may have \
                 {OPEN_PROPOSALS_OF_MEMBER_MAX}"
            );
            return Err(Refusal::new(Code::TooManyProposals, detail));
        }
        let validates = self.inner.membership.validators().of_member(proposer).is_some();
        let kept = if validates { 0 } else { VALIDATORS_MAX * OPEN_PROPOSALS_OF_MEMBER_MAX };
        if open().count() >= OPEN_PROPOSALS_MAX.saturating_sub(kept) {
            let detail = "too many proposals are open on this ledger".to_owned();
            return Err(Refusal::new(Code::TooManyProposals, detail));
        }
        Ok(())
    }

    /// Takes an approval, and the change once there are enough. `deciding` is
    /// the membership that decides on the block, whose validators are counted.
    /// On a refusal nothing has changed.
    ///
    /// # Errors
    /// `not_a_party`, `unknown_reference`, `proposal_settled`, `proposal_void`,
    /// `already_approved` or `change_impossible`.
    pub(crate) fn approve(
        &mut self,
        at: At,
        deciding: &Membership,
        id: RecordId,
        approver: &MemberId,
        note: &mut impl FnMut(Step<'_>),
    ) -> Result<(), Refusal> {
        let validators = deciding.validators();
        if validators.of_member(approver).is_none() {
            let detail = format!("{approver} does not validate, and only those that do approve");
            return Err(Refusal::new(Code::NotAParty, detail));
        }
        let proposal = self.open_proposal(at.time_ms, id)?;
        let count = |proposal: &Proposal| {
            let counts = |member: &&MemberId| validators.of_member(member).is_some();
            proposal.approvals.keys().filter(counts).count()
        };
        // Where validators left since, those who approved may be enough without
        // another one; then an approval that is repeated makes them count.
        if proposal.approvals.contains_key(approver) && count(&proposal) < validators.quorum() {
            let detail = format!("{approver} has approved this proposal already");
            return Err(about_proposal(Code::AlreadyApproved, detail));
        }
        proposal.change.check(&self.inner.membership, &self.inner.used)?;
        let mut approved = Proposal::clone(&proposal);
        approved.approvals.entry(approver.clone()).or_insert(at.height);
        let enough = count(&approved) >= validators.quorum();
        let inner = self.begin(at, note);
        note(Step::Approved(id, approver));
        if !enough {
            inner.open.insert(id, Arc::new(approved));
            return Ok(());
        }
        let from_height = at.height.saturating_add(1);
        inner.membership = inner.membership.changed(&approved.change, from_height);
        inner.used = Arc::new(used_keys(&inner.membership));
        inner.open.remove(&id);
        inner.close(id, Fate::Settled);
        let validators = inner.membership.validators().hash();
        note(Step::InForce { proposal: id, from_height, validators });
        let member = approved.change.member();
        let Inner { membership, used, open, .. } = &*inner;
        let stands = |proposal: &Proposal| {
            proposal.change.member() != member
                && membership.member(&proposal.proposer).is_some()
                && proposal.change.check(membership, used).is_ok()
        };
        let void: Vec<_> =
            open.values().filter(|proposal| !stands(proposal)).map(|void| void.id).collect();
        inner.close_all(void, note);
        Ok(())
    }

    fn open_proposal(&self, time_ms: u64, id: RecordId) -> Result<Arc<Proposal>, Refusal> {
        if let Some(proposal) = self.inner.open.get(&id) {
            if proposal.has_lapsed(time_ms) {
                let detail = "the proposal has lapsed; propose the change again".to_owned();
                return Err(about_proposal(Code::ProposalVoid, detail));
            }
            return Ok(proposal.clone());
        }
        let closed = self.inner.closed.iter().rev().find(|(closed, _)| *closed == id);
        Err(match closed {
            Some((_, Fate::Settled)) => about_proposal(
                Code::ProposalSettled,
                "the proposal is in force already, or will be for the next block".to_owned(),
            ),
            Some((_, Fate::Void)) => about_proposal(
                Code::ProposalVoid,
                "the proposal is void: it lapsed, or another change came first".to_owned(),
            ),
            None => about_proposal(
                Code::UnknownReference,
                format!("the ledger holds no open proposal {id}"),
            ),
        })
    }

    /// What is to be changed from here on. Proposals that have lapsed are closed
    /// first: only here, so that the state follows from `member.*` records alone.
    fn begin(&mut self, at: At, note: &mut impl FnMut(Step<'_>)) -> &mut Inner {
        let inner = Arc::make_mut(&mut self.inner);
        inner.changed_height = at.height;
        let lapsed = inner.open.values().filter(|proposal| proposal.has_lapsed(at.time_ms));
        let lapsed: Vec<_> = lapsed.map(|proposal| proposal.id).collect();
        inner.close_all(lapsed, note);
        inner
    }
}

impl Inner {
    fn close_all(&mut self, void: Vec<RecordId>, note: &mut impl FnMut(Step<'_>)) {
        for id in void {
            self.open.remove(&id);
            self.close(id, Fate::Void);
            note(Step::Void(id));
        }
    }

    fn close(&mut self, id: RecordId, fate: Fate) {
        if self.closed.len() >= CLOSED_PROPOSALS_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back((id, fate));
    }
}

fn used_keys(membership: &Membership) -> HashSet<KeyIdentity> {
    membership.history().flat_map(MemberHistory::public_keys).collect()
}

fn about_proposal(code: Code, detail: String) -> Refusal {
    Refusal::of_field(code, "data.proposal", detail)
}
