// SPDX-License-Identifier: Apache-2.0

//! Lines with a data point each.

use std::fs;

use mhealth_device_host::payload::{corrected, DATA_POINT_MEDIA_TYPE};
use serde_json::{json, Value};

use crate::desk::{assert_failed, last_line, stderr, Desk, GENESIS};
use crate::taken;

#[test]
fn data_points_of_other_programs_are_taken_as_they_came() {
    let payloads = taken("nights.ndjson", &[], "devices=2 entries=7 duplicates=1");
    for (media_type, night) in payloads.iter().flatten() {
        assert_eq!(media_type, DATA_POINT_MEDIA_TYPE);
        assert!(
            night["data_point"]["header"].get("user_id").is_none(),
            "{night}"
        );
        // Digits of a pseudonym may be a name.
        let mut told = night.clone();
        let pseudonym = told["participant"].take();
        assert_ne!(pseudonym, "ada");
        assert!(!told.to_string().contains("ada"), "{night}");
    }
    let text = fs::read_to_string("tests/data/nights.ndjson").expect("read");
    let first: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(payloads[0][0].1["data_point"]["body"], first["body"]);
    assert_eq!(payloads[0][0].1["night"], "2026-03-02");
}

#[test]
fn a_data_point_that_breaks_a_rule_is_refused_with_its_place_and_without_its_values() {
    let good = fs::read_to_string("tests/data/nights.ndjson").expect("read");
    let good = good.lines().next().expect("a line");
    let frame = "/body/effective_time_frame/time_interval";
    type Break = fn(&mut Value);
    let cases: [(&str, String, Break); 12] = [
        ("omh_missing_member", "/header/uuid".into(), |point| {
            point["header"]
                .as_object_mut()
                .expect("an object")
                .remove("uuid");
        }),
        ("omh_bad_value", "/header/uuid".into(), |point| {
            point["header"]["uuid"] = "secret".into()
        }),
        ("omh_unknown_schema", "/header/schema_id".into(), |point| {
            point["header"]["schema_id"]["name"] = "heart-rate".into();
        }),
        (
            "omh_bad_value",
            "/header/source_creation_date_time".into(),
            |point| {
                point["header"]["source_creation_date_time"] = "2026-03-02 07:00".into();
            },
        ),
        (
            "omh_unknown_member",
            "/header/patient~1name".into(),
            |point| {
                point["header"]["patient/name"] = "secret".into();
            },
        ),
        ("omh_unknown_member", format!("{frame}/date"), |point| {
            point["body"]["effective_time_frame"]["time_interval"] =
                json!({"date": "2026-03-02", "part_of_day": "night"});
        }),
        ("omh_contradiction", frame.into(), |point| {
            point["body"]["effective_time_frame"]["time_interval"]["end_date_time"] =
                "2026-03-01T21:00:00Z".into();
        }),
        ("omh_bad_value", frame.into(), |point| {
            point["body"]["effective_time_frame"]["time_interval"]["duration"] =
                json!({"value": 1, "unit": "h"});
        }),
        (
            "omh_bad_value",
            "/body/total_sleep_time/unit".into(),
            |point| {
                point["body"]["total_sleep_time"] = json!({"value": 1, "unit": "d"});
            },
        ),
        (
            "omh_wrong_type",
            "/body/total_sleep_time/value".into(),
            |point| {
                point["body"]["total_sleep_time"] = json!({"value": "7", "unit": "h"});
            },
        ),
        (
            "omh_contradiction",
            "/body/total_sleep_time".into(),
            |point| {
                point["body"]["total_sleep_time"] = json!({"value": 23, "unit": "h"});
            },
        ),
        ("omh_wrong_type", "/body/is_main_sleep".into(), |point| {
            point["body"]["is_main_sleep"] = 1.into()
        }),
    ];
    for (code, place, broken) in cases {
        let mut point: Value = serde_json::from_str(good).expect("JSON");
        broken(&mut point);
        let desk = Desk::empty();
        let file = desk.path("nights.ndjson");
        fs::write(&file, format!("{good}\n\n{point}\n")).expect("written");
        let output = desk
            .offline(&GENESIS)
            .arg("--omh")
            .arg(&file)
            .output()
            .expect("started");
        assert_failed(&output, 2, code);
        let said = stderr(&output);
        assert!(
            said.contains(&format!("line 3: {place}: ")),
            "{place}: {said}"
        );
        assert!(!said.contains("secret") && !desk.state().exists(), "{said}");
    }
}

#[test]
fn lines_that_are_no_data_points_of_a_person_are_refused() {
    let good = fs::read_to_string("tests/data/nights.ndjson").expect("read");
    let good = good.lines().next().expect("a line");
    let repeated = good.replacen(
        "\"is_main_sleep\":true",
        "\"is_main_sleep\":true,\"is_main_sleep\":false",
        1,
    );
    let nobodys = good.replacen("\"user_id\":\"ada\",", "", 1);
    let long = good.replacen("ada", &"a".repeat(70_000), 1);
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(repeated != good && nobodys != good);
    let cases: [(&str, &[u8]); 9] = [
        ("omh_empty", b"\n\n"),
        ("omh_not_text", &utf16),
        ("omh_not_json", repeated.as_bytes()),
        ("omh_not_json", &good.as_bytes()[..good.len() - 1]),
        ("omh_not_json", b"{\n}\n"),
        ("omh_no_person", b"[]"),
        ("omh_missing_member", b"{\"header\":{\"user_id\":\"x\"}}"),
        ("omh_no_person", nobodys.as_bytes()),
        ("omh_too_long", long.as_bytes()),
    ];
    for (code, text) in cases {
        let desk = Desk::empty();
        let file = desk.path("nights.ndjson");
        fs::write(&file, text).expect("written");
        let output = desk
            .offline(&GENESIS)
            .arg("--omh")
            .arg(&file)
            .output()
            .expect("started");
        assert_failed(&output, 2, code);
        assert!(!desk.state().exists());
    }
    let desk = Desk::empty();
    let file = desk.path("nights.ndjson");
    fs::write(&file, nobodys).expect("written");
    let named = desk
        .offline(&GENESIS)
        .args(["--participant", "ada", "--omh"])
        .arg(&file)
        .output();
    assert!(named.expect("started").status.success());
}

#[test]
fn a_main_sleep_that_was_calculated_anew_is_a_correction_whatever_its_identifier() {
    let good = fs::read_to_string("tests/data/nights.ndjson").expect("read");
    let mut point: Value =
        serde_json::from_str(good.lines().next().expect("a line")).expect("JSON");
    let desk = Desk::empty();
    let file = desk.path("nights.ndjson");
    let take = |point: &Value, options: &[&str]| {
        fs::write(&file, format!("{point}\n")).expect("written");
        let mut command = desk.offline(&GENESIS);
        command
            .args(["--envelope", "plain", "--omh"])
            .arg(&file)
            .args(options);
        command.output().expect("started")
    };
    assert!(take(&point, &[]).status.success());
    point["header"]["uuid"] = "00000000-0000-4000-8000-00000000abcd".into();
    assert!(last_line(&take(&point, &[])).starts_with("devices=1 entries=1 "));
    point["body"]["total_sleep_time"] = json!({"value": 5.5, "unit": "h"});
    assert_failed(&take(&point, &[]), 2, "differs_from_sealed");
    assert!(take(&point, &["--corrections"]).status.success());
    let payloads = desk.payloads();
    assert_eq!(
        corrected(&payloads[0][1].0),
        (DATA_POINT_MEDIA_TYPE, Some(1))
    );
}
