// SPDX-License-Identifier: Apache-2.0

//! Proofs of possession at a server (RFC 9449, sections 4.3, 7, 8 and 9): whether the proof that comes with a request is for
//! this request, this server and this token, was made just now, and by which key.
//!
//! Everything stands in the head of a request, so a handler that takes the proof first reads no body without one.

mod nonce;
mod replay;

use axum::http::request::Parts;
use axum::http::{header, HeaderMap};
use hashchain::{Native, Sha256};
use mhealth_api::{token_hash, Code, Key, Problem, Proof, Thumbprint, DPOP};

use self::nonce::Nonces;
pub use self::replay::Replays;
use crate::{ApiError, BaseAddress, SecretText, SharedClock};

/// Seconds for which a nonce is good, at least.
const NONCE_LASTS: u64 = 120;

/// A token, and the key that it is bound to.
#[derive(Clone, Copy)]
pub struct BoundToken<'a> {
    /// As it came with the request.
    pub token: &'a str,
    /// What it says of the key.
    pub thumbprint: Thumbprint,
}

/// Who made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The key that made the proof.
    pub key: Key,
    /// To see that the proof is not used a second time.
    pub proof: ProofUse,
}

/// A proof as servers remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofUse {
    /// Names the proof among those of all keys.
    pub id: [u8; Self::LENGTH],
    /// The last second at which it would be taken, since 1970.
    pub until: u64,
}

impl ProofUse {
    /// Bytes of its name. Only whoever has the key could find two proofs of one name, to nobody else's harm.
    pub const LENGTH: usize = 16;

    fn of(key: &Key, jti: &str, until: u64) -> Self {
        let hash = Native::sha256_of_parts(&[&key.0, jti.as_bytes()]);
        let (id, _) = hash.split_first_chunk().expect("32 is more than 16; qed");
        Self { id: *id, until }
    }
}

/// Checks proofs.
pub struct Proofs {
    addresses: Vec<BaseAddress>,
    nonces: Nonces,
    skew: u64,
    clock: SharedClock,
}

impl Proofs {
    /// For a server that is reached by these addresses. `secret`: what all its processes know and nobody else. `skew`: seconds
    /// that a device's clock may be off before it needs a nonce.
    pub fn new(
        addresses: Vec<BaseAddress>,
        secret: &SecretText,
        skew: u64,
        clock: SharedClock,
    ) -> Self {
        Self {
            addresses,
            nonces: Nonces::new(secret, longest(skew), skew),
            skew,
            clock,
        }
    }

    /// Seconds that a proof is good at most.
    pub fn longest(&self) -> u64 {
        longest(self.skew)
    }

    /// Checks the proof of a request that carries this token, or none. Whether it was used before is for the caller to ask.
    pub fn check(&self, parts: &Parts, token: Option<BoundToken<'_>>) -> Result<Proven, ApiError> {
        let text = only(&parts.headers, DPOP).map_err(|how_many| match how_many {
            HowMany::None => ApiError::from(Code::MissingProof),
            HowMany::Several => malformed("There is more than one."),
        });
        let proof = text.and_then(|text| {
            let text = text.ok_or_else(|| malformed("It is not text."))?;
            Proof::read(text).map_err(|error| malformed(error.to_string()))
        });
        let proven = proof.and_then(|proof| self.judge(parts, &proof, token));
        proven.map_err(ApiError::asking_for_proof)
    }

    /// Both ways to write the address: that of the proof, and this server's own.
    fn elsewhere(&self, htu: &str) -> String {
        let short = htu.chars().filter(|c| !c.is_control()).take(200);
        let own: Vec<_> = self.addresses.iter().map(BaseAddress::as_str).collect();
        format!(
            "The proof of possession is for {}, and this server is {}.",
            short.collect::<String>(),
            own.join(" or ")
        )
    }

    /// What costs least comes first, and the signature last.
    fn judge(
        &self,
        parts: &Parts,
        proof: &Proof<'_>,
        token: Option<BoundToken<'_>>,
    ) -> Result<Proven, ApiError> {
        let (key, claims) = (proof.key, &proof.claims);
        if token.is_some_and(|token| Thumbprint::of(&key) != token.thumbprint) {
            return Err(Code::ProofByAnotherKey.into());
        }
        if claims.htm != parts.method.as_str() {
            return Err(Code::ProofForAnotherMethod.into());
        }
        let path = parts.uri.path();
        let is_here = |address: &BaseAddress| address.names(&claims.htu, path);
        if !self.addresses.iter().any(is_here) {
            return Err(ApiError::new(
                Code::ProofForAnotherAddress,
                self.elsewhere(&claims.htu),
            ));
        }
        if claims.ath != token.map(|token| token_hash(token.token)) {
            return Err(Code::ProofForAnotherToken.into());
        }
        let now = self.clock.now();
        let until = match &claims.nonce {
            // Then the nonce says when the proof was made at the earliest.
            Some(nonce) => self.nonces.good_until(nonce, now),
            None => (claims.iat.abs_diff(now) <= self.skew).then(|| claims.iat + self.skew),
        };
        let Some(until) = until else {
            return Err(ApiError::from(Code::UseDpopNonce).with_nonce(self.nonces.at(now)));
        };
        if !proof.is_signed() {
            return Err(Code::InvalidProof.into());
        }
        Ok(Proven {
            key,
            proof: ProofUse::of(&key, &claims.jti, until),
        })
    }
}

fn longest(skew: u64) -> u64 {
    skew.saturating_mul(2).max(NONCE_LASTS)
}

/// The token of `Authorization: DPoP`; `missing_credentials` when there is none.
pub fn token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let value = match only(headers, header::AUTHORIZATION.as_str()) {
        Ok(value) => value,
        Err(HowMany::None) => None,
        Err(HowMany::Several) => {
            let problem = Problem::with_detail(Code::InvalidToken, "There is more than one.");
            return Err(ApiError::from(problem).asking_for_proof());
        }
    };
    let token = value
        .and_then(|value| value.split_once(' '))
        // RFC 9110, section 11.1: the scheme's case does not matter.
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(DPOP))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty());
    token.ok_or_else(|| {
        let detail = "The header Authorization with the scheme DPoP and a token is missing.";
        ApiError::new(Code::MissingCredentials, detail).asking_for_proof()
    })
}

fn malformed(why: impl Into<String>) -> ApiError {
    ApiError::new(Code::MalformedProof, why)
}

enum HowMany {
    None,
    Several,
}

/// The value of a header that may stand there once; none within if it is not text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, HowMany> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(HowMany::None)?;
    match values.next() {
        None => Ok(value.to_str().ok()),
        Some(_) => Err(HowMany::Several),
    }
}
