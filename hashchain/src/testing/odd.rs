// SPDX-License-Identifier: Apache-2.0

//! Signatures that no honest library makes: with points of the maker's choice. Who holds the private key can make them, and the
//! chain accepts many of them.

use curve25519_dalek::constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION};
use curve25519_dalek::{EdwardsPoint, Scalar};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha512};

/// Signs like Ed25519, but with a point of order 2 added to the signature's: valid by ZIP 215, and refused by the strict rule.
pub fn sign_oddly(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    let public = key.verifying_key().to_bytes();
    let nonce = challenge(&public, key.as_bytes(), message);
    let point = &nonce * ED25519_BASEPOINT_TABLE + EIGHT_TORSION[4];
    sign_with(&key.to_scalar(), &public, &nonce, &encoded(&point), message)
}

/// A signature `point ‖ nonce + k · private` for `k = SHA-512(point ‖ public ‖ message)`, whatever points and keys are: Ed25519 when
/// `point` is `nonce` times the base point and `public` is `private` times it.
pub fn sign_with(
    private: &Scalar,
    public: &[u8; 32],
    nonce: &Scalar,
    point: &[u8; 32],
    message: &[u8],
) -> [u8; 64] {
    let scalar = nonce + challenge(public, point, message) * private;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(point);
    signature[32..].copy_from_slice(scalar.as_bytes());
    signature
}

/// The `k` of a signature with this point. Which points of small order cancel out depends on it.
pub fn challenge(public: &[u8; 32], point: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new()
        .chain_update(point)
        .chain_update(public)
        .chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// A point as Ed25519 writes it.
pub fn encoded(point: &EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}
