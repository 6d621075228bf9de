// SPDX-License-Identifier: Apache-2.0

//! Files of nights, good and bad.

use std::collections::HashSet;

use mhealth_simulator::cohort::csv::{CsvError, NightRow, NightRows, Survey};
use proptest::prelude::*;
use time::{macros::date, Duration};

const HEADER: &str = "Id,Day,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed";

fn read(text: &str) -> Result<Vec<(u64, NightRow)>, CsvError> {
    NightRows::new(text.as_bytes())?.collect()
}

fn survey(text: &str) -> Survey {
    Survey::of(NightRows::new(text.as_bytes()).expect("a header"))
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
        ("1,13/04/2016,1,327,346", "csv_bad_date"),
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
    for end in ["\n", "\r\n"] {
        let text = [
            HEADER,
            "",
            "1,2016-04-12,1,327,346",
            "",
            "",
            "1,2016-04-13,1,x,346",
        ]
        .join(end);
        let rows: Vec<_> = NightRows::new(text.as_bytes()).expect("a header").collect();
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
    let survey = Survey::of(NightRows::new(&bytes[..]).expect("a header"));
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
    let rows: Vec<_> = NightRows::new(source).expect("a header").collect();
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
    let Ok(rows) = NightRows::open(std::path::Path::new(&path)) else {
        eprintln!("skipped: no file {path}");
        return;
    };
    let rows: Vec<_> = rows.map(|row| row.expect("a good row").1).collect();
    let people: HashSet<_> = rows.iter().map(|row| &row.id).collect();
    let survey = Survey::of(NightRows::open(std::path::Path::new(&path)).expect("it is there"));
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
        })
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

proptest! {
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
        if let Ok(rows) = NightRows::new(&file[..]) {
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
        let read: Vec<_> = NightRows::new(lines.join("\n").as_bytes()).expect("a header").collect();
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
