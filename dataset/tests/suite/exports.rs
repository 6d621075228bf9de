// SPDX-License-Identifier: Apache-2.0

//! What is in a dataset.

use std::collections::BTreeMap;
use std::fs;

use mhealth_dataset::{export, verify, Format, Progress};
use mhealth_device::payload::correcting;
use serde_json::{json, Value};

use crate::support::destruction;
use crate::support::nights::{day, expected, study, ROWS};
use crate::support::table::{counted, csv, lines, Cells};

fn borrowed(rows: &[(String, String, f64, Option<f64>)]) -> Vec<(&str, String, f64, Option<f64>)> {
    let rows = rows.iter();
    rows.map(|(who, night, asleep, bed)| (who.as_str(), night.clone(), *asleep, *bed))
        .collect()
}

#[test]
fn every_night_that_counts_is_in_the_tables_once_with_its_values() {
    let mut world = study();
    let job = world.job("out");
    let manifest = world.export(&job).unwrap();
    assert_eq!(
        (manifest.rows, manifest.current),
        (ROWS, expected().len() as u64)
    );
    assert_eq!((manifest.participants, manifest.devices), (4, 5));
    for file in ["out/nights.csv", "out/redcap/nights.csv"] {
        let rows = csv(&world.path(file));
        assert_eq!(rows.len() as u64, ROWS, "{file}");
        assert_eq!(borrowed(&counted(&rows)), expected(), "{file}");
    }
    let verified = verify(&job.out, &world.trusted()).unwrap();
    let rows: BTreeMap<_, _> = verified.rows.into_iter().collect();
    for whole in [
        "nights.csv",
        "nights.parquet",
        "cdisc/sleep.json",
        "redcap/nights.csv",
        "fhir/Provenance.ndjson",
    ] {
        assert_eq!(rows.get(whole), Some(&ROWS), "{whole}");
    }
    assert_eq!(rows["other.ndjson"], 2);
    let dataset: Value =
        serde_json::from_slice(&fs::read(world.path("out/cdisc/sleep.json")).unwrap()).unwrap();
    assert_eq!(dataset["records"], ROWS);
    assert_eq!(dataset["rows"].as_array().unwrap().len() as u64, ROWS);
}

#[test]
fn a_correction_follows_what_it_corrects_and_the_last_one_counts() {
    let mut world = study();
    world.export(&world.job("out")).unwrap();
    let rows = csv(&world.path("out/nights.csv"));
    let of_ada = rows.iter().filter(|row| row["device"] == "0");
    let last: Vec<&Cells> = of_ada.skip(12).collect();
    let tell = |row: &Cells| {
        ["sequence", "corrects", "corrected_by", "current"]
            .map(|name| row[name].clone())
            .join(" ")
    };
    let told: Vec<String> = last.into_iter().map(tell).collect();
    assert_eq!(
        told,
        ["13  14 false", "14 13 16 false", "16 14  true", "15   true"]
    );
    // FHIR withdraws what was corrected.
    let observations = lines(&world, "out/fhir/Observation.ndjson");
    let status = |entry: &str| {
        let is = |it: &&Value| it["id"].as_str().unwrap().ends_with(entry);
        let found = observations.iter().find(is);
        found.unwrap()["status"].clone()
    };
    assert_eq!(status("-0-entry-13"), "entered-in-error");
    assert_eq!(status("-0-entry-16"), "corrected");
    assert_eq!(status("-0-entry-15"), "final");
}

#[test]
fn a_forged_correction_takes_no_night_away() {
    let mut world = study();
    let forged = world.correction(1, "P-bob", 3, (9, 9), 4);
    // Nor does one of another night, or of a later entry.
    let other = world.correction(1, "P-bob", 5, (9, 9), 4);
    let later = world.correction(1, "P-bob", 6, (9, 9), 400);
    world.judge(1, forged, "forged", true);
    let mut job = world.job("out");
    job.include_flagged = true;
    let manifest = world.export(&job).unwrap();
    let rows = csv(&world.path("out/nights.csv"));
    assert_eq!(borrowed(&counted(&rows)), expected());
    let row = |sequence: u64| {
        let is = |row: &&Cells| row["device"] == "1" && row["sequence"] == sequence.to_string();
        rows.iter().find(is).unwrap()
    };
    assert_eq!(
        (row(4)["current"].as_str(), row(4)["corrected_by"].as_str()),
        ("true", "")
    );
    for bad in [other, later] {
        assert_eq!(row(bad)["problem"], "bad_correction");
        assert_eq!(row(bad)["current"], "false");
    }
    assert_eq!(manifest.problems["bad_correction"], 2);
}

#[test]
fn of_eighty_planted_entries_none_is_in_a_default_export_and_all_with_their_verdicts_otherwise() {
    let mut world = study();
    let phone = world.phone(Some("P-fay"));
    let plants = [
        ("forged", true),
        ("altered", true),
        ("missing", false),
        ("disputed", true),
    ];
    let mut planted = Vec::new();
    for number in 0..100 {
        let sequence = world.night(phone, "P-fay", number, 200, 240);
        if let Some((verdict, shown)) = plants.get(number as usize % 5) {
            world.judge(phone, sequence, verdict, *shown);
            planted.push((sequence, *verdict));
        }
    }
    world.attempt(phone, b"whatever somebody showed".to_vec());
    assert_eq!(planted.len(), 80);
    let job = world.job("valid");
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.rows, ROWS + 20);
    assert!(csv(&world.path("valid/nights.csv"))
        .iter()
        .all(|row| row["verdict"] == "valid"));
    for (verdict, _) in plants {
        assert_eq!(
            (manifest.verdicts[verdict], manifest.left_out[verdict]),
            (20, 20)
        );
    }
    assert_eq!(manifest.left_out["unregistered"], 1);
    verify(&job.out, &world.trusted()).unwrap();

    let mut job = world.job("flagged");
    job.include_flagged = true;
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.rows, ROWS + 101);
    assert!(manifest.left_out.is_empty());
    let rows = csv(&world.path("flagged/nights.csv"));
    let number = phone.to_string();
    for (sequence, verdict) in planted {
        let is = |row: &&Cells| row["device"] == number && row["sequence"] == sequence.to_string();
        let row = rows.iter().find(is).unwrap();
        assert_eq!(
            (row["verdict"].as_str(), row["current"].as_str()),
            (verdict, "false")
        );
        let no_values = row["total_sleep_time_min"].is_empty();
        assert_eq!(no_values, verdict == "missing", "{sequence} {verdict}");
    }
    verify(&job.out, &world.trusted()).unwrap();
}

#[test]
fn the_bounds_of_time_are_enrolment_and_registration() {
    let mut world = study();
    world.export(&world.job("out")).unwrap();
    let rows = csv(&world.path("out/nights.csv"));
    // Blocks 1 and 3 of the support's chain.
    assert_eq!(rows[0]["not_before"], "2016-11-24T12:20:10Z");
    assert_eq!(rows[0]["not_after"], "2016-11-24T12:20:30Z");
    let provenance = &lines(&world, "out/fhir/Provenance.ndjson")[0];
    let bounds = &provenance["occurredPeriod"];
    assert_eq!(bounds["start"], "2016-11-24T12:20:10Z");
    assert_eq!(bounds["end"], "2016-11-24T12:20:30Z");
}

/// However a source writes them: FHIR has one way.
#[test]
fn fhir_has_the_times_that_the_tables_have() {
    let mut world = study();
    let night = day(20).to_string();
    let interval = json!({
        "start_date_time": format!("{}T22:45:00.1234567891z", day(19)),
        "end_date_time": format!("{night}T07:15:00z"),
    });
    let body = json!({
        "effective_time_frame": { "time_interval": interval }, "time_in_bed": { "value": 500, "unit": "min" },
    });
    let sequence = world.data_point(2, "P-cyd", 20, "time-in-bed", body);
    world.export(&world.job("out")).unwrap();
    let observations = lines(&world, "out/fhir/Observation.ndjson");
    let mut observations = observations.iter();
    let observation = observations.find(|it| it["identifier"][0]["value"] == night);
    let parts = observation.unwrap()["component"].as_array().unwrap();
    let rows = csv(&world.path("out/nights.csv"));
    let is = |row: &&Cells| row["device"] == "2" && row["sequence"] == sequence.to_string();
    let row = rows.iter().find(is).unwrap();
    for (column, expected) in [
        ("into_bed", format!("{}T22:45:00.123456789Z", day(19))),
        ("out_of_bed", format!("{night}T07:15:00Z")),
        ("source_created", format!("{night}T08:00:00+01:00")),
    ] {
        let is = |part: &&Value| part["code"]["coding"][0]["code"] == column;
        let part = parts.iter().find(is).unwrap();
        assert_eq!(part["valueDateTime"], expected);
        assert_eq!(row[column], expected);
    }
}

#[test]
fn what_cannot_be_values_is_kept_as_it_came() {
    let mut world = study();
    let manifest = world.export(&world.job("out")).unwrap();
    let kept = lines(&world, "out/other.ndjson");
    let words: Vec<_> = kept
        .iter()
        .map(|it| (&it["problem"], &it["payload"]))
        .collect();
    assert_eq!(words[0], (&"unknown_media_type".into(), &"AAEC/w==".into()));
    assert_eq!(words[1].0, "payload_unreadable");
    assert_eq!(kept[0]["participant"], "P-cyd");
    assert_eq!(manifest.unknown_media_types["application/x-ecg"], 1);
    assert_eq!(manifest.problems["payload_unreadable"], 1);
    // Their rows are there, and do not count.
    let rows = csv(&world.path("out/nights.csv"));
    let flagged = rows.iter().filter(|row| !row["problem"].is_empty());
    assert_eq!(flagged.filter(|row| row["current"] == "false").count(), 2);
}

#[test]
fn corrections_of_a_type_that_is_not_known_are_counted_with_it() {
    let mut world = study();
    for corrects in 14..17 {
        let media_type = correcting("application/x-ecg", corrects);
        world.entry(2, &media_type, &[9]);
    }
    let manifest = world.export(&world.job("out")).unwrap();
    let counted: Vec<_> = manifest.unknown_media_types.into_iter().collect();
    assert_eq!(counted, [("application/x-ecg".to_owned(), 4)]);
}

/// From a report that nobody signed, whole devices may be taken, or the last entries of one.
#[test]
fn a_dataset_says_how_much_is_registered_that_its_audit_does_not_have() {
    let mut world = study();
    let job = world.job("out");
    let before = fs::read(&job.audit).unwrap();
    assert_eq!(world.export(&job).unwrap().not_audited, 0);
    world.night(0, "P-ada", 30, 300, 320);
    let phone = world.phone(Some("P-fay"));
    world.night(phone, "P-fay", 30, 300, 320);
    let mut job = world.job("again");
    fs::write(&job.audit, before).unwrap();
    let manifest = world.export(&job).unwrap();
    assert_eq!((manifest.rows, manifest.not_audited), (ROWS, 2));
    job.out = world.path("mine");
    job.participant = Some("P-ada".into());
    assert_eq!(world.export(&job).unwrap().not_audited, 1);
}

#[test]
fn the_same_material_gives_the_same_bytes() {
    let mut world = study();
    let mut job = world.job("one");
    let one = world.export(&job).unwrap();
    job.out = world.path("two");
    job.made_at += 1_000;
    let two = world.export(&job).unwrap();
    assert_eq!(one.files, two.files);
    assert_eq!(
        fs::metadata(world.path("one/nights.csv")).unwrap().len(),
        one.files
            .iter()
            .find(|it| it.name == "nights.csv")
            .unwrap()
            .bytes
    );
}

#[test]
fn an_export_tells_how_far_it_is() {
    let mut world = study();
    let job = world.job("out");
    let mut told = Vec::new();
    let manifest = export(&job, &mut world.keys, &mut |at| told.push(at)).unwrap();
    let entries: u64 = manifest.verdicts.values().sum();
    // The runs of the exports one by one, and then the rows, device by device.
    let runs = (1..=entries).map(Progress::Runs);
    let (read, rows) = told.split_at(entries as usize);
    assert!(runs.eq(read.iter().copied()));
    assert_eq!(rows.len() as u64, manifest.devices);
    let rows = rows.iter().map(|at| match at {
        Progress::Rows(rows) => *rows,
        Progress::Runs(_) => panic!("{at:?}"),
    });
    let rows: Vec<u64> = rows.collect();
    assert!(rows.is_sorted() && rows[0] > 0);
    assert_eq!(rows.last(), Some(&manifest.rows));
}

#[test]
fn only_the_formats_that_were_asked_for_are_written() {
    let mut world = study();
    let mut job = world.job("out");
    job.formats = vec![Format::Parquet];
    let manifest = world.export(&job).unwrap();
    let names: Vec<_> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "nights.parquet",
            "nights.svg",
            "other.ndjson",
            "parts.ndjson"
        ]
    );
    verify(&job.out, &world.trusted()).unwrap();
}

/// A sponsor writes a receipt, and the key lives on, and a relay shows the envelope still.
#[test]
fn an_erased_entry_has_no_values_in_any_dataset() {
    let mut world = study();
    let sequence = world.night(1, "P-bob", 20, 123, 234);
    world.judge(1, sequence, "erased", true);
    let manifest = world.export(&world.job("out")).unwrap();
    assert_eq!((manifest.rows, manifest.left_out["erased"]), (ROWS, 1));
    let mut job = world.job("flagged");
    job.include_flagged = true;
    world.export(&job).unwrap();
    let rows = csv(&world.path("flagged/nights.csv"));
    let row = rows.iter().find(|row| row["verdict"] == "erased").unwrap();
    assert_eq!(
        (
            row["problem"].as_str(),
            row["night"].as_str(),
            row["total_sleep_time_min"].as_str()
        ),
        ("no_envelope", "", "")
    );
    verify(&job.out, &world.trusted()).unwrap();
}

#[test]
fn an_export_remembers_whose_devices_are() {
    let mut world = study();
    world.export(&world.job("out")).unwrap();
    assert_eq!(world.keys.owner(hashchain::DeviceId(1)), Some("P-bob"));
    // A destroyed key's rows are gone from the next export, which says so.
    let destruction = destruction("P-bob", &[]);
    world.keys.destroy(&destruction).unwrap();
    let manifest = world.export(&world.job("again")).unwrap();
    assert_eq!(manifest.left_out["key_destroyed"], 13);
    let rows = csv(&world.path("again/nights.csv"));
    assert!(rows.iter().all(|row| row["participant"] != "P-bob"));
}
