// SPDX-License-Identifier: Apache-2.0

//! The runtime API by which a node hands in what it has seen a validator do.
//!
//! Two votes of one round go by GRANDPA's own runtime API; this one is for two blocks of one slot, which Aura only logs.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

use alloc::vec::Vec;

sp_api::decl_runtime_apis! {
    /// What a node that validates asks when it has seen two blocks of one slot.
    pub trait AccountabilityApi {
        /// The unsigned transaction, encoded, that reports two blocks of one slot, for this node's own pool: it is not
        /// passed on to other nodes. Nothing if the two prove no double block, or are recorded already.
        ///
        /// `first` and `second` are the encoded headers, with their seals.
        fn block_equivocation_report(first: Vec<u8>, second: Vec<u8>) -> Option<Vec<u8>>;
    }
}
