// SPDX-License-Identifier: Apache-2.0

//! The paper's authentication key: a short-lived JWT (RFC 7519) that relays verify without asking anybody, bound to the
//! device's key (RFC 9449).

use alloc::{string::String, vec::Vec};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use hashchain::{DeviceId, StudyId};
use serde::{Deserialize, Serialize};

use crate::{Hash, Key, Thumbprint};

/// `POST /v1/token`: a device asks for a token. The request carries a [proof](crate::ProofClaims) by the device's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenRequest {
    /// The device's number on the chain.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub device: DeviceId,
}

/// A token.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenAnswer {
    /// The JWT, for `Authorization: DPoP`.
    pub token: String,
    /// `DPoP` (RFC 9449, section 5): the token is good only together with a proof by the device's key.
    pub token_type: String,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// Base addresses of the study's relays, at which the token is good.
    pub relays: Vec<String>,
}

/// What a token says (RFC 7519, section 4.1; `cnf`: RFC 7800 and RFC 9449, section 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Claims {
    /// The authentication server's base address.
    pub iss: String,
    /// Base addresses of the study's relays. A relay takes no token that does not list it.
    pub aud: Vec<String>,
    /// The device's number on the chain, in decimal digits.
    pub sub: String,
    /// Issued at.
    pub iat: u64,
    /// Not to be used before.
    pub nbf: u64,
    /// Not to be used at or after.
    pub exp: u64,
    /// Names this token.
    pub jti: String,
    /// Hash of the chain's genesis block.
    pub chain: Hash,
    /// The device's study.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub study: StudyId,
    /// The key that the device must possess, which is the one that the chain has for it.
    pub cnf: Confirmation,
}

/// The key that the holder of the token possesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirmation {
    /// The thumbprint of the device's key.
    pub jkt: Thumbprint,
}

/// An Ed25519 public key as a JSON Web Key (RFC 7517, RFC 8037).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// The key in base64url without padding.
    pub x: String,
    /// Names the key among those of a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// `EdDSA` for a key that signs tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig` for a key that signs tokens.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}

impl Jwk {
    /// A bare key.
    pub fn of(key: &Key) -> Self {
        Self {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            x: URL_SAFE_NO_PAD.encode(key.0),
            kid: None,
            alg: None,
            usage: None,
        }
    }

    /// A key that signs tokens.
    pub fn signing(key: &Key, kid: impl Into<String>) -> Self {
        Self {
            kid: Some(kid.into()),
            alg: Some("EdDSA".into()),
            usage: Some("sig".into()),
            ..Self::of(key)
        }
    }

    /// The key; none if this is no Ed25519 key.
    pub fn key(&self) -> Option<Key> {
        let is_ed25519 = self.kty == "OKP" && self.crv == "Ed25519";
        let bytes = URL_SAFE_NO_PAD.decode(&self.x).ok()?;
        is_ed25519.then_some(())?;
        bytes.try_into().ok().map(Key)
    }
}

/// `GET /.well-known/jwks.json`: the keys whose tokens are good (RFC 7517, section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JwkSet {
    /// The current key, and those before it whose tokens may still live.
    pub keys: Vec<Jwk>,
}
