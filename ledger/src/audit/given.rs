//! A policy that somebody trusts, beside those of the history itself.

use super::Defect;
use crate::{
    digest::Digest,
    membership::Membership,
    transparency::{Policy, PolicyFault, SignedCheckpoint},
};

/// A policy that somebody trusts, and what it said so far.
pub(super) struct Given<'a> {
    policy: &'a Policy,
    /// The validators whose checkpoints are being looked at.
    validators: Digest,
    /// Whether it is word for word the policy of these validators, which every
    /// checkpoint has to satisfy anyway.
    same: bool,
    /// Whether it accepted one of theirs.
    accepts: bool,
    /// The first of theirs that it did not accept.
    refused: Option<(u64, PolicyFault)>,
    /// Whether it accepted one of anybody's.
    accepted: bool,
    /// The first of all that it did not accept.
    first_refused: Option<(u64, PolicyFault)>,
}

impl<'a> Given<'a> {
    pub(super) const fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            validators: Digest::ZERO,
            same: false,
            accepts: false,
            refused: None,
            accepted: false,
            first_refused: None,
        }
    }

    /// Looks at the checkpoint of a block that the validators of `deciding`
    /// decided on, which has satisfied their policy.
    pub(super) fn look<E: std::fmt::Display + Send>(
        &mut self,
        deciding: &Membership,
        signed: &SignedCheckpoint,
    ) -> Result<(), Defect<E>> {
        let validators = deciding.validators().hash();
        if self.validators != validators {
            (self.validators, self.accepts, self.refused) = (validators, false, None);
            self.same = self.policy.to_bytes() == deciding.policy().to_bytes();
        }
        if self.same {
            self.accepted = true;
            return Ok(());
        }
        let size = signed.checkpoint().size;
        match self.policy.check(signed).accept() {
            Ok(_) => (self.accepts, self.accepted) = (true, true),
            Err(fault) => {
                self.first_refused.get_or_insert((size, fault.clone()));
                self.refused.get_or_insert((size, fault));
            }
        }
        match self.refused.take_if(|_| self.accepts) {
            Some((size, fault)) => Err(Defect::CheckpointPolicy { size, fault }),
            None => Ok(()),
        }
    }

    pub(super) fn finish<E: std::fmt::Display + Send>(self) -> Result<(), Defect<E>> {
        match self.first_refused {
            Some((size, fault)) if !self.accepted => Err(Defect::CheckpointPolicy { size, fault }),
            _ => Ok(()),
        }
    }
}
