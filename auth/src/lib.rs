// SPDX-License-Identifier: Apache-2.0

//! The authentication server: enrols devices and issues their authentication keys.
//!
//! Staff of a study hand out one-time codes. A device redeems its code with a key, a proof that it possesses the key, a
//! commitment to its secret, and the secret sealed to the study's auditor; the server registers all that on the chain and
//! answers when it is finalised. From then on the device gets short-lived tokens (the paper's *authentication key*), which
//! relays verify without asking anybody.
//!
//! The server never sees a device's secret, and whoever steals its signing key can mint tokens, but not entries.
//!
//! - [`codes`]: one-time enrolment codes.
//! - [`enrolments`]: from a redeemed code to a device on the chain.
//! - [`orders`] and [`desk`]: what the server is to do on the chain is stored before it is done, and done by one process at
//!   a time, so that several processes can share one database and one account, and a crash loses nothing.
//! - [`tokens`] and [`keys`]: tokens, and the keys that sign them.
//! - [`admins`] and [`log`]: who may administer, and who did what, when and why.
//! - [`server`]: the HTTP routes, and how it all starts.

pub mod admins;
pub mod cli;
pub mod codes;
pub mod desk;
pub mod enrolments;
pub mod keys;
pub mod log;
pub mod metrics;
pub mod office;
pub mod orders;
pub mod routes;
pub mod schema;
pub mod server;
pub mod tokens;
