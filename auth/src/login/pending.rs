// SPDX-License-Identifier: Apache-2.0

//! A login between its two halves, sealed into the browser's cookie.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hashchain::encoding::hash;
use hashchain::Native;
use mhealth_server::{ApiError, SecretText};
use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const NONCE_LENGTH: usize = 12;

/// What was said to the provider.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Begun {
    /// By which this login is known among those of the browser.
    pub(super) state: String,
    /// Which the ID token must have.
    pub(super) nonce: String,
    /// PKCE (RFC 7636): by which the provider knows who may have the token.
    pub(super) verifier: String,
}

/// A login that was begun.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) begun: Begun,
    /// Until when it can be finished, in seconds since 1970.
    pub(super) until: u64,
}

/// Seals and opens what browsers keep.
pub(super) struct Seal(ChaCha20Poly1305);

impl Seal {
    /// With a key that all processes of the server derive from their secret.
    pub(super) fn new(secret: &SecretText) -> Self {
        let key = Zeroizing::new(hash::<Native>("auth-login", &[secret.expose().as_bytes()]));
        Self(ChaCha20Poly1305::new((&*key).into()))
    }

    pub(super) fn close(&self, pending: &Pending) -> Result<String, ApiError> {
        let text = serde_json::to_vec(pending).map_err(ApiError::internal)?;
        let mut nonce = [0; NONCE_LENGTH];
        rand::rngs::OsRng
            .try_fill_bytes(&mut nonce)
            .map_err(ApiError::internal)?;
        let sealed = self
            .0
            .encrypt(Nonce::from_slice(&nonce), Payload::from(&*text));
        let sealed = sealed.map_err(|_| ApiError::internal("a login could not be encrypted"))?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// None when this server did not close it.
    pub(super) fn open(&self, sealed: &str) -> Option<Pending> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LENGTH)?;
        let text = self
            .0
            .decrypt(Nonce::from_slice(nonce), Payload::from(sealed));
        serde_json::from_slice(&text.ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_opened_by_the_servers_secret_alone() {
        let seal = |secret: &str| Seal::new(&secret.parse().unwrap());
        let pending = Pending {
            begun: Begun {
                state: "a state".into(),
                nonce: "a nonce".into(),
                verifier: "a verifier".into(),
            },
            until: 7,
        };
        let sealed = seal("one").close(&pending).unwrap();
        let opened = seal("one").open(&sealed).unwrap();
        assert_eq!((&*opened.begun.verifier, opened.until), ("a verifier", 7));
        assert!(seal("two").open(&sealed).is_none());
        for broken in ["", "AAAA", "é", &sealed[1..], &sealed[..sealed.len() - 4]] {
            assert!(seal("one").open(broken).is_none(), "{broken}");
        }
    }
}
