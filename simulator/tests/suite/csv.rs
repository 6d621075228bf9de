// SPDX-License-Identifier: Apache-2.0

//! Files of nights, good and bad.

mod any;

use std::collections::HashSet;

use mhealth_simulator::cohort::{
    csv::{CsvError, Dialect, NightRow, NightRows, Rows},
    omh::DataPoints,
    source::{Nights, SourceError, SourceNight},
    survey::Survey,
};
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

/// Rows of ever other people.
struct People {
    rows: u64,
    left: Vec<u8>,
}

impl std::io::Read for People {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.left.is_empty() {
            self.rows += 1;
            assert!(self.rows < 100_000, "it reads on and on");
            self.left = format!("p{},2016-04-18,1,99,104\n", self.rows).into_bytes();
        }
        let length = self.left.len().min(out.len());
        out[..length].copy_from_slice(&self.left[..length]);
        self.left.drain(..length);
        Ok(length)
    }
}

#[test]
fn a_file_that_never_ends_is_read_to_the_bound() {
    let people = People {
        rows: 0,
        left: format!("{HEADER}\n").into_bytes(),
    };
    let rows = NightRows::new(people, Dialect::default()).expect("a header");
    let survey = Survey::of_at_most(1_000, Nights::Csv(rows));
    assert_eq!((survey.rows, survey.wrong), (1_000, 1));
    assert_eq!(survey.errors[0].code(), "csv_too_many_rows");
    let said = survey.errors[0].to_string();
    assert!(said.contains("1000 rows"), "{said}");
    // As many as are taken are no fault.
    let row = |number: u64| format!("p{number},2016-04-18,1,99,104\n");
    let whole = (0..1_000).fold(format!("{HEADER}\n"), |text, number| text + &row(number));
    let rows = NightRows::new(whole.as_bytes(), Dialect::default()).expect("a header");
    assert_eq!(Survey::of_at_most(1_000, Nights::Csv(rows)).wrong, 0);
    let documents = "{}\n".repeat(9);
    let points = DataPoints::new(documents.as_bytes(), None);
    let survey = Survey::of_at_most(3, Nights::Omh(points));
    let last = survey.errors.last().expect("it has too many");
    assert_eq!((survey.rows, last.code()), (3, "omh_too_many_rows"));
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
