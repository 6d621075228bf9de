// SPDX-License-Identifier: Apache-2.0

//! Records in parts: one row each, and nothing of them is dropped.

use hashchain::{plain_envelope, Content, PART_MEDIA_TYPE};
use mhealth_api::Base64;
use mhealth_dataset::verify;
use mhealth_device::payload::MEDIA_TYPE;
use mhealth_device::Record;
use serde_json::Value;

use crate::support::nights::{day, measured, study, ROWS};
use crate::support::parts::{pieces, SHORT};
use crate::support::table::{csv, lines, Cells};
use crate::support::World;

fn rows_of(world: &World, dataset: &str, phone: usize) -> Vec<Cells> {
    let rows = csv(&world.path(dataset).join("nights.csv"));
    let number = phone.to_string();
    rows.into_iter()
        .filter(|row| row["device"] == number)
        .collect()
}

/// First part, last part, how many of them, problem.
fn told(row: &Cells) -> String {
    ["first_part", "last_part", "parts", "problem"]
        .map(|name| row[name].clone())
        .join(" ")
}

fn span(range: &std::ops::RangeInclusive<u64>, found: usize, problem: &str) -> String {
    format!("{} {} {found} {problem}", range.start(), range.end())
}

#[test]
fn a_record_in_parts_is_one_row_with_its_values_and_the_places_of_its_parts() {
    let mut world = study();
    let places = world.night_in_parts(0, "P-ada", 14);
    let found = places.clone().count();
    // Its correction names the last part.
    world.correction(0, "P-ada", 14, (222, 333), *places.end());
    let manifest = world.export(&world.job("out")).unwrap();
    assert_eq!(manifest.rows, ROWS + 2);
    assert_eq!(
        (manifest.records_in_parts, manifest.parts),
        (1, found as u64)
    );
    let rows = rows_of(&world, "out", 0);
    let [record, correction] = rows.last_chunk().unwrap();
    assert_eq!(told(record), span(&places, found, ""));
    assert_eq!(record["sequence"], places.end().to_string());
    assert_eq!(
        (
            record["total_sleep_time_min"].as_str(),
            record["corrected_by"].as_str()
        ),
        ("310", (places.end() + 1).to_string().as_str())
    );
    assert_eq!(correction["corrects"], places.end().to_string());
    assert_eq!(
        (record["current"].as_str(), correction["current"].as_str()),
        ("false", "true")
    );
    // Each part has its place, with its digest.
    let parts = lines(&world, "out/parts.ndjson");
    let made = &world.made(0)[*places.start() as usize - 1..][..found];
    assert_eq!(parts.len(), found);
    for (part, made) in parts.iter().zip(made) {
        assert_eq!(part["row"], *places.end());
        assert_eq!(part["sequence"], made.sequence);
        assert_eq!(part["digest"], made.run.entries[0].digest.to_string());
        assert_eq!(part["link"], made.link.to_string());
    }
    let verified = verify(&world.path("out"), &world.trusted()).unwrap();
    assert!(verified
        .rows
        .contains(&("parts.ndjson".to_owned(), found as u64)));
    let provenance = lines(&world, "out/fhir/Provenance.ndjson");
    let named = format!("{}-{}", places.start(), places.end());
    let is_named = |it: &&Value| it.to_string().contains(&format!("\"{named}\""));
    assert_eq!(provenance.iter().filter(is_named).count(), 1);
}

#[test]
fn a_long_record_of_another_type_is_kept_whole() {
    let mut world = study();
    let payload: Vec<u8> = (0..600_000_u32).map(|it| (it % 251) as u8).collect();
    let pieces = pieces("application/x-acc", &payload, Record::MAX_PAYLOAD_LENGTH);
    let places = world.parts(2, &pieces);
    assert_eq!(pieces.len(), 3);
    let manifest = world.export(&world.job("out")).unwrap();
    assert_eq!(manifest.unknown_media_types["application/x-acc"], 1);
    let kept = lines(&world, "out/other.ndjson");
    let kept = kept.last().unwrap();
    assert_eq!(kept["sequence"], *places.end());
    assert_eq!(kept["media_type"], "application/x-acc");
    let bytes: Base64 = serde_json::from_value(kept["payload"].clone()).unwrap();
    assert!(bytes.0 == payload);
    verify(&world.path("out"), &world.trusted()).unwrap();
}

#[test]
fn a_record_with_a_lost_or_altered_part_is_a_row_that_says_so_and_keeps_the_rest() {
    let mut world = study();
    let phone = world.phone(Some("P-fay"));
    let lost = world.night_in_parts(phone, "P-fay", 0);
    let altered = world.night_in_parts(phone, "P-fay", 1);
    let whole = world.night_in_parts(phone, "P-fay", 2);
    world.judge(phone, lost.start() + 1, "missing", false);
    world.judge(phone, *altered.end(), "altered", true);
    let (of_lost, of_altered) = (lost.clone().count(), altered.clone().count());
    let mut job = world.job("out");
    let manifest = world.export(&job).unwrap();
    let rows = rows_of(&world, "out", phone);
    let all: Vec<String> = rows.iter().map(told).collect();
    assert_eq!(
        all,
        [
            span(&lost, of_lost - 1, "part_missing"),
            span(&altered, of_altered - 1, "part_missing"),
            span(&whole, whole.clone().count(), ""),
        ]
    );
    let current: Vec<&str> = rows.iter().map(|row| row["current"].as_str()).collect();
    assert_eq!(current, ["false", "false", "true"]);
    assert_eq!(manifest.problems["part_missing"], 2);
    assert_eq!(
        (manifest.left_out["missing"], manifest.left_out["altered"]),
        (1, 1)
    );
    let kept = lines(&world, "out/other.ndjson");
    let pieces = kept.iter().filter(|it| it["device"] == phone);
    let pieces: Vec<&Value> = pieces.collect();
    assert_eq!(pieces.len(), of_lost - 1 + of_altered - 1);
    for piece in pieces {
        assert_eq!(piece["problem"], "part_missing");
        assert_eq!(piece["media_type"], PART_MEDIA_TYPE);
    }
    verify(&job.out, &world.trusted()).unwrap();

    // Flagged, the registered data are there, and count for nothing.
    job.out = world.path("flagged");
    job.include_flagged = true;
    world.export(&job).unwrap();
    let rows = rows_of(&world, "flagged", phone);
    let row = |sequence: u64| {
        let mut rows = rows.iter();
        rows.find(|row| row["sequence"] == sequence.to_string())
            .unwrap()
    };
    assert_eq!(row(lost.start() + 1)["problem"], "no_envelope");
    assert_eq!(
        told(row(*lost.end())),
        span(&lost, of_lost - 1, "part_missing")
    );
    let altered_row = row(*altered.end());
    assert_eq!(told(altered_row), span(&altered, of_altered, ""));
    assert_eq!(
        (
            altered_row["verdict"].as_str(),
            altered_row["current"].as_str(),
            altered_row["total_sleep_time_min"].as_str()
        ),
        ("altered", "false", "310")
    );
    verify(&job.out, &world.trusted()).unwrap();
}

#[test]
fn parts_that_a_phone_sealed_wrongly_are_rows_and_all_of_them_are_kept() {
    let mut world = study();
    let phone = world.phone(Some("P-fay"));
    // A part twice: neither history of the record is whole.
    let mut doubled = world.night_in_pieces("P-fay", 0);
    doubled.insert(1, doubled[1].clone());
    world.parts(phone, &doubled);
    // Another piece than the one that the record's digest was made of.
    let mut changed = world.night_in_pieces("P-fay", 1);
    let last = changed[1].len() - 1;
    changed[1][last] ^= 1;
    let differs = world.parts(phone, &changed);
    // None at all.
    let malformed = world.entry(phone, PART_MEDIA_TYPE, b"a piece");
    // The rest of it did not come yet.
    let begun = world.night_in_pieces("P-fay", 2);
    world.parts(phone, &begun[..2]);
    let manifest = world.export(&world.job("out")).unwrap();
    let rows = rows_of(&world, "out", phone);
    let problems: Vec<&str> = rows.iter().map(|row| row["problem"].as_str()).collect();
    assert_eq!(
        problems,
        [
            "part_missing",
            "part_missing",
            "parts_differ",
            "part_malformed",
            "part_missing"
        ]
    );
    assert_eq!(
        told(&rows[2]),
        span(&differs, changed.len(), "parts_differ")
    );
    assert_eq!(rows[3]["sequence"], malformed.to_string());
    let found = |row: &Cells| row["parts"].parse::<usize>().unwrap_or_default();
    assert_eq!(found(&rows[0]) + found(&rows[1]), doubled.len());
    assert_eq!(found(&rows[4]), 2);
    let sealed = doubled.len() + changed.len() + 2;
    assert_eq!(manifest.parts, sealed as u64);
    let kept = lines(&world, "out/other.ndjson");
    let kept = kept.iter().filter(|it| it["device"] == phone);
    let kept: Vec<Vec<u8>> = kept
        .map(|it| serde_json::from_value::<Base64>(it["payload"].clone()).unwrap())
        .map(|bytes| bytes.0)
        .collect();
    let malformed = [b"a piece".to_vec()];
    let all = [&doubled[..], &changed[..], &malformed[..], &begun[..2]];
    assert_eq!(kept, all.concat());
    verify(&world.path("out"), &world.trusted()).unwrap();
}

#[test]
fn a_part_that_is_not_registered_is_part_of_no_record() {
    let mut world = study();
    let phone = world.phone(Some("P-fay"));
    let night = measured("P-fay", day(0), 310, 340, &mut world.random).to_json();
    let pieces = pieces(MEDIA_TYPE, &night, SHORT);
    world.parts(phone, &pieces[..2]);
    let content = Content::new(PART_MEDIA_TYPE, &pieces[2]).unwrap();
    world.attempt(phone, plain_envelope(&[1; 32], &content));
    world.parts(phone, &pieces[2..]);
    let mut job = world.job("out");
    job.include_flagged = true;
    world.export(&job).unwrap();
    let rows = rows_of(&world, "out", phone);
    let (registered, attempts): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row["registered"] == "true");
    let [record] = registered[..] else {
        panic!("{registered:?}")
    };
    assert_eq!(
        told(record),
        span(&(1..=pieces.len() as u64), pieces.len(), "")
    );
    assert_eq!(record["current"], "true");
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0]["problem"], "part_missing");
    verify(&job.out, &world.trusted()).unwrap();
}
