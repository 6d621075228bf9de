// SPDX-License-Identifier: Apache-2.0

//! Payloads that their types name nights, and that are none.

use std::fs;

use mhealth_api::Base64;
use mhealth_dataset::verify;
use mhealth_device::payload::{Datasheet, MEDIA_TYPE};
use mhealth_device::Record;
use serde_json::{json, Value};

use crate::support::nights::{day, diary, measured, study};
use crate::support::parts::pieces;
use crate::support::table::csv;
use crate::support::World;

/// The payloads of a phone that were kept as they came.
fn kept(world: &World, phone: usize) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(world.path("out/other.ndjson")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["device"] == phone)
        .map(|line| serde_json::from_value::<Base64>(line["payload"].clone()).unwrap())
        .map(|payload| payload.0)
        .collect()
}

/// A night with so many datasheets of a thousand bytes each.
fn long(world: &mut World, datasheets: usize) -> Vec<u8> {
    let mut night = measured("P-fay", day(0), 310, 340, &mut world.random);
    let sheet = Datasheet {
        datasheet_type: "software".into(),
        datasheet_reference: format!("urn:x:{}", "x".repeat(950)),
    };
    night.sleep_episode.header.external_datasheets = vec![sheet; datasheets];
    night.to_json()
}

/// All nights of a device are in memory at the same time.
#[test]
fn what_is_longer_than_any_night_is_kept_aside() {
    let mut world = study();
    let phone = world.phone(Some("P-fay"));
    let night = long(&mut world, 40);
    world.entry(phone, MEDIA_TYPE, &night);
    let longer = long(&mut world, 80);
    world.entry(phone, MEDIA_TYPE, &longer);
    let longest = long(&mut world, 1_100);
    world.parts(
        phone,
        &pieces(MEDIA_TYPE, &longest, Record::MAX_PAYLOAD_LENGTH),
    );
    let job = world.job("out");
    let manifest = world.export(&job).unwrap();
    // One is the study's.
    assert_eq!(manifest.problems["payload_unreadable"], 3);
    assert!(kept(&world, phone) == [longer, longest]);
    verify(&job.out, &world.trusted()).unwrap();
}

/// A document with another value in a place, or with one more member.
fn with(document: &Value, pointer: &str, value: Value) -> Value {
    let mut document = document.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    parent.as_object_mut().unwrap().insert(name.into(), value);
    document
}

/// A measured night, and one of a diary.
fn honest(world: &mut World) -> [Value; 2] {
    let measured = measured("P-fay", day(0), 310, 340, &mut world.random);
    let kept = diary("P-fay", day(1), 15, &mut world.random);
    [measured, kept].map(|night| serde_json::from_slice(&night.to_json()).unwrap())
}

const FRAME: &str = "/sleep_episode/body/effective_time_frame/time_interval";
const BED: &str = "/time_in_bed/body/effective_time_frame/time_interval";

/// Enrolled phones may be faulty, or hostile; relays do not look into envelopes.
#[test]
fn nonsense_of_the_type_night_is_no_night() {
    let mut world = study();
    let phone = world.phone(Some("P-fay"));
    let [measured, kept_diary] = honest(&mut world);
    let place = |name: &str| format!("/sleep_episode/{name}");
    let frame = |name: &str| format!("{FRAME}/{name}");
    let sheet = json!([{ "datasheet_type": "software", "datasheet_reference": "no address" }]);
    let nonsense = [
        (&measured, "/night".to_owned(), json!("-0001-11-30")),
        (&measured, "/night".to_owned(), json!("2101-01-01")),
        (&measured, "/sleep_records".to_owned(), json!(u32::MAX)),
        (
            &measured,
            place("body/total_sleep_time/value"),
            json!(u32::MAX),
        ),
        // Longer than in bed.
        (&measured, place("body/total_sleep_time/value"), json!(400)),
        (
            &measured,
            "/time_in_bed/body/time_in_bed/value".to_owned(),
            json!(1_441),
        ),
        (
            &measured,
            place("header/schema_id/namespace"),
            json!("=HYPERLINK(1)"),
        ),
        (
            &measured,
            place("header/schema_id/name"),
            json!("consensus-sleep-diary"),
        ),
        (&measured, place("header/schema_id/version"), json!("1.0")),
        (
            &measured,
            "/time_in_bed/header/schema_id/namespace".to_owned(),
            json!("ieee"),
        ),
        (
            &measured,
            place("header/source_creation_date_time"),
            json!("0001-01-01T00:00:00Z"),
        ),
        (&measured, place("header/external_datasheets"), sheet),
        (&measured, frame("date"), json!("-0001-11-30")),
        (&measured, frame("date"), json!("+2016-04-12")),
        (
            &kept_diary,
            frame("start_date_time"),
            json!("2016-04-12 23:20:00Z"),
        ),
        (
            &kept_diary,
            frame("start_date_time"),
            json!("2016-04-12\n23:20:00Z"),
        ),
        (
            &kept_diary,
            frame("end_date_time"),
            json!("2016-04-12T07:00:00Z"),
        ),
        (
            &kept_diary,
            frame("end_date_time"),
            json!("2016-04-15T07:00:00Z"),
        ),
        (
            &kept_diary,
            format!("{BED}/start_date_time"),
            json!("2016-04-13T07:00:00Z"),
        ),
        (
            &kept_diary,
            place("body/sleep_efficiency_percentage/value"),
            json!(1e300),
        ),
        (
            &kept_diary,
            place("body/sleep_efficiency_percentage/value"),
            json!(-1),
        ),
        (
            &kept_diary,
            place("body/number_of_awakenings"),
            json!(5_000),
        ),
        (
            &kept_diary,
            place("body/wake_after_sleep_onset/value"),
            json!(1_441),
        ),
        (&kept_diary, place("body/is_main_sleep"), Value::Null),
        (
            &kept_diary,
            "/diary/header/schema_id/name".to_owned(),
            json!("sleep-episode"),
        ),
        (
            &kept_diary,
            "/diary/body/csd_core_1".to_owned(),
            json!("+5:+5"),
        ),
        (
            &kept_diary,
            "/diary/body/csd_core_3".to_owned(),
            json!(100_000),
        ),
    ];
    let payloads: Vec<Vec<u8>> = nonsense
        .iter()
        .map(|(night, pointer, value)| with(night, pointer, value.clone()).to_string().into())
        .collect();
    for payload in &payloads {
        world.entry(phone, MEDIA_TYPE, payload);
    }
    let job = world.job("out");
    let manifest = world.export(&job).unwrap();
    let number = phone.to_string();
    let rows = csv(&job.out.join("nights.csv"));
    let rows = rows.iter().filter(|row| row["device"] == number);
    for (row, (_, pointer, value)) in rows.zip(&nonsense) {
        assert_eq!(row["problem"], "payload_unreadable", "{pointer} {value}");
        assert_eq!(
            (row["current"].as_str(), row["night"].as_str()),
            ("false", "")
        );
    }
    // One is the study's.
    let expected = 1 + payloads.len() as u64;
    assert_eq!(manifest.problems["payload_unreadable"], expected);
    assert!(kept(&world, phone) == payloads);
    verify(&job.out, &world.trusted()).unwrap();
}

#[test]
fn nights_of_every_form_that_programs_make_are_nights() {
    let mut world = study();
    let phone = world.phone(Some("P-fay"));
    let [measured, kept_diary] = honest(&mut world);
    // A nap of which the day is known, and nothing else.
    let own = json!({ "namespace": "mhealth-chain", "name": "sleep-episode", "version": "1.0" });
    let nap = with(&measured, FRAME, json!({ "date": "2016-04-12" }));
    let nap = with(&nap, BED, json!({ "date": "2016-04-12" }));
    let nap = with(&nap, "/sleep_episode/header/schema_id", own);
    // Somebody who did not sleep at all.
    let end = kept_diary.pointer(&format!("{FRAME}/end_date_time"));
    let start = format!("{FRAME}/start_date_time");
    let awake = with(&kept_diary, &start, end.unwrap().clone());
    let awake = with(
        &awake,
        "/sleep_episode/body/total_sleep_time/value",
        json!(0),
    );
    // Where the clock is not that of UTC, with fractions of a second, and with what a datasheet may be.
    let start = json!("2016-04-13T01:20:00.125+02:00");
    let east = with(&kept_diary, &format!("{FRAME}/start_date_time"), start);
    let sheet = json!([{ "datasheet_type": "software", "datasheet_reference": "urn:x:y" }]);
    let east = with(&east, "/diary/header/external_datasheets", sheet);
    for night in [measured, kept_diary, nap, awake, east] {
        world.entry(phone, MEDIA_TYPE, night.to_string().as_bytes());
    }
    let job = world.job("out");
    world.export(&job).unwrap();
    let number = phone.to_string();
    let rows = csv(&job.out.join("nights.csv"));
    let rows = rows.iter().filter(|row| row["device"] == number);
    let current = rows.filter(|row| row["current"] == "true");
    let asleep: Vec<&str> = current
        .map(|row| row["total_sleep_time_min"].as_str())
        .collect();
    assert_eq!(asleep, ["310", "445", "310", "0", "445"]);
}
