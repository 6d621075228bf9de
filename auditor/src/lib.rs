// SPDX-License-Identifier: Apache-2.0

//! Judges every entry of a study: what the chain has, what the relays hold, and who made it.
//!
//! # What it is for
//!
//! A monitor of a clinical trial asks of every night and every diary page: did the patient's phone make this, is it what the
//! phone made, and if not, whose doing is it? The chain knows the order and the fingerprints of all entries, the relays keep
//! the data, and the study's auditor can open the secret with which each phone marked its entries. This crate lays the three
//! side by side and gives every entry one [`Verdict`], names who may be at fault and on what [`Ground`], and says what it
//! could not look at. It never says nothing.
//!
//! # How it is made
//!
//! [`judge`] is a function of a [`Case`] and of nothing else: no node, no file, no clock. Everything before it gathers the
//! case, everything after it writes the judgement down.

pub mod audit;
pub mod case;
pub mod chain;
mod error;
pub mod evidence;
pub mod export;
mod intake;
mod judge;
pub mod part;
pub mod participants;
pub mod program;
pub mod prove;
pub mod report;
pub mod scratch;
pub mod signature;
pub mod verdict;

pub use audit::Audit;
pub use case::Case;
pub use error::AuditError;
pub use judge::{judge, Judgement, ON_ITS_WAY};
pub use verdict::{Ground, Outcome, Party, Verdict};
