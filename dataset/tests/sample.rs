// SPDX-License-Identifier: Apache-2.0

//! A dataset for the readers of others: `tests/datasets/` reads it with libraries that know nothing of this project.

mod support;

use std::path::{Path, PathBuf};

use mhealth_dataset::verify;
use serde_json::json;

use mhealth_device::payload::MEDIA_TYPE;
use mhealth_device::Record;
use support::nights::{day, expected, measured, study};
use support::parts::pieces;

/// Names the folder that the sample goes to. Without it, it is made and thrown away.
const PLACE: &str = "MHEALTH_SAMPLE";

#[test]
fn a_sample_for_other_readers_is_made_and_verified() {
    let mut world = study();
    // A night in parts, one that lacks a part, and a recording that is too long for an entry.
    world.night_in_parts(2, "P-cyd", 14);
    let broken = world.night_in_parts(2, "P-cyd", 15);
    let recording: Vec<u8> = (0..300_000_u32).map(|it| (it % 251) as u8).collect();
    let recording = pieces("application/x-acc", &recording, Record::MAX_PAYLOAD_LENGTH);
    world.parts(2, &recording);
    // Records beside the nights: a nap, a measure by itself, and what a new phone read again.
    world.nap(2, "P-cyd", 5, 45);
    world.asleep(2, "P-cyd", 12, 450);
    let newer = world.phone(Some("P-ada"));
    world.night(newer, "P-ada", 3, 330, 370);
    let beside = 3;
    // A night before there were any.
    let nonsense = measured("P-cyd", day(16), 310, 340, &mut world.random).to_json();
    let nonsense = String::from_utf8(nonsense).unwrap();
    let nonsense = nonsense.replace(&day(16).to_string(), "-0001-11-30");
    world.entry(2, MEDIA_TYPE, nonsense.as_bytes());
    world.judge(2, *broken.start(), "missing", false);
    world.judge(1, 2, "forged", true);
    world.judge(1, 3, "missing", false);
    let place = std::env::var_os(PLACE).map(PathBuf::from);
    let place = place.unwrap_or_else(|| world.path("sample"));
    if place.exists() {
        std::fs::remove_dir_all(&place).unwrap();
    }
    std::fs::create_dir_all(&place).unwrap();
    let gone = ["2016-04-13", "2016-04-14"];
    let in_parts = ("P-cyd", day(14).to_string(), 310.0, Some(340.0));
    let counted: Vec<_> = expected()
        .into_iter()
        .chain([in_parts])
        .filter(|(who, night, ..)| *who != "P-bob" || !gone.contains(&night.as_str()))
        .collect();
    std::fs::write(place.join("expected.json"), json!(counted).to_string()).unwrap();
    for (name, flagged) in [("valid", false), ("flagged", true)] {
        let mut job = world.job("unused");
        job.out = place.join(name);
        job.include_flagged = flagged;
        let manifest = world.export(&job).unwrap();
        assert_eq!(manifest.current as usize, counted.len() + beside);
        assert_whole(&job.out, &world);
    }
}

fn assert_whole(folder: &Path, world: &support::World) {
    verify(folder, &world.trusted()).unwrap();
}
