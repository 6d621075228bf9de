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
//! A device goes through the modules in this order:
//!
//! 1. [`routes`]: who asks is let in, by address or by a credential of the staff, which is for some duties only; staff can get one
//!    from a provider of the house ([`login`]);
//! 2. [`staff`] and [`codes`]: staff issue a one-time code, whose hash is kept; some of what they do needs a second person
//!    ([`approvals`]);
//! 3. [`enrolments`]: a device redeems the code. Its claim and the order to enrol it are durable before the chain is asked;
//! 4. [`store`]: everything that is kept, with the log of who did what, when and why ([`log`]), and
//!    a [`mark`] of how far that has come, by which an old copy is known;
//! 5. [`orders`] and [`desk`]: what is to be done on the chain is done by one process at a time, so that several can share
//!    one database and one account, and a crash loses nothing;
//! 6. [`order_book`]: the request that waits hears what became of its order;
//! 7. [`tokens`] and [`keys`]: the device proves that it possesses its key and gets tokens, and relays get the keys that
//!    sign them.
//!
//! What all of them share is the [`app`], with a [`connection`] to the node that may come later; [`server`] and [`cli`] start it. `paper` makes the sheet that a participant is handed.

pub mod app;
pub mod approvals;
pub mod cli;
pub mod codes;
pub mod connection;
pub mod desk;
mod doctor;
pub mod enrolments;
pub mod keys;
pub mod log;
pub mod login;
pub mod mark;
pub mod metrics;
pub mod order_book;
pub mod orders;
mod paper;
mod ready;
pub mod routes;
pub mod server;
pub mod staff;
pub mod store;
pub mod tokens;
