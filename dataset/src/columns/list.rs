// SPDX-License-Identifier: Apache-2.0

//! The columns one by one.

use super::values::{diary, float, instant, integer, number, owned, text};
use super::Kind::*;
use super::{assigned, column, Column, Value};

/// All columns, in their order.
pub const COLUMNS: &[Column] = &[
    assigned(
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
    assigned(
        "device",
        "DEVICE",
        Integer,
        "Device's number on the chain",
        |row| Value::Integer(row.device.into()),
    )
    .required(),
    assigned(
        "sequence",
        "ENTRY",
        Integer,
        "Place in the device's hashchain",
        |row| number(Some(row.sequence)),
    )
    .required(),
    assigned("link", "LINK", Text(66), "Link of the entry", |row| {
        owned(row.link)
    })
    .required(),
    assigned(
        "digest",
        "DIGEST",
        Text(66),
        "Digest of the sealed data",
        |row| owned(row.digest),
    )
    .required(),
    assigned(
        "verdict",
        "VERDICT",
        Text(16),
        "Verdict of the audit",
        |row| Value::Text(row.verdict.as_str().into()),
    )
    .required(),
    assigned(
        "registered",
        "REGISTRD",
        Boolean,
        "Stands on the chain",
        |row| Value::Boolean(row.registered),
    )
    .required(),
    assigned(
        "block",
        "BLOCK",
        Integer,
        "Block that registered it",
        |row| number(row.block),
    ),
    assigned(
        "submitter",
        "SUBMITTR",
        Text(66),
        "Account that brought it",
        |row| row.submitter.map_or(Value::Absent, owned),
    ),
    assigned(
        "not_before",
        "NOTBEFOR",
        Instant,
        "When the device was enrolled",
        |row| instant(row.not_before),
    ),
    assigned(
        "not_after",
        "NOTAFTER",
        Instant,
        "When the chain registered it",
        |row| instant(row.not_after),
    ),
    assigned(
        "received_at",
        "RECEIVED",
        Instant,
        "When a relay got it, as it says",
        |row| instant(row.received_at),
    ),
    column(
        "first_part",
        "PARTFRST",
        Integer,
        "First entry of a record in parts",
        |row| number(row.in_parts.map(|it| it.first)),
    )
    .derived("By the numbers that the record's parts bear"),
    column(
        "last_part",
        "PARTLAST",
        Integer,
        "Last entry of a record in parts",
        |row| number(row.in_parts.map(|it| it.last)),
    )
    .derived("By the numbers that the record's parts bear"),
    column(
        "parts",
        "PARTS",
        Integer,
        "Parts of the record that are there",
        |row| number(row.in_parts.map(|it| it.found)),
    )
    .derived("Counted"),
    column(
        "content",
        "CONTENT",
        Text(16),
        "What the payload is",
        |row| {
            row.content
                .map_or(Value::Absent, |word| Value::Text(word.into()))
        },
    )
    .derived("By the media type of the payload"),
    column(
        "corrects",
        "CORRECTS",
        Integer,
        "Entry that it takes the place of",
        |row| number(row.corrects),
    )
    .derived("By the media type of the payload"),
    column(
        "corrected_by",
        "CORRBY",
        Integer,
        "Entry that takes its place",
        |row| number(row.corrected_by),
    )
    .derived("The latest valid and readable entry that names this one as corrected"),
    column(
        "current",
        "CURRENT",
        Boolean,
        "Valid, readable and not corrected",
        |row| Value::Boolean(row.current),
    )
    .derived("Valid, readable, and the last of its corrections")
    .required(),
    column(
        "main",
        "MAIN",
        Boolean,
        "The row that is the night",
        |row| Value::Boolean(row.main),
    )
    .derived(
        "Of a night's current rows that are no naps, the first device's, and of those one with sleep time, the main sleep, \
         the longest, with most values, the latest; in this order",
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
    )
    .derived("What stood in the way when the entry was opened, read and counted"),
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
        Time,
        "Sleep onset, with offset from UTC",
        |row| text(&row.measures.asleep[0]),
    ),
    column(
        "final_awakening",
        "AWAKEN",
        Time,
        "Final awakening, with offset from UTC",
        |row| text(&row.measures.asleep[1]),
    ),
    column(
        "into_bed",
        "INTOBED",
        Time,
        "Going to bed, with offset from UTC",
        |row| text(&row.measures.in_bed[0]),
    ),
    column(
        "out_of_bed",
        "OUTOFBED",
        Time,
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
        Time,
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
