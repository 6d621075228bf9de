// SPDX-License-Identifier: Apache-2.0

//! The columns that every tabular format has, in one place: names, units, labels, and where their values come from.

mod list;
mod values;

use std::borrow::Cow;

use serde_json::Value as Json;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

use crate::row::Row;

pub use list::COLUMNS;

/// The columns that name a row: no two rows have the same in all of them.
pub(crate) const KEYS: [&str; 3] = ["device", "sequence", "link"];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of at most so many characters.
    Text(u16),
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// An instant, to the second, in UTC.
    Instant,
    /// An instant with its offset from UTC, as RFC 3339 has it.
    Time,
}

/// Where the values of a column come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the participant or the participant's phone.
    Collected,
    /// From the study, the chain, its relays, or the audit.
    Assigned,
    /// From the other two, in the way that is said.
    Derived(&'static str),
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'r> {
    /// None.
    Absent,
    /// Text.
    Text(Cow<'r, str>),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A day.
    Date(Date),
    /// Seconds since 1970.
    Instant(i64),
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, with the unit at the end where there is one.
    pub name: &'static str,
    /// Its name in CDISC's files: at most eight characters.
    pub cdisc: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its unit, as UCUM writes it.
    pub unit: Option<&'static str>,
    /// What it is, in at most 40 characters.
    pub label: &'static str,
    /// Where its values come from.
    pub origin: Origin,
    /// Whether every row has a value.
    pub required: bool,
    /// Its value in a row.
    pub value: for<'r> fn(&'r Row) -> Value<'r>,
}

const fn column(
    name: &'static str,
    cdisc: &'static str,
    kind: Kind,
    label: &'static str,
    value: for<'r> fn(&'r Row) -> Value<'r>,
) -> Column {
    Column {
        name,
        cdisc,
        kind,
        unit: None,
        label,
        origin: Origin::Collected,
        required: false,
        value,
    }
}

const fn assigned(
    name: &'static str,
    cdisc: &'static str,
    kind: Kind,
    label: &'static str,
    value: for<'r> fn(&'r Row) -> Value<'r>,
) -> Column {
    Column {
        origin: Origin::Assigned,
        ..column(name, cdisc, kind, label, value)
    }
}

impl Column {
    const fn in_unit(self, unit: &'static str) -> Self {
        Column {
            unit: Some(unit),
            ..self
        }
    }

    const fn derived(self, how: &'static str) -> Self {
        Column {
            origin: Origin::Derived(how),
            ..self
        }
    }

    const fn required(self) -> Self {
        Column {
            required: true,
            ..self
        }
    }
}

/// An instant as RFC 3339 has it, in UTC.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(seconds);
    let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(&Rfc3339).unwrap_or_default()
}

/// The same of seconds as they stand in audits.
pub(crate) fn rfc3339_of(seconds: u64) -> String {
    rfc3339(i64::try_from(seconds).unwrap_or_default())
}

/// What stands in a row for an instant.
pub(crate) fn instant_text(seconds: Option<u64>) -> String {
    values::instant(seconds).to_text()
}

/// A day as ISO 8601 has it.
pub(crate) fn iso(day: Date) -> String {
    let (month, year) = (u8::from(day.month()), day.year());
    format!("{year:04}-{month:02}-{:02}", day.day())
}

impl Value<'_> {
    /// The value as text; nothing for none.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Value::Absent => String::new(),
            Value::Text(text) => text.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::Date(day) => iso(*day),
            Value::Instant(seconds) => rfc3339(*seconds),
        }
    }

    /// The value in JSON; null for none.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Value::Absent => Json::Null,
            Value::Integer(value) => (*value).into(),
            Value::Number(value) => (*value).into(),
            Value::Boolean(value) => (*value).into(),
            other => other.to_text().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_fit_every_format() {
        let (mut names, mut short) = (HashSet::new(), HashSet::new());
        for column in COLUMNS {
            assert!(
                names.insert(column.name) && short.insert(column.cdisc),
                "{}",
                column.name
            );
            assert!(
                column.cdisc.len() <= 8 && column.label.len() <= 40,
                "{}",
                column.name
            );
            // What REDCap takes for a variable.
            assert!(column.name.len() <= 26, "{}", column.name);
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(column.name.chars().all(fits), "{}", column.name);
        }
    }

    #[test]
    fn a_row_is_named_by_columns_that_are_never_empty() {
        for key in KEYS {
            let column = COLUMNS.iter().find(|column| column.name == key);
            assert!(column.unwrap().required, "{key}");
        }
    }

    #[test]
    fn whole_minutes_are_written_without_a_point() {
        assert_eq!(Value::Number(327.0).to_text(), "327");
        assert_eq!(Value::Number(1.5).to_text(), "1.5");
        assert_eq!(Value::Instant(0).to_text(), "1970-01-01T00:00:00Z");
    }
}
