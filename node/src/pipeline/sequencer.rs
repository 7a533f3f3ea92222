//! The engine of a ledger with one validator: whatever waits becomes the next block.

use std::{sync::Arc, time::Duration};

use quittance_api::submit::Outcome;
use quittance_ledger::store::Location;

use super::{Fatal, Shared, application::Application};

/// How often the thread looks whether the node is stopping.
const LOOK_UP: Duration = Duration::from_millis(200);

pub struct Sequencer {
    application: Application,
    shared: Arc<Shared>,
}

impl Sequencer {
    pub fn new(application: Application, shared: Arc<Shared>) -> Self {
        Self { application, shared }
    }

    pub fn run(self) -> Result<(), Fatal> {
        while !self.shared.is_stopping() {
            let waiting = self.shared.queue.first(LOOK_UP);
            if waiting.is_empty() {
                continue;
            }
            let built = self.application.propose(waiting)?;
            let mut outcomes: Vec<_> = built
                .refused
                .into_iter()
                .map(|(id, refusal)| (id, Outcome::Refused(refusal)))
                .collect();
            if let Some(block) = built.block {
                let certificate = self.application.decide(&block);
                let block = self.application.commit(block, &certificate)?;
                let height = block.header.height;
                let first = block.header.tree_size - block.records.len() as u64;
                outcomes.extend((first..).zip(&block.records).map(|(index, record)| {
                    (record.id(), Outcome::Final(Location { index, height }))
                }));
            }
            for id in built.known {
                if let Some(location) = self.shared.store.find(&id)? {
                    outcomes.push((id, Outcome::Final(location)));
                }
            }
            self.shared.queue.settle(outcomes);
        }
        Ok(())
    }
}
