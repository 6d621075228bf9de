// SPDX-License-Identifier: Apache-2.0

//! JSON bodies, in and out.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{header, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mhealth_api::Code;
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::error::Category;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{ApiError, Limits};

/// Bytes of bodies that a server holds in memory at a time, over all connections. A client uses it up only by sending.
#[derive(Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    fn share(&self) -> BodyShare {
        BodyShare(Arc::new(Share {
            budget: self.0.clone(),
            taken: Mutex::default(),
        }))
    }
}

/// What a request's body takes of the memory that a server has for bodies. It is given back with the last clone: the server
/// keeps one until the answer is made, and a handler that hands the message to somebody else hands one over, too, because a
/// client that leaves ends the handler and not what the other does.
#[derive(Clone, Debug)]
pub struct BodyShare(Arc<Share>);

#[derive(Debug)]
struct Share {
    budget: Arc<Semaphore>,
    taken: Mutex<Option<OwnedSemaphorePermit>>,
}

impl BodyShare {
    fn take(&self, bytes: usize) -> Result<(), Code> {
        let permit = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| self.0.budget.clone().try_acquire_many_owned(bytes).ok())
            .ok_or(Code::Overloaded)?;
        let taken = self.0.taken.lock();
        let mut taken = taken.expect("no holder of this lock panics; qed");
        match &mut *taken {
            Some(taken) => taken.merge(permit),
            None => *taken = Some(permit),
        }
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for BodyShare {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let share = parts.extensions.get::<BodyShare>().cloned();
        share.ok_or_else(|| ApiError::internal("a request has no share of the memory for bodies"))
    }
}

/// Keeps what a request's body takes until the request is answered.
pub(crate) async fn keep_share(
    State(budget): State<BodyBudget>,
    mut request: Request,
    next: Next,
) -> Response {
    let share = budget.share();
    request.extensions_mut().insert(share.clone());
    let response = next.run(request).await;
    drop(share);
    response
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
        let share = request.extensions().get::<BodyShare>().cloned();
        let share = share.unwrap_or_else(|| BodyBudget::of(limits.all_bodies_bytes).share());
        if !is_json(request.headers()) {
            return Err(Code::UnsupportedMediaType.into());
        }
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse::<u64>().ok());
        let mut body = request.into_body();
        let read = read(&mut body, announced, &limits, &share);
        let Ok(read) = tokio::time::timeout(limits.body_timeout, read).await else {
            return Err(Code::RequestTimeout.into());
        };
        let Some(bytes) = read? else {
            // Read and thrown away, so that the client sees the answer instead of a broken connection.
            let rest = async { while let Some(Ok(_)) = next(&mut body).await {} };
            let _ = tokio::time::timeout(limits.body_timeout, rest).await;
            return Err(Code::BodyTooLarge.into());
        };
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

/// The body, whose bytes are taken from the budget before they are kept; none when it is too large.
async fn read(
    body: &mut Body,
    announced: Option<u64>,
    limits: &Limits,
    share: &BodyShare,
) -> Result<Option<Vec<u8>>, ApiError> {
    if announced.is_some_and(|length| length > limits.body_bytes as u64) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    while let Some(data) = next(body).await {
        let data =
            data.map_err(|_| ApiError::new(Code::MalformedJson, "The body did not arrive whole."))?;
        if bytes.len() + data.len() > limits.body_bytes {
            return Ok(None);
        }
        share.take(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

/// The next bytes; trailers are empty ones.
async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
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
                        format!("A member appears twice, {place}.")
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
