// SPDX-License-Identifier: Apache-2.0

//! Proofs that a request comes from whoever possesses a key: DPoP (RFC 9449) with Ed25519.
//!
//! A proof is a JWT that the device signs for one request: it names the request's method and address, the token that goes
//! along, and itself. A server that sees it can use it nowhere else, and nobody can use it twice.
//!
//! The form is checked here by hand and not by a JWT library: private parts of a key and members that appear twice must be
//! refused and not skipped, signatures are checked strictly, and a phone carries no algorithm but Ed25519.

use alloc::{
    borrow::{Cow, ToOwned},
    string::String,
    vec::Vec,
};
use core::fmt;
use core::str::FromStr;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use hashchain::{Native, Sha256};
use serde::de::IgnoredAny;
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

use crate::{Jwk, Key, SignatureBytes};

/// The scheme of `Authorization` (RFC 9449, section 7.1), the header with the proof (section 4.1), and the type of our tokens
/// (section 5).
pub const DPOP: &str = "DPoP";
/// The header with a server's nonce (RFC 9449, section 8).
pub const DPOP_NONCE: &str = "DPoP-Nonce";
/// `alg` of every proof and of every token (RFC 8037, section 3.1).
pub const PROOF_ALGORITHM: &str = "EdDSA";
/// `typ` of every proof (RFC 9449, section 4.2).
pub const PROOF_TYPE: &str = "dpop+jwt";
/// Most bytes of a proof. Those of our own clients have some 500.
pub const MAX_PROOF_LENGTH: usize = 2_048;
/// Most bytes of `jti`, and of a nonce.
const MAX_NAME_LENGTH: usize = 256;

/// SHA-256 of a key as a JWK (RFC 7638), by which a token names the key that it is bound to (RFC 9449, section 6.1). In JSON
/// base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, example = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"))]
pub struct Thumbprint(pub [u8; 32]);

impl Thumbprint {
    /// Of an Ed25519 key: the required members in the order of their names (RFC 7638, section 3; RFC 8037, section 2).
    pub fn of(key: &Key) -> Self {
        let x = URL_SAFE_NO_PAD.encode(key.0);
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self(Native::sha256(jwk.as_bytes()))
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Thumbprint {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(ProofError::Thumbprint)
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What a proof says (RFC 9449, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofClaims {
    /// Names this proof. No two of a key have the same: at least 96 random bits.
    pub jti: String,
    /// The request's method.
    pub htm: String,
    /// The request's address, without query and fragment.
    pub htu: String,
    /// When it was made, in seconds since 1970 by the device's clock.
    pub iat: u64,
    /// [`token_hash`] of the token that goes along; none where there is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ath: Option<String>,
    /// What the server gave in [`DPOP_NONCE`], if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

impl ProofClaims {
    /// For a request, with a name of its own that is made of these random bytes.
    pub fn new(method: &str, address: &str, made_at: u64, random: [u8; 16]) -> Self {
        let end = address.find(['?', '#']).unwrap_or(address.len());
        Self {
            jti: URL_SAFE_NO_PAD.encode(random),
            htm: method.to_owned(),
            htu: address[..end].to_owned(),
            iat: made_at,
            ath: None,
            nonce: None,
        }
    }

    /// Together with a token.
    pub fn with_token(self, token: &str) -> Self {
        Self {
            ath: Some(token_hash(token)),
            ..self
        }
    }

    /// With the nonce that the server gave, if it did.
    pub fn with_nonce(self, nonce: Option<String>) -> Self {
        Self { nonce, ..self }
    }

    /// The proof, as it goes into the header [`DPOP`]: these claims, signed by the key.
    pub fn signed(&self, key: &Key, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
        let header = Header {
            typ: PROOF_TYPE.into(),
            alg: PROOF_ALGORITHM.into(),
            jwk: ProofKey::of(key),
            crit: None,
        };
        let part = |json: Result<Vec<u8>, _>| {
            let json = json.expect("texts and numbers always serialise; qed");
            URL_SAFE_NO_PAD.encode(json)
        };
        let header = part(serde_json::to_vec(&header));
        let claims = part(serde_json::to_vec(self));
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// `ath` of a token: its SHA-256 in base64url (RFC 9449, section 4.2).
pub fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Native::sha256(token.as_bytes()))
}

/// The JOSE header of a proof. Members that this library does not know are ignored (RFC 7515, section 4).
#[derive(Serialize, Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    jwk: ProofKey<'a>,
    #[serde(default, skip_serializing)]
    crit: Option<IgnoredAny>,
}

/// An Ed25519 key as a JWK, of which the private part must not be there (RFC 8037, section 2).
#[derive(Serialize, Deserialize)]
struct ProofKey<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow)]
    crv: Cow<'a, str>,
    #[serde(borrow)]
    x: Cow<'a, str>,
    #[serde(default, skip_serializing)]
    d: Option<IgnoredAny>,
}

impl ProofKey<'_> {
    fn of(key: &Key) -> Self {
        let Jwk { kty, crv, x, .. } = Jwk::of(key);
        Self {
            kty: kty.into(),
            crv: crv.into(),
            x: x.into(),
            d: None,
        }
    }
}

/// Why something is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Longer than [`MAX_PROOF_LENGTH`].
    #[error("It is longer than {MAX_PROOF_LENGTH} bytes.")]
    TooLong,
    /// Not three parts in base64url, the last one of 64 bytes.
    #[error("It is not a JWT in compact form with an Ed25519 signature.")]
    NotAJwt,
    /// The header is not JSON, or lacks a member.
    #[error("Its header does not have typ, alg and jwk.")]
    Header,
    /// Another `typ`.
    #[error("Its typ is not {PROOF_TYPE}.")]
    Type,
    /// Another `alg`.
    #[error("Its alg is not {PROOF_ALGORITHM}.")]
    Algorithm,
    /// There is a `crit`.
    #[error("It has critical extensions, of which servers know none.")]
    Critical,
    /// Not an Ed25519 key.
    #[error("Its jwk is not an Ed25519 key.")]
    NotAKey,
    /// There is a `d`.
    #[error("Its jwk has a private part, which is known to others now.")]
    PrivateKey,
    /// The claims are not JSON, or lack a member.
    #[error("Its claims do not have jti, htm, htu and iat in their form.")]
    Claims,
    /// Not a SHA-256 in base64url.
    #[error("expected 43 characters of base64url without padding")]
    Thumbprint,
}

/// A proof that has the form of one. Who made it is not known before [`Proof::is_signed`].
#[derive(Clone, Debug)]
pub struct Proof<'a> {
    /// The key that it says made it.
    pub key: Key,
    /// What it says.
    pub claims: ProofClaims,
    message: &'a str,
    signature: SignatureBytes,
}

impl<'a> Proof<'a> {
    /// Reads what came in the header [`DPOP`].
    pub fn read(text: &'a str) -> Result<Self, ProofError> {
        if text.len() > MAX_PROOF_LENGTH {
            return Err(ProofError::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(ProofError::NotAJwt)?;
        let (header, claims) = message.split_once('.').ok_or(ProofError::NotAJwt)?;
        let bytes = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| ProofError::NotAJwt)
        };
        let (header, claims, signature) = (bytes(header)?, bytes(claims)?, bytes(signature)?);
        let key = key(&header)?;
        let signature = signature.try_into().map_err(|_| ProofError::NotAJwt)?;
        let claims: ProofClaims =
            serde_json::from_slice(&claims).map_err(|_| ProofError::Claims)?;
        let names = [Some(&claims.jti), claims.nonce.as_ref()];
        let is_name = |name: &String| (1..=MAX_NAME_LENGTH).contains(&name.len());
        if !names.into_iter().flatten().all(is_name) {
            return Err(ProofError::Claims);
        }
        Ok(Self {
            key,
            claims,
            message,
            signature: SignatureBytes(signature),
        })
    }

    /// Whether its key made it, by the strict rule of RFC 8032.
    pub fn is_signed(&self) -> bool {
        hashchain::is_strictly_signed(&self.key.0, self.message.as_bytes(), &self.signature.0)
    }
}

fn key(header: &[u8]) -> Result<Key, ProofError> {
    let header: Header<'_> = serde_json::from_slice(header).map_err(|_| ProofError::Header)?;
    if header.typ != PROOF_TYPE {
        return Err(ProofError::Type);
    }
    if header.alg != PROOF_ALGORITHM {
        return Err(ProofError::Algorithm);
    }
    if header.crit.is_some() {
        return Err(ProofError::Critical);
    }
    let ProofKey { kty, crv, x, d } = header.jwk;
    if d.is_some() {
        return Err(ProofError::PrivateKey);
    }
    let is_ed25519 = kty == "OKP" && crv == "Ed25519";
    let bytes = URL_SAFE_NO_PAD.decode(x.as_bytes()).ok();
    let bytes = bytes
        .filter(|_| is_ed25519)
        .and_then(|it| it.try_into().ok());
    bytes.map(Key).ok_or(ProofError::NotAKey)
}
