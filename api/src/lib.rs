//! The HTTP API of a Quittance node: append, look up, verify, explore.
//!
//! [`router`] makes the whole API over a [`Store`](quittance_ledger::store::Store),
//! which it reads, and a node, which it reaches through the trait
//! [`Submit`](submit::Submit) only. [`serve`] serves it. Every bound stands in
//! [`limits`]; every refusal is a [`Problem`](problem::Problem).
//!
//! What is appended is parsed and verified on threads of its own and then given
//! to the node in one call; where JSON has private fields, its thread also waits
//! until the vault has them on the disk. What is read waits for the disk on the
//! runtime's blocking threads. The async threads do neither.

// What comes in must not end the process; tests may.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable))]

pub mod access;
mod append;
mod budget;
mod events;
mod extract;
mod headers;
mod host;
pub mod limits;
mod metrics;
mod openapi;
mod pages;
pub mod problem;
mod read;
mod reading;
mod router;
mod serve;
mod state;
mod stop;
pub mod submit;
mod vault;
mod verifier;

pub use limits::{ApiConfig, LimitError, Limits};
pub use router::{router, router_with_figures};
pub use serve::{ServeError, Tls, TlsError, serve};
pub use vault::Upkeep;
