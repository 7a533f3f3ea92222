//! Chance that can be repeated.

use std::env;

use rand::{SeedableRng as _, rngs::StdRng};

/// Random numbers from the seed in `QUITTANCE_TEST_SEED`, or else from a new
/// one. The seed is printed, and shown when the test fails. It repeats what the
/// test does to the nodes, not how fast the nodes are.
///
/// # Panics
/// The variable holds no number.
#[must_use]
pub fn seeded() -> StdRng {
    let seed = match env::var("QUITTANCE_TEST_SEED") {
        Ok(seed) => seed.parse().expect("QUITTANCE_TEST_SEED is a number"),
        Err(_) => rand::random::<u64>(),
    };
    println!("seed: QUITTANCE_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
