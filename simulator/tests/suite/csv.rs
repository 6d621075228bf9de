// SPDX-License-Identifier: Apache-2.0

//! Files of nights, good and bad.

use std::collections::HashSet;

use mhealth_simulator::cohort::{
    csv::{check_id, CsvError, DateFormat, Dialect, NightRow, NightRows, Rows},
    source::{Nights, SourceError, SourceNight},
    survey::Survey,
};
use proptest::prelude::*;
use time::{macros::date, Duration};

const HEADER: &str = "Id,Day,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed";

/// Rows of a file that says all of itself.
fn rows(text: &[u8]) -> Result<NightRows<&[u8]>, CsvError> {
    NightRows::new(text, Dialect::default())
}

fn read(text: &str) -> Result<Vec<(u64, NightRow)>, CsvError> {
    rows(text.as_bytes())?.collect()
}

fn survey(text: &str) -> Survey {
    survey_of(text, Dialect::default())
}

fn survey_of(text: &str, dialect: Dialect) -> Survey {
    let rows = NightRows::new(text.as_bytes(), dialect).expect("a header");
    Survey::of(Nights::Csv(rows))
}

/// Code and message of what is wrong with a file of one row.
fn wrong(row: &str) -> (&'static str, String) {
    let error = read(&format!("{HEADER}\n1,2016-04-12,1,327,346\n{row}\n")).expect_err(row);
    (error.code(), error.to_string())
}

#[test]
fn columns_are_found_by_name_in_any_order_among_others() {
    let text = "TotalTimeInBed,Note,Day,Id,TotalMinutesAsleep,TotalSleepRecords\r\n\
                346,,2016-04-12,1503960366,327,1\r\n";
    let rows = read(text).expect("a good file");
    assert_eq!(
        rows,
        read(&format!("{HEADER}\n1503960366,2016-04-12,1,327,346")).expect("the same")
    );
    let (line, row) = &rows[0];
    assert_eq!(
        (*line, row.minutes_asleep, row.minutes_in_bed),
        (2, 327, 346)
    );
}

#[test]
fn a_byte_order_mark_and_spaces_are_no_mistake() {
    let rows = read(&format!(
        "\u{feff}{HEADER}\n 7 , 2016-04-12 , 1 , 327 , 346 \n\n"
    ));
    assert_eq!(rows.expect("a good file")[0].1.id, "7");
}

#[test]
fn every_mistake_has_its_code_and_its_line() {
    for (row, code) in [
        ("1,2016-04-13,1,327", "csv_field_count"),
        ("1,2016-04-13,1,327,346,0", "csv_field_count"),
        (",2016-04-13,1,327,346", "csv_bad_id"),
        ("1,13/04/2016,1,327,346", "csv_ambiguous_date"),
        ("1,1899-12-30,1,327,346", "csv_impossible_year"),
        ("1,2016-04-13 23:10,1,327,346", "csv_time_of_day"),
        ("1.5E+09,2016-04-13,1,327,346", "csv_rounded_id"),
        ("NaN,2016-04-13,1,327,346", "csv_bad_id"),
        ("1,2016-02-30,1,327,346", "csv_bad_date"),
        ("1,2016-04-13,one,327,346", "csv_not_a_number"),
        ("1,2016-04-13,1,,346", "csv_not_a_number"),
        ("1,2016-04-13,1,327.5,346", "csv_not_a_number"),
        ("1,2016-04-13,1,NaN,346", "csv_not_a_number"),
        ("1,2016-04-13,1,-3,346", "csv_negative"),
        ("1,2016-04-13,1,327,-1", "csv_negative"),
        ("1,2016-04-13,1,327,1441", "csv_impossible"),
        ("1,2016-04-13,1,99999999999999999999,346", "csv_impossible"),
        ("1,2016-04-13,0,327,346", "csv_impossible"),
        ("1,2016-04-13,1,0,0", "csv_impossible"),
        ("1,2016-04-13,1,347,346", "csv_asleep_exceeds_in_bed"),
    ] {
        let (found, message) = wrong(row);
        assert_eq!(found, code, "{row}: {message}");
        assert!(message.starts_with("line 3: "), "{message}");
    }
}

#[test]
fn blank_lines_and_line_ends_of_any_kind_count() {
    for end in ["\n", "\r\n", "\r"] {
        let text = [
            HEADER,
            "",
            "1,2016-04-12,1,327,346",
            "",
            "",
            "1,2016-04-13,1,x,346",
        ]
        .join(end);
        let rows: Vec<_> = rows(text.as_bytes()).expect("a header").collect();
        assert_eq!(rows[0].as_ref().expect("a good row").0, 3);
        let error = rows[1].as_ref().expect_err("a bad row").to_string();
        assert!(error.starts_with("line 6: "), "{error}");
    }
}

#[test]
fn messages_never_repeat_a_value() {
    for row in [
        "secret\u{7},x,y,z,w",
        "1,secret,1,2,3",
        "1,2016-04-13,secret,2,3",
    ] {
        assert!(!wrong(row).1.contains("secret"), "{row}");
    }
}

#[test]
fn headers_that_are_wrong_are_refused() {
    let code = |text: &str| read(text).expect_err(text).code();
    assert_eq!(code(""), "csv_empty");
    assert_eq!(code("\n\n"), "csv_empty");
    assert_eq!(
        code("Id,Day,TotalSleepRecords,TotalMinutesAsleep\n"),
        "csv_missing_column"
    );
    assert_eq!(code(&format!("{HEADER},Id\n")), "csv_repeated_column");
    assert_eq!(
        code("1503960366,2016-04-12,1,327,346\n"),
        "csv_missing_column"
    );
}

#[test]
fn bytes_that_are_no_text_are_named_by_line() {
    let mut bytes = format!("{HEADER}\n1,2016-04-12,1,327,346\n").into_bytes();
    bytes.extend(b"1,2016-04-13,1,3\xff7,346\n1,2016-04-14,1,327,346\n");
    let survey = Survey::of(Nights::Csv(rows(&bytes).expect("a header")));
    assert_eq!((survey.rows, survey.wrong), (3, 1));
    assert_eq!(survey.errors[0].code(), "csv_not_text");
    assert!(
        survey.errors[0].to_string().starts_with("line 3: "),
        "{}",
        survey.errors[0]
    );
}

#[test]
fn a_file_without_rows_has_nothing_to_give() {
    assert_eq!(survey(HEADER).errors[0].code(), "csv_no_rows");
}

#[test]
fn a_hundred_thousand_good_rows_are_all_read() {
    let first = date!(2016 - 01 - 01);
    let mut text = String::from(HEADER);
    for night in 0..1_000 {
        let day = first + Duration::days(night);
        for person in 0..100 {
            text += &format!("\n{person},{day},1,327,346");
        }
    }
    let survey = survey(&text);
    assert!(survey.errors.is_empty(), "{:?}", survey.errors);
    assert_eq!((survey.rows, survey.duplicates), (100_000, 0));
    assert_eq!(read(&text).expect("a good file").len(), 100_000);
}

#[test]
fn rows_that_stand_twice_are_counted_and_contradicting_ones_refused() {
    let twice = survey(&format!(
        "{HEADER}\n1,2016-04-18,1,99,104\n1,2016-04-18,1,99,104\n2,2016-04-18,1,99,104\n1,2016-04-18,1,99,104\n"
    ));
    assert_eq!((twice.rows, twice.duplicates, twice.wrong), (4, 2, 0));
    let other = survey(&format!(
        "{HEADER}\n1,2016-04-18,1,99,104\n1,2016-04-18,1,98,104\n"
    ));
    assert_eq!((other.duplicates, other.wrong), (0, 1));
    assert_eq!(other.errors[0].code(), "csv_contradicts_earlier");
}

#[test]
fn many_mistakes_are_counted_and_the_first_ones_kept() {
    let survey = survey(&format!("{HEADER}\n{}", "x\n".repeat(1_000)));
    assert_eq!(
        (survey.wrong, survey.errors.len()),
        (1_000, Survey::MOST_ERRORS)
    );
}

#[test]
fn a_source_that_breaks_off_ends_the_file() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the cable was pulled"))
        }
    }
    let text = format!("{HEADER}\n1,2016-04-18,1,99,104\n");
    let source = std::io::Read::chain(text.as_bytes(), Broken);
    let rows = NightRows::new(source, Dialect::default()).expect("a header");
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[1].as_ref().expect_err("broken").code(),
        "csv_unreadable"
    );
}

/// The file that this project is tried on, when it is there (`MHEALTH_SLEEP_DAY` names another place for it).
#[test]
fn the_real_file_has_410_nights_of_24_people_and_three_rows_twice() {
    let beside = "../../shared/data/sleep_day.csv";
    let path = std::env::var("MHEALTH_SLEEP_DAY").unwrap_or_else(|_| beside.into());
    let Ok(text) = std::fs::read(&path) else {
        eprintln!("skipped: no file {path}");
        return;
    };
    let survey = Survey::of(Nights::Csv(rows(&text).expect("a header")));
    let rows: Vec<_> = rows(&text)
        .expect("a header")
        .map(|row| row.expect("a good row").1)
        .collect();
    let people: HashSet<_> = rows.iter().map(|row| &row.id).collect();
    assert_eq!(
        (rows.len(), people.len(), survey.duplicates, survey.wrong),
        (413, 24, 3, 0)
    );
}

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
        let read: Vec<_> = super::csv::rows(lines.as_bytes()).expect("a header").collect();
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

fn main_sleeps(text: &str) -> Vec<(u32, Option<bool>)> {
    let dialect = Dialect {
        rows: Rows::Sleep,
        ..Dialect::default()
    };
    let nights = || Nights::Csv(NightRows::new(text.as_bytes(), dialect).expect("a header"));
    let survey = Survey::of(nights());
    assert!(survey.errors.is_empty(), "{:?}", survey.errors);
    let placed: Result<Vec<_>, SourceError> = survey.placed(nights()).collect();
    let sleeps = placed
        .expect("good rows")
        .into_iter()
        .map(|(_, night)| match night {
            SourceNight::Measured(row) => row.sleep.expect("rows are sleeps"),
            other => panic!("{other:?}"),
        });
    sleeps.map(|sleep| (sleep.number, sleep.is_main)).collect()
}

#[test]
fn the_longest_sleep_of_a_day_is_its_main_one_unless_the_file_says_another() {
    let file = |rows: &str| format!("{HEADER}\n{rows}");
    assert_eq!(
        main_sleeps(&file("1,2026-03-01,1,38,41\n1,2026-03-01,1,402,431\n1,2026-03-02,1,388,420\n2,2026-03-01,1,20,30\n")),
        [(1, Some(false)), (2, Some(true)), (1, Some(true)), (1, Some(true))]
    );
    // Nobody knows which of two equal ones is the main one.
    assert_eq!(
        main_sleeps(&file(
            "1,2026-03-01,1,30,30\n1,2026-03-01,1,30,30\n1,2026-03-01,1,20,30\n"
        )),
        [(1, None), (2, None), (3, Some(false))]
    );
    let said = format!("{HEADER},IsMainSleep\n1,2026-03-01,1,300,310,no\n1,2026-03-01,1,200,210,TRUE\n1,2026-03-01,1,20,30,\n");
    assert_eq!(
        main_sleeps(&said),
        [(1, Some(false)), (2, Some(true)), (3, None)]
    );
    let twice =
        format!("{HEADER},IsMainSleep\n1,2026-03-01,1,300,310,1\n1,2026-03-01,1,200,210,1\n");
    let dialect = Dialect {
        rows: Rows::Sleep,
        ..Dialect::default()
    };
    assert_eq!(
        survey_of(&twice, dialect).errors[0].code(),
        "csv_second_main_sleep"
    );
}

#[test]
fn a_quote_that_is_not_closed_ends_the_file_in_bounded_memory() {
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.0 += out.len() as u64;
            assert!(self.0 < 1 << 20, "it reads on and on");
            out.iter_mut()
                .enumerate()
                .for_each(|(at, byte)| *byte = if at % 50 == 0 { b'\n' } else { b'x' });
            Ok(out.len())
        }
    }
    let text = format!("{HEADER}\n1,2016-04-18,1,99,104\n\"1,2016-04-19,1,99,104\n");
    let source = std::io::Read::chain(text.as_bytes(), Endless(0));
    let rows = NightRows::new(source, Dialect::default()).expect("a header");
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 2);
    let error = rows[1].as_ref().expect_err("unclosed");
    assert_eq!(error.code(), "csv_unclosed_quote");
    assert!(error.to_string().starts_with("line 3: "), "{error}");
}

#[test]
fn a_note_may_have_line_ends_within_quotes() {
    let text = format!("{HEADER},Note\n1,2016-04-18,1,99,104,\"went to bed\r\nlate, \"\"again\"\"\"\n1,2016-04-19,1,x,104,\n");
    let rows: Vec<_> = rows(text.as_bytes()).expect("a header").collect();
    assert_eq!(rows[0].as_ref().expect("a good row").0, 2);
    let error = rows[1].as_ref().expect_err("a bad row").to_string();
    assert!(error.starts_with("line 4: "), "{error}");
}

#[test]
fn a_row_that_is_too_long_is_one_mistake_and_the_next_one_is_read() {
    let text = format!("{HEADER}\n{}\n1,2016-04-18,1,99,104\n", "x".repeat(100_000));
    let rows: Vec<_> = rows(text.as_bytes()).expect("a header").collect();
    assert_eq!(
        rows[0].as_ref().expect_err("too long").code(),
        "csv_too_long"
    );
    assert_eq!(rows[1].as_ref().expect("a good row").0, 3);
    let wide = format!("{HEADER}\n{}\n", ",".repeat(5_000));
    assert_eq!(read(&wide).expect_err("too wide").code(), "csv_too_long");
}

#[test]
fn what_is_no_table_in_text_is_named() {
    let utf16: Vec<u8> = format!("\u{feff}{HEADER}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let cases: [(&[u8], &str); 5] = [
        (&utf16[..], "UTF-16"),
        (&utf16[2..], "UTF-16"),
        (b"PK\x03\x04\x14\0", "workbook"),
        (b"\xd0\xcf\x11\xe0\xa1", "workbook"),
        (b"\x1f\x8b\x08\0", "gzip"),
    ];
    for (bytes, what) in cases {
        let error = rows(bytes).map(drop).expect_err(what);
        assert_eq!(error.code(), "csv_not_text");
        assert!(error.to_string().contains(what), "{error}");
    }
}
