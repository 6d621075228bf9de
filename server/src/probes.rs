// SPDX-License-Identifier: Apache-2.0

//! What operators and their machines ask of every server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mhealth_api::{Code, Problem};
use prometheus::Registry;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{metrics, ApiError, Json, Together};

/// Says whether a server can do its work, and if not, what is missing.
pub type ReadinessCheck =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>> + Send + Sync>;

/// What the probes look at.
#[derive(Clone)]
pub(crate) struct Probes {
    pub(crate) registry: Registry,
    pub(crate) ready: Option<ReadinessCheck>,
    /// Whoever asks while others do looks together with them.
    pub(crate) looks: Arc<Together<Result<(), ApiError>>>,
    /// Written once: whoever asks for it in a crowd costs a copy of no byte.
    pub(crate) document: Arc<std::sync::OnceLock<Bytes>>,
}

/// The answer of a probe.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

pub(crate) fn router() -> OpenApiRouter<Probes> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics_text))
}

pub(crate) fn document_router() -> OpenApiRouter<Probes> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses(
    (status = 200, description = "It does.", body = Health),
))]
async fn healthz() -> Json<Health> {
    OK
}

/// Whether the server can do all of its work.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, description = "It can.", body = Health),
    (status = 503, description = "It cannot; the detail says what is missing.", body = Problem),
))]
async fn readyz(State(probes): State<Probes>) -> Result<Json<Health>, ApiError> {
    if let Some(ready) = &probes.ready {
        probes.looks.ask(ready()).await?;
    }
    Ok(OK)
}

/// Counters and timings in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses(
    (status = 200, description = "Metrics.", body = String, content_type = "text/plain"),
))]
async fn metrics_text(State(probes): State<Probes>) -> Result<Response, ApiError> {
    metrics::text(&probes.registry)
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operation", responses(
    (status = 200, description = "The OpenAPI document of this server.", body = serde_json::Value),
))]
async fn openapi(State(probes): State<Probes>) -> Result<Response, ApiError> {
    let document = probes.document.get().ok_or(Code::Internal)?.clone();
    Ok(([(header::CONTENT_TYPE, "application/json")], document).into_response())
}
