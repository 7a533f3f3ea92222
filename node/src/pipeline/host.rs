//! Answers the consensus engine.
//!
//! One thread owns everything that is decided on: it builds and checks blocks,
//! keeps the bytes of what may be voted for, and commits what was decided. The
//! engine may wait for an answer where its protocol allows; that is how an idle
//! ledger makes no blocks: the answer that would start the next height is held
//! until a record waits here or a peer speaks of that height.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_malachitebft_app::{
    engine::host::{HostMsg, Next as AfterHeight, SyncedValueOutcome},
    types::{
        LocallyProposedValue, MisbehaviorEvidence, PeerId, ProposedValue,
        core::{CommitCertificate, ExtendedCommitCertificate, HeightParams, Round, Validity},
        sync::RawDecidedValue,
    },
};
use bytes::Bytes;
use quittance_ledger::{
    chain::{self, Block, Certificate, CommitSignature, Header},
    digest::{Digest, RecordId},
    limits::VALIDATORS_MAX,
    store::{Proposals, StoredProposal},
};
use ractor::RpcReplyPort;

use super::{
    Fatal, Shared,
    application::Application,
    evidence,
    health::{self, Health, Watchdog},
};
use crate::engine::{
    Engine, Question,
    context::{Address, BlockHash, Context, Height, Init, Signature, Timeouts, ValidatorSet},
    limits::{EARLY_PROPOSALS_MAX, PROPOSALS_MAX, SYNC_RESPONSE_BYTES_MAX},
    parts::{self, Assembled, Streams},
};
use crate::network::{Neighbour, neighbours};
use crate::resync::Resume;

/// How long a node that is on the ledger no more stays connected.
const FAREWELL: Duration = Duration::from_secs(30);

/// How often the thread looks after itself.
const TICK: Duration = Duration::from_millis(200);

/// How often what lingers is let go.
const TIDY_UP: Duration = Duration::from_secs(10);

/// How long a decided block may lack cosignatures before this node sends its own
/// again. Longer than a peer takes to be asked for the checkpoint, which is less
/// to send.
const COSIGN_AGAIN: Duration = Duration::from_millis(600);

type Reply<T> = RpcReplyPort<T>;

/// The answer that starts the next height, held while the ledger is idle.
enum Held {
    First(Reply<(Height, HeightParams<Context>)>),
    Next(Reply<AfterHeight<Context>>),
}

/// The engine's wish for a block to propose, while there is nothing to put into one.
struct Wanted {
    round: Round,
    reply: Reply<LocallyProposedValue<Context>>,
}

/// One proposal of a known block.
struct Proposed {
    /// Which validator's node sent it; none for what came otherwise.
    sender: Option<PeerId>,
    round: Round,
    valid_round: Round,
    proposer: Address,
    hash: Digest,
    validity: Validity,
}

/// A whole proposal from another node.
struct Received {
    sender: PeerId,
    assembled: Assembled,
    reply: Reply<ProposedValue<Context>>,
}

pub struct Host {
    application: Application,
    shared: Arc<Shared>,
    engine: Engine,
    proposals: Proposals,
    /// The blocks that may be decided at the next height.
    known: HashMap<Digest, Arc<Block>>,
    proposed: Vec<Proposed>,
    streams: Streams,
    /// Whole proposals for heights after the next one.
    early: VecDeque<Received>,
    held: Option<Held>,
    wanted: Option<Wanted>,
    ticked: Instant,
    tidied: Instant,
    watchdog: Watchdog,
    /// While the ledger is fetched: from where on this node may vote.
    resume: Option<Resume>,
    /// Nodes that the membership has no more, and until when they may hear of it.
    leaving: Vec<(Neighbour, Instant)>,
    /// Alerts about validators that contradicted themselves.
    accused: Vec<String>,
    /// Since when a decided block is not final.
    behind_since: Option<Instant>,
}

enum Step {
    Question(Box<Question>),
    Ended,
    Peers,
    Records,
    Attested,
    Tick,
}

impl Host {
    pub fn new(
        application: Application,
        shared: Arc<Shared>,
        engine: Engine,
        resume: Option<Resume>,
    ) -> Result<Self, Fatal> {
        let store = &shared.store;
        let next = store.decided().height + 1;
        let ledger = store.decided().membership().ledger_id();
        let (proposals, kept) = Proposals::open(store.folder(), ledger, next)?;
        let mut host = Self {
            application,
            engine,
            proposals,
            known: HashMap::new(),
            proposed: Vec::new(),
            streams: Streams::default(),
            early: VecDeque::new(),
            held: None,
            wanted: None,
            ticked: Instant::now(),
            tidied: Instant::now(),
            watchdog: Watchdog::new(),
            resume,
            leaving: Vec::new(),
            accused: health::evidence_alerts(&shared)?,
            behind_since: None,
            shared,
        };
        for proposal in kept {
            host.take_up(&proposal)?;
        }
        // Before anybody asks: a node that has met nobody is not ready.
        let health = Health::of(&host.shared, host.engine.peers(), &host.accused);
        host.shared.set_health(health);
        Ok(host)
    }

    /// A proposal that an earlier run kept.
    fn take_up(&mut self, proposal: &StoredProposal) -> Result<(), Fatal> {
        if proposal.height != self.next().0 {
            return Ok(());
        }
        let Ok((header, records)) = chain::decode_block(&proposal.block) else { return Ok(()) };
        let hash = header.hash();
        if !self.known.contains_key(&hash) {
            match self.application.check(header, records)? {
                Ok(block) => self.known.insert(hash, Arc::new(block)),
                Err(_) => return Ok(()),
            };
        }
        self.proposed.push(Proposed {
            sender: None,
            round: Round::new(proposal.round),
            valid_round: proposal.valid_round.map_or(Round::Nil, Round::new),
            proposer: Address(proposal.proposer),
            hash,
            validity: Validity::Valid,
        });
        Ok(())
    }

    pub fn run(mut self) -> Result<(), Fatal> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Fatal::Thread("host", error.to_string()))?;
        let shared = self.shared.clone();
        let peers = self.engine.peers().clone();
        while !shared.is_stopping() {
            let step = runtime.block_on(async {
                tokio::select! {
                    question = self.engine.next_question() => {
                        question.map_or(Step::Ended, |question| Step::Question(Box::new(question)))
                    }
                    () = peers.change() => Step::Peers,
                    () = shared.queue.arrival() => Step::Records,
                    () = shared.attested.notified() => Step::Attested,
                    () = tokio::time::sleep(TICK) => Step::Tick,
                }
            });
            match step {
                Step::Question(question) => self.answer(*question)?,
                Step::Ended if shared.is_stopping() => {}
                Step::Ended => {
                    let why = self.engine.failure();
                    return Err(Fatal::Engine(why.unwrap_or_else(|| "ended".to_owned())));
                }
                Step::Records => self.offer()?,
                Step::Attested => {
                    self.application.publish_final()?;
                    for signed in self.shared.take_offered() {
                        self.application.adopt(signed)?;
                    }
                }
                Step::Peers | Step::Tick => {}
            }
            self.start_if_due();
            if self.ticked.elapsed() >= TICK {
                self.ticked = Instant::now();
                self.tick()?;
            }
        }
        Ok(())
    }

    /// The height that is decided next.
    fn next(&self) -> Height {
        Height(self.shared.store.decided().height + 1)
    }

    fn parameters(&self) -> HeightParams<Context> {
        let validators = ValidatorSet::from(self.shared.membership().validators());
        HeightParams::new(validators, Timeouts::default(), None)
    }

    /// Starts the next height where somebody has something to decide.
    fn start_if_due(&mut self) {
        if self.held.is_none() {
            return;
        }
        let next = self.next();
        let peers = self.engine.peers().listened_to(|peer| self.shared.is_validator(peer));
        // Until its first height has started, the engine tells nobody of its blocks.
        let is_needed =
            || matches!(self.held, Some(Held::First(_))) && peers.lag_behind(Height(next.0 - 1));
        if !self.shared.queue.is_ready() && !peers.speak_of(next) && !is_needed() {
            return;
        }
        let parameters = self.parameters();
        // Fails only where the engine has ended, which is noticed elsewhere.
        let _ = match self.held.take() {
            Some(Held::First(reply)) => reply.send((next, parameters)).map_err(|_| ()),
            Some(Held::Next(reply)) => {
                reply.send(AfterHeight::Start(next, parameters)).map_err(|_| ())
            }
            None => Ok(()),
        };
    }

    fn answer(&mut self, question: Question) -> Result<(), Fatal> {
        self.watchdog.fed(Instant::now());
        match question {
            HostMsg::ConsensusReady { reply_to } => {
                self.held = Some(Held::First(reply_to));
                if self.next() > Height(1) {
                    self.engine.announce(self.next());
                }
            }
            HostMsg::StartedRound { height, round, reply_to, .. } => {
                // A wish of an earlier round is void.
                self.wanted.take_if(|wanted| wanted.round != round);
                let values = if height == self.next() { self.values_of(round) } else { Vec::new() };
                let _ = reply_to.send(values);
            }
            HostMsg::GetValue { height, round, reply_to, .. } => {
                if height == self.next() {
                    self.wanted = Some(Wanted { round, reply: reply_to });
                    self.offer()?;
                }
            }
            HostMsg::ExtendVote { reply_to, .. } => {
                let _ = reply_to.send(None);
            }
            HostMsg::VerifyVoteExtensions { reply_to, .. } => {
                let _ = reply_to.send(Vec::new());
            }
            HostMsg::RestreamValue { height, round, valid_round, address, value_id } => {
                let init = Init { height, round, valid_round, proposer: address };
                if let Some(block) = self.known.get(&value_id.0) {
                    self.stream(init, &block.to_wire()?.into());
                }
            }
            HostMsg::GetHistoryMinHeight { reply_to } => {
                let _ = reply_to.send(Height(1));
            }
            HostMsg::ReceivedProposalPart { from, published_by, part, reply_to } => {
                let sender = published_by.unwrap_or(from);
                if let Some(assembled) = self.streams.take(sender, part) {
                    self.receive(Received { sender, assembled, reply: reply_to })?;
                }
            }
            HostMsg::Decided { certificate, reply_to, .. } => {
                self.decided(&certificate)?;
                let _ = reply_to.send(());
            }
            HostMsg::Finalized { evidence, reply_to, .. } => {
                self.keep_evidence(&evidence)?;
                self.held = Some(Held::Next(reply_to));
                self.receive_early()?;
            }
            HostMsg::GetDecidedValues { range, reply_to } => {
                let _ = reply_to.send(self.decided_values(range.start().0, range.end().0)?);
            }
            HostMsg::ProcessSyncedValue { height, round, proposer, value_bytes, reply_to } => {
                let outcome = self.synced(height, round, proposer, &value_bytes)?;
                let _ = reply_to.send(outcome);
            }
        }
        Ok(())
    }

    /// The proposals of a round that are known already.
    fn values_of(&self, round: Round) -> Vec<ProposedValue<Context>> {
        let next = self.next();
        self.proposed
            .iter()
            .filter(|proposed| proposed.round == round && proposed.validity.is_valid())
            .map(|proposed| value_of(next, proposed))
            .collect()
    }

    /// Gives the engine a block to propose, if it wants one and records wait.
    fn offer(&mut self) -> Result<(), Fatal> {
        let Some(Wanted { round, .. }) = &self.wanted else { return Ok(()) };
        let (round, next) = (*round, self.next());
        let Some(validator) = &self.shared.signers.validator else { return Ok(()) };
        let own = Address(validator.consensus.verifying_key().to_bytes());
        // Asked again after a restart, the answer must be the same. What others
        // send in this node's name is no answer of its own.
        let before = self.proposed.iter().find(|proposed| {
            proposed.round == round && proposed.proposer == own && proposed.sender.is_none()
        });
        let block = match before.and_then(|proposed| self.known.get(&proposed.hash)) {
            Some(block) => block.clone(),
            None => match self.application.propose()? {
                Some(block) => {
                    #[cfg(feature = "byzantine")]
                    let block = crate::byzantine::spoil(block, &self.shared.store.decided());
                    Arc::new(block)
                }
                None => return Ok(()),
            },
        };
        let hash = block.header.hash();
        let bytes = Bytes::from(block.to_wire()?);
        let init = Init { height: next, round, valid_round: Round::Nil, proposer: own };
        self.keep(None, init, hash, &block, &bytes)?;
        let Some(Wanted { reply, .. }) = self.wanted.take() else { return Ok(()) };
        let _ = reply.send(LocallyProposedValue::new(next, round, BlockHash(hash)));
        self.stream(init, &bytes);
        Ok(())
    }

    /// Makes a block durable that may be voted for from now on.
    fn keep(
        &mut self,
        sender: Option<PeerId>,
        init: Init,
        hash: Digest,
        block: &Arc<Block>,
        bytes: &Bytes,
    ) -> Result<(), Fatal> {
        let Some(round) = init.round.as_u32() else { return Ok(()) };
        let same = self.proposed.iter().any(|proposed| {
            proposed.hash == hash
                && proposed.round == init.round
                && proposed.proposer == init.proposer
                && proposed.validity.is_valid()
        });
        if !same {
            self.proposals.keep(&StoredProposal {
                height: init.height.0,
                round,
                valid_round: init.valid_round.as_u32(),
                proposer: init.proposer.0,
                block: bytes.to_vec(),
            })?;
            self.proposed.push(Proposed {
                sender,
                round: init.round,
                valid_round: init.valid_round,
                proposer: init.proposer,
                hash,
                validity: Validity::Valid,
            });
        }
        self.known.insert(hash, block.clone());
        Ok(())
    }

    fn stream(&self, init: Init, block: &Bytes) {
        if self.shared.membership().validators().len() == 1 {
            return;
        }
        // Height and round tell the streams of one proposer apart.
        let mut name = init.height.0.to_be_bytes().to_vec();
        name.extend_from_slice(&init.round.as_i64().to_be_bytes());
        self.engine.publish(parts::cut(init, block, &name));
    }

    /// A whole proposal from a peer.
    fn receive(&mut self, received: Received) -> Result<(), Fatal> {
        let next = self.next();
        let height = received.assembled.init.height;
        if height > next {
            let of_sender = |early: &Received| early.sender == received.sender;
            if self.early.iter().filter(|early| of_sender(early)).count() == EARLY_PROPOSALS_MAX
                && let Some(oldest) = self.early.iter().position(of_sender)
            {
                self.early.remove(oldest);
            } else if self.early.len() == EARLY_PROPOSALS_MAX * VALIDATORS_MAX {
                self.early.pop_front();
            }
            self.early.push_back(received);
        } else if height == next
            && let Some(value) = self.value_from(received.sender, &received.assembled)?
        {
            let _ = received.reply.send(value);
        }
        Ok(())
    }

    /// Whether a node is that of a validator: nobody else proposes.
    fn is_validator(&self, sender: &PeerId) -> bool {
        self.shared.is_validator(&sender.to_string())
    }

    /// Proposals that came before the block they follow was decided here.
    fn receive_early(&mut self) -> Result<(), Fatal> {
        for received in std::mem::take(&mut self.early) {
            self.receive(received)?;
        }
        Ok(())
    }

    /// Checks a proposed block and keeps it, so that it may be voted for. None
    /// where it is no block, or one too many, or where its bytes are not those of
    /// the block whose header they bear: they say nothing about it.
    fn value_from(
        &mut self,
        sender: PeerId,
        assembled: &Assembled,
    ) -> Result<Option<ProposedValue<Context>>, Fatal> {
        let init = assembled.init;
        let Ok((header, records)) = chain::decode_block(&assembled.block) else {
            tracing::warn!(height = %init.height, "a proposal whose bytes are no block");
            return Ok(None);
        };
        if !self.is_validator(&sender) {
            tracing::warn!(height = %init.height, %sender, "a proposal of no validator's node");
            return Ok(None);
        }
        let hash = header.hash();
        let is_known = self.known.contains_key(&hash);
        let sent = self.proposed.iter().filter(|of| of.sender == Some(sender)).count();
        if sent >= PROPOSALS_MAX && !is_known {
            tracing::warn!(height = %init.height, %sender, "one proposal too many is left out");
            return Ok(None);
        }
        // Before the signatures are verified, and counted against nobody: these
        // are not the bytes of that block.
        if !is_known && !self.is_of_its_header(&header, &records) {
            tracing::warn!(
                height = %init.height, round = %init.round, proposer = %init.proposer,
                reason = "its records do not make the tree_root of its header",
                "a proposed block is refused"
            );
            return Ok(None);
        }
        let early = Application::is_too_early(&header);
        let checked = match self.known.get(&hash) {
            Some(block) => Ok(block.clone()),
            None => self.application.check(header, records)?.map(Arc::new),
        };
        let refused = match checked {
            // It is not voted for, but the others may decide on it.
            Ok(block) if early => {
                self.known.insert(hash, block);
                Some("its time is ahead of this node's clock".to_owned())
            }
            Ok(block) => {
                if sent < PROPOSALS_MAX {
                    self.keep(Some(sender), init, hash, &block, &assembled.block)?;
                }
                None
            }
            Err(reason) => Some(reason),
        };
        if let Some(reason) = &refused {
            tracing::warn!(
                height = %init.height, round = %init.round, proposer = %init.proposer, %reason,
                "a proposed block is refused"
            );
        }
        let proposed = Proposed {
            sender: Some(sender),
            round: init.round,
            valid_round: init.valid_round,
            proposer: init.proposer,
            hash,
            validity: Validity::from_bool(refused.is_none()),
        };
        let value = value_of(init.height, &proposed);
        if refused.is_some() && sent < PROPOSALS_MAX {
            // It takes of its sender's share, like one that is kept.
            self.proposed.push(proposed);
        }
        Ok(Some(value))
    }

    /// Whether these are the records to which the header commits.
    fn is_of_its_header(&self, header: &Header, records: &[Vec<u8>]) -> bool {
        let tip = self.shared.store.decided();
        chain::commits_to(&tip, header, records.iter().map(|jws| RecordId::of(jws)))
    }

    /// A block that a peer says was decided. The engine verifies its certificate.
    fn synced(
        &mut self,
        height: Height,
        round: Round,
        proposer: Address,
        bytes: &Bytes,
    ) -> Result<SyncedValueOutcome<Context>, Fatal> {
        if height != self.next() {
            return Ok(SyncedValueOutcome::LocalTransientError);
        }
        let Ok((header, records)) = chain::decode_block(bytes) else {
            return Ok(SyncedValueOutcome::PeerFault);
        };
        let hash = header.hash();
        let block = match self.known.get(&hash) {
            Some(block) => block.clone(),
            None => match self.application.check(header, records)? {
                Ok(block) => Arc::new(block),
                Err(reason) => {
                    tracing::warn!(%height, %reason, "a block from a peer is refused");
                    return Ok(SyncedValueOutcome::PeerFault);
                }
            },
        };
        let init = Init { height, round, valid_round: Round::Nil, proposer };
        self.keep(None, init, hash, &block, bytes)?;
        let proposed = Proposed {
            sender: None,
            round,
            valid_round: Round::Nil,
            proposer,
            hash,
            validity: Validity::Valid,
        };
        Ok(SyncedValueOutcome::Verdict(value_of(height, &proposed)))
    }

    /// Commits what the validators decided.
    fn decided(&mut self, decided: &CommitCertificate<Context>) -> Result<(), Fatal> {
        let (next, hash) = (self.next(), decided.value_id.0);
        if decided.height != next {
            return Err(Fatal::Engine(format!(
                "decided on height {}; the next one here is {next}",
                decided.height
            )));
        }
        let block = self.known.remove(&hash).ok_or_else(|| {
            Fatal::Engine(format!("decided on block {hash}, which this node does not hold"))
        })?;
        let mut signatures: Vec<_> = decided
            .commit_signatures
            .iter()
            .map(|signed| CommitSignature {
                validator: signed.address.0,
                signature: signed.signature.0,
            })
            .collect();
        signatures.sort_by_key(|signed| signed.validator);
        let round = decided.round.as_u32().unwrap_or(0);
        let certificate = Certificate { round, signatures };
        certificate
            .verify(&block.header, self.shared.membership().validators())
            .map_err(|error| Fatal::Engine(format!("gave a certificate for {hash}: {error}")))?;
        self.known.clear();
        self.proposed.clear();
        self.wanted = None;
        self.application.commit(Arc::unwrap_or_clone(block), &certificate)?;
        self.meet_neighbours();
        self.application.publish_final()?;
        self.proposals.forget()?;
        Ok(())
    }

    /// Talks to whom the membership has since the last block, and to nobody else.
    /// Whoever left may hear of it first: until then it takes records that others
    /// would never see.
    fn meet_neighbours(&mut self) {
        let tip = self.shared.store.decided();
        if tip.members.changed_height() != tip.height {
            return;
        }
        let now: Vec<Neighbour> = neighbours(tip.membership(), &self.shared.signers.member)
            .filter_map(|neighbour| match neighbour {
                Ok(neighbour) => Some(neighbour),
                Err(error) => {
                    tracing::warn!("a member's node is not talked to: {error}");
                    None
                }
            })
            .collect();
        let before = std::mem::replace(&mut *self.shared.neighbours(), now.clone());
        let is_here = |peer| now.iter().any(|neighbour| neighbour.peer == peer);
        let until = Instant::now() + FAREWELL;
        // Who only validates no more, or does so from now on, stays connected.
        let are_apart = |one: &Neighbour, others: &[Neighbour]| {
            !others.iter().any(|other| other.engine_peer() == one.engine_peer())
        };
        for gone in before.iter().filter(|neighbour| are_apart(neighbour, &now)) {
            if is_here(gone.peer) {
                self.engine.forget_peer(gone.engine_peer());
            } else {
                self.leaving.push((gone.clone(), until));
            }
        }
        for new in now.iter().filter(|neighbour| are_apart(neighbour, &before)) {
            self.engine.add_peer(new.engine_peer());
        }
        self.leaving.retain(|(gone, _)| !is_here(gone.peer));
        self.set_gossip_peers();
    }

    fn set_gossip_peers(&self) {
        let Some(gossip) = self.shared.gossip.get() else { return };
        let now = self.shared.neighbours();
        let leaving = self.leaving.iter().map(|(gone, _)| gone);
        gossip.set_peers(now.iter().chain(leaving).map(Neighbour::gossip_peer).collect());
    }

    /// Ends the connections of those whose time to leave is over.
    fn part(&mut self) {
        let now = Instant::now();
        let (over, leaving): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leaving).into_iter().partition(|(_, until)| *until <= now);
        self.leaving = leaving;
        for (gone, _) in &over {
            tracing::info!(member = %gone.member, peer = %gone.peer, "a node that left is let in no more");
            self.engine.forget_peer(gone.engine_peer());
        }
        if !over.is_empty() {
            self.set_gossip_peers();
        }
    }

    /// Decided blocks for a peer that catches up, as many as one answer holds.
    fn decided_values(
        &self,
        first: u64,
        last: u64,
    ) -> Result<Vec<RawDecidedValue<Context>>, Fatal> {
        let mut values = Vec::new();
        let mut bytes = 0;
        for height in first..=last {
            let Some(raw) = self.shared.store.decided_block(height)? else { break };
            let block = chain::encode_block(&raw.header, raw.records)?;
            bytes += block.len() + raw.certificate.signatures.len() * 112 + 256;
            if bytes > SYNC_RESPONSE_BYTES_MAX && !values.is_empty() {
                break;
            }
            let certificate = ExtendedCommitCertificate {
                height: Height(height),
                round: Round::new(raw.certificate.round),
                value_id: BlockHash(raw.header.hash()),
                commit_signatures: raw
                    .certificate
                    .signatures
                    .iter()
                    .map(|signed| {
                        arc_malachitebft_app::types::core::ExtendedCommitSignature::new(
                            Address(signed.validator),
                            Signature(signed.signature),
                            None,
                        )
                    })
                    .collect(),
            };
            values.push(RawDecidedValue::new(block.into(), certificate));
        }
        Ok(values)
    }

    /// Keeps proof of validators that contradicted themselves at the height that
    /// was just decided.
    fn keep_evidence(&mut self, misbehavior: &MisbehaviorEvidence<Context>) -> Result<(), Fatal> {
        let store = self.shared.store.clone();
        // The block of that height is decided, so its validators are of the past.
        let membership = store.membership_at(store.decided().height);
        for evidence in evidence::of(misbehavior) {
            if evidence.holds(membership.ledger_id(), membership.validators())
                && store.put_evidence(&evidence)?
            {
                tracing::warn!(
                    validator = hex::encode(evidence.validator),
                    height = evidence.height,
                    round = evidence.round,
                    step = evidence.step.as_str(),
                    "a validator contradicted itself"
                );
                self.accused = health::evidence_alerts(&self.shared)?;
            }
        }
        Ok(())
    }

    /// Ends the node once it may vote again, so that it starts as a validator.
    fn end_resync(&mut self, health: &Health) -> Result<(), Fatal> {
        let store = &self.shared.store;
        let (decided, published) = (store.decided().height, store.tip().height);
        match self.resume {
            // What the others have decided by now is the most this node may have
            // voted on, and one more.
            Some(Resume::AfterNew) => {
                if let Some(tip) = health.tip {
                    self.resume = Some(Resume::At(tip + 2));
                }
                Ok(())
            }
            Some(Resume::At(height)) if decided + 1 >= height && published == decided => {
                Err(Fatal::Resynced)
            }
            _ => Ok(()),
        }
    }

    fn tick(&mut self) -> Result<(), Fatal> {
        if let Some(why) = self.engine.failure() {
            return Err(Fatal::Engine(why));
        }
        let health = Health::of(&self.shared, self.engine.peers(), &self.accused);
        // While a start is held, the engine is silent because it is told to be.
        if self.held.is_some() {
            self.watchdog.fed(Instant::now());
        }
        if let Some(why) = self.watchdog.bite(&health, Instant::now()) {
            return Err(Fatal::Engine(why));
        }
        self.part();
        self.application.look_again()?;
        if self.tidied.elapsed() > TIDY_UP {
            self.tidied = Instant::now();
            self.application.tidy_up();
        }
        self.end_resync(&health)?;
        self.shared.set_health(health);
        let store = &self.shared.store;
        if store.decided().height == store.tip().height {
            self.behind_since = None;
        } else if self.behind_since.get_or_insert_with(Instant::now).elapsed() > COSIGN_AGAIN {
            self.behind_since = None;
            self.application.attest_again()?;
            self.application.publish_final()?;
        }
        Ok(())
    }
}

fn value_of(height: Height, proposed: &Proposed) -> ProposedValue<Context> {
    ProposedValue {
        height,
        round: proposed.round,
        valid_round: proposed.valid_round,
        proposer: proposed.proposer,
        value: BlockHash(proposed.hash),
        validity: proposed.validity,
    }
}
