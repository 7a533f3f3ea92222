//! Audits of what a store holds.

use super::*;
use crate::{audit::Defect, chain::RawBlock};

#[test]
fn an_audit_names_a_record_nobody_signed_and_a_checkpoint_that_was_exchanged() {
    let ledger = Ledger::new("test.example/store");
    let stranger = Ledger::new("test.example/other");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 2, 3);
    let policy = ledger.membership.policy();

    struct Forged<'a>(&'a Store, Option<Vec<u8>>, Option<SignedCheckpoint>, bool);
    impl audit::History for Forged<'_> {
        type Error = StoreError;
        fn block(&mut self, height: u64) -> Result<Option<RawBlock>, StoreError> {
            let mut block = self.0.raw_block(height)?;
            if let (Some(block), Some(jws)) = (&mut block, &self.1) {
                block.records[0] = jws.clone();
            }
            if let (Some(block), true) = (&mut block, self.3) {
                block.certificate.signatures[0].signature[7] ^= 1;
            }
            Ok(block)
        }
        fn checkpoints_after(&mut self, size: u64) -> Result<Vec<SignedCheckpoint>, StoreError> {
            let mut all = self.0.checkpoints(size + 1, 10)?;
            if let (Some(forged), Some(first)) = (&self.2, all.first_mut()) {
                *first = forged.clone();
            }
            Ok(all)
        }
    }
    let run = |jws, checkpoint| {
        let mut history = Forged(&store, jws, checkpoint, false);
        audit::audit(&mut history, &ledger.membership, Some(&policy), None, |_| {})
    };
    assert_eq!(run(None, None).unwrap().signatures, 6);
    let mut undecided = Forged(&store, None, None, true);
    let defect = audit::audit(&mut undecided, &ledger.membership, Some(&policy), None, |_| {});
    assert!(matches!(defect, Err(Defect::Block(chain::BlockError::Certificate { height: 1, .. }))));
    let foreign = stranger.quote(0).jws().to_vec();
    assert!(matches!(run(Some(foreign), None), Err(Defect::Record { index: 0, .. })));
    let other = ledger.quote(77).jws().to_vec();
    assert!(matches!(run(Some(other), None), Err(Defect::Block(_))));
    let impostor = Ledger::with_validator_seed("test.example/store", 111);
    let mut checkpoint = store.checkpoints(1, 1).unwrap().first().unwrap().checkpoint().clone();
    let unsigned = impostor.signed(&checkpoint);
    assert!(matches!(run(None, Some(unsigned)), Err(Defect::CheckpointPolicy { size: 3, .. })));
    checkpoint.root = Digest::ZERO;
    let wrong = ledger.signed(&checkpoint);
    assert!(matches!(run(None, Some(wrong)), Err(Defect::CheckpointRoot { size: 3, .. })));
}

#[test]
fn an_audit_of_blocks_that_hold_nothing_ends_at_the_first() {
    struct Endless(Header, chain::Certificate);
    impl audit::History for Endless {
        type Error = StoreError;
        fn block(&mut self, height: u64) -> Result<Option<RawBlock>, StoreError> {
            let (header, certificate) = (Header { height, ..self.0 }, self.1.clone());
            Ok(Some(RawBlock { header, records: Vec::new(), certificate }))
        }
        fn checkpoints_after(&mut self, _: u64) -> Result<Vec<SignedCheckpoint>, StoreError> {
            Ok(Vec::new())
        }
    }
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let header = ledger.block(&store, vec![ledger.quote(0)]).header;
    let policy = ledger.membership.policy();
    let certificate = chain::Certificate::of_one(&header, &crate::testing::key(101));
    let mut endless = Endless(header, certificate);
    let defect =
        audit::audit(&mut endless, &ledger.membership, Some(&policy), None, |_| {}).unwrap_err();
    assert!(matches!(defect, Defect::Block(crate::chain::BlockError::Empty(1))), "{defect}");
}

#[test]
fn an_audit_since_a_kept_checkpoint_verifies_only_what_came_after() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 2, 3);
    let kept = store.latest_checkpoint().unwrap().unwrap();
    ledger.fill(&store, 6, 2, 3);
    let policy = ledger.membership.policy();
    let mut history = &store;
    let since = |kept: &SignedCheckpoint, history: &mut &Store| {
        audit::audit(history, &ledger.membership, Some(&policy), Some(kept), |_| {})
    };
    let report = since(&kept, &mut history).unwrap();
    assert_eq!((report.records, report.signatures), (12, 6));
    let mut other = kept.checkpoint().clone();
    other.root = Digest::of(b"another history");
    let rewritten = since(&ledger.signed(&other), &mut history);
    assert!(matches!(rewritten, Err(Defect::KeptRoot { since: 6, .. })));
    let impostor = Ledger::with_validator_seed("test.example/store", 111);
    let of_others = since(&impostor.signed(kept.checkpoint()), &mut history);
    assert!(matches!(of_others, Err(Defect::KeptPolicy { since: 6, .. })));
    other.size = 100;
    let cut = since(&ledger.signed(&other), &mut history);
    assert!(matches!(cut, Err(Defect::Shorter { size: 12, since: 100 })));
}
