// SPDX-License-Identifier: Apache-2.0

//! Signatures by the node instead of by the Wasm runtime, and many at once.
//!
//! A batch of Ed25519 signatures is checked with one multiplication over all of them, which costs less than half of what
//! checking one by one does. Both follow the rules of ZIP 215, as Substrate's own `ed25519_verify` does, so that they
//! agree about every signature, the odd ones included.
//!
//! This is the one function that the runtime asks of a node beside Substrate's own.

use alloc::vec::Vec;
use sp_core::ed25519;
use sp_runtime_interface::{pass_by::PassFatPointerAndDecode, runtime_interface};

/// A signature, the key that should have made it, and what it is over.
pub type SignedMessage = (ed25519::Signature, ed25519::Public, Vec<u8>);

/// Host functions of this chain's nodes.
#[runtime_interface]
pub trait HashchainSignatures {
    /// Whether every one of these Ed25519 signatures is valid by the rules of ZIP 215. None at all are.
    ///
    /// False says only that one of them is not. An invalid one passes with a probability of 2⁻¹²⁸: the check multiplies by
    /// random numbers, which no author of signatures can know.
    fn ed25519_verify_all(signed: PassFatPointerAndDecode<Vec<SignedMessage>>) -> bool {
        let mut batch = ed25519_zebra::batch::Verifier::new();
        for (signature, key, message) in &signed {
            let key = ed25519_zebra::VerificationKeyBytes::from(key.0);
            let signature = ed25519_zebra::Signature::from(signature.0);
            batch.queue((key, signature, message));
        }
        batch.verify(rand_core::OsRng).is_ok()
    }
}

#[cfg(not(substrate_runtime))]
pub use hashchain_signatures::HostFunctions;
