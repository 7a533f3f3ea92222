//! The host: builds blocks of records that wait, checks those of others, keeps
//! what may be voted for, and commits what was decided. It follows the node's
//! own host thread (node/src/pipeline/host) step by step.

use std::collections::{BTreeMap, VecDeque};

use arc_malachitebft_app::{
    consensus::{LocallyProposedValue, MisbehaviorEvidence, ProposedValue},
    types::core::{CommitCertificate, Round, Validity, ValueOrigin, ValueResponse},
};
use bytes::Bytes;
use quittance_ledger::{
    chain::{self, Block, BlockError, Header, RawBlock},
    digest::{Digest, RecordId},
    record::Record,
    store::StoredProposal,
};
use quittance_node::engine::{
    certificate,
    context::{Address, BlockHash, Context, Height, Init},
    limits::{CLOCK_AHEAD_MS_MAX, EARLY_PROPOSALS_MAX, PROPOSALS_MAX},
};

use crate::{
    network::{Machine, Message, peer_id},
    node::{Action, Halt, ToEngine, Works},
};

/// What the engine asks or tells.
#[derive(Debug)]
pub enum Question {
    GetValue(Height, Round),
    Restream {
        height: Height,
        round: Round,
        valid_round: Round,
        address: Address,
        value: BlockHash,
    },
    Block(Machine, Init, Bytes),
    Decided(CommitCertificate<Context>),
    Finalized(MisbehaviorEvidence<Context>),
    Synced(ValueResponse<Context>, Address),
}

/// What is known of a machine that can be talked to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer {
    pub tip: u64,
    pub voting: u64,
}

#[derive(Debug)]
struct Proposed {
    sender: Option<Machine>,
    round: Round,
    valid_round: Round,
    proposer: Address,
    hash: Digest,
    validity: Validity,
}

impl Proposed {
    const fn value(&self, height: Height) -> ProposedValue<Context> {
        ProposedValue {
            height,
            round: self.round,
            valid_round: self.valid_round,
            proposer: self.proposer,
            value: BlockHash(self.hash),
            validity: self.validity,
        }
    }
}

/// What the host holds in memory.
#[derive(Debug, Default)]
pub struct Host {
    pub inbox: VecDeque<Question>,
    /// Records that wait, in the order in which they came.
    pub waiting: Vec<Record>,
    pub peers: BTreeMap<Machine, Peer>,
    /// Whether the answer that starts the next height is held.
    pub held: bool,
    /// The round for which the engine wants a block.
    pub wanted: Option<Round>,
    known: BTreeMap<Digest, Block>,
    proposed: Vec<Proposed>,
    early: VecDeque<(Machine, Init, Bytes)>,
}

impl Host {
    pub fn heard(&mut self, from: Machine, height: Height) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.voting = height.0;
        }
    }

    fn record(&self, id: &RecordId) -> Option<&Record> {
        self.waiting.iter().find(|record| record.id() == *id)
    }
}

impl Works {
    pub fn ask(&mut self, question: Question) {
        self.host.inbox.push_back(question);
        self.act(Action::Host);
    }

    pub fn hold(&mut self) {
        self.host.held = true;
    }

    /// Starts the next height where somebody has something to decide.
    pub fn start_if_due(&mut self) {
        let next = self.disk.next();
        let spoken_of =
            self.host.peers.values().any(|peer| peer.voting >= next || peer.tip >= next);
        if self.host.held && (!self.host.waiting.is_empty() || spoken_of) {
            self.host.held = false;
            self.act(Action::Engine(ToEngine::Start(Height(next))));
        }
    }

    /// Answers the question that came first.
    pub fn answer_next(&mut self) -> Result<(), Halt> {
        let Some(question) = self.host.inbox.pop_front() else { return Ok(()) };
        self.step()?;
        let next = Height(self.disk.next());
        match question {
            Question::GetValue(height, round) => {
                if height == next {
                    self.host.wanted = Some(round);
                    self.offer()?;
                }
            }
            Question::Restream { height, round, valid_round, address, value } => {
                let init = Init { height, round, valid_round, proposer: address };
                if let Some(block) = self.host.known.get(&value.0) {
                    let block = Bytes::from(block.to_wire().unwrap());
                    self.act(Action::Broadcast(Message::Block { init, block }));
                }
            }
            Question::Block(from, init, block) => self.receive(from, init, block)?,
            Question::Decided(certificate) => self.commit(&certificate)?,
            Question::Finalized(evidence) => {
                let votes = evidence.votes.iter().map(|(address, _)| *address);
                let proposals = evidence.proposals.iter().map(|(address, _)| *address);
                let accused: Vec<_> = votes.chain(proposals).collect();
                if !accused.is_empty() {
                    self.act(Action::Accused(accused));
                }
                self.hold();
                for (from, init, block) in std::mem::take(&mut self.host.early) {
                    self.receive(from, init, block)?;
                }
            }
            Question::Synced(response, proposer) => self.synced(response, proposer)?,
        }
        Ok(())
    }

    /// The proposals of a round that are known already.
    pub fn values_of(&mut self, height: Height, round: Round) -> Vec<ProposedValue<Context>> {
        // A wish of an earlier round is void.
        self.host.wanted.take_if(|wanted| *wanted != round);
        if height.0 != self.disk.next() {
            return Vec::new();
        }
        let of_round = self.host.proposed.iter().filter(|proposed| proposed.round == round);
        of_round.map(|proposed| proposed.value(height)).collect()
    }

    /// Gives the engine a block to propose, if it wants one and records wait.
    pub fn offer(&mut self) -> Result<(), Halt> {
        let (Some(round), true) = (self.host.wanted, self.identity.signer.is_some()) else {
            return Ok(());
        };
        let (next, own) = (Height(self.disk.next()), self.identity.address);
        let before = self
            .host
            .proposed
            .iter()
            .find(|proposed| proposed.round == round && proposed.proposer == own);
        let block = match before.and_then(|proposed| self.host.known.get(&proposed.hash)) {
            Some(block) => block.clone(),
            None => match self.build()? {
                Some(block) => block,
                None => return Ok(()),
            },
        };
        let hash = block.header.hash();
        let bytes = Bytes::from(block.to_wire().unwrap());
        let init = Init { height: next, round, valid_round: Round::Nil, proposer: own };
        self.keep(None, init, hash, block, &bytes)?;
        self.host.wanted = None;
        let value = LocallyProposedValue::new(next, round, BlockHash(hash));
        self.act(Action::Engine(ToEngine::Propose(value)));
        self.act(Action::Broadcast(Message::Block { init, block: bytes }));
        Ok(())
    }

    fn build(&self) -> Result<Option<Block>, Halt> {
        let built = chain::build::<BlockError>(
            &self.disk.tip,
            &self.disk.state,
            self.identity.address.0,
            self.now_ms(),
            self.host.waiting.iter().cloned(),
            |id| Ok(self.disk.decided.contains(id)),
        );
        built.map(|built| built.block).map_err(|error| Halt::Failed(error.to_string()))
    }

    fn check(&self, header: Header, records: Vec<Vec<u8>>) -> Result<Block, String> {
        let membership = self.disk.membership();
        let records: Result<Vec<Record>, String> = records
            .into_iter()
            .map(|jws| match self.host.record(&RecordId::of(&jws)) {
                Some(record) => Ok(record.clone()),
                None => Record::open(jws, membership).map_err(|refusal| refusal.to_string()),
            })
            .collect();
        let block = Block { header, records: records? };
        let is_known = |id: &RecordId| Ok(self.disk.decided.contains(id));
        chain::check::<BlockError>(&self.disk.tip, &self.disk.state, &block, is_known)
            .map(|_| block)
            .map_err(|error| error.to_string())
    }

    /// Makes a block durable that may be voted for from now on.
    fn keep(
        &mut self,
        sender: Option<Machine>,
        init: Init,
        hash: Digest,
        block: Block,
        bytes: &Bytes,
    ) -> Result<(), Halt> {
        self.step()?;
        let Some(round) = init.round.as_u32() else { return Ok(()) };
        let same = self.host.proposed.iter().any(|proposed| {
            proposed.hash == hash
                && proposed.round == init.round
                && proposed.proposer == init.proposer
        });
        if !same {
            self.disk.proposals.push(StoredProposal {
                height: init.height.0,
                round,
                valid_round: init.valid_round.as_u32(),
                proposer: init.proposer.0,
                block: bytes.to_vec(),
            });
            self.host.proposed.push(Proposed {
                sender,
                round: init.round,
                valid_round: init.valid_round,
                proposer: init.proposer,
                hash,
                validity: Validity::Valid,
            });
        }
        self.host.known.insert(hash, block);
        self.step()
    }

    /// The proposals that an earlier run kept.
    pub fn take_up_proposals(&mut self) -> Result<(), Halt> {
        let next = self.disk.next();
        for stored in self.disk.proposals.clone() {
            if stored.height != next {
                continue;
            }
            let (header, records) = chain::decode_block(&stored.block).unwrap();
            let hash = header.hash();
            if !self.host.known.contains_key(&hash) {
                let block = self.check(header, records).map_err(|reason| {
                    Halt::Failed(format!("a block that was kept is refused: {reason}"))
                })?;
                self.host.known.insert(hash, block);
            }
            self.host.proposed.push(Proposed {
                sender: None,
                round: Round::new(stored.round),
                valid_round: stored.valid_round.map_or(Round::Nil, Round::new),
                proposer: Address(stored.proposer),
                hash,
                validity: Validity::Valid,
            });
        }
        Ok(())
    }

    fn receive(&mut self, from: Machine, init: Init, block: Bytes) -> Result<(), Halt> {
        let next = self.disk.next();
        if init.height.0 > next {
            let of_sender = |early: &(Machine, Init, Bytes)| early.0 == from;
            let early = &mut self.host.early;
            if early.iter().filter(|early| of_sender(early)).count() == EARLY_PROPOSALS_MAX
                && let Some(oldest) = early.iter().position(of_sender)
            {
                early.remove(oldest);
            }
            self.host.early.push_back((from, init, block));
        } else if init.height.0 == next
            && let Some(value) = self.value_from(from, init, &block)?
        {
            self.act(Action::Engine(ToEngine::Value(value, ValueOrigin::Consensus)));
        }
        Ok(())
    }

    fn value_from(
        &mut self,
        from: Machine,
        init: Init,
        bytes: &Bytes,
    ) -> Result<Option<ProposedValue<Context>>, Halt> {
        if !self.is_validators(from) {
            return Ok(None);
        }
        let (header, records) = chain::decode_block(bytes).unwrap();
        let hash = header.hash();
        let sent = self.host.proposed.iter().filter(|of| of.sender == Some(from)).count();
        if sent >= PROPOSALS_MAX && !self.host.known.contains_key(&hash) {
            return Ok(None);
        }
        let early = header.time_ms > self.now_ms() + CLOCK_AHEAD_MS_MAX;
        let checked = match self.host.known.get(&hash) {
            Some(block) => Ok(block.clone()),
            None => self.check(header, records),
        };
        let valid = match checked {
            Ok(block) => {
                if sent < PROPOSALS_MAX {
                    self.keep(Some(from), init, hash, block, bytes)?;
                }
                !early
            }
            // Bytes that only bear a block's header say nothing about it.
            Err(_) if !self.is_of_its_header(bytes) => return Ok(None),
            Err(_) => false,
        };
        let proposed = Proposed {
            sender: Some(from),
            round: init.round,
            valid_round: init.valid_round,
            proposer: init.proposer,
            hash,
            validity: Validity::from_bool(valid),
        };
        Ok(Some(proposed.value(init.height)))
    }

    fn is_validators(&self, machine: Machine) -> bool {
        // Twins are one node to the others.
        let Some(number) = self.identity.seats[machine] else { return false };
        let name = peer_id(number).to_string();
        let validators = self.disk.membership().validators();
        validators.iter().any(|of| of.peer.as_deref() == Some(&*name))
    }

    fn is_of_its_header(&self, bytes: &[u8]) -> bool {
        let (header, records) = chain::decode_block(bytes).unwrap();
        chain::commits_to(&self.disk.tip, &header, records.iter().map(|jws| RecordId::of(jws)))
    }

    /// A block that a peer says was decided; the engine has verified its certificate.
    fn synced(&mut self, response: ValueResponse<Context>, proposer: Address) -> Result<(), Halt> {
        let (height, round) = (response.certificate.height, response.certificate.round);
        if height.0 != self.disk.next() {
            return Ok(());
        }
        let (header, records) = chain::decode_block(&response.value_bytes).unwrap();
        let hash = header.hash();
        let block = match self.host.known.get(&hash) {
            Some(block) => block.clone(),
            None => self
                .check(header, records)
                .map_err(|reason| Halt::Failed(format!("a decided block is refused: {reason}")))?,
        };
        let init = Init { height, round, valid_round: Round::Nil, proposer };
        self.keep(None, init, hash, block, &response.value_bytes)?;
        let proposed = Proposed {
            sender: None,
            round,
            valid_round: Round::Nil,
            proposer,
            hash,
            validity: Validity::Valid,
        };
        let value = proposed.value(height);
        self.act(Action::Engine(ToEngine::Value(value, ValueOrigin::Sync)));
        Ok(())
    }

    /// Commits what the validators decided.
    fn commit(&mut self, decided: &CommitCertificate<Context>) -> Result<(), Halt> {
        let (next, hash) = (self.disk.next(), decided.value_id.0);
        if decided.height.0 != next {
            let height = decided.height;
            return Err(Halt::Failed(format!("decided on height {height}; the next is {next}")));
        }
        let Some(block) = self.host.known.remove(&hash) else {
            return Err(Halt::Failed(format!("decided on block {hash}, which is not held")));
        };
        let certificate = certificate::kept(decided);
        let validators = self.disk.membership().validators();
        certificate
            .verify(&block.header, validators)
            .map_err(|error| Halt::Failed(format!("a certificate of its own: {error}")))?;
        let decided = &self.disk.decided;
        let is_known = |id: &RecordId| Ok(decided.contains(id));
        let checked =
            chain::check::<BlockError>(&self.disk.tip, &self.disk.state, &block, is_known)
                .map_err(|error| Halt::Failed(format!("decided on a bad block: {error}")))?;
        self.host.known.clear();
        self.host.proposed.clear();
        self.host.wanted = None;
        // One durable write.
        self.step()?;
        let ids: Vec<_> = block.records.iter().map(Record::id).collect();
        self.disk.tip = checked.tip;
        self.disk.state.apply(checked.changes, &block.records);
        self.disk.decided.extend(&ids);
        self.disk.blocks.push(RawBlock {
            header: block.header,
            records: block.records.iter().map(|record| record.jws().to_vec()).collect(),
            certificate,
        });
        let decided = &self.disk.decided;
        self.disk.pending.retain(|record| !decided.contains(&record.id()));
        self.disk.proposals.clear();
        self.host.waiting.retain(|record| !decided.contains(&record.id()));
        self.act(Action::Decided);
        self.act(Action::Broadcast(Message::Status { tip: next }));
        Ok(())
    }
}
