//! What this machine can do at most, measured in about two seconds.

use std::{
    fmt, io,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// How long each rate is measured.
const MEASURE: Duration = Duration::from_millis(500);

/// What is signed of a record of 512 bytes: all but the signature and its dot.
const SIGNED_BYTES: usize = 425;

/// What is appended before each flush.
const APPEND_BYTES: usize = 4096;

/// Flushes at least, however slow the disk is.
const SYNCS_MIN: u32 = 10;

/// The machine's own rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Machine {
    /// Threads that can run at once.
    pub cores: usize,
    /// Strict Ed25519 verifications per second on one core.
    pub strict_one_core_per_s: f64,
    /// Strict Ed25519 verifications per second on all cores together.
    pub strict_all_cores_per_s: f64,
    /// Appends of 4 KiB to one file, each flushed to the disk, per second.
    pub syncs_per_s: f64,
    /// SHA-256 on one core, in megabytes (10^6 bytes) per second.
    pub sha256_mb_per_s: f64,
}

impl Machine {
    /// Measures the machine, and the disk under `folder`. Takes about two
    /// seconds, in which the machine should have nothing else to do.
    ///
    /// # Errors
    /// `folder` cannot be written to.
    pub fn measure(folder: &Path) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let work = Verifications::new();
        // The threads exist before the clock starts.
        let _ = rayon::current_num_threads();
        Ok(Self {
            cores,
            strict_one_core_per_s: rate(|| work.verify(64)),
            strict_all_cores_per_s: rate(|| {
                (0..cores).into_par_iter().map(|_| work.verify(64)).sum()
            }),
            syncs_per_s: syncs_per_s(folder)?,
            sha256_mb_per_s: sha256_mb_per_s(),
        })
    }

    /// Cores × strict verifications per second on one: what records per second
    /// are compared with.
    #[must_use]
    pub fn verifications_per_s(&self) -> f64 {
        self.cores as f64 * self.strict_one_core_per_s
    }

    /// `records_per_s` as a share of [`Machine::verifications_per_s`].
    #[must_use]
    pub fn ratio(&self, records_per_s: f64) -> f64 {
        records_per_s / self.verifications_per_s().max(f64::MIN_POSITIVE)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "machine: {} cores, {:.0} strict verifications/s on one core, {:.0} on all, \
             {:.0} fsync/s, {:.0} MB/s SHA-256",
            self.cores,
            self.strict_one_core_per_s,
            self.strict_all_cores_per_s,
            self.syncs_per_s,
            self.sha256_mb_per_s
        )
    }
}

/// How often per second `work` does what it counts.
fn rate(work: impl Fn() -> u64) -> f64 {
    work();
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < MEASURE {
        done += work();
    }
    done as f64 / start.elapsed().as_secs_f64()
}

struct Verifications {
    key: VerifyingKey,
    message: [u8; SIGNED_BYTES],
    signature: Signature,
}

impl Verifications {
    fn new() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let message = [b'x'; SIGNED_BYTES];
        Self { key: key.verifying_key(), signature: key.sign(&message), message }
    }

    /// Verifies `count` times; gives how many of them held.
    fn verify(&self, count: u64) -> u64 {
        let holds = || {
            let message = std::hint::black_box(&self.message);
            self.key.verify_strict(message, &self.signature).is_ok()
        };
        (0..count).filter(|_| holds()).count() as u64
    }
}

fn syncs_per_s(folder: &Path) -> io::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let page = [0x5a; APPEND_BYTES];
    file.write_all(&page)?;
    file.sync_data()?;
    let start = Instant::now();
    let mut done = 0;
    while done < SYNCS_MIN || start.elapsed() < MEASURE {
        file.write_all(&page)?;
        file.sync_data()?;
        done += 1;
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

fn sha256_mb_per_s() -> f64 {
    let block = vec![0x5a_u8; 1 << 20];
    let bytes_per_s = rate(|| {
        std::hint::black_box(Sha256::digest(std::hint::black_box(&block)));
        block.len() as u64
    });
    bytes_per_s / 1e6
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_rate_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::measure(folder.path()).unwrap();
        assert!(machine.cores >= 1);
        assert!(machine.strict_one_core_per_s > 0.0 && machine.strict_all_cores_per_s > 0.0);
        assert!(machine.syncs_per_s > 0.0 && machine.sha256_mb_per_s > 0.0);
        assert!((machine.ratio(machine.verifications_per_s()) - 1.0).abs() < 1e-9);
        assert!(machine.to_string().starts_with("machine: "));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(Machine::measure(Path::new("/nowhere/at/all")).is_err());
    }
}
