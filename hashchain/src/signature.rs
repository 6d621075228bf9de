// SPDX-License-Identifier: Apache-2.0

//! The device's signature over a head: one a run, `σ = Ed25519(device key, enc("head", h_j))`.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::link::head_message;
use crate::newtypes::LinkHash;

/// Signs `head`, and with it every entry before.
pub fn sign_head(device: &SigningKey, head: &LinkHash) -> [u8; 64] {
    device.sign(&head_message(head)).to_bytes()
}

/// Whether `signature` is that of the device over `head`. Strict: refuses keys and signatures of small
/// order, which an honest device never has, and for which one signature would fit many messages.
pub fn is_signed(device_key: &[u8; 32], head: &LinkHash, signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(device_key).is_ok_and(|key| {
        key.verify_strict(&head_message(head), &Signature::from_bytes(signature))
            .is_ok()
    })
}
