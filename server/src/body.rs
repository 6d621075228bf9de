// SPDX-License-Identifier: Apache-2.0

//! JSON bodies, in and out.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{header, HeaderMap};
use axum::response::{IntoResponse, Response};
use mhealth_api::Code;
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::error::Category;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::encoding::{self, Encoding};
use crate::pace::Late;
use crate::{ApiError, Limits};

/// How long a body that is too large is read on and thrown away.
const WASTE: Duration = Duration::from_secs(30);

/// Bytes of bodies that a server holds in memory at a time, over all connections. A client uses it up only by sending.
#[derive(Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Bytes that nobody has taken.
    pub(crate) fn available(&self) -> usize {
        self.0.available_permits()
    }

    /// What a request takes of it, which counts for its address, too.
    pub(crate) fn share(&self, of_address: Arc<Semaphore>) -> BodyShare {
        BodyShare(Arc::new(Share {
            budget: self.0.clone(),
            of_address,
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
    of_address: Arc<Semaphore>,
    taken: Mutex<Option<Taken>>,
}

#[derive(Debug)]
struct Taken {
    budget: OwnedSemaphorePermit,
    of_address: OwnedSemaphorePermit,
}

impl BodyShare {
    /// Of no server's memory, for tests of what handlers do.
    pub fn of_nobody() -> Self {
        BodyBudget::of(0).share(Arc::new(Semaphore::new(0)))
    }

    fn take(&self, bytes: usize) -> Result<(), Code> {
        let bytes = u32::try_from(bytes).map_err(|_| Code::Overloaded)?;
        let from = |source: &Arc<Semaphore>| source.clone().try_acquire_many_owned(bytes);
        let new = Taken {
            budget: from(&self.0.budget).map_err(|_| Code::Overloaded)?,
            of_address: from(&self.0.of_address).map_err(|_| Code::TooManyRequests)?,
        };
        let taken = self.0.taken.lock();
        let mut taken = taken.expect("no holder of this lock panics; qed");
        match &mut *taken {
            Some(taken) => {
                taken.budget.merge(new.budget);
                taken.of_address.merge(new.of_address);
            }
            None => *taken = Some(new),
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

/// A JSON message. As an argument of a handler it is read within the server's [`Limits`]; what is wrong with it is told by
/// line and column and never by repeating a value, which may be a secret or a patient's.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (mut parts, mut body) = request.into_parts();
        let share = BodyShare::from_request_parts(&mut parts, &()).await?;
        let limits = parts.extensions.get::<Limits>().copied();
        let limits = limits.unwrap_or_default();
        let late = parts.extensions.get::<Late>().cloned();
        if !is_json(&parts.headers) {
            return Err(Code::UnsupportedMediaType.into());
        }
        encoding::check_charset(&parts.headers)?;
        let encoding = parts.extensions.get::<Encoding>().copied();
        let encoding = encoding.unwrap_or(Encoding::None);
        // What is announced is the length of what is packed.
        let announced = announced_length(&parts.headers).filter(|_| encoding == Encoding::None);
        let reading = async {
            let is_too_large = |length| length > limits.body_bytes as u64;
            if announced.is_some_and(is_too_large) {
                return Ok(None);
            }
            read(&mut body, &limits, &share).await
        };
        let Ok(read) = tokio::time::timeout(limits.body_timeout, reading).await else {
            return Err(Code::RequestTimeout.into());
        };
        let is_late = || late.as_ref().is_some_and(Late::is_so);
        let read = read.map_err(|broken| match broken {
            Broken::Off if is_late() => Code::RequestTimeout.into(),
            Broken::Off => ApiError::new(Code::MalformedJson, encoding.broken()),
            Broken::Share(code) => code.into(),
        })?;
        let Some(bytes) = read else {
            // Read and thrown away, so that the client sees the answer instead of a broken connection; but not unpacked.
            if encoding == Encoding::None {
                let rest = async { while let Some(Ok(_)) = next(&mut body).await {} };
                let _ = tokio::time::timeout(limits.body_timeout.min(WASTE), rest).await;
            }
            return Err(Code::BodyTooLarge.into());
        };
        let bytes = encoding::without_mark(&bytes)?;
        serde_json::from_slice(bytes)
            .map(Json)
            .map_err(|error| refusal(&error))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Why a body was not read to its end.
enum Broken {
    /// It broke off, or does not unpack.
    Off,
    /// There is no memory for it.
    Share(Code),
}

/// The body, whose bytes are taken from the budget before they are kept; none when it is too large.
async fn read(
    body: &mut Body,
    limits: &Limits,
    share: &BodyShare,
) -> Result<Option<Vec<u8>>, Broken> {
    let mut bytes = Vec::new();
    while let Some(data) = next(body).await {
        let data = data.map_err(|_| Broken::Off)?;
        if bytes.len() + data.len() > limits.body_bytes {
            return Ok(None);
        }
        share.take(data.len()).map_err(Broken::Share)?;
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

/// How long a body says that it is.
pub(crate) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
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
