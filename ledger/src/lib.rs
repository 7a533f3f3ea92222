//! What a regulator has to trust of a Quittance ledger, and nothing else.
//!
//! Bytes become a verified [`record::Record`]: [`membership`] knows who may sign
//! it, [`insurance`] what it may say after the ones before it, and what people see
//! of them all. Records become a block of the hash [`chain`]; the [`transparency`]
//! tree over their ids is what checkpoints and receipts prove; [`store`] keeps it
//! all; [`audit`] checks a whole history again from nothing. What is private never
//! enters any of these: it stays in the [`vault`], where it can be erased.
//!
//! This crate is synchronous. It opens no socket, reads no clock (time is
//! always an argument) and knows no async runtime, so that the same input gives
//! the same answer on every node and in every test.

// What comes in must not end the process; tests may.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable))]

pub mod audit;
pub mod chain;
pub mod digest;
pub mod insurance;
pub mod limits;
pub mod membership;
pub mod record;
pub mod refusal;
pub mod store;
#[cfg(test)]
mod testing;
pub mod time_zones;
pub mod transparency;
pub mod vault;
pub mod wire;
