//! The five real-life dossiers in `tests/samples`.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// The dossiers by the name of their file.
pub const DOSSIERS: [&str; 5] = ["petexpert", "heca", "legal-de", "netvox", "santevet"];

/// A line of a dossier.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Which dossier.
    pub dossier: &'static str,
    /// The member that signs it.
    pub signer: String,
    /// The code with which it is to be refused; none where it is to be accepted.
    pub refused: Option<String>,
    /// The record, without what signing fills in.
    pub record: Value,
}

/// The file of a dossier.
#[must_use]
pub fn file(dossier: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples").join(format!("{dossier}.jsonl"))
}

/// Every line of every dossier, in order.
///
/// # Panics
/// The samples are not as they should be.
#[must_use]
pub fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for dossier in DOSSIERS {
        for line in fs::read_to_string(file(dossier)).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let refused = match line["expect"].as_str().unwrap() {
                "accepted" => None,
                other => Some(other.strip_prefix("refused:").unwrap().to_owned()),
            };
            samples.push(Sample {
                dossier,
                signer: line["signer"].as_str().unwrap().to_owned(),
                refused,
                record: line["record"].clone(),
            });
        }
    }
    samples
}
