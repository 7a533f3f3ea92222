//! Whole nodes as processes over real sockets, for the black-box tests.
//!
//! ```no_run
//! use quittance_tests::Consortium;
//! use serde_json::json;
//!
//! let consortium = Consortium::new();
//! let mut node = consortium.start();
//! let record = consortium.sign("petexpert", &json!({
//!     "type": "reward.recorded", "occurred_at": "2026-01-02T09:00:00Z",
//!     "data": { "referral": "R-1", "to": "C-1", "amount": 500, "currency": "EUR" },
//! }));
//! assert_eq!(node.append(&record).status, 201);
//! node.kill();
//! node.restart();
//! assert_eq!(node.tree_size(), 1);
//! ```
//!
//! Nothing here waits for time to pass: a helper asks until a condition holds,
//! and panics with what the node said when it never does. What a test starts
//! ends with the test, whatever happens.
//!
//! Some tests need tools that are not Rust crates. They print `skipped: …` where
//! one is missing, unless `QUITTANCE_TEST_REQUIRE_ALL` is set: see [`tools`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod binary;
pub mod browser;
mod cluster;
mod command;
mod consortium;
pub mod events;
mod folder;
pub mod history;
mod http;
pub mod intruder;
pub mod load;
mod members;
pub mod namespaces;
mod node;
pub mod raw;
mod records;
pub mod relay;
mod samples;
mod seed;
pub mod tools;

pub use binary::{binary, byzantine};
pub use cluster::Cluster;
pub use command::{Ended, quittance, quittance_in};
pub use consortium::Consortium;
pub use folder::copy_folder;
pub use http::{Answer, Api};
pub use load::Load;
pub use members::Members;
pub use node::{Node, Settings};
pub use records::{Signed, forge, load_records};
pub use samples::{DOSSIERS, Sample, file as sample_file, samples};
pub use seed::seeded;

use std::time::{Duration, Instant};

/// How long a condition may take to hold on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `condition` until it gives something.
///
/// # Panics
/// It gives nothing within [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
