// SPDX-License-Identifier: Apache-2.0

//! What a server answers when it cannot do what was asked.

use std::time::Duration;

use axum::http::{header, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mhealth_api::{Code, Problem, PROBLEM_MEDIA_TYPE};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Seconds that a client is told to wait when nothing better is known.
const RETRY_AFTER: u64 = 2;
/// [`mhealth_api::DPOP_NONCE`], as header names are compared.
const NONCE: &str = "dpop-nonce";

/// A [`Problem`] as an answer. Handlers return it with `?`: every inner error becomes a problem with a stable code, is logged
/// there, and goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    problem: Box<Problem>,
    retry_after: Option<u64>,
    challenge: Challenge,
}

/// What a refused client is told to come with (RFC 9110, section 11.6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Challenge {
    /// A credential.
    #[default]
    Bearer,
    /// A token and a proof of possession, perhaps with this nonce in it.
    Dpop { nonce: Option<String> },
}

impl ApiError {
    /// A code with a sentence on this very request. It must not contain patient data, secrets or inner errors.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::with_detail(code, detail).into()
    }

    /// Says when to try again, in whole seconds rounded up.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some((wait.as_millis().div_ceil(1_000) as u64).max(1));
        self
    }

    /// `internal`; what really happened goes to the log only.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Code::Internal.into()
    }

    /// The client is to come with a token and a proof of possession (RFC 9449, section 7.1).
    pub fn asking_for_proof(mut self) -> Self {
        if self.challenge == Challenge::Bearer {
            self.challenge = Challenge::Dpop { nonce: None };
        }
        self
    }

    /// The client is to put this nonce into its next proof (RFC 9449, sections 8 and 9).
    pub(crate) fn with_nonce(mut self, nonce: String) -> Self {
        self.challenge = Challenge::Dpop { nonce: Some(nonce) };
        self
    }

    /// What the client gets to see.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let waits = problem.status == 429 || problem.status == 503;
        Self {
            problem: Box::new(problem),
            retry_after: waits.then_some(RETRY_AFTER),
            challenge: Challenge::default(),
        }
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Problem::new(code).into()
    }
}

/// `storage_unavailable` when the database was not reached or could not write for now, `internal` when it does not
/// understand us.
impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match is_passing(&error) {
            true => {
                tracing::warn!(%error, "the database is not available");
                Code::StorageUnavailable.into()
            }
            false => ApiError::internal(error),
        }
    }
}

/// `chain_unavailable` when the node was not reached or had no room, `refused_by_chain` with the chain's reason, and `internal` otherwise.
impl From<mhealth_chain_client::Error> for ApiError {
    fn from(error: mhealth_chain_client::Error) -> Self {
        use mhealth_chain_client::Error;
        match &error {
            Error::Dispatch(refusal) => {
                tracing::warn!(%error, "the chain refused a call");
                ApiError::new(
                    Code::RefusedByChain,
                    format!("The chain refused this: {}.", refusal.refusal()),
                )
            }
            Error::Unreachable { .. }
            | Error::WrongChain { .. }
            | Error::Refused(_)
            | Error::Expired { .. }
            | Error::Superseded { .. }
            | Error::Closed => {
                tracing::warn!(%error, code = error.code(), "the chain is not available");
                Code::ChainUnavailable.into()
            }
            Error::NotProvable { .. } => {
                tracing::warn!(%error, "the node has no proof");
                Code::ProofUnavailable.into()
            }
            Error::SetNotBridged { .. } => {
                tracing::warn!(%error, "the node cannot bridge the sets");
                ApiError::new(Code::SetNotBridged, error.to_string())
            }
            _ => ApiError::internal(&error),
        }
    }
}

/// Whether the same request may succeed later without anybody changing the server.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            // SQLite: busy, locked, I/O error, full (each also as extended code in the low byte). PostgreSQL: connection
            // errors, serialisation and deadlock, out of resources (full disk), operator intervention (restart), I/O; and
            // whatever ends a session, such as a full disk while it begins, which comes as an internal error. 55P03: another
            // held a lock for too long.
            if is_end_of_session(error.as_ref()) {
                return true;
            }
            let code = error.code().unwrap_or_default();
            match code.parse::<u32>() {
                Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 10 | 13),
                _ => ["08", "40", "53", "55P03", "57", "58"]
                    .iter()
                    .any(|class| code.starts_with(class)),
            }
        }
        _ => false,
    }
}

fn is_end_of_session(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

impl Challenge {
    fn text(&self, problem: &Problem) -> HeaderValue {
        let text = match (self, problem.known_code()) {
            (Self::Bearer, _) => "Bearer",
            (_, Some(Code::MissingCredentials)) => r#"DPoP algs="EdDSA""#,
            (_, Some(Code::UseDpopNonce)) => r#"DPoP error="use_dpop_nonce", algs="EdDSA""#,
            (_, Some(code)) if code.is_about_a_proof() => {
                r#"DPoP error="invalid_dpop_proof", algs="EdDSA""#
            }
            _ => r#"DPoP error="invalid_token", algs="EdDSA""#,
        };
        HeaderValue::from_static(text)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = *self.problem;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media_type = HeaderValue::from_static(PROBLEM_MEDIA_TYPE);
        let mut response = (
            status,
            [(header::CONTENT_TYPE, media_type)],
            axum::Json(&problem),
        )
            .into_response();
        // axum's Json says application/json; a problem has a type of its own.
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(PROBLEM_MEDIA_TYPE),
        );
        if status == StatusCode::UNAUTHORIZED {
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, self.challenge.text(&problem));
            let nonce = match self.challenge {
                Challenge::Dpop { nonce: Some(nonce) } => HeaderValue::from_str(&nonce).ok(),
                _ => None,
            };
            if let Some(nonce) = nonce {
                headers.insert(HeaderName::from_static(NONCE), nonce);
                // What stands there once is of no use to anybody else.
                let no_store = HeaderValue::from_static("no-store");
                headers.insert(header::CACHE_CONTROL, no_store);
            }
        }
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
