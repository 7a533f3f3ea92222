//! The process around a ledger: command line, configuration, keys, the
//! consensus engine and what it asks of the ledger, and the demo.
//!
//! `quittance` (src/main.rs) is [`cli::main`] and nothing else, so that tests
//! and tools can use every part of a node as a library.

// What comes in must not end the process; tests may.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable))]

#[cfg(feature = "byzantine")]
pub mod byzantine;
pub mod cli;
pub mod client;
pub mod config;
pub mod cosigned;
pub mod engine;
mod files;
pub mod gossip;
pub mod json;
pub mod keys;
pub mod layout;
pub mod network;
pub mod pipeline;
pub mod resync;
pub mod run;
pub mod samples;
pub mod setup;
pub mod tokens;
