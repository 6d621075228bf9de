// SPDX-License-Identifier: Apache-2.0

//! Payloads that their types name nights, and that are none.

use std::fs;

use mhealth_api::Base64;
use mhealth_dataset::verify;
use mhealth_device::payload::{Datasheet, MEDIA_TYPE};
use mhealth_device::Record;
use serde_json::Value;

use crate::support::nights::{day, measured, study};
use crate::support::parts::pieces;
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
