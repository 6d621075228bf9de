// SPDX-License-Identifier: Apache-2.0

//! Device tokens: JSON Web Tokens that authentication servers sign and this relay checks by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hashchain::{DeviceId, StudyId};
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use mhealth_api::{Claims, Code, Hash, Jwk, Key, Problem, RELAY_AUDIENCE};
use mhealth_server::SharedClock;
use sha2::{Digest, Sha256};

use crate::issuers::{Issuers, Lookup};

/// Most bytes of a token.
const MAX_TOKEN: usize = 4_096;
/// Longest life of a token, whatever its issuer says: seven days.
const MAX_LIFETIME: u64 = 7 * 86_400;
/// Verified tokens that are remembered, so that a phone that sends run after run is verified once.
const REMEMBERED: usize = 16_384;

/// What a token says, once it is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The device.
    pub device: DeviceId,
    /// Its study.
    pub study: StudyId,
    /// The key that the device must have on the chain, too.
    pub key: Key,
    expires_at: u64,
    not_before: u64,
}

/// Verifies tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    issuers: Issuers,
    chain: Hash,
    /// Seconds that the clocks of the two servers may differ.
    skew: u64,
    clock: SharedClock,
    verified: Arc<Mutex<HashMap<[u8; 32], Holder>>>,
}

impl Tokens {
    /// For tokens of one chain.
    pub fn new(issuers: Issuers, chain: Hash, skew: u64, clock: SharedClock) -> Self {
        Self {
            issuers,
            chain,
            skew,
            clock,
            verified: Arc::default(),
        }
    }

    /// Verifies a token: form, algorithm, issuer, signature, audience, times, chain, study, device.
    pub async fn verify(&self, token: &str) -> Result<Holder, Problem> {
        if token.len() > MAX_TOKEN {
            return Err(invalid("It is too long."));
        }
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.verified().get(&digest).copied();
        let holder = match known {
            Some(holder) => holder,
            None => {
                let holder = self.read(token).await?;
                let mut verified = self.verified();
                if verified.len() >= REMEMBERED {
                    verified.clear();
                }
                verified.insert(digest, holder);
                holder
            }
        };
        self.check_times(&holder)?;
        Ok(holder)
    }

    async fn read(&self, token: &str) -> Result<Holder, Problem> {
        // Nothing of this is believed before the signature is: it only says whose key to check with.
        let unverified = insecure_decode::<Claims>(token)
            .map_err(|_| invalid("It is not a token of the form that relays take."))?;
        if unverified.header.alg != Algorithm::EdDSA {
            return Err(invalid("Its algorithm is not EdDSA."));
        }
        if unverified.header.crit.is_some() {
            return Err(invalid(
                "It has critical extensions, of which relays know none.",
            ));
        }
        let issuer = &unverified.claims.iss;
        if !self.issuers.knows(issuer) {
            return Err(Code::UnknownIssuer.into());
        }
        let kid = unverified.header.kid.as_deref();
        let kid = kid.ok_or_else(|| invalid("It does not name the key that signed it."))?;
        let key = match self.issuers.key(issuer, kid).await {
            Lookup::Key(key) => key,
            Lookup::NoSuchKey => return Err(invalid("No key of its issuer has this name.")),
            Lookup::Unreachable => return Err(Code::IssuerUnavailable.into()),
        };
        let claims = signed_claims(token, &key)?;
        self.check(&claims)
    }

    fn check(&self, claims: &Claims) -> Result<Holder, Problem> {
        if claims.aud != RELAY_AUDIENCE {
            return Err(Code::WrongAudience.into());
        }
        if claims.exp <= claims.nbf || claims.exp - claims.nbf > MAX_LIFETIME {
            return Err(invalid(
                "It expires before it is valid, or is valid for more than seven days.",
            ));
        }
        let key = claims.cnf.jwk.key();
        let device = claims.sub.parse().ok();
        let holder = Holder {
            device: device.ok_or_else(|| invalid("Its subject is not a device's number."))?,
            study: claims.study,
            key: key.ok_or_else(|| invalid("It names no Ed25519 key of the device."))?,
            expires_at: claims.exp,
            not_before: claims.nbf,
        };
        self.check_times(&holder)?;
        if claims.chain != self.chain {
            return Err(Code::WrongChain.into());
        }
        if !self.issuers.speaks_for(&claims.iss, claims.study) {
            return Err(Code::WrongStudy.into());
        }
        Ok(holder)
    }

    fn check_times(&self, holder: &Holder) -> Result<(), Problem> {
        let now = self.clock.now();
        if now >= holder.expires_at.saturating_add(self.skew) {
            return Err(Code::TokenExpired.into());
        }
        if now.saturating_add(self.skew) < holder.not_before {
            let problem = Problem::new(Code::TokenNotYetValid);
            return Err(Problem {
                server_time: Some(now),
                ..problem
            });
        }
        Ok(())
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Holder>> {
        self.verified
            .lock()
            .expect("no holder of this lock panics; qed")
    }
}

/// The claims, once the signature is seen to be the key's.
fn signed_claims(token: &str, key: &Key) -> Result<Claims, Problem> {
    let key = DecodingKey::from_ed_components(&Jwk::of(key).x)
        .map_err(|_| invalid("The key that signed it is not a valid key."))?;
    // Times and audience are checked by our own clock, with codes of their own.
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .map(|token| token.claims)
        .map_err(|_| invalid("Its signature is not its issuer's."))
}

fn invalid(detail: &str) -> Problem {
    Problem::with_detail(Code::InvalidToken, detail)
}
