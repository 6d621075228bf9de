// SPDX-License-Identifier: Apache-2.0

//! The relay's HTTP interface. `docs/device-api.md` is the text for those who write clients.

mod chain;
mod export;
mod runs;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mhealth_server::{ApiError, Bearer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::directory::Directory;
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
    OpenApiRouter::new()
        .routes(routes!(runs::upload))
        .routes(routes!(runs::status))
        .routes(routes!(runs::record))
        .routes(routes!(chain::device))
        .routes(routes!(chain::key))
        .routes(routes!(chain::heads))
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
