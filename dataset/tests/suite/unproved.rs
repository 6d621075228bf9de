// SPDX-License-Identifier: Apache-2.0

//! What the program does not call proved of a dataset, because only the holder says it.

use std::fs;

use mhealth_dataset::Format;

use crate::program::{program, verify_arguments};
use crate::support::nights::study;
use crate::support::World;
use crate::verifying::{hide_in_the_next_row, sign_again};

/// What the program says of a dataset that holds.
fn said(world: &World) -> String {
    let arguments = verify_arguments(world, &world.path("out"));
    let ended = program().args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    said
}

/// The holder may put nobody's rows in it, or those of one of two phones.
#[test]
fn of_a_package_nothing_is_proved_but_of_the_devices_that_have_rows() {
    let none_left_out = "entry that the audit calls valid is left out.";
    let of_these = "- Of the devices that have rows, and of those that seal to the same key, no entry that the audit calls valid is left out.";
    let is_said = "that these are all of the participant's devices: the holder says so;";
    let mut world = study();
    let mut job = world.job("out");
    job.formats = vec![Format::Csv];
    job.participant = Some("P-ada".into());
    job.include_flagged = true;
    world.export(&job).unwrap();
    let whole = said(&world);
    assert!(whole.contains(of_these), "{whole}");
    assert!(whole.contains(is_said), "{whole}");
    fs::remove_dir_all(&job.out).unwrap();
    // Hers are left out as a whole.
    job.participant = Some("P-eve".into());
    let mut manifest = world.export(&job).unwrap();
    assert_eq!(manifest.rows, 0);
    manifest.participant = Some("P-ada".into());
    sign_again(&world, manifest, &world.keys.holder().unwrap());
    let emptied = said(&world);
    assert!(!emptied.contains(none_left_out), "{emptied}");
    assert!(emptied.contains(is_said), "{emptied}");
}

/// A night that nobody wants is called a part of the next one, by its row, too: only who has the keys can say that it is none.
#[test]
fn what_is_called_a_part_of_a_record_is_said_to_be_the_holders_word() {
    let is_said = "that 2 entries are parts of 1 records, and none of them a record of its own: the holder says so;";
    let mut world = study();
    let mut job = world.job("out");
    job.formats = vec![Format::Csv];
    let mut manifest = world.export(&job).unwrap();
    let whole = said(&world);
    assert!(whole.contains("- No entry that the audit calls valid is left out.\n"));
    assert!(!whole.contains("are parts of"), "{whole}");
    let path = job.out.join("nights.csv");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let head: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let mut row: Vec<String> = lines[4].split(',').map(str::to_owned).collect();
    for (name, value) in [("first_part", "3"), ("last_part", "4"), ("parts", "2")] {
        let place = head.iter().position(|it| *it == name).unwrap();
        row[place] = value.to_owned();
    }
    lines[4] = row.join(",");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    hide_in_the_next_row(&world, &mut manifest);
    sign_again(&world, manifest, &world.keys.holder().unwrap());
    let told = said(&world);
    assert!(told.contains(is_said), "{told}");
    assert!(told.contains("What is called a part of a record has no row of its own."));
}
