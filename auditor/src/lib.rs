// SPDX-License-Identifier: Apache-2.0

//! Judges every entry of a study: what stands on the chain, what the relays hold, and who made it.
