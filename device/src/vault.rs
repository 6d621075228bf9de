// SPDX-License-Identifier: Apache-2.0

//! What is secret, encrypted for the store with a key that the phone's key store wraps.
//!
//! XChaCha20-Poly1305 with random nonces. Each secret is bound to what it is and where it belongs, so that none passes for another.

use alloc::{string::ToString, vec::Vec};

use chacha20poly1305::{
    aead::{Aead, Payload},
    Key, KeyInit, XChaCha20Poly1305, XNonce,
};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    host::{Entropy, Keystore, KeystoreFault},
};

const NONCE: usize = 24;

/// Says that a key is the one that the store was made with.
const PROBE: &[u8] = b"mhealth-device/probe";

/// Encrypts and decrypts with the store's key, which is in memory only.
pub(crate) struct Vault(XChaCha20Poly1305);

impl Vault {
    /// A new key. Gives it wrapped, too, and a probe of it.
    pub(crate) async fn make(
        keystore: &impl Keystore,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Vec<u8>, Vec<u8>), Error> {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(&mut *key).map_err(|_| Error::NoRandom)?;
        let wrapped = keystore.wrap(&*key).await.map_err(failed)?;
        let vault = Self(XChaCha20Poly1305::new(Key::from_slice(&*key)));
        let probe = vault.close(PROBE, PROBE, entropy)?;
        Ok((vault, wrapped, probe))
    }

    /// The key that was wrapped, if the probe is of it.
    pub(crate) async fn open(
        keystore: &impl Keystore,
        wrapped: &[u8],
        probe: &[u8],
    ) -> Result<Self, Error> {
        let key = keystore.unwrap(wrapped).await.map_err(failed)?;
        if key.len() != 32 {
            return Err(failed(KeystoreFault::Foreign));
        }
        let vault = Self(XChaCha20Poly1305::new(Key::from_slice(&key)));
        match vault.reveal(PROBE, probe) {
            Some(_) => Ok(vault),
            None => Err(failed(KeystoreFault::Foreign)),
        }
    }

    /// A secret as it may be stored; `label` says what it is and where it belongs.
    pub(crate) fn close(
        &self,
        label: &[u8],
        secret: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce).map_err(|_| Error::NoRandom)?;
        let payload = Payload {
            msg: secret,
            aad: label,
        };
        let sealed = self.0.encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.expect("a secret is far shorter than the cipher takes; qed");
        Ok([&nonce[..], &sealed].concat())
    }

    /// What was stored; none if it is not what it should be.
    pub(crate) fn reveal(&self, label: &[u8], stored: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = stored.split_at_checked(NONCE)?;
        let payload = Payload {
            msg: sealed,
            aad: label,
        };
        let secret = self.0.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        Some(Zeroizing::new(secret))
    }
}

fn failed(fault: KeystoreFault) -> Error {
    match fault {
        KeystoreFault::Foreign => Error::WrongKeystore("of this app".into()),
        KeystoreFault::Locked => Error::KeystoreLocked,
        KeystoreFault::Failed(reason) => Error::KeystoreFailed(reason.to_string()),
    }
}
