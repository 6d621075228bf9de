// SPDX-License-Identifier: Apache-2.0

//! Which row is the night, where several records of it count.

use std::fs;

use mhealth_dataset::verify;

use crate::support::nights::day;
use crate::support::table::{csv, Cells};
use crate::support::World;

#[test]
fn every_night_has_one_row_that_is_it() {
    let mut world = World::new();
    let phone = world.phone(Some("P-ada"));
    let who = "P-ada";
    let mut expected = Vec::new();
    let mut night = |number: i64, device: usize, sequence: u64, minutes: u32| {
        let place = (device.to_string(), sequence.to_string());
        expected.push((day(number).to_string(), place, minutes.to_string()));
    };
    night(0, phone, world.night(phone, who, 0, 400, 440), 400);
    world.nap(phone, who, 0, 30);
    // Two measures of one sleep.
    night(1, phone, world.exchanged(phone, who, 1, 6.5), 390);
    world.asleep(phone, who, 1, 390);
    // Calculated anew, under another identifier.
    world.exchanged(phone, who, 2, 7.0);
    night(2, phone, world.exchanged(phone, who, 2, 7.0), 420);
    // A nap that nobody calls one.
    night(3, phone, world.exchanged(phone, who, 3, 7.0), 420);
    world.exchanged(phone, who, 3, 0.5);
    // A new phone reads the last days of the wearable.
    let newer = world.phone(Some(who));
    world.night(newer, who, 0, 400, 440);
    world.night(newer, who, 3, 480, 490);
    night(4, newer, world.night(newer, who, 4, 380, 400), 380);
    // No night.
    world.nap(newer, who, 5, 20);
    let job = world.job("out");
    let manifest = world.export(&job).unwrap();
    assert_eq!((manifest.rows, manifest.current), (12, 12));
    let told = |row: &Cells| {
        let place = (row["device"].clone(), row["sequence"].clone());
        let minutes = row["total_sleep_time_min"].clone();
        (row["night"].clone(), place, minutes)
    };
    for (file, yes) in [("nights.csv", "true"), ("redcap/nights.csv", "1")] {
        let rows = csv(&job.out.join(file));
        let main = rows.iter().filter(|row| row["main"] == yes);
        let main: Vec<_> = main.map(told).collect();
        assert_eq!(main, expected, "{file}");
    }
    let picture = fs::read_to_string(job.out.join("nights.svg")).unwrap();
    for (night, _, minutes) in &expected {
        let title = format!("<title>{night}: {minutes} min</title>");
        assert!(picture.contains(&title), "{title}");
    }
    assert_eq!(picture.matches("<title>").count(), expected.len());
    let observations = fs::read_to_string(job.out.join("fhir/Observation.ndjson")).unwrap();
    let tagged = observations.matches("\"code\":\"main\"").count();
    assert_eq!(tagged, expected.len());
    let points = fs::read_to_string(job.out.join("open-mhealth.ndjson")).unwrap();
    let main = points
        .lines()
        .filter(|point| point.contains("\"main\":true"));
    // Two of the nights have a time in bed beside their episode.
    assert_eq!(main.count(), expected.len() + 2);
    verify(&job.out, &world.trusted()).unwrap();
}
