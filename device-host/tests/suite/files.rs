// SPDX-License-Identifier: Apache-2.0

//! State files that are damaged, foreign, or not there.

use std::{fs, path::PathBuf};

use mhealth_device_host::{Error, PublicKey, Store, Terms};
use rusqlite::Connection;

use crate::{clock, device, rng, seal, store_at, terms};

/// A folder with a state file of two devices.
fn state() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let store = store_at(&path);
    for phone in [device(&store, "P-1"), device(&store, "P-2")] {
        for night in 0..4 {
            seal(&phone, &format!("night {night}"));
        }
    }
    (folder, path)
}

fn open(path: &std::path::Path) -> Result<Store, Error> {
    Store::open(path, clock())
}

/// Opens a file that was changed by this SQL behind the program's back.
fn open_after(sql: &str) -> &'static str {
    let (_folder, path) = state();
    Connection::open(&path)
        .expect("opened")
        .execute_batch(sql)
        .expect("changed");
    open(&path).expect_err(sql).code()
}

#[test]
fn a_whole_file_opens() {
    let (_folder, path) = state();
    let store = open(&path).expect("opened");
    assert_eq!(*store.terms(), terms());
    assert_eq!(store.totals().expect("totals").entries, 8);
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_a_file() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _path) = state();
    for file in fs::read_dir(folder.path()).expect("listed").flatten() {
        let mode = file.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.path());
    }
}

#[test]
fn a_file_that_is_not_there_is_missing_and_a_folder_is_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(
        open(&folder.path().join("none"))
            .expect_err("missing")
            .code(),
        "state_missing"
    );
    assert_eq!(
        open(folder.path()).expect_err("a folder").code(),
        "state_unreadable"
    );
    let nowhere = folder.path().join("no folder").join("state.db");
    let error = Store::create(&nowhere, &terms(), clock(), &mut rng(1)).expect_err("no folder");
    assert_eq!(error.code(), "state_unreadable");
}

#[test]
fn a_file_of_no_bytes_is_made_anew_but_only_when_asked_to_make_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    fs::write(&path, b"").expect("written");
    assert_eq!(open(&path).expect_err("empty").code(), "state_unfinished");
    seal(&device(&store_at(&path), "P-1"), "night");
    assert_eq!(
        open(&path)
            .expect("opened")
            .totals()
            .expect("totals")
            .entries,
        1
    );
}

#[test]
fn bytes_that_are_no_database_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let letter = b"Dear doctor, this is a letter and not a database. ".repeat(50);
    fs::write(&path, &letter).expect("written");
    assert_eq!(open(&path).expect_err("a letter").code(), "state_corrupt");
    let made = Store::open_or_create(&path, &terms(), clock(), &mut rng(1));
    assert_eq!(made.expect_err("a letter").code(), "state_corrupt");
    assert_eq!(fs::read(&path).expect("read"), letter);
}

#[test]
fn a_file_that_lost_its_end_is_corrupt() {
    let (_folder, path) = state();
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    assert_eq!(
        open(&path).expect_err("half a file").code(),
        "state_corrupt"
    );
}

#[test]
fn a_flipped_bit_anywhere_in_a_page_of_data_is_found_or_harmless() {
    let (_folder, path) = state();
    let whole = fs::read(&path).expect("read");
    let totals = open(&path).expect("opened").totals().expect("totals");
    let devices = open(&path).expect("opened").devices().expect("devices");
    let (mut found, mut harmless) = (0, 0);
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).expect("written");
        match open(&path) {
            Err(_) => found += 1,
            // Unused bytes, names and times: everything that entries are made of must be as it was.
            Ok(store) => {
                let now = store.devices().expect("devices");
                for (now, before) in now.iter().zip(&devices) {
                    assert_eq!(
                        (now.key, now.head, now.length),
                        (before.key, before.head, before.length)
                    );
                }
                assert_eq!(store.totals().expect("totals").entries, totals.entries);
                harmless += 1;
            }
        }
    }
    assert!(found > 50, "found {found}, harmless {harmless}");
}

#[test]
fn a_database_of_another_program_is_not_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.db");
    Connection::open(&path)
        .expect("made")
        .execute_batch("CREATE TABLE a (b)")
        .expect("made");
    assert_eq!(open(&path).expect_err("not ours").code(), "state_not_ours");
    let made = Store::open_or_create(&path, &terms(), clock(), &mut rng(1));
    assert_eq!(made.expect_err("not ours").code(), "state_not_ours");
}

#[test]
fn a_file_of_a_newer_program_is_refused() {
    assert_eq!(open_after("PRAGMA user_version = 5"), "state_newer");
}

#[test]
fn what_does_not_fit_together_is_corrupt() {
    for sql in [
        "UPDATE device SET ratchet = randomblob(32) WHERE id = 1",
        "UPDATE device SET ratchet = (SELECT ratchet FROM device WHERE id = 2) WHERE id = 1",
        "UPDATE device SET seed = (SELECT seed FROM device WHERE id = 2) WHERE id = 1",
        "UPDATE device SET escrow = randomblob(81) WHERE id = 1",
        "UPDATE device SET head = (SELECT hash FROM entry WHERE device = 1 AND sequence = 3), length = 3 WHERE id = 1",
        "UPDATE entry SET envelope = CAST('other' AS BLOB) WHERE device = 2 AND sequence = 2",
        "UPDATE entry SET tag = randomblob(32) WHERE device = 2 AND sequence = 2",
        "DELETE FROM entry WHERE device = 1 AND sequence = 4",
        "DELETE FROM entry WHERE device = 1 AND sequence = 1",
        "UPDATE terms SET study = 7",
        "DELETE FROM terms",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 3",
        "INSERT INTO anchor VALUES (1, randomblob(76))",
    ] {
        assert_eq!(open_after(sql), "state_corrupt", "{sql}");
    }
}

#[test]
fn a_file_of_another_chain_study_auditor_or_device_is_refused_by_name() {
    let (_folder, path) = state();
    let open_for = |terms: Terms| {
        let opened = Store::open_or_create(&path, &terms, clock(), &mut rng(1));
        opened.expect_err("other terms").code()
    };
    assert_eq!(
        open_for(Terms {
            chain: [1; 32],
            ..terms()
        }),
        "state_of_another_chain"
    );
    assert_eq!(
        open_for(Terms {
            study: hashchain::StudyId(9),
            ..terms()
        }),
        "state_of_another_study"
    );
    assert_eq!(
        open_for(Terms {
            auditor_key: [9; 32],
            ..terms()
        }),
        "state_of_another_auditor"
    );
    // Of a later epoch it is no other auditor: what is enrolled keeps its key, what comes has the new one.
    let later = Terms {
        auditor_key: hashchain::OpeningKey::from_bytes(&[9; 32]).sealing_key().0,
        auditor_epoch: 1,
        ..terms()
    };
    let store = Store::open_or_create(&path, &later, clock(), &mut rng(1)).expect("opened");
    let old = store.devices().expect("devices").remove(0);
    assert_eq!(
        (old.auditor_key, old.auditor_epoch),
        (terms().auditor_key, 0)
    );
    drop(store);
    let store = Store::open_or_create(&path, &terms(), clock(), &mut rng(1)).expect("opened");
    assert_eq!(*store.terms(), later);
    let new = device(&store, "P-9").record().expect("a record");
    assert_eq!((new.auditor_key, new.auditor_epoch), (later.auditor_key, 1));
    drop(store);
    let store = open(&path).expect("opened");
    let own = store.devices().expect("devices")[0].key;
    store.expect_device(&own).expect("its own device");
    let error = store
        .expect_device(&PublicKey([3; 32]))
        .expect_err("another device");
    assert_eq!(error.code(), "state_of_another_device");
}

#[test]
fn pseudonyms_are_the_same_in_one_file_and_different_in_another() {
    let (_folder, path) = state();
    let pseudonym = |seed| {
        let store = Store::in_memory(&terms(), clock(), &mut rng(seed)).expect("a store");
        store.pseudonym("1503960366")
    };
    let store = open(&path).expect("opened");
    let name = store.pseudonym("1503960366");
    assert_eq!(name, open(&path).expect("opened").pseudonym("1503960366"));
    assert_ne!(name, store.pseudonym("1503960367"));
    assert_ne!(pseudonym(10), pseudonym(11));
    assert!(!name.0.contains("1503960366"));
}
