// SPDX-License-Identifier: Apache-2.0

//! Files of any rows, any values and any bytes.

use mhealth_simulator::cohort::{
    csv::{check_id, CsvError, DateFormat, Dialect, NightRow, NightRows, Rows},
    source::Nights,
    survey::Survey,
};
use proptest::prelude::*;
use time::{macros::date, Duration};

use super::{read, rows, HEADER};

fn row() -> impl Strategy<Value = NightRow> {
    (
        r"[A-Za-z0-9_.-]{1,20}",
        0..20_000i64,
        1..9u32,
        0..=1440u32,
        1..=1440u32,
    )
        .prop_map(|(id, day, sleep_records, asleep, in_bed)| NightRow {
            id,
            day: date!(1990 - 01 - 01) + Duration::days(day),
            sleep_records,
            minutes_asleep: asleep.min(in_bed),
            minutes_in_bed: in_bed,
            sleep: None,
        })
        .prop_filter("a name", |row| check_id(&row.id).is_ok())
}

/// A file of these rows with its columns in this order.
fn file(rows: &[NightRow], order: &[usize], end: &str) -> String {
    let line = |fields: [String; 5]| {
        order
            .iter()
            .map(|&at| fields[at].clone())
            .collect::<Vec<_>>()
            .join(",")
            + end
    };
    let header = HEADER.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut text = line(header.try_into().expect("five columns"));
    for row in rows {
        text += &line([
            row.id.clone(),
            row.day.to_string(),
            row.sleep_records.to_string(),
            row.minutes_asleep.to_string(),
            row.minutes_in_bed.to_string(),
        ]);
    }
    text
}

/// What somebody might find in any column: what programs write, what they break, and what nobody meant.
fn nasty() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        " ",
        "\u{a0}",
        "\u{200b}",
        "\0",
        "\t",
        "\"",
        "\"\"",
        "'",
        "=1+1",
        "=\"007\"",
        "-",
        "+",
        "0",
        "-0",
        "+0",
        "00",
        "1",
        "1.0",
        "1,5",
        "1e3",
        "1E+09",
        "1.50396E+09",
        "NaN",
        "inf",
        "-inf",
        "null",
        "NULL",
        "#N/A",
        "#REF!",
        "########",
        "true",
        "4294967295",
        "4294967296",
        "-2147483649",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "1440",
        "1441",
        "-1",
        "0x10",
        "١٢",
        "７",
        "½",
        "²",
        "2026-03-01",
        "2026/03/01",
        "2026-3-1",
        "-0001-11-30",
        "0000-00-00",
        "+12026-01-01",
        "9999-12-31",
        "2100-12-31",
        "2101-01-01",
        "1970-01-01",
        "1969-12-31",
        "2026-02-29",
        "2024-02-29",
        "3/1/2026 12:00:00 AM",
        "31/12/2026",
        "2026-03-01T00:00:00Z",
        "2026-03-01T23:59:60Z",
        "20260301",
        "46082",
        "--",
        "////",
        "...",
        "2026-",
        "T",
        " T",
        "2026-03-01T",
        "2026-03-01 \u{202f}AM",
        "\u{feff}",
        "\u{202e}",
        "sep=;",
        "é",
        "e\u{301}",
        "\u{1f9d1}\u{200d}\u{1f52c}",
        "\u{e0100}",
        "\u{ffff}",
    ]);
    prop_oneof![
        4 => known.prop_map(str::to_owned),
        1 => ".{0,12}",
        1 => "[0-9/.:T+-]{0,24}",
        1 => Just("9".repeat(70_000)),
    ]
}

fn dialect() -> impl Strategy<Value = Dialect> {
    let dates = prop::sample::select(vec![
        None,
        Some(DateFormat::YearMonthDay),
        Some(DateFormat::MonthDayYear),
        Some(DateFormat::DayMonthYear),
    ]);
    let rows = prop::sample::select(vec![Rows::Day, Rows::Sleep]);
    (dates, rows).prop_map(|(dates, rows)| Dialect { dates, rows })
}

proptest! {
    /// From the file to the payload: whatever stands in whatever column, it is refused or sealed, and never a panic.
    #[test]
    fn no_value_of_any_column_makes_it_panic(
        fields in prop::collection::vec(prop::collection::vec(nasty(), 6), 1..4),
        mild in prop::collection::vec(any::<bool>(), 6),
        dialect in dialect(),
        separator in prop::sample::select(vec![',', ';', '\t', '|']),
        quoted in any::<bool>(),
    ) {
        let good = ["7301", "2026-03-01", "1", "402", "431", "true"];
        let mut text = format!("{HEADER},IsMainSleep").replace(',', &separator.to_string());
        for row in &fields {
            let field = |at: usize| match (mild[at], quoted) {
                (true, _) => good[at].to_owned(),
                (false, true) => format!("\"{}\"", row[at].replace('"', "\"\"")),
                (false, false) => row[at].clone(),
            };
            text += "\n";
            text += &(0..6).map(field).collect::<Vec<_>>().join(&separator.to_string());
        }
        let nights = || NightRows::new(text.as_bytes(), dialect).map(Nights::Csv);
        if let Ok(first) = nights() {
            let survey = Survey::of(first);
            let mut rng = crate::support::rng(1);
            for night in survey.placed(nights().expect("it was read before")) {
                match night {
                    Ok((_, night)) => {
                        let now = time::macros::datetime!(2026-03-01 9:00 UTC);
                        let who = mhealth_device_host::payload::Participant("P".into());
                        prop_assert!(!night.source().is_empty());
                        let payload = night.payload(who, now, &mut rng);
                        prop_assert!(mhealth_device_host::payload::Night::from_json(&payload).is_ok());
                    }
                    Err(error) => prop_assert!(error.to_string().len() < 400, "{}", error),
                }
            }
        }
    }

    #[test]
    fn every_good_row_is_read_back_whatever_the_order_of_columns_and_the_line_ends(
        rows in prop::collection::vec(row(), 0..20),
        order in Just((0..5usize).collect::<Vec<_>>()).prop_shuffle(),
        crlf in any::<bool>(),
    ) {
        let read = read(&file(&rows, &order, if crlf { "\r\n" } else { "\n" })).expect("good rows");
        let lines: Vec<u64> = read.iter().map(|(line, _)| *line).collect();
        prop_assert_eq!(lines, (2..2 + rows.len() as u64).collect::<Vec<_>>());
        prop_assert_eq!(read.into_iter().map(|(_, row)| row).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn no_bytes_make_it_panic_and_every_accepted_row_is_possible(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        after_header in any::<bool>(),
    ) {
        let mut file = if after_header { format!("{HEADER}\n").into_bytes() } else { Vec::new() };
        file.extend(bytes);
        if let Ok(rows) = rows(&file) {
            for (_, row) in rows.flatten() {
                prop_assert!(row.minutes_asleep <= row.minutes_in_bed && row.minutes_in_bed <= 1440);
            }
        }
    }

    #[test]
    fn one_bad_field_is_found_on_its_line_and_the_other_rows_are_read(
        rows in prop::collection::vec(row(), 1..20),
        place in any::<prop::sample::Index>(),
        column in 1..5usize,
    ) {
        let order: Vec<usize> = (0..5).collect();
        let text = file(&rows, &order, "\n");
        let bad = place.index(rows.len()) + 1;
        let lines: Vec<String> = text.lines().enumerate().map(|(number, line)| {
            let mut fields: Vec<&str> = line.split(',').collect();
            if number == bad {
                fields[column] = "?";
            }
            fields.join(",")
        }).collect();
        let lines = lines.join("\n");
        let read: Vec<_> = super::rows(lines.as_bytes()).expect("a header").collect();
        prop_assert_eq!(read.len(), rows.len());
        for (number, row) in read.into_iter().enumerate() {
            match row {
                Ok((line, row)) => prop_assert_eq!((line, &row), (number as u64 + 2, &rows[number])),
                Err(CsvError::Row { line, .. }) => prop_assert_eq!(line, bad as u64 + 1),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
