// SPDX-License-Identifier: Apache-2.0

//! How bodies are packed, and how their characters are written.

use axum::extract::Request;
use axum::http::{header, HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mhealth_api::Code;

use crate::ApiError;

/// Mark at the beginning of a text in UTF-8, which says nothing.
const MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// Marks of UTF-16 and UTF-32.
const OTHER_MARKS: [&[u8]; 3] = [&[0xff, 0xfe], &[0xfe, 0xff], &[0, 0, 0xfe, 0xff]];

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
}

impl Encoding {
    /// What the head says (RFC 9110, section 8.4); `unsupported_encoding` for what is not taken, and for more than one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut named = headers.get_all(header::CONTENT_ENCODING).into_iter();
        let Some(first) = named.next() else {
            return Ok(Self::None);
        };
        let first = first.to_str().map(str::trim).unwrap_or("?");
        let is = |name: &str| first.eq_ignore_ascii_case(name);
        match named.next() {
            None if is("identity") || first.is_empty() => Ok(Self::None),
            None if is("gzip") || is("x-gzip") => Ok(Self::Gzip),
            _ => Err(Code::UnsupportedEncoding.into()),
        }
    }

    /// What is wrong with a body that ends in the middle.
    pub(crate) fn broken(self) -> &'static str {
        match self {
            Self::None => "The body did not arrive whole.",
            Self::Gzip => "The body did not arrive whole, or is not gzip.",
        }
    }
}

/// Sees to it that the layer that unpacks bodies gets the name that it knows, and that nothing else comes in.
pub(crate) async fn name(mut request: Request, next: Next) -> Response {
    let encoding = match Encoding::of(request.headers()) {
        Ok(encoding) => encoding,
        Err(refusal) => {
            let mut answer = refusal.into_response();
            // RFC 9110, section 12.5.3.
            let taken = HeaderValue::from_static("gzip");
            answer.headers_mut().insert(header::ACCEPT_ENCODING, taken);
            return answer;
        }
    };
    request.headers_mut().remove(header::CONTENT_ENCODING);
    if encoding == Encoding::Gzip {
        let gzip = HeaderValue::from_static("gzip");
        request.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    request.extensions_mut().insert(encoding);
    next.run(request).await
}

/// `unsupported_charset` for JSON that says to be in something else than UTF-8. RFC 8259 has no such parameter, and many send it.
pub(crate) fn check_charset(headers: &HeaderMap) -> Result<(), ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let parameters = media_type.unwrap_or_default().split(';').skip(1);
    let charsets = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"'))
    });
    let is_taken = |charset: &str| {
        ["utf-8", "utf8", "us-ascii"]
            .iter()
            .any(|taken| charset.eq_ignore_ascii_case(taken))
    };
    for charset in charsets {
        if !is_taken(charset) {
            return Err(Code::UnsupportedCharset.into());
        }
    }
    Ok(())
}

/// The text without a byte order mark. `unsupported_charset` when the mark is that of another encoding.
pub(crate) fn without_mark(bytes: &[u8]) -> Result<&[u8], ApiError> {
    if OTHER_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(Code::UnsupportedCharset.into());
    }
    Ok(bytes.strip_prefix(MARK).unwrap_or(bytes))
}
