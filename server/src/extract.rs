// SPDX-License-Identifier: Apache-2.0

//! What handlers take from a request's head. Each says with a code of its own what is wrong.

use std::fmt;
use std::net::IpAddr;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::{header, request::Parts};
use mhealth_api::Code;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::ApiError;

/// The credential of `Authorization: Bearer`; `missing_credentials` when there is none. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(pub Zeroizing<String>);

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(secret)")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let credentials = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            // RFC 9110, section 11.1: the scheme's case does not matter.
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, credential)| credential.trim())
            .filter(|credential| !credential.is_empty());
        match credentials {
            Some(credential) => Ok(Bearer(Zeroizing::new(credential.to_owned()))),
            None => Err(Code::MissingCredentials.into()),
        }
    }
}

/// Parameters in the path; `invalid_parameter` when one does not have its form.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path =
            <axum::extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Path(value))
            .map_err(|_| Code::InvalidParameter.into())
    }
}

/// Parameters after the question mark; `invalid_parameter` when one is missing, unknown or does not have its form.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|_| Code::InvalidParameter.into())
    }
}

/// The client's address, by which strangers are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<Peer>().copied();
        peer.ok_or_else(|| ApiError::internal("a request has no peer"))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, ApiError> {
        match parts.headers.contains_key(header::AUTHORIZATION) {
            true => <Bearer as FromRequestParts<S>>::from_request_parts(parts, state)
                .await
                .map(Some),
            false => Ok(None),
        }
    }
}
