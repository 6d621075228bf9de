// SPDX-License-Identifier: Apache-2.0

//! The patient's side of mHealth Chain: what a phone app links.
//!
//! Everything that a phone records is chained by hash, with a secret that leaves the phone only sealed to the study's
//! auditor, **before** anything is sent. Whoever alters it on the way — a hacked relay, a thief of credentials — breaks
//! the chain where anybody can see it.
//!
//! A [`Phone`] enrols with a code, seals records, sends them, and compares itself with the chain. This library does no I/O: it needs
//! `alloc`, and the five traits of [`host`], by which the app's platform keeps bytes, wraps keys, sends requests, tells the time and
//! gives random numbers. Errors have stable codes; neither they nor the logs contain patient data or secrets.
//!
//! ```
//! use core::time::Duration;
//! use mhealth_device::{
//!     host::{Host, Keystore, PhoneStore, Transport},
//!     Change, Options, Phone, Record, Standing,
//! };
//!
//! async fn life(
//!     host: Host<impl PhoneStore, impl Transport>,
//!     keystore: impl Keystore,
//! ) -> Result<(), mhealth_device::SyncError> {
//!     let phone = Phone::open(host, &keystore, Options::default()).await?;
//!     // Once, with what the study's staff handed out:
//!     let code = "00000-00000-00000-00000-NT18T-B2ZW3-QZWY7-4SQ46";
//!     phone.enrol("https://auth.example.org", code, Duration::from_secs(60)).await?;
//!
//!     // Every morning, online or not. Durable when it returns; the same source is sealed once.
//!     let record = Record { source: "2026-01-06", media_type: "application/json", payload: b"{}" };
//!     phone.seal(&record, Change::Refuse)?;
//!
//!     // Whenever there is a connection. Whatever fails in between, nothing is lost or sent twice.
//!     match phone.sync(Duration::from_secs(25)).await? {
//!         Standing::Level => { /* the chain is proved to have all of it */ }
//!         Standing::Queued(_entries) => { /* they are sent next time */ }
//!         Standing::Frozen(_reason) => { /* somebody else writes in its name */ }
//!         Standing::Unenrolled => { /* the code was not redeemed yet */ }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The modules inside, in the order in which a record meets them:
//!
//! 1. `phone`: what an app calls. [`host`]: what it brings.
//! 2. [`seal`](mod@seal): from a payload to an envelope and an entry.
//! 3. [`book`]: what is known of devices, and where it is kept; [`ledger`]: a phone's book over the host's store, `vault`: what is secret
//!    in it. `audit` checks it when it is opened.
//! 4. `queue`: from entries to signed runs, which never change.
//! 5. `upload`: what is queued, until the chain has finalised it; [`fleet`]: the same for several devices.
//! 6. [`chain`]: what a device asks of the chain; the border to every way there. `proof`: what it believes of the answers.
//! 7. [`servers`]: the way through an authentication server and relays (the paper's Figures 1b and 1c).
//! 8. `sync`: whether the chain's head is the device's own, and what to do when it is not. `export`: how what is left on a
//!    stopped device gets to an auditor.
//!
//! With the feature `payload`, `payload` has what a trial of insomnia records.
#![cfg_attr(not(any(test, feature = "payload")), no_std)]

#[macro_use]
extern crate alloc;

mod advice;
mod audit;
pub mod book;
pub mod chain;
mod continuation;
mod enrol;
mod error;
mod export;
pub mod fleet;
mod freeze;
pub mod host;
mod key;
pub mod ledger;
mod lock;
#[cfg(feature = "payload")]
pub mod payload;
mod phone;
mod proof;
mod queue;
pub mod seal;
mod senses;
pub mod servers;
mod single;
mod status;
mod sync;
mod upload;
mod vault;

pub use book::{EnrolmentCode, Participant, Terms};
pub use error::Error;
pub use export::UnenrolledRun;
pub use freeze::FreezeReason;
pub use key::PublicKey;
pub use mhealth_evidence::Checkpoint;
pub use phone::{Options, Phone};
pub use seal::{Change, Recipient, Record, Sealed};
pub use senses::Senses;
pub use status::{Advice, Status};
pub use sync::{Standing, SyncError};
