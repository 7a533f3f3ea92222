//! What must hold whatever goes wrong, checked after every step.

use std::collections::{BTreeMap, BTreeSet};

use arc_malachitebft_app::{
    consensus::SignedConsensusMsg,
    types::core::{NilOrVal, VoteType},
};
use quittance_ledger::{
    chain::{self, Block, BlockError, RawBlock, Tip},
    digest::{Digest, RecordId},
    insurance::state::MemoryState,
    membership::{Genesis, MembershipState, ValidatorSet},
    record::Record,
};
use quittance_node::engine::context::{Address, Context};

use crate::network::Machine;

/// What a machine signed for one step of one round.
type Said = (Machine, &'static str, u64, i64);

/// One history, as an onlooker who misses nothing sees it.
pub struct Properties {
    tip: Tip,
    state: MemoryState,
    chain: Vec<Digest>,
    /// Who validated each height.
    validators: Vec<ValidatorSet>,
    places: BTreeMap<RecordId, u64>,
    decided: Vec<Vec<Digest>>,
    said: BTreeMap<Said, Vec<Digest>>,
    acknowledged: BTreeSet<RecordId>,
    /// What each submitter submits in order.
    in_order: Vec<Vec<RecordId>>,
    /// Validators whose key two machines vote with.
    twins: BTreeSet<[u8; 32]>,
    opened: BTreeMap<RecordId, Record>,
    /// Validators of which somebody holds evidence.
    pub accused: BTreeSet<[u8; 32]>,
}

impl Properties {
    pub fn new(genesis: &Genesis, machines: usize, twins: BTreeSet<[u8; 32]>) -> Self {
        Self {
            tip: Tip::empty(MembershipState::from_genesis(genesis)),
            state: MemoryState::default(),
            validators: Vec::new(),
            chain: Vec::new(),
            places: BTreeMap::new(),
            decided: vec![Vec::new(); machines],
            said: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            in_order: Vec::new(),
            twins,
            opened: BTreeMap::new(),
            accused: BTreeSet::new(),
        }
    }

    /// Somebody will submit these records one after the other.
    pub fn expect_in_order(&mut self, records: &[Record]) {
        self.in_order.push(records.iter().map(Record::id).collect());
        self.opened.extend(records.iter().map(|record| (record.id(), record.clone())));
    }

    /// A machine says that a record is safe.
    pub fn acknowledged(&mut self, record: &Record) {
        self.acknowledged.insert(record.id());
    }

    /// How many blocks were decided.
    pub const fn height(&self) -> usize {
        self.chain.len()
    }

    /// Agreement and validity: a machine has committed a block.
    pub fn decided(&mut self, machine: Machine, block: &RawBlock) -> Result<(), String> {
        let (height, hash) = (block.header.height, block.header.hash());
        let own = &mut self.decided[machine];
        own.push(hash);
        if height != own.len() as u64 {
            return Err(format!("committed height {height} after {} blocks", own.len() - 1));
        }
        let validators = self.validators.get(own.len() - 1);
        let validators = validators.unwrap_or_else(|| self.tip.membership().validators());
        block
            .certificate
            .verify(&block.header, validators)
            .map_err(|error| format!("height {height}: its certificate: {error}"))?;
        match self.chain.get(own.len() - 1) {
            Some(first) if *first == hash => Ok(()),
            Some(first) => Err(format!("height {height}: decided {hash}, others decided {first}")),
            None => self.extend(block),
        }
    }

    fn extend(&mut self, block: &RawBlock) -> Result<(), String> {
        let records: Result<Vec<_>, _> = block
            .records
            .iter()
            .map(|jws| match self.opened.get(&RecordId::of(jws)) {
                Some(record) => Ok(record.clone()),
                None => Record::open(jws.clone(), self.tip.membership()),
            })
            .collect();
        let block = Block {
            header: block.header,
            records: records.map_err(|refusal| refusal.to_string())?,
        };
        let places = &self.places;
        let is_known = |id: &RecordId| Ok(places.contains_key(id));
        let checked = chain::check::<BlockError>(&self.tip, &self.state, &block, is_known)
            .map_err(|error| error.to_string())?;
        self.validators.push(self.tip.membership().validators().clone());
        self.tip = checked.tip;
        self.state.apply(checked.changes, &block.records);
        for record in &block.records {
            let place = self.places.len() as u64;
            self.places.insert(record.id(), place);
        }
        self.chain.push(self.tip.hash);
        self.check_order()
    }

    /// Records of one submitter keep their order, without a gap.
    fn check_order(&self) -> Result<(), String> {
        for records in &self.in_order {
            let places: Vec<_> = records.iter().map(|id| self.places.get(id)).collect();
            for pair in places.windows(2) {
                if pair[1].is_some() && pair[0] >= pair[1] {
                    return Err(format!("the order of one submitter: {places:?}"));
                }
            }
        }
        Ok(())
    }

    /// Durability: what a machine has on disk when it starts is what it decided.
    pub fn restarted(&self, machine: Machine, blocks: &[RawBlock]) -> Result<(), String> {
        let kept: Vec<_> = blocks.iter().map(|block| block.header.hash()).collect();
        if kept == self.decided[machine] {
            Ok(())
        } else {
            Err(format!("decided {:?} and kept {kept:?}", self.decided[machine]))
        }
    }

    /// No honest machine contradicts itself, whenever it crashed.
    pub fn signed(
        &mut self,
        machine: Machine,
        message: &SignedConsensusMsg<Context>,
    ) -> Result<(), String> {
        let (kind, round, content) = match message {
            SignedConsensusMsg::Vote(vote) => {
                let kind = match vote.message.kind {
                    VoteType::Prevote => "prevote",
                    VoteType::Precommit => "precommit",
                };
                let content = match vote.message.value {
                    NilOrVal::Nil => Digest::ZERO,
                    NilOrVal::Val(hash) => hash.0,
                };
                (kind, vote.message.round, content)
            }
            SignedConsensusMsg::Proposal(proposal) => {
                ("proposal", proposal.message.round, proposal.message.value.0)
            }
        };
        let height = message.height().0;
        let said = self.said.entry((machine, kind, height, round.as_i64())).or_default();
        if !said.contains(&content) {
            said.push(content);
        }
        if said.len() > 1 {
            return Err(format!("height {height} round {round}: two {kind}s: {said:?}"));
        }
        Ok(())
    }

    /// Only who contradicted itself is accused of it.
    pub fn accused(&mut self, accused: &[Address]) -> Result<(), String> {
        for Address(address) in accused {
            if !self.twins.contains(address) {
                return Err(format!("{} is accused and innocent", hex::encode(address)));
            }
            self.accused.insert(*address);
        }
        Ok(())
    }

    /// Whether everything that was acknowledged is decided everywhere.
    pub fn is_complete(&self, honest: impl IntoIterator<Item = Machine>) -> bool {
        self.acknowledged.iter().all(|id| self.places.contains_key(id))
            && honest.into_iter().all(|machine| self.decided[machine].len() == self.chain.len())
    }

    /// What is not complete.
    pub fn missing(&self) -> String {
        let missing = self.acknowledged.iter().filter(|id| !self.places.contains_key(id)).count();
        let heights: Vec<_> = self.decided.iter().map(Vec::len).collect();
        format!("{missing} records are not decided; the machines decided {heights:?} blocks")
    }
}
