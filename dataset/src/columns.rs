// SPDX-License-Identifier: Apache-2.0

//! The columns that every tabular format has, in one place: names, units, labels, and where their values come from.

use std::borrow::Cow;

use serde_json::Value as Json;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

use crate::row::Row;

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
        required: false,
        value,
    }
}

impl Column {
    const fn in_unit(self, unit: &'static str) -> Self {
        Column {
            unit: Some(unit),
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

use Kind::*;

/// All columns, in their order.
pub const COLUMNS: &[Column] = &[
    column(
        "participant",
        "USUBJID",
        Text(64),
        "Participant's pseudonym",
        |row| text(&row.participant),
    ),
    column(
        "night",
        "NIGHT",
        Date,
        "Day on which the participant got up",
        |row| row.night.map_or(Value::Absent, Value::Date),
    ),
    column(
        "device",
        "DEVICE",
        Integer,
        "Device's number on the chain",
        |row| Value::Integer(row.device.into()),
    )
    .required(),
    column(
        "sequence",
        "ENTRY",
        Integer,
        "Place in the device's hashchain",
        |row| number(Some(row.sequence)),
    )
    .required(),
    column("link", "LINK", Text(66), "Link of the entry", |row| {
        owned(row.link)
    })
    .required(),
    column(
        "digest",
        "DIGEST",
        Text(66),
        "Digest of the sealed data",
        |row| owned(row.digest),
    )
    .required(),
    column(
        "verdict",
        "VERDICT",
        Text(16),
        "Verdict of the audit",
        |row| Value::Text(row.verdict.as_str().into()),
    )
    .required(),
    column(
        "registered",
        "REGISTRD",
        Boolean,
        "Stands on the chain",
        |row| Value::Boolean(row.registered),
    )
    .required(),
    column(
        "block",
        "BLOCK",
        Integer,
        "Block that registered it",
        |row| number(row.block),
    ),
    column(
        "submitter",
        "SUBMITTR",
        Text(66),
        "Account that brought it",
        |row| row.submitter.map_or(Value::Absent, owned),
    ),
    column(
        "not_before",
        "NOTBEFOR",
        Instant,
        "When the device was enrolled",
        |row| instant(row.not_before),
    ),
    column(
        "not_after",
        "NOTAFTER",
        Instant,
        "When the chain registered it",
        |row| instant(row.not_after),
    ),
    column(
        "received_at",
        "RECEIVED",
        Instant,
        "When a relay got it, as it says",
        |row| instant(row.received_at),
    ),
    column(
        "content",
        "CONTENT",
        Text(16),
        "What the payload is",
        |row| {
            row.content
                .map_or(Value::Absent, |word| Value::Text(word.into()))
        },
    ),
    column(
        "corrects",
        "CORRECTS",
        Integer,
        "Entry that it takes the place of",
        |row| number(row.corrects),
    ),
    column(
        "corrected_by",
        "CORRBY",
        Integer,
        "Entry that takes its place",
        |row| number(row.corrected_by),
    ),
    column(
        "current",
        "CURRENT",
        Boolean,
        "Counts for its night",
        |row| Value::Boolean(row.current),
    )
    .required(),
    column(
        "problem",
        "PROBLEM",
        Text(32),
        "Why it has no values or does not count",
        |row| {
            row.problem
                .map_or(Value::Absent, |it| Value::Text(it.as_str().into()))
        },
    ),
    column(
        "total_sleep_time_min",
        "TST",
        Number,
        "Total sleep time (min)",
        |row| float(row.measures.total_sleep_time),
    )
    .in_unit("min"),
    column(
        "time_in_bed_min",
        "TIB",
        Number,
        "Time in bed (min)",
        |row| float(row.measures.time_in_bed),
    )
    .in_unit("min"),
    column(
        "sleep_records",
        "SLPRECS",
        Integer,
        "Records that the source added up",
        |row| integer(row.measures.sleep_records),
    ),
    column(
        "is_main_sleep",
        "MAINSLP",
        Boolean,
        "Main sleep of the day",
        |row| {
            row.measures
                .is_main_sleep
                .map_or(Value::Absent, Value::Boolean)
        },
    ),
    column(
        "sleep_onset",
        "SLPONSET",
        Text(35),
        "Sleep onset, with offset from UTC",
        |row| text(&row.measures.asleep[0]),
    ),
    column(
        "final_awakening",
        "AWAKEN",
        Text(35),
        "Final awakening, with offset from UTC",
        |row| text(&row.measures.asleep[1]),
    ),
    column(
        "into_bed",
        "INTOBED",
        Text(35),
        "Going to bed, with offset from UTC",
        |row| text(&row.measures.in_bed[0]),
    ),
    column(
        "out_of_bed",
        "OUTOFBED",
        Text(35),
        "Leaving bed, with offset from UTC",
        |row| text(&row.measures.in_bed[1]),
    ),
    column(
        "part_of_day",
        "PARTDAY",
        Text(16),
        "Part of the day, without instants",
        |row| text(&row.measures.part_of_day),
    ),
    column(
        "sleep_latency_min",
        "SOL",
        Number,
        "Latency to sleep onset (min)",
        |row| float(row.measures.latency_to_sleep_onset),
    )
    .in_unit("min"),
    column(
        "arising_latency_min",
        "ARISELAT",
        Number,
        "Latency to arising (min)",
        |row| float(row.measures.latency_to_arising),
    )
    .in_unit("min"),
    column(
        "wake_after_onset_min",
        "WASO",
        Number,
        "Awake after sleep onset (min)",
        |row| float(row.measures.wake_after_sleep_onset),
    )
    .in_unit("min"),
    column("awakenings", "NAWAKE", Integer, "Awakenings", |row| {
        integer(row.measures.number_of_awakenings)
    }),
    column(
        "light_sleep_min",
        "LIGHT",
        Number,
        "Light sleep (min)",
        |row| float(row.measures.light_sleep),
    )
    .in_unit("min"),
    column(
        "deep_sleep_min",
        "DEEP",
        Number,
        "Deep sleep (min)",
        |row| float(row.measures.deep_sleep),
    )
    .in_unit("min"),
    column("rem_sleep_min", "REM", Number, "REM sleep (min)", |row| {
        float(row.measures.rem_sleep)
    })
    .in_unit("min"),
    column(
        "sleep_efficiency_pct",
        "SLPEFF",
        Number,
        "Asleep as a share of the episode (%)",
        |row| float(row.measures.sleep_efficiency),
    )
    .in_unit("%"),
    column(
        "schema",
        "SCHEMA",
        Text(64),
        "Schema of the first data point",
        |row| text(&row.measures.schema),
    ),
    column(
        "uuid",
        "UUID",
        Text(36),
        "Identifier of the first data point",
        |row| text(&row.measures.uuid),
    ),
    column(
        "source_created",
        "SRCDTC",
        Text(35),
        "When the source made it, as it says",
        |row| text(&row.measures.source_created),
    ),
    column(
        "modality",
        "MODALITY",
        Text(16),
        "Sensed or self-reported",
        |row| text(&row.measures.modality),
    ),
    column(
        "csd_core_1",
        "CSD1",
        Text(5),
        "Sleep diary, item 1: time of day",
        |row| diary(row, 1),
    ),
    column(
        "csd_core_2",
        "CSD2",
        Text(5),
        "Sleep diary, item 2: time of day",
        |row| diary(row, 2),
    ),
    column(
        "csd_core_3_min",
        "CSD3",
        Integer,
        "Sleep diary, item 3 (min)",
        |row| diary(row, 3),
    )
    .in_unit("min"),
    column(
        "csd_core_4",
        "CSD4",
        Integer,
        "Sleep diary, item 4: count",
        |row| diary(row, 4),
    ),
    column(
        "csd_core_5_min",
        "CSD5",
        Integer,
        "Sleep diary, item 5 (min)",
        |row| diary(row, 5),
    )
    .in_unit("min"),
    column(
        "csd_core_6",
        "CSD6",
        Text(5),
        "Sleep diary, item 6: time of day",
        |row| diary(row, 6),
    ),
    column(
        "csd_core_7",
        "CSD7",
        Text(5),
        "Sleep diary, item 7: time of day",
        |row| diary(row, 7),
    ),
    column(
        "csd_core_8",
        "CSD8",
        Integer,
        "Sleep diary, item 8: 1 to 5",
        |row| diary(row, 8),
    ),
];

fn text(value: &Option<String>) -> Value<'_> {
    value
        .as_deref()
        .map_or(Value::Absent, |it| Value::Text(it.into()))
}

fn owned<'r>(value: impl std::fmt::Display) -> Value<'r> {
    Value::Text(value.to_string().into())
}

fn integer<'r>(value: Option<i64>) -> Value<'r> {
    value.map_or(Value::Absent, Value::Integer)
}

/// A number of the chain's. None is as large as a half of what its type holds (`hashchain::MAX_INDEX`).
fn number<'r>(value: Option<u64>) -> Value<'r> {
    integer(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
}

fn float<'r>(value: Option<f64>) -> Value<'r> {
    value.map_or(Value::Absent, Value::Number)
}

fn instant<'r>(seconds: Option<u64>) -> Value<'r> {
    let seconds = seconds.and_then(|seconds| i64::try_from(seconds).ok());
    let readable = seconds.filter(|seconds| OffsetDateTime::from_unix_timestamp(*seconds).is_ok());
    readable.map_or(Value::Absent, Value::Instant)
}

fn diary(row: &Row, item: usize) -> Value<'_> {
    match &row.measures.diary[item - 1] {
        Some(Json::String(text)) => Value::Text(text.as_str().into()),
        Some(Json::Number(number)) => integer(number.as_i64()),
        _ => Value::Absent,
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
    fn whole_minutes_are_written_without_a_point() {
        assert_eq!(Value::Number(327.0).to_text(), "327");
        assert_eq!(Value::Number(1.5).to_text(), "1.5");
        assert_eq!(Value::Instant(0).to_text(), "1970-01-01T00:00:00Z");
    }
}
