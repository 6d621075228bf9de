// SPDX-License-Identifier: Apache-2.0

//! What a seal leaves behind, and what it does not.

use hashchain::{DeviceId, Envelope, OpeningKey};
use mhealth_device_host::{
    payload::{corrected, Participant},
    store::{Change, FreezeReason, Predecessor},
    Device, Error, Recipient, Record, Sealed, Store,
};

use crate::{assert_verifies, device, rng, seal, store_at, store_in_memory, terms, word};

#[test]
fn what_was_sealed_verifies_under_the_rules_with_the_escrowed_secret() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    for night in 1..=20 {
        assert!(
            matches!(seal(&phone, &format!("night {night}")), Sealed::New(entry) if entry.sequence == night)
        );
    }
    assert_verifies(&store, phone.id());
}

#[test]
fn a_source_is_sealed_once() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    seal(&phone, "monday");
    seal(&phone, "tuesday");
    assert_eq!(seal(&phone, "monday"), Sealed::Before(1));
    assert_eq!(phone.record().expect("a record").length, 2);
    // Sources are names of one device: another device may use the same.
    assert!(matches!(
        seal(&device(&store, "P-2"), "monday"),
        Sealed::New(_)
    ));
}

#[test]
fn another_content_of_a_source_is_told_and_sealed_only_as_a_correction() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let record = |payload| Record {
        source: "monday",
        media_type: "text/plain",
        payload,
    };
    let participant = OpeningKey::from_bytes(&[5; 32]);
    let seal = |payload, change| {
        // Opened anew each time: what was sealed before is in the file.
        let store = store_at(&path);
        let phone = device(&store, "P-1");
        let recipient = participant.sealing_key();
        let record = record(payload);
        let group = store.group().expect("begun");
        let sealed = group.seal_content(
            phone.id(),
            &record,
            &record.content(),
            change,
            Recipient::Participant(&recipient),
            &mut rng(9),
        );
        group.commit().expect("durable");
        sealed.expect("a record")
    };
    assert!(matches!(seal(b"431", Change::Refuse), Sealed::New(_)));
    assert_eq!(seal(b"431", Change::Refuse), Sealed::Before(1));
    assert_eq!(seal(b"431", Change::Correct), Sealed::Before(1));
    assert_eq!(seal(b"188", Change::Refuse), Sealed::Differs(1));
    assert!(matches!(seal(b"188", Change::Correct), Sealed::New(entry) if entry.sequence == 2));
    assert_eq!(seal(b"188", Change::Correct), Sealed::Before(2));
    assert_eq!(seal(b"431", Change::Refuse), Sealed::Differs(2));
    assert!(matches!(seal(b"431", Change::Correct), Sealed::New(entry) if entry.sequence == 3));

    let store = store_at(&path);
    let phone = device(&store, "P-1");
    let key = phone.record().expect("a record").key;
    let corrections: Vec<_> = (1..=3)
        .map(|sequence| {
            let envelope = store.envelope(phone.id(), sequence).expect("read");
            let envelope = envelope.expect("it is there");
            let opened = hashchain::open_envelope(&participant, &key.0, sequence, &envelope);
            let opened = opened.expect("it was sealed to this key");
            let (plain, corrects) = corrected(opened.content().media_type());
            assert_eq!(plain, "text/plain");
            corrects
        })
        .collect();
    assert_eq!(corrections, [None, Some(1), Some(2)]);
    assert_verifies(&store, phone.id());
}

#[test]
fn the_largest_payload_of_one_entry_has_an_envelope_that_every_relay_takes() {
    let store = store_in_memory();
    let participant = OpeningKey::from_bytes(&[5; 32]).sealing_key();
    let longest = "x".repeat(255);
    let payload = vec![7; Record::MAX_PAYLOAD_LENGTH];
    for (source, recipient) in [
        ("plain", Recipient::Anybody),
        ("sealed", Recipient::Participant(&participant)),
    ] {
        let record = Record {
            source,
            media_type: &longest,
            payload: &payload,
        };
        // Each seals to one key only.
        let phone = device(&store, source);
        let Ok(Sealed::New(entry)) = phone.seal(&record, recipient, &mut rng(5)) else {
            panic!("it was not sealed");
        };
        let envelope = store.envelope(phone.id(), entry.sequence).expect("read");
        let length = envelope.expect("it is there").len();
        assert!(length <= mhealth_api::MAX_ENVELOPE_LENGTH, "{length}");
    }
}

#[test]
fn a_device_goes_on_where_it_was_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let mut heads = Vec::new();
    for night in 1..=5 {
        let store = store_at(&path);
        let phone = device(&store, "P-1");
        seal(&phone, &format!("night {night}"));
        heads.push(phone.record().expect("a record").head);
    }
    let store = store_at(&path);
    let phone = device(&store, "P-1");
    let entries = store.entries(phone.id(), 1, 99).expect("entries");
    assert_eq!(
        entries.iter().map(|entry| entry.hash).collect::<Vec<_>>(),
        heads
    );
    assert_verifies(&store, phone.id());
}

#[test]
fn a_group_that_is_not_committed_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_at(&folder.path().join("state.db"));
    let phone = device(&store, "P-1");
    seal(&phone, "first");
    let before = phone.record().expect("a record");
    let group = store.group().expect("a group");
    let record = Record {
        source: "second",
        media_type: "text/plain",
        payload: b"x",
    };
    group
        .seal(phone.id(), &record, Recipient::Anybody, &mut rng(3))
        .expect("sealed");
    drop(group);
    assert_eq!(phone.record().expect("a record"), before);
    assert!(matches!(seal(&phone, "second"), Sealed::New(entry) if entry.sequence == 2));
    assert_verifies(&store, phone.id());
}

#[test]
fn spent_keys_are_in_no_file_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let store = store_at(&path);
    let phone = device(&store, "P-1");
    let ratchet = || -> [u8; 32] {
        let reader = rusqlite::Connection::open(&path).expect("opened");
        reader
            .query_row("SELECT ratchet FROM device", [], |row| row.get(0))
            .expect("read")
    };
    let on_disk = |key: &[u8]| {
        let files = std::fs::read_dir(folder.path()).expect("listed");
        files.flatten().any(|file| {
            let bytes = std::fs::read(file.path()).expect("read");
            bytes.windows(key.len()).any(|window| window == key)
        })
    };
    for night in 1..=10 {
        let spent = ratchet();
        assert!(on_disk(&spent), "the key of the next entry has to be kept");
        seal(&phone, &format!("night {night}"));
        assert!(!on_disk(&spent), "the key of entry {night} is still there");
    }
}

#[test]
fn an_envelope_for_a_participant_opens_with_that_participants_key_only() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    let participant = OpeningKey::from_bytes(&[5; 32]);
    let record = Record {
        source: "night",
        media_type: "application/json",
        payload: b"{\"a\":1}",
    };
    let to = participant.sealing_key();
    phone
        .seal(&record, Recipient::Participant(&to), &mut rng(4))
        .expect("sealed");

    let envelope = store
        .envelope(phone.id(), 1)
        .expect("read")
        .expect("it is there");
    assert!(matches!(
        Envelope::parse(&envelope),
        Ok(Envelope::Sealed { .. })
    ));
    let key = phone.record().expect("a record").key;
    let opened = hashchain::open_envelope(&participant, &key.0, 1, &envelope).expect("opened");
    assert_eq!(opened.content().payload(), record.payload);
    assert_eq!(opened.content().media_type(), record.media_type);
    let other = OpeningKey::from_bytes(&[6; 32]);
    assert!(hashchain::open_envelope(&other, &key.0, 1, &envelope).is_err());
    assert!(hashchain::open_envelope(&participant, &key.0, 2, &envelope).is_err());
    assert_verifies(&store, phone.id());
}

#[test]
fn a_device_seals_to_one_participant_and_to_nobody_else() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    let keys = [5, 6].map(|seed| OpeningKey::from_bytes(&[seed; 32]).sealing_key());
    let seal = |source: &str, recipient| {
        let record = Record {
            source,
            media_type: "text/plain",
            payload: b"x",
        };
        phone.seal(&record, recipient, &mut rng(4))
    };
    seal("first", Recipient::Participant(&keys[0])).expect("sealed");
    for other in [Recipient::Participant(&keys[1]), Recipient::Anybody] {
        let refused = seal("second", other).expect_err("another");
        assert_eq!(refused.code(), "another_participant_key");
    }
    seal("second", Recipient::Participant(&keys[0])).expect("sealed");
    assert_eq!(phone.record().expect("a record").length, 2);
    let refused = store.set_recipient(phone.id(), Some(keys[1].0));
    assert_eq!(
        refused.expect_err("another").code(),
        "another_participant_key"
    );
    // What was sealed to nobody goes on so.
    let open = device(&store, "P-2");
    let record = |source| Record {
        source,
        media_type: "text/plain",
        payload: b"x",
    };
    open.seal(&record("first"), Recipient::Anybody, &mut rng(4))
        .expect("sealed");
    let refused = open.seal(
        &record("second"),
        Recipient::Participant(&keys[0]),
        &mut rng(4),
    );
    assert_eq!(
        refused.expect_err("another").code(),
        "another_participant_key"
    );
}

#[test]
fn what_cannot_be_sealed_leaves_the_device_as_it_was() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    let before = phone.record().expect("a record");
    let seal = |media_type, payload: &[u8]| {
        let record = Record {
            source: "night",
            media_type,
            payload,
        };
        phone
            .seal(&record, Recipient::Anybody, &mut rng(5))
            .expect_err("refused")
            .code()
    };
    assert_eq!(seal("", b"x"), "payload_unsealable");
    assert_eq!(
        seal("text/plain", &vec![0; Record::MAX_LENGTH + 1]),
        "payload_too_large"
    );
    let long = vec![0; Record::MAX_PAYLOAD_LENGTH + 1];
    assert_eq!(seal("", &long), "payload_unsealable");
    let no_key = hashchain::SealingKey([0; 32]);
    let record = Record {
        source: "night",
        media_type: "text/plain",
        payload: b"x",
    };
    let error = phone.seal(&record, Recipient::Participant(&no_key), &mut rng(5));
    assert_eq!(error.expect_err("refused").code(), "weak_participant_key");
    assert_eq!(phone.record().expect("a record"), before);
}

#[test]
fn a_stopped_device_seals_nothing_more() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    seal(&phone, "first");
    store
        .freeze(
            phone.id(),
            FreezeReason::RestoredBackup,
            &word(&store, 0, 1),
        )
        .expect("frozen");
    let record = Record {
        source: "second",
        media_type: "text/plain",
        payload: b"x",
    };
    let error = phone
        .seal(&record, Recipient::Anybody, &mut rng(6))
        .expect_err("refused");
    assert!(matches!(
        error,
        Error::Frozen {
            reason: FreezeReason::RestoredBackup,
            ..
        }
    ));
    assert_eq!(phone.record().expect("a record").length, 1);
    assert!(phone.runs(16).expect("runs").is_empty());
}

#[test]
fn a_successor_starts_from_the_last_trusted_head_of_the_retired_device() {
    let store = store_in_memory();
    let retired = device(&store, "P-1");
    seal(&retired, "first");
    let head = retired.record().expect("a record").head;
    let next = Store::in_memory(&terms(), crate::clock(), &mut rng(7)).expect("a store");
    let participant = Participant("P-1".into());
    let predecessor = Predecessor {
        device: DeviceId(3),
        head,
    };
    let phone = Device::succeeding(&next, &participant, predecessor, &mut rng(8)).expect("made");
    let record = phone.record().expect("a record");
    assert_eq!(record.predecessor, Some(predecessor));
    let first = Device::of(&store_in_memory(), &participant, &mut rng(8))
        .expect("made")
        .id();
    assert_ne!(
        store.device(first).expect("a device").genesis,
        record.genesis
    );
    seal(&phone, "second");
    assert_verifies(&next, phone.id());
}

#[test]
fn debug_of_a_store_shows_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let store = store_at(&path);
    let phone = device(&store, "P-1");
    seal(&phone, "first");
    let reader = rusqlite::Connection::open(&path).expect("opened");
    let secrets: ([u8; 32], [u8; 32], [u8; 32]) = reader
        .query_row("SELECT seed, ratchet, salt FROM device, terms", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .expect("read");
    let record = phone.record().expect("a record");
    let runs = phone.runs(16).expect("runs");
    let shown = format!("{store:?} {phone:?} {record:?} {runs:?}");
    for secret in [secrets.0, secrets.1, secrets.2] {
        assert!(!shown.contains(&hex::encode(secret)));
        assert!(!shown.contains(&format!("{secret:?}")));
    }
}
