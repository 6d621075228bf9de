// SPDX-License-Identifier: Apache-2.0

//! The runtime API by which a node shows the chain which of its blocks is final.
//!
//! The voters sign beside the chain, so the chain sees of it only what somebody hands in.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

use alloc::vec::Vec;

sp_api::decl_runtime_apis! {
    /// What a node that validates asks when it has a finality proof.
    pub trait FinalityApi {
        /// The unsigned transaction, encoded, that shows the chain this block to be final, for this node's own pool: it is not
        /// passed on to other nodes. Nothing if it proves nothing, or if the chain knows a block that is young enough.
        ///
        /// `proof` is an encoded finality proof, as `grandpa_proveFinality` answers it.
        fn final_report(proof: Vec<u8>) -> Option<Vec<u8>>;
    }
}
