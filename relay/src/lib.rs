// SPDX-License-Identifier: Apache-2.0

//! The relay server: authenticates devices, keeps their envelopes, brings their runs to the chain.
//!
//! An upload goes through the modules in this order:
//!
//! 1. [`http`]: the head of the request is read, and the [`token`] verified with the keys of trusted [`issuers`], before a
//!    byte of the body is;
//! 2. [`mod@run`]: the upload is checked in itself: limits, digests, links, signature;
//! 3. [`intake`]: is the device who it says it is ([`directory`]), does it send too much;
//! 4. [`writer`] and [`store`]: how the run stands to the device's history, and one commit for many uploads. Only then does
//!    the device get its 202;
//! 5. [`outbox`]: the run goes into a signed transaction, which is stored and then sent; finalised blocks tell what became
//!    of it, and the run gets its receipt.
//!
//! [`erasing`] has envelopes erased on the order of the holder of the participants' keys, or because of their age.
//!
//! [`head_proofs`] hands devices the proofs by which they know, without a word of this relay, that what they sent is final.
//!
//! Every step can be interrupted by a power cut: what was acknowledged is in the database, and what is in a transaction is
//! in no other until finalised blocks say that this one never will be included.

pub mod directory;
pub mod erasing;
pub mod head_proofs;
pub mod http;
pub mod intake;
pub mod issuers;
pub mod ledger;
pub mod metrics;
#[cfg(test)]
mod mutations;
mod options;
pub mod outbox;
mod ready;
pub mod run;
mod serve;
pub mod store;
pub mod takeover;
#[cfg(test)]
mod testing;
pub mod token;
pub mod writer;

pub use options::{Command, Options, RelayOptions};
pub use serve::run;
