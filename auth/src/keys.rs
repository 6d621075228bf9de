// SPDX-License-Identifier: Apache-2.0

//! The keys that sign tokens. They rotate: a new key signs at once, and the one before it stays in the key set until its
//! last token has expired, unless all keys before are withdrawn with it.
//!
//! Secret keys are in the database encrypted (ChaCha20-Poly1305, RFC 8439), because databases are backed up and copied.
//! The encrypting key is derived from a secret that only the server has.

use std::sync::{Arc, Mutex};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use ed25519_dalek::SigningKey;
use hashchain::encoding::hash;
use hashchain::Native;
use jsonwebtoken::EncodingKey;
use mhealth_api::{Jwk, JwkSet};
use mhealth_server::{ApiError, SecretText};
use rand::TryRngCore;
use zeroize::Zeroizing;

use crate::log::Note;
use crate::store::{Before, Decision, Store};

const NONCE_LENGTH: usize = 12;
/// PKCS #8 (RFC 8410, section 7) around the 32 bytes of an Ed25519 seed.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];

/// A key that signs now.
#[derive(Clone)]
pub struct Signing {
    /// Its name in the key set.
    pub kid: String,
    /// For the JWT library.
    pub key: EncodingKey,
}

/// The server's keys.
pub struct KeyRing {
    store: Store,
    cipher: ChaCha20Poly1305,
    current: Mutex<Option<Arc<Signing>>>,
}

impl KeyRing {
    /// The keys of this store, encrypted under a key that is derived from this secret.
    pub fn new(store: Store, secret: &SecretText) -> Self {
        let key = Zeroizing::new(hash::<Native>("auth-keys", &[secret.expose().as_bytes()]));
        Self {
            store,
            cipher: ChaCha20Poly1305::new((&*key).into()),
            current: Mutex::default(),
        }
    }

    /// Makes the first key when there is none, or none that this secret opens.
    pub async fn prepare(&self, now: u64) -> Result<(), ApiError> {
        let why = match self.store.newest_signing_key().await? {
            Some((kid, Some(wrapped))) if self.unwrap(&kid, &wrapped).is_ok() => return Ok(()),
            Some(_) => "the key before cannot be opened with the server's secret",
            None => "first start",
        };
        self.make(why, "server", now, None).await.map(drop)
    }

    /// The key that signs, which another process may have made a moment ago.
    pub async fn signing(&self) -> Result<Arc<Signing>, ApiError> {
        let (kid, wrapped) = self
            .store
            .newest_signing_key()
            .await?
            .ok_or_else(|| ApiError::internal("there is no signing key"))?;
        let known = self
            .current
            .lock()
            .expect("no holder of this lock panics; qed")
            .clone();
        if let Some(known) = known.filter(|known| known.kid == kid) {
            return Ok(known);
        }
        let wrapped =
            wrapped.ok_or_else(|| ApiError::internal("the newest signing key was forgotten"))?;
        let seed = self.unwrap(&kid, &wrapped)?;
        let mut der = Zeroizing::new(PKCS8.to_vec());
        der.extend_from_slice(&*seed);
        let signing = Arc::new(Signing {
            kid,
            key: EncodingKey::from_ed_der(&der),
        });
        *self
            .current
            .lock()
            .expect("no holder of this lock panics; qed") = Some(signing.clone());
        Ok(signing)
    }

    /// Makes a new key, which signs from now on; returns its name. None when it needs a decision that came too late.
    pub async fn make(
        &self,
        why: &str,
        actor: &str,
        now: u64,
        decision: Option<&Decision>,
    ) -> Result<Option<String>, ApiError> {
        self.follow(Before::Stay, why, actor, now, decision).await
    }

    /// Makes a new key, which signs from now on, and withdraws all others at once, with every token that they signed; returns
    /// its name. For when a key may be in other hands, so it waits for nobody.
    pub async fn revoke(&self, why: &str, actor: &str, now: u64) -> Result<String, ApiError> {
        let made = self.follow(Before::Withdrawn, why, actor, now, None);
        made.await?
            .ok_or_else(|| ApiError::internal("a decision was waited for that nobody asked for"))
    }

    async fn follow(
        &self,
        before: Before,
        why: &str,
        actor: &str,
        now: u64,
        decision: Option<&Decision>,
    ) -> Result<Option<String>, ApiError> {
        let mut seed = Zeroizing::new([0; 32]);
        rand::rngs::OsRng
            .try_fill_bytes(&mut *seed)
            .map_err(ApiError::internal)?;
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let kid = hex::encode(&public[..8]);
        let wrapped = self.wrap(&kid, &seed)?;
        let subject = format!("key {kid}");
        let note = Note {
            at: now,
            actor,
            action: match before {
                Before::Stay => "signing key made",
                Before::Withdrawn => "signing key made, all others withdrawn",
            },
            subject: &subject,
            why,
        };
        let made = self
            .store
            .add_signing_key(&kid, public, wrapped, before, note, decision);
        Ok(made.await?.then_some(kid))
    }

    /// The key that signs, and those whose last tokens may still live: `grace` is how long, in seconds, after a key was
    /// followed by another.
    pub async fn public(&self, now: u64, grace: u64) -> Result<JwkSet, ApiError> {
        let keys = self.store.public_keys(now.saturating_sub(grace)).await?;
        let keys = keys.iter().map(|(kid, key)| Jwk::signing(key, kid.clone()));
        Ok(JwkSet {
            keys: keys.collect(),
        })
    }

    fn wrap(&self, kid: &str, seed: &[u8; 32]) -> Result<Vec<u8>, ApiError> {
        let mut nonce = [0; NONCE_LENGTH];
        rand::rngs::OsRng
            .try_fill_bytes(&mut nonce)
            .map_err(ApiError::internal)?;
        let payload = Payload {
            msg: seed,
            aad: kid.as_bytes(),
        };
        let sealed = self.cipher.encrypt(Nonce::from_slice(&nonce), payload);
        let sealed =
            sealed.map_err(|_| ApiError::internal("a signing key could not be encrypted"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    fn unwrap(&self, kid: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ApiError> {
        let closed =
            || ApiError::internal("the signing key cannot be opened with the server's secret");
        let (nonce, sealed) = wrapped.split_at_checked(NONCE_LENGTH).ok_or_else(closed)?;
        let payload = Payload {
            msg: sealed,
            aad: kid.as_bytes(),
        };
        let seed = self
            .cipher
            .decrypt(Nonce::from_slice(nonce), payload)
            .map(Zeroizing::new);
        let seed = seed.map_err(|_| closed())?;
        let seed: [u8; 32] = seed.as_slice().try_into().map_err(|_| closed())?;
        Ok(Zeroizing::new(seed))
    }
}
