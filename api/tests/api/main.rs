//! The HTTP API over a real store and a node that is only a queue.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod append;
mod batch;
mod document;
mod events;
mod harness;
mod members;
mod pages;
mod private;
mod problems;
mod reading;
mod serving;
mod unsigned;
mod views;
