// SPDX-License-Identifier: Apache-2.0

//! Proofs that a request comes from the device's key (RFC 9449). Whoever sees one cannot use it for anything else.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mhealth_api::{Key, ProofClaims, DPOP, DPOP_NONCE};
use reqwest::{
    header::{HeaderValue, AUTHORIZATION},
    Method, RequestBuilder, Response, Url,
};

use super::tokens::Token;
use crate::{clock::Clock, key::DeviceKey};

/// How long a server's nonce is used. After that the device does without one, and gets another if its clock is still wrong.
const NONCE: Duration = Duration::from_secs(60);
/// Longest nonce that is kept, and how many at most: a few addresses of each server are posted to.
const LONGEST_NONCE: usize = 256;
const MOST_NONCES: usize = 256;

/// Makes proofs. Servers that find the device's clock wrong give it nonces, one for each address.
pub(super) struct Possession {
    clock: Arc<dyn Clock>,
    nonces: Mutex<HashMap<Url, (String, Instant)>>,
}

impl Possession {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            nonces: Mutex::default(),
        }
    }

    /// A request that posts to this address, with a proof of its own, and with the token if there is one.
    pub(super) fn prove(
        &self,
        request: RequestBuilder,
        address: &str,
        key: &DeviceKey,
        token: Option<&Token>,
    ) -> RequestBuilder {
        let now = self.clock.now().unix_timestamp().try_into();
        let claims = ProofClaims::new(
            Method::POST.as_str(),
            address,
            now.unwrap_or_default(),
            rand::random(),
        );
        let claims = match token {
            Some(token) => claims.with_token(token.expose()),
            None => claims,
        };
        let claims = claims.with_nonce(self.nonce(address));
        let public = Key(key.public().0);
        let proof = claims.signed(&public, |message| key.sign(message).0);
        let request = request.header(DPOP, proof);
        match token.map(|token| HeaderValue::from_str(&format!("{DPOP} {}", token.expose()))) {
            Some(Ok(mut value)) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            // No token of an authentication server has such characters; the relay says that it is missing.
            Some(Err(_)) | None => request,
        }
    }

    /// Keeps the nonce that an answer brings.
    pub(super) fn learn(&self, answer: &Response) {
        let nonce = answer.headers().get(DPOP_NONCE);
        let nonce = nonce.and_then(|nonce| nonce.to_str().ok());
        if let Some(nonce) = nonce.filter(|nonce| nonce.len() <= LONGEST_NONCE) {
            let kept = (nonce.to_owned(), Instant::now());
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            if nonces.len() >= MOST_NONCES {
                nonces.retain(|_, (_, since)| since.elapsed() < NONCE / 2);
            }
            if nonces.len() < MOST_NONCES {
                nonces.insert(answer.url().clone(), kept);
            }
        }
    }

    fn nonce(&self, address: &str) -> Option<String> {
        let address = Url::parse(address).ok()?;
        let nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let (nonce, since) = nonces.get(&address)?;
        (since.elapsed() < NONCE).then(|| nonce.clone())
    }
}

impl fmt::Debug for Possession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Possession")
    }
}
