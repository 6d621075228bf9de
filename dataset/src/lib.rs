// SPDX-License-Identifier: Apache-2.0

//! Participants' keys, and datasets of what their phones registered.
//!
//! # What it is for
//!
//! A trial's data can be read by one party only: the holder of the participants' private keys, who is not the auditor. The holder
//! keeps the keys with this crate ([`keys`]), has a participant erased who wants that ([`erase`]), and makes with it what
//! statisticians analyse ([`fn@export`]): every night in a row of its own, with its place on the chain, what the audit says of it,
//! and the bounds of its time. What is not valid is left out, and counted. Anybody can check such a dataset offline ([`fn@verify`]): that the holder signed it as it is, and that each row is what
//! the chain has in its place; with the audit's report, that each says what the audit says of it, and that none is left out.
//!
//! # How it is made
//!
//! An audit's JSON report says which entries there are, device by device, and what is to be thought of them. The relays' exports
//! have their sealed envelopes, found by the digests that the report names. Evidence proves that the chain has those digests in
//! those places, and to which participant's key each device seals. Everything is read as a stream; what is kept is links
//! and digests of the evidence, places of the envelopes that are needed, the rows of one device, and one record in parts.

pub mod audit;
pub mod columns;
mod corrections;
mod count;
mod envelopes;
pub mod erase;
mod error;
mod export;
mod folder;
mod formats;
mod input;
pub mod keys;
pub mod manifest;
mod measures;
mod nights;
mod owners;
mod person;
mod places;
mod records;
pub mod registry;
mod row;
mod told;
mod verify;
mod wanted;

pub use envelopes::{ExportRead, NamedFile};
pub use error::DataError;
pub use export::{export, Job, Progress};
pub use folder::take_away_unfinished;
pub use formats::Format;
pub use measures::Measures;
pub use person::SCHEMA as MY_DATA_SCHEMA;
pub use row::{InParts, Problem, Row};
pub use verify::{verify, Contradiction, Trusted, Verified};
