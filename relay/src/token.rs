// SPDX-License-Identifier: Apache-2.0

//! Device tokens: JSON Web Tokens that authentication servers sign and this relay checks by itself. A token is good together
//! with a proof by the key that it is bound to, and at the relays that it lists.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hashchain::{DeviceId, StudyId};
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use mhealth_api::{Claims, Code, Hash, Jwk, Key, Problem, Thumbprint};
use mhealth_server::{BaseAddress, SharedClock};
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
pub struct Verified {
    /// The device.
    pub device: DeviceId,
    /// Its study.
    pub study: StudyId,
    /// The key that the token is bound to.
    pub thumbprint: Thumbprint,
    expires_at: u64,
    not_before: u64,
}

/// Who sends: a device that has a good token and the key to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The device.
    pub device: DeviceId,
    /// Its study.
    pub study: StudyId,
    /// The key that it has proved to possess, which it must have on the chain, too.
    pub key: Key,
}

/// A token that was verified, and the key of its issuer that verified it.
#[derive(Clone)]
struct Remembered {
    verified: Verified,
    issuer: String,
    kid: String,
    key: Key,
}

/// Verifies tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    issuers: Issuers,
    chain: Hash,
    /// Base addresses of this relay.
    addresses: Arc<[BaseAddress]>,
    /// Seconds that the clocks of the two servers may differ.
    skew: u64,
    clock: SharedClock,
    remembered: Arc<Mutex<HashMap<[u8; 32], Remembered>>>,
}

impl Tokens {
    /// For tokens of one chain, at a relay with these base addresses.
    pub fn new(
        issuers: Issuers,
        chain: Hash,
        addresses: &[BaseAddress],
        skew: u64,
        clock: SharedClock,
    ) -> Self {
        Self {
            issuers,
            chain,
            addresses: addresses.into(),
            skew,
            clock,
            remembered: Arc::default(),
        }
    }

    /// Verifies a token: form, algorithm, issuer, signature, audience, times, chain, study, device.
    pub async fn verify(&self, token: &str) -> Result<Verified, Problem> {
        if token.len() > MAX_TOKEN {
            return Err(invalid("It is too long."));
        }
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let verified = match self.recall(&digest) {
            Some(verified) => verified,
            None => {
                let read = self.read(token).await?;
                let mut remembered = self.remembered();
                if remembered.len() >= REMEMBERED {
                    remembered.clear();
                }
                let verified = read.verified;
                remembered.insert(digest, read);
                verified
            }
        };
        self.check_times(&verified)?;
        Ok(verified)
    }

    /// A token that was verified, if the key that signed it is still one of its issuer's, and that one still speaks for the study.
    fn recall(&self, digest: &[u8; 32]) -> Option<Verified> {
        let mut remembered = self.remembered();
        let known = remembered.get(digest)?;
        let speaks = self.issuers.speaks_for(&known.issuer, known.verified.study);
        if speaks && self.issuers.has(&known.issuer, &known.kid, &known.key) {
            return Some(known.verified);
        }
        remembered.remove(digest);
        None
    }

    async fn read(&self, token: &str) -> Result<Remembered, Problem> {
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
        let issuer = unverified.claims.iss;
        if !self.issuers.knows(&issuer) {
            return Err(Code::UnknownIssuer.into());
        }
        let kid = unverified.header.kid;
        let kid = kid.ok_or_else(|| invalid("It does not name the key that signed it."))?;
        let key = match self.issuers.key(&issuer, &kid).await {
            Lookup::Key(key) => key,
            Lookup::NoSuchKey => return Err(invalid("No key of its issuer has this name.")),
            Lookup::Unreachable => return Err(Code::IssuerUnavailable.into()),
        };
        let claims = signed_claims(token, &key)?;
        let verified = self.check(&claims)?;
        Ok(Remembered {
            verified,
            issuer,
            kid,
            key,
        })
    }

    fn check(&self, claims: &Claims) -> Result<Verified, Problem> {
        let is_here = |relay: &String| {
            let relay = relay.parse().ok();
            relay.is_some_and(|relay| self.addresses.contains(&relay))
        };
        if !claims.aud.iter().any(is_here) {
            return Err(Code::WrongAudience.into());
        }
        if claims.exp <= claims.nbf || claims.exp - claims.nbf > MAX_LIFETIME {
            return Err(invalid(
                "It expires before it is valid, or is valid for more than seven days.",
            ));
        }
        let device = claims.sub.parse().ok();
        let verified = Verified {
            device: device.ok_or_else(|| invalid("Its subject is not a device's number."))?,
            study: claims.study,
            thumbprint: claims.cnf.jkt,
            expires_at: claims.exp,
            not_before: claims.nbf,
        };
        self.check_times(&verified)?;
        if claims.chain != self.chain {
            return Err(Code::WrongChain.into());
        }
        if !self.issuers.speaks_for(&claims.iss, claims.study) {
            return Err(Code::WrongStudy.into());
        }
        Ok(verified)
    }

    fn check_times(&self, token: &Verified) -> Result<(), Problem> {
        let now = self.clock.now();
        if now >= token.expires_at.saturating_add(self.skew) {
            return Err(Code::TokenExpired.into());
        }
        if now.saturating_add(self.skew) < token.not_before {
            let problem = Problem::new(Code::TokenNotYetValid);
            return Err(Problem {
                server_time: Some(now),
                ..problem
            });
        }
        Ok(())
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Remembered>> {
        self.remembered
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

#[cfg(test)]
mod tests;
