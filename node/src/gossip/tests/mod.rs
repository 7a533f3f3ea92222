//! Several swarms in one process, on 127.0.0.1 with ports that the system chooses.
//! Nothing here sleeps for luck: tests wait for a condition, or for a deadline that
//! proves a point by passing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod codec;
mod connections;
mod exchange;
mod harness;
mod misbehaviour;
mod raw;
mod requests;
mod strangers;
