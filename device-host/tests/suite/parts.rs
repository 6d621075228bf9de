// SPDX-License-Identifier: Apache-2.0

//! Records that are longer than an entry may be.

use hashchain::{
    join, open_envelope, BrokenBecause, Content, Envelope, Found, Native, OpeningKey, WholeRecord,
};
use mhealth_api::MAX_ENVELOPE_LENGTH;
use mhealth_device_host::payload::corrected;
use mhealth_device_host::store::{Change, LocalId};
use mhealth_device_host::{Recipient, Record, Sealed, Store};

use crate::{assert_verifies, device, rng, seal, store_at, store_in_memory};

/// What raw actigraphy of a day may take.
fn raw(seed: u8) -> Vec<u8> {
    let numbers = 0..700_000_u32;
    numbers.map(|number| (number >> 3) as u8 ^ seed).collect()
}

fn actigraphy(payload: &[u8]) -> Record<'_> {
    Record {
        source: "monday's actigraphy",
        media_type: "application/octet-stream",
        payload,
    }
}

/// The plain contents of a device's entries, without those that are lost.
fn contents(store: &Store, id: LocalId, lost: &[u64]) -> Vec<(u64, Vec<u8>)> {
    let length = store.device(id).expect("a record").length;
    let kept = (1..=length).filter(|sequence| !lost.contains(sequence));
    kept.map(|sequence| {
        let envelope = store.envelope(id, sequence).expect("read");
        (sequence, envelope.expect("it is there"))
    })
    .collect()
}

fn plain((sequence, envelope): &(u64, Vec<u8>)) -> (u64, Content<'_>) {
    match Envelope::parse(envelope).expect("an envelope") {
        Envelope::Plain { content, .. } => (*sequence, content),
        Envelope::Sealed { .. } => panic!("it is plain"),
    }
}

#[test]
fn a_long_record_goes_in_parts_that_chain_and_are_put_together_again() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    seal(&phone, "sunday");
    let payload = raw(1);
    let sealed = phone.seal(&actigraphy(&payload), Recipient::Anybody, &mut rng(5));
    // Three parts, after the entry that was there.
    assert!(matches!(sealed, Ok(Sealed::New(entry)) if entry.sequence == 4));
    seal(&phone, "tuesday");
    assert_verifies(&store, phone.id());
    let kept = contents(&store, phone.id(), &[]);
    assert!(kept
        .iter()
        .all(|(_, envelope)| envelope.len() <= MAX_ENVELOPE_LENGTH));
    let found: Vec<_> = join::<Native>(kept.iter().map(plain)).collect();
    let [Ok(Found::Entry { sequence: 1, .. }), Ok(Found::Record(record)), Ok(Found::Entry { sequence: 5, .. })] =
        &found[..]
    else {
        panic!("{found:?}");
    };
    assert_eq!((record.first, record.last), (2, 4));
    let content = record.content();
    assert_eq!(content.media_type(), "application/octet-stream");
    assert!(content.payload() == payload);
    // The same again is sealed once.
    let again = phone.seal(&actigraphy(&payload), Recipient::Anybody, &mut rng(5));
    assert_eq!(again.expect("known"), Sealed::Before(4));
    let other = phone.seal(&actigraphy(&raw(2)), Recipient::Anybody, &mut rng(5));
    assert_eq!(other.expect("known"), Sealed::Differs(4));
}

#[test]
fn a_part_that_is_lost_is_named() {
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    seal(&phone, "sunday");
    let payload = raw(1);
    phone
        .seal(&actigraphy(&payload), Recipient::Anybody, &mut rng(5))
        .expect("sealed");
    for (lost, named) in [
        (&[2][..], &[2][..]),
        (&[3], &[3]),
        (&[4], &[4]),
        (&[2, 4], &[2, 4]),
    ] {
        let kept = contents(&store, phone.id(), lost);
        let found: Vec<_> = join::<Native>(kept.iter().map(plain)).collect();
        let broken = found[1].as_ref().expect_err("it is not whole");
        assert_eq!((broken.first, broken.last), (2, 4));
        assert_eq!(broken.why, BrokenBecause::Missing(named.to_vec()));
    }
}

#[test]
fn sealed_parts_are_bound_to_their_places_and_a_correction_may_have_parts_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let participant = OpeningKey::from_bytes(&[5; 32]);
    let recipient = participant.sealing_key();
    let (first, second) = (raw(1), raw(2));
    for payload in [&first, &second] {
        // Opened anew each time: all parts are durable together.
        let store = store_at(&path);
        let phone = device(&store, "P-1");
        let group = store.group().expect("begun");
        let record = actigraphy(payload);
        let to = Recipient::Participant(&recipient);
        group
            .seal_content(
                phone.id(),
                &record,
                &record.content(),
                Change::Correct,
                to,
                &mut rng(9),
            )
            .expect("sealed");
        group.commit().expect("durable");
    }
    let store = store_at(&path);
    let phone = device(&store, "P-1");
    assert_verifies(&store, phone.id());
    let key = phone.record().expect("a record").key;
    let opened: Vec<_> = contents(&store, phone.id(), &[])
        .into_iter()
        .map(|(sequence, envelope)| {
            let opened = open_envelope(&participant, &key.0, sequence, &envelope);
            (sequence, opened.expect("it was sealed to this key"))
        })
        .collect();
    let entries = opened
        .iter()
        .map(|(sequence, opened)| (*sequence, opened.content()));
    let records: Vec<WholeRecord> = join::<Native>(entries)
        .map(|found| match found {
            Ok(Found::Record(record)) => record,
            other => panic!("{other:?}"),
        })
        .collect();
    let [one, other] = &records[..] else {
        panic!("{records:?}");
    };
    let plain = "application/octet-stream";
    assert_eq!(corrected(one.content().media_type()), (plain, None));
    // It names the last part of the one that it corrects.
    assert_eq!(corrected(other.content().media_type()), (plain, Some(3)));
    assert!(one.content().payload() == first && other.content().payload() == second);
}

#[test]
fn what_is_not_committed_leaves_no_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let before = {
        let store = store_at(&path);
        let phone = device(&store, "P-1");
        let before = phone.record().expect("a record");
        let group = store.group().expect("begun");
        group
            .seal(
                phone.id(),
                &actigraphy(&raw(1)),
                Recipient::Anybody,
                &mut rng(5),
            )
            .expect("sealed");
        drop(group);
        before
    };
    let store = store_at(&path);
    assert_eq!(device(&store, "P-1").record().expect("a record"), before);
}
