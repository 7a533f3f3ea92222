//! What this node cosigned last, kept beside the ledger instead of in it.
//!
//! A validator must never sign two histories. Its ledger alone cannot tell that
//! it was emptied or rolled back to an older copy; this file can, because it
//! bears the node's own cosignature and has to be a beginning of the ledger that
//! is there. An older copy of both, or the removal of both, it cannot tell.

use std::{io, path::PathBuf};

use quittance_ledger::{
    limits::CHECKPOINT_BYTES_MAX,
    membership::{MemberId, Membership},
    store::{Store, StoreError},
    transparency::{
        Checkpoint, SignedCheckpoint, VerifierKey, verify_cosignature, verify_log_signature,
    },
};

use crate::files::{self, FileError};

/// The ledger that is there is not a continuation of what this node cosigned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CosignedError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is not what this node wrote.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The ledger is older than what was cosigned.
    #[error(
        "the ledger was rolled back: this node cosigned {cosigned} records, {found} are there. \
         To go on from here would be a second history: bring back a copy that is not older, or \
         fetch the ledger from the other nodes with `quittance run --resync`"
    )]
    RolledBack {
        /// Records of the tree that was cosigned.
        cosigned: u64,
        /// Records that are there.
        found: u64,
    },
    /// The ledger is another one than what was cosigned.
    #[error(
        "the ledger was rewritten: its first {size} records are not those that this node cosigned"
    )]
    Rewritten {
        /// Records of the tree that was cosigned.
        size: u64,
    },
    /// There is a ledger, but nothing that vouches for it.
    #[error(
        "nothing vouches for the {0} records that are there being all: the file `cosigned` is gone, \
         or their last checkpoint bears no valid cosignature of this node. If they come from a \
         backup and you answer for it, `quittance reindex --adopt` signs for them"
    )]
    NoVoucher(u64),
}

/// The file `cosigned` of a data folder.
#[derive(Debug, Clone)]
pub struct LastCosigned {
    path: PathBuf,
    logs: Vec<VerifierKey>,
    cosigners: Vec<VerifierKey>,
}

impl LastCosigned {
    /// The file at `path`, of a node that signs as one of `logs` and `cosigners`.
    #[must_use]
    pub const fn new(path: PathBuf, logs: Vec<VerifierKey>, cosigners: Vec<VerifierKey>) -> Self {
        Self { path, logs, cosigners }
    }

    /// The file at `path`, of that member's node, which signed with every key
    /// that the member ever validated with.
    #[must_use]
    pub fn of_member(path: PathBuf, membership: &Membership, member: &MemberId) -> Self {
        let validators = membership.past(member).map_or(&[][..], |member| &member.validators);
        let keys = validators.iter().map(|keys| (keys.of.log.clone(), keys.of.cosigner.clone()));
        let (logs, cosigners) = keys.unzip();
        Self::new(path, logs, cosigners)
    }

    /// Also of these keys, with which the node signs now, whether the ledger
    /// knows them yet or not.
    #[must_use]
    pub fn signing_as(mut self, log: &VerifierKey, cosigner: &VerifierKey) -> Self {
        for (keys, key) in [(&mut self.logs, log), (&mut self.cosigners, cosigner)] {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        self
    }

    /// Keeps a checkpoint on disk. To be called before it is shown to anybody,
    /// and only for one that continues what is kept.
    ///
    /// # Errors
    /// The disk refuses; the checkpoint must not be shown then.
    pub fn keep(&self, signed: &SignedCheckpoint) -> Result<(), CosignedError> {
        files::replace(&self.path, &signed.to_bytes())?;
        Ok(files::sync_folder(files::folder_of(&self.path))?)
    }

    /// What was cosigned last; none where this node never cosigned, or where
    /// the file was left out of a backup.
    ///
    /// # Errors
    /// It cannot be read, or this node did not sign it.
    pub fn read(&self) -> Result<Option<Checkpoint>, CosignedError> {
        let damaged = |problem: String| CosignedError::Damaged { path: self.path.clone(), problem };
        let bytes = match files::read(&self.path, CHECKPOINT_BYTES_MAX) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            read => read?,
        };
        let signed = SignedCheckpoint::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        if !self.vouches_for(&signed) {
            return Err(damaged("it does not bear this node's cosignature".to_owned()));
        }
        // Nothing in this file may change unnoticed, so no line is passed over.
        let logs = self.logs.iter().filter(|key| is_signed_by_log(&signed, key)).count();
        let cosigners = self.cosigners.iter().filter(|key| is_cosigned_by(&signed, key)).count();
        if logs + cosigners != signed.signatures().len() {
            return Err(damaged("one of its signatures does not verify".to_owned()));
        }
        Ok(Some(signed.checkpoint().clone()))
    }

    /// Whether `next`, the checkpoint of the last decided block or of the one
    /// that is committed next, may be cosigned: it goes on from what was cosigned
    /// last. It may not yet where the store is being filled again and has not
    /// reached that.
    ///
    /// # Errors
    /// The store holds another history than the one that was cosigned.
    pub fn may_sign(&self, next: &Checkpoint, store: &Store) -> Result<bool, CosignedError> {
        let Some(last) = self.read()? else { return Ok(true) };
        if next.size < last.size {
            return Ok(false);
        }
        // A checkpoint inside the next block is of another history, too.
        let same = if next.size == last.size {
            *next == last
        } else {
            store.decided_checkpoint(last.size)?.as_ref() == Some(&last)
        };
        if same { Ok(true) } else { Err(CosignedError::Rewritten { size: last.size }) }
    }

    /// Whether this node cosigned it.
    fn vouches_for(&self, signed: &SignedCheckpoint) -> bool {
        self.cosigners.iter().any(|key| is_cosigned_by(signed, key))
    }

    /// Checks that the ledger in `store` goes on from what was cosigned last.
    ///
    /// # Errors
    /// It does not, or nothing vouches for it.
    pub fn check(&self, store: &Store) -> Result<(), CosignedError> {
        let last = self.read()?;
        if let Some(last) = &last {
            self.check_goes_on_from(last, store)?;
        }
        let found = store.tip().frontier.size();
        if found == 0 {
            return Ok(());
        }
        // The ledger's own last checkpoint, which a rewriter could not sign: this
        // node cosigned it, or more than two thirds of several validators did.
        let vouched = self.latest_vouched(store)?.is_some() || Self::is_cosigned_by_others(store)?;
        if last.is_none() || !vouched {
            return Err(CosignedError::NoVoucher(found));
        }
        Ok(())
    }

    /// As [`LastCosigned::check`], for the ledger of a node that never cosigned:
    /// the validators vouch for it.
    ///
    /// # Errors
    /// They do not.
    pub fn check_observed(store: &Store) -> Result<(), CosignedError> {
        let found = store.tip().frontier.size();
        if found == 0 || Self::is_cosigned_by_others(store)? {
            return Ok(());
        }
        Err(CosignedError::NoVoucher(found))
    }

    /// Whether more than two thirds of several validators cosigned the newest
    /// checkpoint.
    fn is_cosigned_by_others(store: &Store) -> Result<bool, CosignedError> {
        let Some(signed) = store.latest_checkpoint()? else { return Ok(false) };
        let membership = store.membership_of_size(signed.checkpoint().size)?;
        Ok(membership.validators().len() > 1 && membership.policy().check(&signed).holds())
    }

    /// Keeps the newest checkpoint of a ledger that passed the check, or that
    /// somebody answers for.
    ///
    /// # Errors
    /// The store or the disk fails.
    pub fn keep_newest(&self, store: &Store) -> Result<(), CosignedError> {
        match self.latest_vouched(store)? {
            Some(latest) => self.keep(&latest),
            None => Ok(()),
        }
    }

    /// The newest checkpoint, where it covers the whole ledger and this node
    /// cosigned it.
    fn latest_vouched(&self, store: &Store) -> Result<Option<SignedCheckpoint>, CosignedError> {
        let tip = store.tip();
        Ok(store.latest_checkpoint()?.filter(|signed| {
            signed.checkpoint().size == tip.frontier.size()
                && signed.checkpoint().root == tip.frontier.root()
                && self.vouches_for(signed)
        }))
    }

    /// Checks that the tree over the first `last.size` records is `last`.
    ///
    /// # Errors
    /// It is not.
    fn check_goes_on_from(&self, last: &Checkpoint, store: &Store) -> Result<(), CosignedError> {
        // A block that was cosigned but not acknowledged when the process ended.
        if let Some((block, _)) = store.unfinished()
            && (block.header.tree_size, block.header.tree_root) == (last.size, last.root)
        {
            return Ok(());
        }
        let found = store.decided().frontier.size();
        if last.size > found {
            return Err(CosignedError::RolledBack { cosigned: last.size, found });
        }
        match store.decided_checkpoint(last.size)? {
            Some(there) if there == *last => Ok(()),
            _ => Err(CosignedError::Rewritten { size: last.size }),
        }
    }
}

fn is_cosigned_by(signed: &SignedCheckpoint, key: &VerifierKey) -> bool {
    signed.cosignature(key).is_some_and(|(time_s, signature)| {
        verify_cosignature(key, signed.checkpoint(), time_s, &signature)
    })
}

fn is_signed_by_log(signed: &SignedCheckpoint, key: &VerifierKey) -> bool {
    signed
        .log_signature(key)
        .is_some_and(|signature| verify_log_signature(key, signed.checkpoint(), &signature))
}
