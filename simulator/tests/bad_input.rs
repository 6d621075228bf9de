// SPDX-License-Identifier: Apache-2.0

//! The real program on files that are wrong, and on one that is long.

mod desk;

use std::fs;

use desk::{assert_failed, stderr, Desk, HEADER};
use mhealth_device_host::PublicKey;
use rusqlite::Connection;
use time::{macros::date, Duration};

const GOOD: &str = "7001,2016-04-12,1,327,346\n7002,2016-04-12,2,384,407\n";

impl Desk {
    /// With a state file of two devices.
    fn with_state() -> Self {
        let desk = Self::empty();
        let output = desk.simulate(&format!("{HEADER}\n{GOOD}"), &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        desk
    }
}

/// Files of nights with one mistake each, and what it is called.
fn bad_files() -> Vec<(&'static str, String)> {
    let row = |row: &str| format!("{HEADER}\n{GOOD}{row}\n");
    let less = HEADER.replace(",TotalMinutesAsleep", "");
    vec![
        ("csv_empty", String::new()),
        ("csv_no_rows", format!("{HEADER}\n")),
        (
            "csv_missing_column",
            format!("{less}\n7001,2016-04-13,1,346\n"),
        ),
        ("csv_field_count", row("7001,2016-04-13,1,327")),
        ("csv_not_a_number", row("7001,2016-04-13,1,many,346")),
        ("csv_negative", row("7001,2016-04-13,1,-3,346")),
        ("csv_impossible", row("7001,2016-04-13,1,327,1441")),
        ("csv_bad_date", row("7001,2016-02-30,1,327,346")),
        ("csv_impossible_year", row("7001,-0001-11-30,1,327,346")),
        ("csv_ambiguous_date", row("7001,3/4/2016,1,327,346")),
        ("csv_rounded_id", row("7.001E+09,2016-04-13,1,327,346")),
        ("csv_unclosed_quote", row("\"7001,2016-04-13,1,327,346")),
        ("names_look_alike", row("07001,2016-04-13,1,327,346")),
    ]
}

#[test]
fn a_file_of_nights_with_a_mistake_is_refused_whole_and_the_state_stays_as_it_was() {
    let desk = Desk::with_state();
    let before = desk.files();
    for (code, nights) in bad_files() {
        assert_failed(&desk.simulate(&nights, &[]), 2, code);
        assert_eq!(desk.files(), before, "{code}");
    }
}

#[test]
fn a_file_of_nights_with_a_mistake_makes_no_state_file() {
    let desk = Desk::empty();
    for (code, nights) in bad_files() {
        assert_failed(&desk.simulate(&nights, &[]), 2, code);
        assert!(desk.files().is_empty(), "{code}");
    }
}

#[test]
fn a_state_file_that_cannot_be_used_is_refused_and_left_alone() {
    let whole = fs::read(Desk::with_state().state()).expect("read");
    let letter = b"Dear doctor, this is a letter and not a database. ".repeat(50);
    for damaged in [&letter[..], &whole[..whole.len() / 2]] {
        let desk = Desk::empty();
        fs::write(desk.state(), damaged).expect("written");
        let before = desk.files();
        let nights = format!("{HEADER}\n{GOOD}");
        assert_failed(&desk.simulate(&nights, &[]), 5, "state_corrupt");
        let status = desk.program("status").output().expect("started");
        assert_failed(&status, 5, "state_corrupt");
        assert_eq!(desk.files(), before);
    }
}

#[test]
fn a_state_file_of_another_program_or_of_a_later_version_is_refused_and_left_alone() {
    for (sql, code) in [
        ("PRAGMA application_id = 7", "state_not_ours"),
        ("PRAGMA user_version = 99", "state_newer"),
    ] {
        let desk = Desk::with_state();
        let changed = Connection::open(desk.state()).expect("opened");
        changed.execute_batch(sql).expect("changed");
        changed.close().expect("closed");
        let before = desk.files();
        let nights = format!("{HEADER}\n{GOOD}");
        assert_failed(&desk.simulate(&nights, &[]), 5, code);
        assert_eq!(desk.files(), before, "{code}");
    }
}

#[test]
fn a_state_file_of_another_chain_study_or_device_is_refused_and_left_alone() {
    let desk = Desk::with_state();
    let before = desk.files();
    let nights = format!("{HEADER}\n{GOOD}7001,2016-04-13,1,384,407\n");
    let other_chain = desk.simulate_on(&[0x11; 32], &nights, &[]);
    assert_failed(&other_chain, 4, "state_of_another_chain");
    let other_study = desk.simulate(&nights, &["--study", "1"]);
    assert_failed(&other_study, 4, "state_of_another_study");
    let stranger = PublicKey([0x22; 32]).to_string();
    let other_device = desk
        .program("status")
        .args(["--device", &stranger])
        .output();
    assert_failed(
        &other_device.expect("started"),
        5,
        "state_of_another_device",
    );
    assert_eq!(desk.files(), before);
}

/// A node that is away is no reason not to seal; a wrong command line is.
#[test]
fn a_secret_that_cannot_be_read_is_told_before_anything_is_sealed() {
    let desk = Desk::with_state();
    let before = desk.files();
    let nights = desk.path("nights.csv");
    fs::write(
        &nights,
        format!("{HEADER}\n{GOOD}7001,2016-04-13,1,384,407\n"),
    )
    .expect("written");
    for option in ["--enrol-with-file", "--admin-credential-file"] {
        let output = desk
            .program("simulate")
            .args(["--node", "ws://127.0.0.1:1", "--csv"])
            .arg(&nights)
            .arg(option)
            .arg(desk.path("none"))
            .output();
        assert_failed(&output.expect("started"), 2, "file_not_found");
        assert_eq!(desk.files(), before, "{option}");
    }
}

#[test]
fn a_file_of_a_hundred_thousand_nights_is_sealed_whole() {
    let mut nights = format!("{HEADER}\n");
    for night in 0..1_000 {
        let day = date!(2016 - 01 - 01) + Duration::days(night);
        for person in 0..100 {
            nights += &format!(
                "7{person:03},{day},1,{},{}\n",
                300 + night % 90,
                400 + person
            );
        }
    }
    let desk = Desk::empty();
    let output = desk.simulate(
        &nights,
        &["--envelope", "plain", "--commit-every", "100000"],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let expected = "devices=100 entries=100000 duplicates=0 finalised=0 refused=0";
    assert_eq!(stdout.lines().last(), Some(expected));
}
