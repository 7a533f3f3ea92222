//! Answers the consensus engine.
//!
//! One thread owns everything that is decided on: it builds and checks blocks,
//! keeps the bytes of what may be voted for, and commits what was decided. The
//! engine may wait for an answer where its protocol allows; that is how an idle
//! ledger makes no blocks: the answer that would start the next height is held
//! until a record waits here or a peer speaks of that height.

mod neighbours;
mod proposals;
mod sync;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_malachitebft_app::{
    engine::host::{HostMsg, Next as AfterHeight},
    types::{
        LocallyProposedValue, MisbehaviorEvidence, PeerId, ProposedValue,
        core::{CommitCertificate, HeightParams, Round, Validity},
    },
};
use quittance_ledger::{chain::Block, digest::Digest, store::Proposals};
use ractor::RpcReplyPort;

use super::{
    Fatal, Shared,
    application::Application,
    evidence,
    health::{self, Health, Watchdog},
};
use crate::engine::{
    Engine, Question, certificate,
    context::{Address, Context, Height, Init, Timeouts, ValidatorSet},
    parts::{Assembled, Streams},
};
use crate::network::Neighbour;
use crate::resync::Resume;

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
    /// When the others were last told what is decided here, without being asked.
    announced: Instant,
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
            announced: Instant::now(),
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
        let certificate = certificate::kept(decided);
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
        self.announce_again();
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
