// SPDX-License-Identifier: Apache-2.0

//! Tokens: the paper's authentication key. A device proves that it possesses its key, and gets a JWT for some minutes.

use hashchain::is_strictly_signed;
use jsonwebtoken::{Algorithm, Header};
use mhealth_api::{
    token_message, Claims, Code, Confirmation, DeviceStatus, Jwk, Key, Problem, TokenAnswer,
    TokenRequest, RELAY_AUDIENCE,
};
use mhealth_chain_client::DeviceView;
use mhealth_server::ApiError;
use rand::TryRngCore;

use crate::app::App;

/// A device that has proven that it possesses its key.
pub struct Proven(DeviceView);

impl App {
    /// Checks the proof of a request, and nothing else yet.
    pub async fn prove(&self, request: &TokenRequest) -> Result<Proven, ApiError> {
        let device = self.device(request.device).await?;
        let message = token_message(
            &self.terms.chain,
            &self.terms.issuer,
            request.device,
            request.issued_at,
            &request.nonce,
        );
        match is_strictly_signed(&device.key, &message, &request.proof.0) {
            true => Ok(Proven(device)),
            false => Err(Code::InvalidProof.into()),
        }
    }

    /// A token for a device that is active on the finalised chain. The proof must be fresh and new.
    pub async fn token(
        &self,
        request: &TokenRequest,
        proven: &Proven,
    ) -> Result<TokenAnswer, ApiError> {
        let now = self.now();
        if request.issued_at.abs_diff(now) > self.terms.clock_skew {
            let mut problem = Problem::new(Code::ClockSkew);
            problem.server_time = Some(now);
            return Err(problem.into());
        }
        match proven.0.status {
            DeviceStatus::Active => {}
            DeviceStatus::Suspended => return Err(Code::DeviceSuspended.into()),
            DeviceStatus::Retired => return Err(Code::DeviceRetired.into()),
            // A status of a newer chain: nothing can be said, and no token is given.
            DeviceStatus::Unknown(_) => return Err(Code::InvalidState.into()),
        }
        // Until then the same time stamp would be accepted.
        let until = request.issued_at + self.terms.clock_skew + 1;
        let is_new = self.store.use_nonce(request.device, &request.nonce, until);
        if !is_new.await? {
            return Err(Code::ReplayedProof.into());
        }
        self.sign(&proven.0, now).await
    }

    async fn sign(&self, device: &DeviceView, now: u64) -> Result<TokenAnswer, ApiError> {
        let mut id = [0; 16];
        rand::rngs::OsRng
            .try_fill_bytes(&mut id)
            .map_err(ApiError::internal)?;
        let claims = Claims {
            iss: self.terms.issuer.clone(),
            aud: RELAY_AUDIENCE.into(),
            sub: device.device.to_string(),
            iat: now,
            // Relays' clocks are off, too.
            nbf: now.saturating_sub(self.terms.clock_skew),
            exp: now + self.terms.token_lifetime,
            jti: hex::encode(id),
            chain: self.terms.chain,
            study: device.study,
            cnf: Confirmation {
                jwk: Jwk::of(&Key(device.key)),
            },
        };
        let signing = self.keys.signing().await?;
        let header = Header {
            kid: Some(signing.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token =
            jsonwebtoken::encode(&header, &claims, &signing.key).map_err(ApiError::internal)?;
        self.metrics.tokens.inc();
        Ok(TokenAnswer {
            token,
            token_type: "Bearer".into(),
            expires_in: self.terms.token_lifetime,
            relays: self.terms.relays.clone(),
        })
    }
}
