// SPDX-License-Identifier: Apache-2.0

//! The relay's HTTP interface. `docs/protocol/device-api.md` is the text for those who write clients.

mod chain;
mod erasures;
mod export;
mod runs;
mod turns;

pub use turns::Turns;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mhealth_server::dpop::{self, BoundToken, Proofs, Replays};
use mhealth_server::{ApiError, Failures};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::directory::{Directory, Found};
use crate::erasing::Erasing;
use crate::head_proofs::HeadProofs;
use crate::intake::Intake;
use crate::ledger::Ledger;
use crate::store::Store;
use crate::token::{Holder, Tokens};

/// What handlers work with.
pub struct App {
    /// The relay's database.
    pub store: Store,
    /// The chain.
    pub ledger: Arc<dyn Ledger>,
    /// Proofs of heads.
    pub head_proofs: HeadProofs,
    /// Devices and studies.
    pub directory: Directory,
    /// Takes uploads.
    pub intake: Intake,
    /// Verifies tokens.
    pub tokens: Tokens,
    /// Checks that they come with a proof of possession.
    pub proofs: Proofs,
    /// Remembers these proofs.
    pub replays: Replays,
    /// Slows down whoever guesses credentials.
    pub failures: Failures,
    /// Erases envelopes.
    pub erasing: Erasing,
    /// Whether bare records are chained on behalf of devices.
    pub chain_for_devices: bool,
    /// Whose question to the node is next.
    pub turns: Turns,
}

/// Beginnings of the paths of auditors, and of those who bring orders to erase.
pub const STAFF: &[&str] = &["/v1/export", "/v1/admin"];

/// Every route of the relay.
pub fn router(app: Arc<App>) -> OpenApiRouter {
    let in_header = |name: &str, description: &str| {
        let value = ApiKeyValue::with_description(name, description);
        SecurityScheme::ApiKey(ApiKey::Header(value))
    };
    let bearer = |printed_by: &str| {
        let description = format!("A credential that `mhealth-relay {printed_by} add` printed.");
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        SecurityScheme::Http(bearer.description(Some(description)).build())
    };
    // OpenAPI has no word for RFC 9449.
    let components = ComponentsBuilder::new()
        .security_scheme(
            "device_token",
            in_header(
                "Authorization",
                "`DPoP` and a token that an authentication server of the study gave the device.",
            ),
        )
        .security_scheme(
            "device_proof",
            in_header(
                "DPoP",
                "A proof by the device's key, for this request and this token (RFC 9449).",
            ),
        )
        .security_scheme("auditor_credential", bearer("auditor"))
        .security_scheme("eraser_credential", bearer("eraser"));
    let document = OpenApiBuilder::new()
        .components(Some(components.build()))
        .build();
    OpenApiRouter::with_openapi(document)
        .routes(routes!(runs::upload))
        .routes(routes!(runs::status))
        .routes(routes!(runs::record))
        .routes(routes!(chain::device))
        .routes(routes!(chain::key))
        .routes(routes!(chain::heads))
        .routes(routes!(chain::proof))
        .routes(routes!(chain::entries))
        .routes(routes!(chain::study))
        .routes(routes!(export::export))
        .routes(routes!(erasures::erase))
        .with_state(app)
}

/// A device that may send, and what is known of it. All of it is checked from the head of the request, before its body is read.
pub struct Sender {
    /// The holder of the token, who possesses its key.
    pub holder: Holder,
    /// The device on the chain.
    pub found: Found,
    /// Its place among the device's uploads.
    pub place: OwnedSemaphorePermit,
}

impl FromRequestParts<Arc<App>> for Sender {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let token = dpop::token(&parts.headers)?;
        let verified = app.tokens.verify(token).await;
        let verified = verified.map_err(|problem| ApiError::from(problem).asking_for_proof())?;
        let bound = BoundToken {
            token,
            thumbprint: verified.thumbprint,
        };
        let proven = app.proofs.check(parts, Some(bound))?;
        let asking = |code| ApiError::from(code).asking_for_proof();
        // A proof that somebody has copied costs the device nothing of what it may send.
        app.replays.check(&proven.proof).map_err(asking)?;
        app.intake.count(verified.device)?;
        app.replays.use_up(&proven.proof).map_err(asking)?;
        let place = app.intake.begin(verified.device)?;
        let holder = Holder {
            device: verified.device,
            study: verified.study,
            key: proven.key,
        };
        let found = app.intake.admit(&holder).await?;
        Ok(Self {
            holder,
            found,
            place,
        })
    }
}
