// SPDX-License-Identifier: Apache-2.0

//! The full node of mHealth Chain.
//!
//! It keeps a copy of the chain, executes and checks every block, serves clients over JSON-RPC and, with the keys of a
//! validator, makes blocks (Aura) and votes for their finality (GRANDPA). What the chain *does* is not decided here but in
//! the runtime, which the chain carries with it.

mod chain_spec;
mod checkpoint;
mod cli;
mod command;
mod rpc;
mod service;
mod well_known_keys;

pub use command::run;
