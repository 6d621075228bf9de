// SPDX-License-Identifier: Apache-2.0

//! The packages for apps against the real system: a chain with real finality, an authentication server and relays.
//! `scripts/test sdk` builds the packages and runs this.

mod away;
mod nights;
mod pages;
mod phone;
mod readme;
mod store;
mod study;
