// SPDX-License-Identifier: Apache-2.0

//! What every request passes on its way in, and every answer on its way out.

use std::any::Any;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use mhealth_api::Code;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;

use crate::admission::{admit, hold_back, Doors, Unnamed};
use crate::encoding;
use crate::extract::Peer;
use crate::gate::Origin;
use crate::metrics::{measure, HttpMetrics};
use crate::origins::{self, Origins};
use crate::proxies::Proxies;
use crate::{ApiError, Limits};

/// What lies around all routes.
pub(crate) struct Around {
    doors: Arc<Doors>,
    limits: Limits,
    metrics: HttpMetrics,
    /// Nobody, where nothing else is said.
    proxies: Arc<Proxies>,
    /// None, where nothing else is said.
    origins: Arc<Origins>,
}

impl Around {
    pub(crate) fn new(doors: Arc<Doors>, limits: Limits, metrics: HttpMetrics) -> Self {
        Self {
            doors,
            limits,
            metrics,
            proxies: Arc::default(),
            origins: Arc::default(),
        }
    }

    /// With these proxies before it, and for these pages.
    pub(crate) fn facing_the_world(mut self, proxies: Arc<Proxies>, origins: Origins) -> Self {
        self.proxies = proxies;
        self.origins = Arc::new(origins);
        self
    }

    /// Outermost first, and all as one layer: whatever is laid around a router one by one is copied as a whole, layer by layer, with
    /// each request.
    pub(crate) fn layered(self, router: Router) -> Router {
        let origins = self.origins;
        router
            .fallback(async || ApiError::from(Code::NotFound))
            .method_not_allowed_fallback(async || ApiError::from(Code::MethodNotAllowed))
            .layer((
                middleware::from_fn_with_state(origins.clone(), origins::share),
                middleware::from_fn_with_state(self.proxies, name_peer),
                Extension(self.limits),
                // How long a refusal is kept back is not what a request takes.
                middleware::from_fn_with_state(self.doors.clone(), hold_back),
                middleware::from_fn_with_state(self.metrics, measure),
                middleware::from_fn_with_state(self.doors, admit),
                middleware::from_fn_with_state(origins, origins::answer_beforehand),
                middleware::from_fn(encoding::name),
                RequestDecompressionLayer::new()
                    .gzip(true)
                    .pass_through_unaccepted(true),
                CatchPanicLayer::custom(answer_panic),
            ))
    }
}

fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    ApiError::internal(message.unwrap_or_else(|| "a panic".to_owned())).into_response()
}

async fn name_peer(
    State(proxies): State<Arc<Proxies>>,
    mut request: Request,
    next: Next,
) -> Response {
    let connected = request
        .extensions()
        .get::<ConnectInfo<Origin>>()
        .map(|info| info.0.address.ip());
    if let Some(connected) = connected {
        let client = proxies.client(connected, request.headers());
        if client.is_err() {
            // Refused at the door, where it is counted as the proxy's own.
            request.extensions_mut().insert(Unnamed);
        }
        let client = client.unwrap_or(connected);
        request.extensions_mut().insert(Peer(client));
    }
    next.run(request).await
}
