// SPDX-License-Identifier: Apache-2.0

//! JSON bodies, in and out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{header, HeaderMap};
use axum::response::{IntoResponse, Response};
use mhealth_api::Code;
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::error::Category;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{ApiError, Limits};

/// So much of a body that is too large is read and thrown away, so that the client sees the answer instead of a broken
/// connection.
const DISCARDED_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of bodies that a server holds in memory at a time, over all connections. A client uses it up only by sending.
#[derive(Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }
}

impl Default for BodyBudget {
    fn default() -> Self {
        Self::of(Limits::default().all_bodies_bytes)
    }
}

/// A JSON message. As an argument of a handler it is read within the server's [`Limits`]; what is wrong with it is told by
/// line and column and never by repeating a value, which may be a secret or a patient's.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let limits = request
            .extensions()
            .get::<Limits>()
            .copied()
            .unwrap_or_default();
        let budget = request
            .extensions()
            .get::<BodyBudget>()
            .cloned()
            .unwrap_or_default();
        if !is_json(request.headers()) {
            return Err(Code::UnsupportedMediaType.into());
        }
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse::<u64>().ok());
        let body = request.into_body();
        let read = read(body, announced, &limits, &budget);
        let (bytes, _held) = within(limits.body_timeout, read).await?;
        serde_json::from_slice(&bytes)
            .map(Json)
            .map_err(|error| refusal(&error))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

async fn within<T>(
    patience: Duration,
    read: impl std::future::Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(patience, read).await {
        Ok(read) => read,
        Err(_) => Err(Code::RequestTimeout.into()),
    }
}

/// The body, and the part of the budget that it takes for as long as it is in memory.
async fn read(
    mut body: Body,
    announced: Option<u64>,
    limits: &Limits,
    budget: &BodyBudget,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), ApiError> {
    if announced.is_some_and(|length| length > limits.body_bytes as u64) {
        discard(body).await;
        return Err(Code::BodyTooLarge.into());
    }
    let mut bytes = Vec::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(data) = next(&mut body).await {
        let data =
            data.map_err(|_| ApiError::new(Code::MalformedJson, "The body did not arrive whole."))?;
        if bytes.len() + data.len() > limits.body_bytes {
            discard(body).await;
            return Err(Code::BodyTooLarge.into());
        }
        let permit = u32::try_from(data.len())
            .ok()
            .and_then(|length| budget.0.clone().try_acquire_many_owned(length).ok())
            .ok_or(Code::Overloaded)?;
        match &mut held {
            Some(held) => held.merge(permit),
            None => held = Some(permit),
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, held))
}

/// The next bytes; trailers are empty ones.
async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Reads on and forgets, within bounds.
async fn discard(mut body: Body) {
    let mut length = 0;
    while let Some(Ok(data)) = next(&mut body).await {
        length += data.len();
        if length > DISCARDED_BYTES {
            return;
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn refusal(error: &serde_json::Error) -> ApiError {
    let place = format!("at line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => {
            // The only texts of serde that name nothing but our own members.
            let text = error.to_string();
            let missing = text
                .strip_prefix("missing field `")
                .and_then(|rest| rest.split('`').next());
            ApiError::new(
                Code::InvalidMessage,
                match missing {
                    Some(member) => format!("The member {member} is missing, {place}."),
                    None if text.starts_with("unknown field") => {
                        format!("There is a member that this message does not have, {place}.")
                    }
                    None if text.starts_with("duplicate field") => {
                        format!("A member stands twice, {place}.")
                    }
                    None => format!("A member does not have its form, {place}."),
                },
            )
        }
        Category::Io | Category::Syntax | Category::Eof => ApiError::new(
            Code::MalformedJson,
            format!("The body is not JSON {place}."),
        ),
    }
}
