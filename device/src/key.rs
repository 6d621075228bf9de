// SPDX-License-Identifier: Apache-2.0

//! The device's Ed25519 key: its account on the chain, and what signs its runs.

use alloc::string::{String, ToString};
use core::fmt;

use ed25519_dalek::{Signer, SigningKey};
use hashchain::{hex::Hex, key_proof_message, KeyProof, LinkHash};
use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

/// Public half of a device's key; at the same time the device's account on the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&readable(&self.0))
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature(0x{})", hex::encode(self.0))
    }
}

/// A device's private key. Erased from memory when dropped, never printed.
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// Makes a new one.
    pub fn generate<R: CryptoRng + RngCore>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }

    /// The key of a stored seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for the store and for the device's account. Never log it.
    pub fn expose_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// `σ = Ed25519(device key, enc("head", head))`, the signature of a run that ends in `head`. The same head
    /// always gets the same signature, so that a retry sends the same bytes.
    pub fn sign_head(&self, head: &LinkHash) -> Signature {
        self.sign(&hashchain::head_message(head))
    }

    /// Signs a proof of possession. Every such message begins with a label of its own, so that none passes for another or
    /// for the head of a run.
    /// Agrees to be enrolled as it says there, and nowhere else.
    pub fn agree(&self, to: &KeyProof<'_>) -> Signature {
        self.sign(&key_proof_message(to))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({}, redacted)", self.public())
    }
}

/// A key or a hash for people to read.
pub(crate) fn readable(bytes: &[u8; 32]) -> String {
    Hex(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, SeedableRng};

    #[test]
    fn debug_shows_the_public_key_and_never_the_seed() {
        let key = DeviceKey::generate(&mut StdRng::seed_from_u64(1));
        let shown = format!("{key:?}");
        assert!(shown.contains(&hex::encode(key.public().0)));
        assert!(!shown.contains(&hex::encode(*key.expose_seed())));
    }

    #[test]
    fn the_same_head_always_gets_the_same_signature() {
        let key = DeviceKey::generate(&mut StdRng::seed_from_u64(2));
        let again = DeviceKey::from_seed(&key.expose_seed());
        let head = LinkHash([9; 32]);
        assert_eq!(key.sign_head(&head), again.sign_head(&head));
        let message = hashchain::head_message(&head);
        let signature = key.sign_head(&head).0;
        assert!(hashchain::is_strictly_signed(
            &key.public().0,
            &message,
            &signature
        ));
    }
}
