// SPDX-License-Identifier: Apache-2.0

//! A participant's data are erased: at every relay, and on record on the chain.
//!
//! The participant's key is destroyed first ([`KeyFolder::destroy`](crate::keys::KeyFolder::destroy)), because from then on
//! nobody reads what is left anywhere. Then every relay of the study is given the holder's [order](ErasureOrder). When all of
//! them have carried it out, the study's sponsor writes its digest to the chain, and audits call the entries erased. Each
//! step may be interrupted, and done again.

mod chain;
mod devices;
mod relays;
mod words;

pub use chain::{sponsor, write_down, Chain, Written};
pub use devices::Devices;
pub use mhealth_api::{ErasureOrder, ErasureOutcome};
pub use relays::{give, RelayAnswer};
