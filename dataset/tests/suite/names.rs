// SPDX-License-Identifier: Apache-2.0

//! What a phone that seals to nobody says of its participant.

use crate::support::nights::study;
use crate::support::table::csv;

#[test]
fn a_plain_phone_passes_for_nobody_by_a_name_that_looks_like_theirs() {
    let mut world = study();
    let before = world.export(&world.job("before")).unwrap();
    let stranger = world.phone(None);
    for (name, number) in ["p-bob", "P-bob\u{200b}", "P-b\u{43e}b", "=1+1"]
        .into_iter()
        .zip(20..)
    {
        world.night(stranger, name, number, 300, 320);
    }
    let job = world.job("out");
    let manifest = world.export(&job).unwrap();
    let counts = (manifest.current, manifest.participants);
    assert_eq!(counts, (before.current, before.participants));
    // What looks like somebody who has a key is theirs; no one is called like the two others.
    assert_eq!(manifest.problems["another_participant"], 2);
    let unreadable = before.problems["payload_unreadable"] + 2;
    assert_eq!(manifest.problems["payload_unreadable"], unreadable);
    let rows = csv(&job.out.join("nights.csv"));
    let device = stranger.to_string();
    let theirs: Vec<_> = rows.iter().filter(|row| row["device"] == device).collect();
    assert_eq!(theirs.len(), 4);
    assert!(theirs.iter().all(|row| row["participant"].is_empty()));
}
