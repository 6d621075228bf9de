// SPDX-License-Identifier: Apache-2.0

//! Tables with a row for each night, or for each sleep.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use mhealth_device_host::payload::{corrected, MEDIA_TYPE};
use serde_json::{json, Value};

use crate::desk::{assert_failed, last_line, stderr, Desk, GENESIS, HEADER};
use crate::{refused, taken};

#[test]
fn fitbits_export_is_taken_once_somebody_says_how_its_dates_are_meant() {
    let lines = ["line 2", "line 3", "line 4", "line 5", "line 6"];
    let mistakes = lines.map(|line| ("csv_ambiguous_date", line));
    let said = refused("fitbit-export.csv", &[], &mistakes);
    assert!(said.contains("--date-format mdy"), "{said}");
    let payloads = taken(
        "fitbit-export.csv",
        &["--date-format", "mdy"],
        "devices=2 entries=4 duplicates=1",
    );
    let nights: Vec<_> = payloads[0]
        .iter()
        .map(|(_, night)| &night["night"])
        .collect();
    assert_eq!(nights, ["2026-03-01", "2026-03-02", "2026-03-14"]);
    // The other way round, the fourteenth month is none.
    refused(
        "fitbit-export.csv",
        &["--date-format", "dmy"],
        &[("csv_bad_date", "line 5")],
    );
}

#[test]
fn dates_that_begin_with_the_year_need_no_word_about_their_order() {
    let expected = "devices=2 entries=4 duplicates=1";
    let payloads = taken("dates-with-slashes.csv", &[], expected);
    assert_eq!(payloads[1][0].1["night"], "2026-03-01");
}

#[test]
fn the_empty_date_of_a_database_is_refused_on_its_line_and_nothing_is_sealed() {
    refused(
        "year-minus-one.csv",
        &[],
        &[("csv_impossible_year", "line 2")],
    );
    let desk = Desk::empty();
    for start in [
        "-0001-11-30",
        "0000-00-00",
        "9999-12-31",
        "2101-01-01",
        "today",
    ] {
        let output = desk
            .offline(&GENESIS)
            .args([&format!("--start={start}"), "--devices=1", "--nights=2"])
            .output()
            .expect("started");
        assert_eq!(
            output.status.code(),
            Some(2),
            "{start}: {}",
            stderr(&output)
        );
        assert!(!desk.state().exists());
    }
}

#[test]
fn a_night_that_was_scored_anew_is_refused_and_sealed_as_a_correction_on_request() {
    let desk = Desk::empty();
    let friday = desk.take("corrected-friday.csv", &[]);
    assert!(friday.status.success(), "{}", stderr(&friday));
    let before = fs::read(desk.state()).expect("read");
    let monday = desk.take("corrected-monday.csv", &[]);
    assert_failed(&monday, 2, "differs_from_sealed");
    let said = stderr(&monday);
    assert!(
        said.contains("line 3: the night 2026-03-02 ") && said.contains("entry 2 "),
        "{said}"
    );
    assert_eq!(fs::read(desk.state()).expect("read"), before);

    for corrections in ["corrections=1", "corrections=0"] {
        let monday = desk.take("corrected-monday.csv", &["--corrections"]);
        assert!(monday.status.success(), "{}", stderr(&monday));
        let stdout = String::from_utf8_lossy(&monday.stdout).into_owned();
        assert!(
            stdout.starts_with("rows=2 blank=0 ") && stdout.contains(corrections),
            "{stdout}"
        );
        assert!(last_line(&monday).starts_with("devices=1 entries=4 "));
    }
    // What was corrected is what the next file is compared with.
    assert!(desk.take("corrected-monday.csv", &[]).status.success());
    assert_failed(
        &desk.take("corrected-friday.csv", &[]),
        2,
        "differs_from_sealed",
    );

    let payloads = desk.payloads();
    let (media_type, night) = &payloads[0][3];
    assert_eq!(corrected(media_type), (MEDIA_TYPE, Some(2)));
    assert_eq!(night["night"], "2026-03-02");
    let asleep = &night["sleep_episode"]["body"]["total_sleep_time"];
    assert_eq!(asleep, &json!({"value": 188, "unit": "min"}));
}

#[test]
fn what_spreadsheets_of_other_countries_write_is_taken() {
    for data in ["semicolons.csv", "sep-line.csv", "header-in-lower-case.csv"] {
        let payloads = taken(data, &[], "devices=2 entries=3 duplicates=0");
        let asleep = &payloads[1][0].1["sleep_episode"]["body"]["total_sleep_time"]["value"];
        assert_eq!(asleep, 455, "{data}");
    }
    let tabs =
        "sep=\t\n".to_owned() + &HEADER.replace(',', "\t") + "\n7\t2026-03-01\t1\t402\t431\n";
    let bars = HEADER.replace(',', "|") + "\n7|2026-03-01|1|402|431\n";
    let quoted =
        "\"sep=;\"\n".to_owned() + &HEADER.replace(',', ";") + "\n7;2026-03-01;1;402;431\n";
    let spaced =
        "id;sleep day;Total Sleep Records;TOTAL_MINUTES_ASLEEP;total time in bed;Remarks, if any\n\
                  7;2026-03-01;1;402;431;a, b\n";
    for text in [&tabs[..], &bars, &quoted, spaced] {
        let output = Desk::empty().simulate(text, &[]);
        assert!(output.status.success(), "{text}: {}", stderr(&output));
    }
}

#[test]
fn old_line_ends_count_and_the_first_mistake_comes_first() {
    refused(
        "cr-only-two-mistakes.csv",
        &[],
        &[
            ("csv_ambiguous_date", "line 3"),
            ("csv_not_a_number", "line 4"),
        ],
    );
    refused(
        "cr-only-two-mistakes.csv",
        &["--date-format=dmy"],
        &[("csv_not_a_number", "line 4")],
    );
}

#[test]
fn empty_rows_are_passed_over_and_counted() {
    let output = Desk::empty().take("blank-rows-of-commas.csv", &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        stdout.starts_with("rows=3 blank=2 corrections=0\n"),
        "{stdout}"
    );
    assert!(last_line(&output).starts_with("devices=2 entries=3 duplicates=0 "));
}

#[test]
fn names_that_a_spreadsheet_rounded_are_refused() {
    let lines = ["line 2", "line 3", "line 4", "line 5"].map(|line| ("csv_rounded_id", line));
    refused("ids-through-a-spreadsheet.csv", &[], &lines);
}

#[test]
fn names_that_differ_by_what_nobody_sees_are_refused_within_a_file_and_over_files() {
    for (one, other) in [
        ("leading-zeroes-a.csv", "leading-zeroes-b.csv"),
        ("leading-zeroes-b.csv", "leading-zeroes-a.csv"),
    ] {
        let desk = Desk::empty();
        assert!(desk.take(one, &[]).status.success());
        let before = fs::read(desk.state()).expect("read");
        let output = desk.take(other, &[]);
        assert_failed(&output, 2, "names_look_alike");
        assert!(stderr(&output).contains("line 2: "), "{}", stderr(&output));
        assert_eq!(fs::read(desk.state()).expect("read"), before);
        assert!(desk.take(one, &[]).status.success());
    }
    let row = |id: &str, day: u32| format!("{id},2026-03-0{day},1,402,431\n");
    for other in ["07", "7 \u{200b}", "\u{feff}7", "7.0", "７", "\u{202d}7"] {
        let text = format!("{HEADER}\n{}{}{}", row("7", 1), row("8", 1), row(other, 2));
        let output = Desk::empty().simulate(&text, &[]);
        assert_failed(&output, 2, "names_look_alike");
        let said = stderr(&output);
        assert!(
            said.contains("line 4: ") && said.contains("on line 2"),
            "{said}"
        );
    }
}

#[test]
fn a_row_for_each_sleep_is_taken_on_request_and_the_refusal_says_so() {
    let said = refused(
        "one-row-a-sleep.csv",
        &[],
        &[("csv_contradicts_earlier", "line 3")],
    );
    assert!(said.contains("--rows sleep"), "{said}");
    let sleeps = ["--rows", "sleep"];
    let payloads = taken(
        "one-row-a-sleep.csv",
        &sleeps,
        "devices=1 entries=3 duplicates=0",
    );
    let main: Vec<_> = payloads[0]
        .iter()
        .map(|(_, night)| {
            let in_bed = &night["time_in_bed"]["body"]["is_main_sleep"];
            assert_eq!(in_bed, &night["sleep_episode"]["body"]["is_main_sleep"]);
            in_bed
        })
        .collect();
    assert_eq!(main, [true, false, true]);

    taken(
        "two-equal-naps.csv",
        &[],
        "devices=1 entries=1 duplicates=1",
    );
    let payloads = taken(
        "two-equal-naps.csv",
        &sleeps,
        "devices=1 entries=2 duplicates=0",
    );
    assert!(payloads[0][1].1["sleep_episode"]["body"]
        .get("is_main_sleep")
        .is_none());

    // The same file again says nothing new.
    let desk = Desk::empty();
    for _ in 0..2 {
        let output = desk.take("one-row-a-sleep.csv", &sleeps);
        assert!(
            last_line(&output).starts_with("devices=1 entries=3 "),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn of_a_day_without_an_hour_no_instant_is_claimed() {
    let before = time::OffsetDateTime::now_utc()
        .replace_nanosecond(0)
        .expect("a time");
    let payloads = taken("day-only.csv", &[], "devices=1 entries=2 duplicates=0");
    for (_, night) in &payloads[0] {
        let (episode, in_bed) = (&night["sleep_episode"], &night["time_in_bed"]);
        let schema = |point: &Value| {
            let id = &point["header"]["schema_id"];
            ["namespace", "name", "version"].map(|part| id[part].as_str().expect("text").to_owned())
        };
        assert_eq!(schema(episode), ["omh", "sleep-episode", "1.1"]);
        assert_eq!(schema(in_bed), ["mhealth-chain", "time-in-bed", "1.0"]);
        let interval = json!({"date": night["night"], "part_of_day": "night"});
        for point in [episode, in_bed] {
            assert_eq!(
                point["body"]["effective_time_frame"],
                json!({"time_interval": interval})
            );
            // The data point came about when the row was read, not at noon of the day.
            let created = point["header"]["source_creation_date_time"]
                .as_str()
                .expect("text");
            let rfc3339 = &time::format_description::well_known::Rfc3339;
            let created = time::OffsetDateTime::parse(created, rfc3339).expect("an instant");
            assert!(created >= before && created <= time::OffsetDateTime::now_utc());
            let sheet = &point["header"]["external_datasheets"][0]["datasheet_reference"];
            assert_eq!(sheet, "urn:mhealth-chain:device:daily-summary-reader:1");
        }
    }
}

#[test]
fn a_file_out_of_a_pipe_is_taken_like_any_other() {
    for place in ["-", "/dev/stdin"] {
        let desk = Desk::empty();
        let mut child = desk
            .offline(&GENESIS)
            .args(["--csv", place])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let text = fs::read("tests/data/semicolons.csv").expect("read");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(&text)
            .expect("written");
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success(), "{place}: {}", stderr(&output));
        assert!(last_line(&output).starts_with("devices=2 entries=3 "));
        // Nothing of it stays beside the state file.
        assert_eq!(desk.files().len(), 2, "{:?}", desk.files().keys());
    }
    let desk = Desk::empty();
    let pipe = desk.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("started").success());
    let child = desk
        .offline(&GENESIS)
        .arg("--csv")
        .arg(&pipe)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let text = fs::read("tests/data/semicolons.csv").expect("read");
    fs::write(&pipe, text).expect("written");
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_failed(&desk.simulate("", &[]), 2, "csv_empty");
}

#[test]
fn what_a_phone_writes_is_its_owners_alone_whatever_the_umask() {
    let desk = Desk::empty();
    let mut sealing = desk.offline(&GENESIS);
    sealing.args(["--csv", "tests/data/semicolons.csv"]);
    let queue = desk.path("queue.ndjson");
    let mut export = desk.program("export-queue");
    export.arg("--out").arg(&queue);
    for command in [&sealing, &export] {
        let output = Command::new("sh")
            .args(["-c", r#"umask 000; exec "$0" "$@""#])
            .arg(command.get_program())
            .args(command.get_args())
            .output()
            .expect("started");
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(queue.is_file());
    let files = desk.files();
    // The state, the participants' keys, and what was taken out.
    assert!(files.len() >= 3, "{:?}", files.keys());
    for file in files.keys() {
        let mode = fs::metadata(file).expect("read").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", file.display());
    }
}
