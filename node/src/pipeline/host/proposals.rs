//! Proposals: this node's own, those of others, and those that an earlier run kept.

use std::sync::Arc;

use arc_malachitebft_app::types::{
    LocallyProposedValue, PeerId, ProposedValue,
    core::{Round, Validity},
};
use bytes::Bytes;
use quittance_ledger::{
    chain::{self, Block, Header},
    digest::{Digest, RecordId},
    limits::{BLOCK_BYTES_MAX, VALIDATORS_MAX},
    store::StoredProposal,
};

use super::{Host, Proposed, Received, Wanted};
use crate::{
    engine::{
        context::{Address, BlockHash, Context, Height, Init},
        limits::{EARLY_PROPOSALS_MAX, PART_DATA_BYTES, PROPOSALS_MAX},
        parts::{self, Assembled},
    },
    pipeline::{Fatal, application::Application},
};

/// The largest block that is proposed in a round of a height: half of what it was
/// in the round before, since that one was perhaps too large for somebody's link
/// or machine to have it in time.
fn bytes_max(round: Round) -> usize {
    let halved = round.as_u32().and_then(|round| BLOCK_BYTES_MAX.checked_shr(round));
    // One part of the engine's; the largest record fits.
    halved.unwrap_or(0).max(PART_DATA_BYTES)
}

impl Host {
    /// A proposal that an earlier run kept.
    pub(super) fn take_up(&mut self, proposal: &StoredProposal) -> Result<(), Fatal> {
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

    /// The proposals of a round that are known already.
    pub(super) fn values_of(&self, round: Round) -> Vec<ProposedValue<Context>> {
        let next = self.next();
        self.proposed
            .iter()
            .filter(|proposed| proposed.round == round && proposed.validity.is_valid())
            .map(|proposed| value_of(next, proposed))
            .collect()
    }

    /// Gives the engine a block to propose, if it wants one and records wait.
    pub(super) fn offer(&mut self) -> Result<(), Fatal> {
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
            None => match self.application.propose(bytes_max(round))? {
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
    pub(super) fn keep(
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

    pub(super) fn stream(&self, init: Init, block: &Bytes) {
        if self.shared.membership().validators().len() == 1 {
            return;
        }
        // Height and round tell the streams of one proposer apart.
        let mut name = init.height.0.to_be_bytes().to_vec();
        name.extend_from_slice(&init.round.as_i64().to_be_bytes());
        self.engine.publish(parts::cut(init, block, &name));
    }

    /// A whole proposal from a peer.
    pub(super) fn receive(&mut self, received: Received) -> Result<(), Fatal> {
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
    pub(super) fn receive_early(&mut self) -> Result<(), Fatal> {
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
}

pub(super) fn value_of(height: Height, proposed: &Proposed) -> ProposedValue<Context> {
    ProposedValue {
        height,
        round: proposed.round,
        valid_round: proposed.valid_round,
        proposer: proposed.proposer,
        value: BlockHash(proposed.hash),
        validity: proposed.validity,
    }
}

#[cfg(test)]
mod tests {
    use quittance_ledger::limits::{RECORD_BYTES_MAX, RECORD_OVERHEAD_BYTES};

    use super::*;

    #[test]
    fn blocks_that_were_too_late_get_smaller_and_still_hold_any_record() {
        let of_rounds = [0, 1, 3, 4, 5, 70].map(|round| bytes_max(Round::new(round)));
        let kib = of_rounds.map(|bytes| bytes / 1024);
        assert_eq!(kib, [2_048, 1_024, 256, 128, 128, 128]);
        assert!(RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES < bytes_max(Round::new(70)));
    }
}
