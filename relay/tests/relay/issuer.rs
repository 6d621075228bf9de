// SPDX-License-Identifier: Apache-2.0

//! An authentication server that does nothing but sign whatever the test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use ed25519_dalek::{Signer, SigningKey};
use hashchain::{DeviceId, StudyId};
use mhealth_api::{Claims, Confirmation, Hash, Jwk, JwkSet, Key, Thumbprint};
use serde_json::{json, Value};

pub(crate) struct Issuer {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<SigningKey>>>,
    /// Base addresses of the relays that its tokens list.
    pub(crate) relays: Vec<String>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let keys = Arc::new(Mutex::new(vec![SigningKey::from_bytes(&[77; 32])]));
        let router = Router::new()
            .route("/.well-known/jwks.json", get(key_set))
            .with_state(keys.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        Self {
            address,
            keys,
            relays: Vec::new(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on signs with another key, and no longer shows the one before.
    pub(crate) fn replace_key(&self, seed: u8) {
        *self.keys.lock().unwrap() = vec![SigningKey::from_bytes(&[seed; 32])];
    }

    pub(crate) fn key(&self) -> SigningKey {
        self.keys.lock().unwrap()[0].clone()
    }

    /// Claims of an honest token.
    pub(crate) fn claims(&self, chain: Hash, study: StudyId, device: DeviceId, key: Key) -> Claims {
        let now = now();
        Claims {
            iss: self.url(),
            aud: self.relays.clone(),
            sub: device.to_string(),
            iat: now,
            nbf: now,
            exp: now + 600,
            jti: format!("{:x}", rand::random::<u128>()),
            chain,
            study,
            cnf: Confirmation {
                jkt: Thumbprint::of(&key),
            },
        }
    }

    pub(crate) fn token(&self, claims: &Claims) -> String {
        let key = self.key();
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid(&key) });
        sign(&header, claims, &key)
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

pub(crate) fn kid(key: &SigningKey) -> String {
    format!("key-{}", key.verifying_key().to_bytes()[0])
}

/// Any header, signed by any key.
pub(crate) fn sign(header: &Value, claims: &Claims, key: &SigningKey) -> String {
    let part = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
    let header = part(serde_json::to_vec(header).unwrap());
    let claims = part(serde_json::to_vec(claims).unwrap());
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).to_bytes());
    format!("{message}.{signature}")
}

async fn key_set(State(keys): State<Arc<Mutex<Vec<SigningKey>>>>) -> Json<JwkSet> {
    let keys = keys.lock().unwrap();
    let keys = keys.iter().map(|key| {
        let public = Key(key.verifying_key().to_bytes());
        Jwk::signing(&public, kid(key))
    });
    Json(JwkSet {
        keys: keys.collect(),
    })
}
