// SPDX-License-Identifier: Apache-2.0

//! A thief who got hold of an authentication server: its database, and the secret that opens the signing key in it.

use std::path::Path;

use anyhow::{anyhow, Context, Result};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use ed25519_dalek::{Signer, SigningKey};
use hashchain::{encoding, DeviceId, Native, StudyId};
use mhealth_api::{Claims, Confirmation, Hash, Key, Thumbprint};
use mhealth_testing::handset;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

const NONCE_LENGTH: usize = 12;
const LIFETIME: u64 = 600;

/// The stolen key, and whose tokens it makes.
pub(crate) struct StolenServerKey {
    name: String,
    key: SigningKey,
    issuer: String,
    chain: Hash,
    study: StudyId,
    relays: Vec<String>,
}

impl StolenServerKey {
    /// Reads the key out of the server's database. Its secret is that of the server's account.
    pub(crate) fn steal(
        database: &Path,
        secret: &str,
        issuer: &str,
        chain: Hash,
        study: StudyId,
        relays: Vec<String>,
    ) -> Result<Self> {
        let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let newest = "SELECT kid, wrapped FROM signing_keys ORDER BY id DESC LIMIT 1";
        let (name, wrapped): (String, Vec<u8>) =
            database.query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let cipher = encoding::hash::<Native>("auth-keys", &[secret.as_bytes()]);
        let (nonce, sealed) = wrapped
            .split_at_checked(NONCE_LENGTH)
            .context("the key in the database is too short")?;
        let payload = Payload {
            msg: sealed,
            aad: name.as_bytes(),
        };
        let seed = ChaCha20Poly1305::new((&cipher).into())
            .decrypt(Nonce::from_slice(nonce), payload)
            .map_err(|_| anyhow!("the secret does not open the key"))?;
        let seed: [u8; 32] = seed.as_slice().try_into().context("another kind of key")?;
        Ok(StolenServerKey {
            name,
            key: SigningKey::from_bytes(&seed),
            issuer: issuer.to_owned(),
            chain,
            study,
            relays,
        })
    }

    /// An authentication key for any device, bound to any key.
    pub(crate) fn token(&self, device: DeviceId, key: &Key) -> Result<String> {
        let now = handset::now();
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.name });
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.relays.clone(),
            sub: device.to_string(),
            iat: now,
            nbf: now.saturating_sub(5),
            exp: now + LIFETIME,
            jti: format!("stolen-{device}-{now}"),
            chain: self.chain,
            study: self.study,
            cnf: Confirmation {
                jkt: Thumbprint::of(key),
            },
        };
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?)
        );
        let signature = self.key.sign(signed.as_bytes()).to_bytes();
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
