// SPDX-License-Identifier: Apache-2.0

//! Tokens: the paper's authentication key. A device proves that it possesses its key, and gets a JWT for some minutes, which
//! is good together with such proofs only.

use hashchain::DeviceId;
use jsonwebtoken::{Algorithm, Header};
use mhealth_api::{
    Claims, Code, Confirmation, DeviceStatus, Key, Problem, Thumbprint, TokenAnswer, DPOP,
};
use mhealth_chain_client::DeviceView;
use mhealth_server::dpop::Proven;
use mhealth_server::ApiError;
use rand::TryRngCore;

use crate::app::App;

impl App {
    /// The device whose key made the proof.
    pub async fn proven_device(
        &self,
        device: DeviceId,
        proven: &Proven,
    ) -> Result<DeviceView, ApiError> {
        let found = self.device(device).await?;
        match Key(found.key) == proven.key {
            true => Ok(found),
            false => Err(ApiError::from(Code::ProofByAnotherKey).asking_for_proof()),
        }
    }

    /// A token for a device that is active on the finalised chain. The proof must be new.
    pub async fn token(
        &self,
        device: &DeviceView,
        proven: &Proven,
    ) -> Result<TokenAnswer, ApiError> {
        match device.status {
            DeviceStatus::Active => {}
            DeviceStatus::Suspended => return Err(Code::DeviceSuspended.into()),
            // It goes by proofs only. Relays have one, and no token names them to it any more.
            DeviceStatus::Retired => {
                return Err(ApiError::from(Problem {
                    relays: Some(self.relays().into()),
                    ..Problem::new(Code::DeviceRetired)
                }))
            }
            // A status of a newer chain: nothing can be said, and no token is given.
            DeviceStatus::Unknown(_) => return Err(Code::InvalidState.into()),
        }
        if !self.store.use_proof(&proven.proof).await? {
            return Err(ApiError::from(Code::ReplayedProof).asking_for_proof());
        }
        self.sign(device, self.now()).await
    }

    async fn sign(&self, device: &DeviceView, now: u64) -> Result<TokenAnswer, ApiError> {
        let mut id = [0; 16];
        rand::rngs::OsRng
            .try_fill_bytes(&mut id)
            .map_err(ApiError::internal)?;
        let relays = self.relays();
        let claims = Claims {
            iss: self.terms.issuer.clone(),
            aud: relays.clone(),
            sub: device.device.to_string(),
            iat: now,
            // Relays' clocks are off, too.
            nbf: now.saturating_sub(self.terms.clock_skew),
            exp: now + self.terms.token_lifetime,
            jti: hex::encode(id),
            chain: self.terms.chain,
            study: device.study,
            cnf: Confirmation {
                jkt: Thumbprint::of(&Key(device.key)),
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
            token_type: DPOP.into(),
            expires_in: self.terms.token_lifetime,
            relays,
        })
    }

    fn relays(&self) -> Vec<String> {
        let settings = self.settings();
        settings.relays.iter().map(ToString::to_string).collect()
    }
}
