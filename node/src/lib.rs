//! The process around a ledger: command line, configuration, keys, the
//! sequencer that makes blocks, and the demo.
//!
//! `quittance` (src/main.rs) is [`cli::main`] and nothing else, so that tests
//! and tools can use every part of a node as a library.

pub mod cli;
pub mod client;
pub mod config;
pub mod cosigned;
mod files;
pub mod json;
pub mod keys;
pub mod layout;
pub mod pipeline;
pub mod run;
pub mod samples;
pub mod setup;
