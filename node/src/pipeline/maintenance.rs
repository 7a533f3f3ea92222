//! What takes long and hurries nobody: reading the whole store back once after
//! the start, and merging postings.

use std::time::Duration;

use super::{Fatal, Shared};

/// How long the thread rests when there is nothing to merge.
const REST: Duration = Duration::from_millis(200);

pub fn run(shared: &Shared) -> Result<(), Fatal> {
    shared.store.scrub(|_| !shared.is_stopping())?;
    while !shared.is_stopping() {
        if !shared.store.maintain()? {
            std::thread::sleep(REST);
        }
    }
    Ok(())
}
