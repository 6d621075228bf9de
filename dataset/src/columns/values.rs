// SPDX-License-Identifier: Apache-2.0

//! What stands in a row, as values of columns.

use serde_json::Value as Json;
use time::OffsetDateTime;

use super::Value;
use crate::row::Row;

pub(super) fn text(value: &Option<String>) -> Value<'_> {
    value
        .as_deref()
        .map_or(Value::Absent, |it| Value::Text(it.into()))
}

pub(super) fn owned<'r>(value: impl std::fmt::Display) -> Value<'r> {
    Value::Text(value.to_string().into())
}

pub(super) fn integer<'r>(value: Option<i64>) -> Value<'r> {
    value.map_or(Value::Absent, Value::Integer)
}

/// A number of the chain's. None is as large as a half of what its type holds (`hashchain::MAX_INDEX`).
pub(super) fn number<'r>(value: Option<u64>) -> Value<'r> {
    integer(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
}

pub(super) fn float<'r>(value: Option<f64>) -> Value<'r> {
    value.map_or(Value::Absent, Value::Number)
}

pub(super) fn instant<'r>(seconds: Option<u64>) -> Value<'r> {
    let seconds = seconds.and_then(|seconds| i64::try_from(seconds).ok());
    let readable = seconds.filter(|seconds| OffsetDateTime::from_unix_timestamp(*seconds).is_ok());
    readable.map_or(Value::Absent, Value::Instant)
}

pub(super) fn diary(row: &Row, item: usize) -> Value<'_> {
    match &row.measures.diary[item - 1] {
        Some(Json::String(text)) => Value::Text(text.as_str().into()),
        Some(Json::Number(number)) => integer(number.as_i64()),
        _ => Value::Absent,
    }
}
