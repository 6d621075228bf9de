// SPDX-License-Identifier: Apache-2.0

//! The relay's HTTP interface. `docs/protocol/device-api.md` is the text for those who write clients.

mod chain;
mod export;
mod runs;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mhealth_server::{ApiError, Bearer};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::directory::Directory;
use crate::intake::Intake;
use crate::ledger::Ledger;
use crate::proofs::Proofs;
use crate::store::Store;
use crate::token::{Holder, Tokens};

/// What handlers work with.
pub struct App {
    /// The relay's database.
    pub store: Store,
    /// The chain.
    pub ledger: Arc<dyn Ledger>,
    /// Proofs of heads.
    pub proofs: Proofs,
    /// Devices and studies.
    pub directory: Directory,
    /// Takes uploads.
    pub intake: Intake,
    /// Verifies tokens.
    pub tokens: Tokens,
    /// Whether bare records are chained on behalf of devices.
    pub chain_for_devices: bool,
}

/// Every route of the relay.
pub fn router(app: Arc<App>) -> OpenApiRouter {
    let bearer = |description| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        SecurityScheme::Http(scheme.description(Some(description)).build())
    };
    let components = ComponentsBuilder::new()
        .security_scheme(
            "device_token",
            bearer("A token that an authentication server of the study gave the device."),
        )
        .security_scheme(
            "auditor_credential",
            bearer("A credential that `mhealth-relay auditor add` printed."),
        );
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
        .with_state(app)
}

/// The holder of a good device token. Verified from the head of the request, before its body is read.
pub struct DeviceToken(pub Holder);

impl FromRequestParts<Arc<App>> for DeviceToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Bearer(token) = <Bearer as FromRequestParts<_>>::from_request_parts(parts, app).await?;
        Ok(Self(app.tokens.verify(&token).await?))
    }
}
