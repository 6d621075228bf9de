// SPDX-License-Identifier: Apache-2.0

//! Proofs that a request comes from the device's key (RFC 9449). Whoever sees one cannot use it for anything else.

use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    string::{String, ToString},
};
use core::{fmt, time::Duration};

use mhealth_api::{Key, ProofClaims, DPOP, DPOP_NONCE};
use zeroize::Zeroizing;

use super::tokens::Token;
use crate::{
    host::{Answer, EntropyFault, Request},
    key::DeviceKey,
    lock::Mutex,
    senses::{Moment, Senses},
};

/// How long a server's nonce is used. After that the device does without one, and gets another if its clock is still wrong.
const NONCE: Duration = Duration::from_secs(60);
/// Longest nonce that is kept, and how many at most: a few addresses of each server are posted to.
const LONGEST_NONCE: usize = 256;
const MOST_NONCES: usize = 256;

/// Makes proofs. Servers that find the device's clock wrong give it nonces, one for each address.
pub(super) struct Possession {
    senses: Senses,
    nonces: Mutex<BTreeMap<String, (String, Moment)>>,
}

impl Possession {
    pub(super) fn new(senses: Senses) -> Self {
        Self {
            senses,
            nonces: Mutex::default(),
        }
    }

    /// Gives a request a proof of its own, and the token if there is one.
    pub(super) fn prove(
        &self,
        request: &mut Request,
        key: &DeviceKey,
        token: Option<&Token>,
    ) -> Result<(), EntropyFault> {
        let mut name = [0; 16];
        self.senses.entropy.fill(&mut name)?;
        let now = self.senses.now().try_into();
        let claims = ProofClaims::new(
            request.method.as_str(),
            &request.url,
            now.unwrap_or_default(),
            name,
        );
        let claims = match token {
            Some(token) => claims.with_token(token.expose()),
            None => claims,
        };
        let claims = claims.with_nonce(self.nonce(&request.url));
        let public = Key(key.public().0);
        let proof = claims.signed(&public, |message| key.sign(message).0);
        request.headers.push(("dpop", Zeroizing::new(proof)));
        // No token of an authentication server has other characters; the relay says that it is missing.
        let token = token.filter(|token| token.expose().bytes().all(|b| (0x20..0x7f).contains(&b)));
        if let Some(token) = token {
            let value = Zeroizing::new(format!("{DPOP} {}", token.expose()));
            request.headers.push(("authorization", value));
        }
        Ok(())
    }

    /// Keeps the nonce that an answer from this address brings.
    pub(super) fn learn(&self, url: &str, answer: &Answer) {
        let nonce = answer.header(&DPOP_NONCE.to_ascii_lowercase());
        if let Some(nonce) = nonce.filter(|nonce| nonce.len() <= LONGEST_NONCE) {
            let kept = (nonce.to_string(), self.senses.moment());
            let mut nonces = self.nonces.lock();
            if nonces.len() >= MOST_NONCES {
                nonces.retain(|_, (_, since)| since.elapsed() < NONCE / 2);
            }
            if nonces.len() < MOST_NONCES {
                nonces.insert(url.to_owned(), kept);
            }
        }
    }

    fn nonce(&self, url: &str) -> Option<String> {
        let nonces = self.nonces.lock();
        let (nonce, since) = nonces.get(url)?;
        (since.elapsed() < NONCE).then(|| nonce.clone())
    }
}

impl fmt::Debug for Possession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Possession")
    }
}
