// SPDX-License-Identifier: Apache-2.0

//! Metrics for Prometheus of every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::ApiError;

/// From a millisecond to two minutes: enrolments wait for finality.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
];

/// Counts requests. Its labels are routes, never the addresses that strangers make up.
#[derive(Clone)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    pub(crate) connections: IntGauge,
}

impl HttpMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let labels = ["method", "route", "status"];
        let requests = IntCounterVec::new(
            Opts::new(
                "mhealth_http_requests_total",
                "Requests answered, by method, route and status.",
            ),
            &labels,
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "mhealth_http_request_seconds",
                "From a request's head to its answer's, by route.",
            )
            .buckets(SECONDS.to_vec()),
            &["method", "route"],
        )?;
        let connections = IntGauge::new("mhealth_http_connections", "Connections that are open.")?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        Ok(Self {
            requests,
            seconds,
            connections,
        })
    }
}

pub(crate) async fn measure(
    State(metrics): State<HttpMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let elapsed = began.elapsed();
    let status = response.status();
    metrics
        .requests
        .with_label_values(&[method, route, status.as_str()])
        .inc();
    metrics
        .seconds
        .with_label_values(&[method, route])
        .observe(elapsed.as_secs_f64());
    tracing::debug!(
        method,
        route,
        status = status.as_u16(),
        millis = elapsed.as_millis() as u64,
        "answered"
    );
    response
}

/// A stranger can make up methods, too.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "DELETE" => "DELETE",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

pub(crate) fn text(registry: &Registry) -> Result<Response, ApiError> {
    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
