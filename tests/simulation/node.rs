//! A validator's or observer's machine: Malachite's core, driven as the engine's
//! consensus actor drives it, in front of a host that answers as the node's own
//! host thread does. What it wants done goes into its outbox; the world does it.

use std::{collections::VecDeque, time::Duration};

use arc_malachitebft_app::{
    consensus::{
        Error, Input, LivenessMsg, LocallyProposedValue, Params, ProposedValue, SignedConsensusMsg,
        State, ValuePayload,
    },
    metrics::Metrics,
    types::{
        codec::Codec as _,
        core::{
            ThresholdParams, Timeout, ValidatorSet as _, ValueOrigin, ValueResponse, Vote as _,
            VoteExtensionPolicy,
        },
    },
};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use quittance_ledger::{digest::LedgerId, membership::Genesis, record::Record};
use quittance_node::engine::{
    EngineCodec, StrictVerifier, ValidatorSigner,
    context::{Address, Context, Height, Init, ValidatorSet},
};
use rand::Rng;

use crate::{
    clock::Moment,
    disk::Disk,
    exchange::Exchange,
    host::{Host, Question},
    ledger::START_MS,
    network::{Machine, Message},
    plan::{Plan, Sabotage},
    sync::Sync,
};

/// Messages that wait while the engine has not started a height, as the engine
/// bounds them.
const BUFFERED_MAX: usize = 1_024;

/// Heights ahead, and messages of one height, that the core keeps: the engine's
/// defaults.
const QUEUE_HEIGHTS: usize = 10;
const QUEUE_MESSAGES: usize = 500;

/// Why a machine stops in the midst of what it does.
#[derive(Debug)]
pub enum Halt {
    /// The plan had it crash here.
    Crashed,
    /// It found something that must not be.
    Failed(String),
}

/// A message to the engine.
#[derive(Debug)]
pub enum ToEngine {
    Start(Height),
    Propose(LocallyProposedValue<Context>),
    Value(ProposedValue<Context>, ValueOrigin),
    Synced(ValueResponse<Context>),
    Elapsed(u64),
    Peer(Input<Context>),
    Block(Machine, Init, Bytes),
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Action {
    Broadcast(Message),
    Send(Machine, Message),
    /// Remind the engine.
    Timer(u64, Duration),
    /// An answer on its way to its own engine.
    Engine(ToEngine),
    /// A question on its way to its own host.
    Host,
    /// Not done, but noted: it signed this.
    Signed(SignedConsensusMsg<Context>),
    /// Noted: it committed the last block on its disk.
    Decided,
    /// Noted: it found that these contradicted themselves.
    Accused(Vec<Address>),
    /// Noted: this record is safe with it.
    Acknowledged(Record),
}

/// How far the engine is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Ready,
    Recovering,
    Running,
}

/// Who a machine is.
pub struct Identity {
    pub address: Address,
    pub signer: Option<ValidatorSigner>,
    pub verifier: StrictVerifier,
    pub context: Context,
    /// How far its clock is ahead, in milliseconds.
    pub skew_ms: i64,
    /// Which validator's node each machine passes for.
    pub seats: Vec<Option<usize>>,
}

impl Identity {
    /// A machine that votes with `key`, or an observer.
    pub fn new(key: Option<SigningKey>, ledger: LedgerId, plan: &Plan, machine: Machine) -> Self {
        let address =
            key.as_ref().map_or(Address([0; 32]), |key| Address(key.verifying_key().to_bytes()));
        Self {
            address,
            signer: key.map(|key| ValidatorSigner::new(ledger, key)),
            verifier: StrictVerifier::new(ledger),
            context: Context::new(ledger),
            skew_ms: plan.machines[machine].skew_ms,
            seats: plan.machines.iter().map(|of| of.validator).collect(),
        }
    }
}

/// Everything of a machine but the core itself, which borrows it while it runs.
pub struct Works {
    pub identity: Identity,
    pub disk: Disk,
    pub outbox: Vec<Action>,
    pub now: Moment,
    pub phase: Phase,
    pub timers: Vec<(Timeout, u64)>,
    pub timer_count: u64,
    pub host: Host,
    pub exchange: Exchange,
    pub sync: Sync,
    /// Whether it votes on the height that its engine is at.
    pub is_validator: bool,
    /// What is wrong with it on purpose.
    pub sabotage: Option<Sabotage>,
    /// After how many more things it crashes.
    fuse: Option<u32>,
}

impl Works {
    /// Its wall clock, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        (START_MS + self.now.as_ms()).saturating_add_signed(self.identity.skew_ms)
    }

    /// One more thing is done, unless this is where the machine crashes.
    pub fn step(&mut self) -> Result<(), Halt> {
        match &mut self.fuse {
            Some(0) => Err(Halt::Crashed),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The validators of the next height.
    fn validators(&self) -> ValidatorSet {
        ValidatorSet::from(self.disk.membership().validators())
    }

    pub fn act(&mut self, action: Action) {
        self.outbox.push(action);
    }
}

/// A machine.
pub struct Node {
    consensus: Option<State<Context>>,
    buffer: VecDeque<ToEngine>,
    metrics: Metrics,
    pub works: Works,
    /// How often it was started; events of an earlier run are void.
    pub start: u64,
    pub is_up: bool,
}

impl Node {
    pub fn new(identity: Identity, genesis: &Genesis) -> Self {
        Self {
            consensus: None,
            buffer: VecDeque::new(),
            metrics: Metrics::new(),
            works: Works {
                identity,
                disk: Disk::new(genesis),
                outbox: Vec::new(),
                now: Moment::default(),
                phase: Phase::Ready,
                timers: Vec::new(),
                timer_count: 0,
                host: Host::default(),
                exchange: Exchange::default(),
                sync: Sync::default(),
                is_validator: false,
                sabotage: None,
                fuse: None,
            },
            start: 0,
            is_up: false,
        }
    }

    /// Starts the process on what is on disk.
    pub fn start(&mut self) -> Result<(), Halt> {
        self.start += 1;
        self.is_up = true;
        self.works.exchange.begin(self.start, &self.works.disk.pending);
        self.works.host.waiting.extend(self.works.disk.pending.iter().cloned());
        self.works.take_up_proposals()?;
        self.works.hold();
        self.works.start_if_due();
        Ok(())
    }

    /// Everything but the disk is gone.
    pub fn crash(&mut self, random: &mut impl Rng) {
        self.is_up = false;
        self.consensus = None;
        // They follow the steps of one core.
        self.metrics = Metrics::new();
        self.buffer.clear();
        let works = &mut self.works;
        works.disk.crash(random);
        match works.sabotage {
            Some(Sabotage::ForgetLog) => works.disk.log.reset(0),
            Some(Sabotage::ForgetBlocks) => works.disk.proposals.clear(),
            _ => {}
        }
        works.outbox.clear();
        works.phase = Phase::Ready;
        works.timers.clear();
        works.host = Host::default();
        works.exchange = Exchange::default();
        works.sync = Sync::default();
        works.fuse = None;
    }

    /// Crashes after so many more things.
    pub const fn light_fuse(&mut self, after: u32) {
        self.works.fuse = Some(after);
    }

    /// Whatever was to make it crash does not any more.
    pub const fn put_out_fuse(&mut self) {
        self.works.fuse = None;
    }

    /// A message from another machine.
    pub fn hear(&mut self, from: Machine, message: Message) -> Result<(), Halt> {
        self.works.step()?;
        match message {
            Message::Consensus(bytes) => {
                let message: SignedConsensusMsg<Context> = EngineCodec.decode(bytes).unwrap();
                self.works.host.heard(from, message.height());
                let input = match message {
                    SignedConsensusMsg::Vote(vote) => Input::Vote(vote),
                    SignedConsensusMsg::Proposal(proposal) => Input::Proposal(proposal),
                };
                self.tell(ToEngine::Peer(input))?;
            }
            Message::Liveness(bytes) => {
                let message: LivenessMsg<Context> = EngineCodec.decode(bytes).unwrap();
                let (height, input) = match message {
                    LivenessMsg::Vote(vote) => (vote.height(), Input::Vote(vote)),
                    LivenessMsg::PolkaCertificate(certificate) => {
                        (certificate.height, Input::PolkaCertificate(certificate))
                    }
                    LivenessMsg::SkipRoundCertificate(certificate) => {
                        (certificate.height, Input::RoundCertificate(certificate))
                    }
                };
                self.works.host.heard(from, height);
                self.tell(ToEngine::Peer(input))?;
            }
            Message::Block { init, block } => self.tell(ToEngine::Block(from, init, block))?,
            Message::Status { tip } => self.works.status(from, tip),
            Message::AskBlocks { first } => self.works.serve_blocks(from, first),
            Message::Blocks { first, blocks } => self.works.receive_blocks(from, first, blocks),
            Message::Records { epoch, first, records, answer } => {
                self.works.take_records(from, epoch, first, records, answer)?;
            }
            Message::AskRecords { epoch, first } => self.works.serve_records(from, epoch, first),
        }
        self.works.start_if_due();
        self.works.offer()
    }

    /// A record that somebody submits here.
    pub fn submit(&mut self, record: &Record) -> Result<(), Halt> {
        self.works.step()?;
        self.works.accept(record)?;
        self.works.start_if_due();
        self.works.offer()
    }

    /// Another machine can be talked to, again.
    pub fn connect(&mut self, peer: Machine) {
        self.works.host.peers.insert(peer, crate::host::Peer::default());
        self.works.exchange.connect(peer);
        self.works.sync.disconnect(peer);
        let tip = self.works.disk.tip.height;
        if tip > 0 {
            self.works.act(Action::Send(peer, Message::Status { tip }));
        }
    }

    /// Another machine cannot be talked to.
    pub fn disconnect(&mut self, peer: Machine) {
        self.works.host.peers.remove(&peer);
        self.works.sync.disconnect(peer);
    }

    /// What is done every now and then.
    pub fn tick(&mut self) -> Result<(), Halt> {
        self.works.step()?;
        self.works.look_for_records();
        self.works.look_for_blocks();
        self.works.start_if_due();
        Ok(())
    }

    /// The host turns to its next question.
    pub fn answer_next(&mut self) -> Result<(), Halt> {
        self.works.answer_next()?;
        self.works.start_if_due();
        Ok(())
    }

    /// A message for the engine.
    pub fn tell(&mut self, message: ToEngine) -> Result<(), Halt> {
        self.works.step()?;
        if self.works.phase != Phase::Running && !matches!(message, ToEngine::Start(_)) {
            if self.buffer.len() < BUFFERED_MAX {
                self.buffer.push_back(message);
            }
            return Ok(());
        }
        match message {
            ToEngine::Start(height) => self.start_height(height)?,
            ToEngine::Propose(value) => self.process(Input::Propose(value))?,
            ToEngine::Value(value, origin) => self.process(Input::ProposedValue(value, origin))?,
            ToEngine::Synced(response) => self.process(Input::SyncValueResponse(response))?,
            ToEngine::Peer(input) => self.process(input)?,
            ToEngine::Block(from, init, block) => {
                self.works.ask(Question::Block(from, init, block));
            }
            ToEngine::Elapsed(id) => {
                let timers = &mut self.works.timers;
                if let Some(place) = timers.iter().position(|(_, known)| *known == id) {
                    let (timeout, _) = timers.remove(place);
                    self.process(Input::TimeoutElapsed(timeout))?;
                }
            }
        }
        Ok(())
    }

    fn start_height(&mut self, height: Height) -> Result<(), Halt> {
        let identity = &self.works.identity;
        let validators = self.works.validators();
        self.consensus.get_or_insert_with(|| {
            let params = Params {
                address: identity.address,
                threshold_params: ThresholdParams::default(),
                value_payload: ValuePayload::ProposalAndParts,
                enabled: true,
            };
            let context = identity.context;
            let set = validators.clone();
            State::new(context, height, set, params, QUEUE_HEIGHTS, QUEUE_MESSAGES)
        });
        self.works.is_validator = validators.get_by_address(&self.works.identity.address).is_some();
        let entries = if self.works.is_validator {
            self.works.disk.log.start(height.0)
        } else {
            self.works.disk.log.reset(height.0);
            Vec::new()
        };
        let policy = VoteExtensionPolicy::default();
        self.process(Input::StartHeight(height, validators, false, None, policy))?;
        if !entries.is_empty() {
            self.works.phase = Phase::Recovering;
            if let Some(consensus) = &mut self.consensus {
                consensus.record_recovered_own_precommit_extensions(&entries);
                consensus.index_wal_entries(&entries);
            }
            for entry in entries {
                self.process(entry)?;
            }
            if let Some(consensus) = &mut self.consensus {
                consensus.reset_entries_index();
            }
        }
        self.works.phase = Phase::Running;
        self.works.started(height.0);
        while let Some(message) = self.buffer.pop_front() {
            self.tell(message)?;
        }
        Ok(())
    }

    fn process(&mut self, input: Input<Context>) -> Result<(), Halt> {
        let Some(consensus) = &mut self.consensus else {
            return Err(Halt::Failed("the engine was told something before it started".to_owned()));
        };
        let works = &mut self.works;
        let result: Result<(), Error<Context>> = arc_malachitebft_app::consensus::process!(
            input: input,
            state: consensus,
            metrics: &self.metrics,
            with: effect => match works.answer_effect(effect) {
                Ok(resume) => Ok::<_, std::convert::Infallible>(resume),
                Err(halt) => return Err(halt),
            }
        );
        result.map_err(|error| Halt::Failed(format!("the engine failed: {error}")))
    }

    /// How far its engine is, for a failure's report.
    pub fn describe(&self) -> String {
        let works = &self.works;
        let engine = self.consensus.as_ref().map_or_else(
            || "not started".to_owned(),
            |state| {
                let step = state.driver.step();
                format!("height {} round {} {step:?}", state.height(), state.round())
            },
        );
        format!(
            "up {}, tip {}, waiting {}, pending {}, held {:?}, wanted {:?}, engine {:?} {engine}, \
             peers {:?}",
            self.is_up,
            works.disk.tip.height,
            works.host.waiting.len(),
            works.disk.pending.len(),
            works.host.held,
            works.host.wanted,
            works.phase,
            works.host.peers,
        )
    }
}
