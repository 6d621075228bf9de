// SPDX-License-Identifier: Apache-2.0

//! Which web pages may use the server from a browser (CORS, as the Fetch standard has it).
//!
//! The origins are those that the operator lists, compared as they are; no pattern, and nothing is echoed that is not on the list.
//! Pages send their tokens in a header and never a cookie, so `Access-Control-Allow-Credentials` is never given. What staff,
//! auditors and machines ask for stays closed to pages. An origin that is not listed is told so with a code, which a ready-made
//! layer would keep to itself.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{header, HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fluent_uri::Uri;
use mhealth_api::Code;

use crate::base_address::is_this_machine;
use crate::ApiError;

/// What phones use, and with which methods.
const METHODS: &str = "GET, POST";
/// What phones send beside what every page may.
const HEADERS: &str = "authorization, content-encoding, content-type, dpop";
/// What phones need of an answer beside what every page sees. `Date` tells a phone how wrong its clock is.
const EXPOSED: &str = "date, dpop-nonce, retry-after, www-authenticate";
/// Seconds that a browser may remember the answer. None remembers it for longer.
const MAX_AGE: &str = "7200";
/// On what the answer to a question beforehand depends.
const DEPENDS: &str = "origin, access-control-request-method, access-control-request-headers";

/// An origin of web pages, in the form in which browsers send it: `https://app.example`, with a port if it is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedOrigin(String);

impl FromStr for AllowedOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "give scheme, host and port as browsers do, such as https://app.example";
        if matches!(text, "*" | "null") {
            return Err("this is many origins: name each one");
        }
        let text = text.trim().trim_end_matches('/');
        let uri = Uri::parse(text).map_err(|_| EXPECTED)?.normalize();
        let authority = uri.authority().ok_or(EXPECTED)?;
        let is_bare = uri.path().as_str().trim_end_matches('/').is_empty()
            && uri.query().is_none()
            && uri.fragment().is_none()
            && authority.userinfo().is_none()
            && !authority.host().is_empty();
        if !is_bare {
            return Err(EXPECTED);
        }
        match uri.scheme().as_str() {
            "http" if !is_this_machine(&authority.host_parsed()) => Err(
                "whoever is between a browser and an http address can change its pages: give https",
            ),
            "file" | "ws" | "wss" | "ftp" => Err(EXPECTED),
            // Apps that show pages of their own have schemes of their own, such as `capacitor://localhost`.
            _ => Ok(Self(uri.as_str().trim_end_matches('/').to_owned())),
        }
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which pages may use what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    listed: BTreeSet<String>,
    /// Beginnings of paths that no page may use.
    closed: Vec<&'static str>,
}

impl Origins {
    pub(crate) fn of(listed: &[AllowedOrigin]) -> Self {
        Self {
            listed: listed.iter().map(|origin| origin.0.clone()).collect(),
            closed: Vec::new(),
        }
    }

    /// Keeps these paths from all pages.
    pub(crate) fn close<'a>(&mut self, paths: impl IntoIterator<Item = &'a &'static str>) {
        self.closed.extend(paths);
    }

    /// The origin of a page that may ask for this; none when it may not, or when it is no page that asks.
    fn allowed<'r>(&self, path: &str, headers: &'r HeaderMap) -> Option<&'r HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let is_closed = self.closed.iter().any(|closed| path.starts_with(closed));
        let is_listed = self.listed.contains(origin.to_str().ok()?);
        (is_listed && !is_closed).then_some(origin)
    }
}

/// Whether a browser asks if a page may ask.
fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a browser that asks whether a page may ask. Lies within what admits requests, so that asking beforehand is counted, too.
pub(crate) async fn answer_beforehand(
    State(origins): State<Arc<Origins>>,
    request: Request,
    next: Next,
) -> Response {
    if origins.listed.is_empty() || !is_preflight(&request) {
        return next.run(request).await;
    }
    let path = request.uri().path();
    if origins.allowed(path, request.headers()).is_none() {
        return ApiError::from(Code::OriginNotAllowed).into_response();
    }
    let answer = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        (header::VARY, DEPENDS),
    ];
    (StatusCode::NO_CONTENT, answer).into_response()
}

/// Lets a listed page read the answer, also one that refuses. Lies around everything else.
pub(crate) async fn share(
    State(origins): State<Arc<Origins>>,
    request: Request,
    next: Next,
) -> Response {
    if origins.listed.is_empty() {
        return next.run(request).await;
    }
    let path = request.uri().path();
    let origin = origins.allowed(path, request.headers()).cloned();
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    // A cache must not give one origin what it kept for another.
    if !headers.contains_key(header::VARY) {
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (text, expected) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443/", "https://app.example"),
            ("https://app.example:8443", "https://app.example:8443"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            let origin: AllowedOrigin = text.parse().unwrap();
            assert_eq!(origin.to_string(), expected);
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://*.example/x",
            "https://app.example/diary",
            "https://app.example?a",
            "https://app.example#a",
            "https://me@app.example",
            "http://app.example",
            "file:///home",
            "https://a b",
        ] {
            assert!(bad.parse::<AllowedOrigin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_listed_is_allowed_and_nothing_of_the_staff() {
        let listed = ["https://app.example".parse().unwrap()];
        let mut origins = Origins::of(&listed);
        origins.close(&["/v1/admin/"]);
        let asks = |origin: &str, path: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            origins.allowed(path, &headers).is_some()
        };
        assert!(asks("https://app.example", "/v1/runs"));
        assert!(!asks("https://app.example", "/v1/admin/codes"));
        for other in [
            "null",
            "https://app.example.evil.example",
            "https://app.example:444",
            "http://app.example",
            "https://App.example",
            "",
        ] {
            assert!(!asks(other, "/v1/runs"), "{other}");
        }
        assert!(origins.allowed("/v1/runs", &HeaderMap::new()).is_none());
    }
}
