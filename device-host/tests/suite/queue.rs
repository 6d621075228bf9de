// SPDX-License-Identifier: Apache-2.0

//! Runs: how long they are, and that they never change.

use hashchain::DeviceId;
use mhealth_device_host::store::FreezeReason;

use crate::{device, seal, store_at, store_in_memory, word};

#[test]
fn runs_cover_every_entry_once_and_are_at_most_as_long_as_asked() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    for night in 1..=23 {
        seal(&phone, &format!("night {night}"));
    }
    let runs = phone.runs(10).expect("runs");
    assert_eq!(
        runs.iter().map(|run| run.entries.len()).collect::<Vec<_>>(),
        [10, 10, 3]
    );
    let sequences: Vec<u64> = runs
        .iter()
        .flat_map(|r| &r.entries)
        .map(|e| e.sequence)
        .collect();
    assert_eq!(sequences, (1..=23).collect::<Vec<_>>());
    let key = phone.record().expect("a record").key;
    for run in &runs {
        assert!(hashchain::is_strictly_signed(
            &key.0,
            &hashchain::head_message(&run.run(DeviceId(0)).last_link()),
            &run.signature.0
        ));
    }
}

#[test]
fn a_formed_run_stays_the_same_whatever_is_sealed_or_asked_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let store = store_at(&path);
    let phone = device(&store, "P-1");
    for night in 1..=5 {
        seal(&phone, &format!("night {night}"));
    }
    let formed = phone.runs(3).expect("runs");
    seal(&phone, "night 6");
    drop(store);
    let store = store_at(&path);
    let phone = device(&store, "P-1");
    let again = phone.runs(200).expect("runs");
    assert_eq!(again[..2], formed[..]);
    assert_eq!((again.len(), again[2].first().sequence), (3, 6));
}

#[test]
fn confirming_inside_a_run_keeps_the_run_and_confirming_all_empties_the_queue() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    for night in 1..=6 {
        seal(&phone, &format!("night {night}"));
    }
    let formed = phone.runs(3).expect("runs");
    store
        .confirm(phone.id(), 4, 1, &word(&store, 0, 4))
        .expect("confirmed");
    assert_eq!(phone.runs(3).expect("runs"), formed[1..]);
    assert_eq!(phone.record().expect("a record").queued(), 2);
    store
        .confirm(phone.id(), 2, 1, &word(&store, 0, 2))
        .expect("it never goes back");
    assert_eq!(phone.record().expect("a record").confirmed, 4);
    store
        .confirm(phone.id(), 6, 1, &word(&store, 0, 6))
        .expect("confirmed");
    assert!(phone.runs(3).expect("runs").is_empty());
}

#[test]
fn totals_count_refused_and_stopped_entries_as_refused() {
    let store = store_in_memory();
    let (a, b, c) = (
        device(&store, "P-1"),
        device(&store, "P-2"),
        device(&store, "P-3"),
    );
    for (phone, nights) in [(&a, 5), (&b, 4), (&c, 3)] {
        for night in 0..nights {
            seal(phone, &format!("night {night}"));
        }
        phone.runs(2).expect("runs");
    }
    let known = word(&store, 0, 3);
    store.set_number(a.id(), &known).expect("numbered");
    store.confirm(a.id(), 3, 1, &known).expect("confirmed");
    store
        .set_refusal(a.id(), 3, Some("ClientHashchain.Gap"))
        .expect("refused");
    store
        .freeze(b.id(), FreezeReason::ForeignHead, &known)
        .expect("frozen");
    let totals = store.totals().expect("totals");
    assert_eq!((totals.devices, totals.enrolled, totals.frozen), (3, 1, 1));
    assert_eq!((totals.entries, totals.finalised), (12, 3));
    // One of a's run from 3 to 4, all four of the stopped b, none of c.
    assert_eq!(totals.refused, 5);
}
