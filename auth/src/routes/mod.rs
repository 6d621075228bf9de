// SPDX-License-Identifier: Apache-2.0

//! The HTTP routes. Each attribute makes both the route and its part of the OpenAPI document.

mod access;
pub mod admin;
pub mod approvals;
pub mod devices;
pub mod login;
mod public;
mod quota;
pub mod sessions;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mhealth_api::{Code, DPOP};
use mhealth_chain_client::StudyView;
use mhealth_server::dpop::Proven;
use mhealth_server::{ApiError, Together};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub use access::STAFF_DUTIES;
use quota::TokenQuotas;

/// Between two looks at the study, for which everybody may ask. A look asks the node several times.
const LOOKS_APART: Duration = Duration::from_millis(50);

/// What handlers work with.
#[derive(Clone)]
pub struct Shared {
    /// The server's state.
    pub app: Arc<App>,
    tokens: Arc<TokenQuotas>,
    /// The server's own study, as it is on the finalised chain.
    pub(crate) study: Arc<Together<Result<StudyView, ApiError>>>,
}

impl Shared {
    /// Nobody has asked yet.
    pub fn new(app: Arc<App>) -> Self {
        Self {
            app,
            tokens: Arc::new(TokenQuotas::new()),
            study: Arc::new(Together::new(LOOKS_APART)),
        }
    }

    /// Forgets who has not asked for a while.
    pub fn forget(&self) {
        self.tokens.forget();
    }
}

/// Who asks for a token, proves to possess a key, and does not ask too often. Checked from the head of the request, before its body is
/// read.
pub(crate) struct TokenProver(pub(crate) Proven);

impl FromRequestParts<Shared> for TokenProver {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        let proven = shared.app.proofs.check(parts, None)?;
        shared.tokens.take(&proven.key)?;
        Ok(Self(proven))
    }
}

/// Beginnings of the paths of the study's staff.
pub const STAFF: &[&str] = &["/v1/admin/"];
/// Beginnings of the paths of relays.
pub const RELAYS: &[&str] = &["/.well-known/jwks.json"];

/// The routes of the server: those for everybody, and those for staff.
pub fn routers(shared: Shared) -> (OpenApiRouter, OpenApiRouter) {
    let credential = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A credential that `mhealth-auth admin add` printed, or one of a session.",
        ))
        .build();
    // OpenAPI has no word for RFC 9449.
    let proof = "A proof by the device's key, for this request (RFC 9449).";
    let proof = ApiKey::Header(ApiKeyValue::with_description(DPOP, proof));
    let components = ComponentsBuilder::new()
        .security_scheme("admin", SecurityScheme::Http(credential))
        .security_scheme("device_proof", SecurityScheme::ApiKey(proof));
    let document = OpenApiBuilder::new()
        .components(Some(components.build()))
        .build();
    let public = OpenApiRouter::with_openapi(document.clone()).merge(public::router());
    let staff = OpenApiRouter::with_openapi(document)
        .merge(admin::router())
        .merge(devices::router())
        .merge(approvals::router())
        .merge(login::router())
        .merge(sessions::router());
    (public.with_state(shared.clone()), staff.with_state(shared))
}

/// Pages of lists.
#[derive(Clone, Copy, Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// Begin after the element of this number; 0 begins with the first.
    #[serde(default)]
    pub(crate) after: u64,
    /// At most so many elements: 1 to 1,000, 100 when absent.
    #[serde(default = "Page::usual")]
    limit: u32,
}

impl Page {
    const MOST: u32 = 1_000;

    fn usual() -> u32 {
        100
    }

    pub(crate) fn limit(self) -> Result<u32, ApiError> {
        match (1..=Self::MOST).contains(&self.limit) {
            true => Ok(self.limit),
            false => Err(ApiError::new(
                Code::InvalidParameter,
                "The parameter limit is from 1 to 1000.",
            )),
        }
    }
}
