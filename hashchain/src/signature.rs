// SPDX-License-Identifier: Apache-2.0

//! The device's signature over a head, one a run: `σ = Ed25519(device key, enc("head", h_j))`; and the two rules by which Ed25519
//! signatures are judged.
//!
//! RFC 8032 leaves open what is done with points outside the group of prime order. The chain has to say yes or no the same on every
//! node, alone or in a batch, and follows ZIP 215: [`is_signed_by_zip215`]. What it accepts only the holder of the private key can
//! have made, but that holder can make signatures that other libraries refuse. So whoever takes a signature before the chain does is
//! strict, [`is_strictly_signed`], and what the chain has taken is judged by the chain's own rule. Whatever is strictly signed is signed by ZIP 215, too.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::link::head_message;
use crate::newtypes::LinkHash;

/// Signs `head`, and with it every entry before.
pub fn sign_head(device: &SigningKey, head: &LinkHash) -> [u8; 64] {
    device.sign(&head_message(head)).to_bytes()
}

/// Whether `key` signed `message`, by the rule of phones, authentication servers and relays, and of everybody who takes a signature
/// before the chain does.
///
/// Strict: the equation holds without the cofactor, and neither key nor signature has a point of small order. Every library that
/// follows RFC 8032 accepts what this accepts.
pub fn is_strictly_signed(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| {
        key.verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    })
}

/// Whether `key` signed `message`, by the rule of the chain: for whatever the chain has accepted, and for nothing else.
///
/// ZIP 215: the equation is multiplied by the cofactor, and encodings of points need not be canonical. By the library that
/// the chain's nodes check with.
#[cfg(feature = "zip215")]
pub fn is_signed_by_zip215(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    ed25519_zebra::VerificationKey::try_from(*key)
        .is_ok_and(|key| key.verify(&(*signature).into(), message).is_ok())
}
