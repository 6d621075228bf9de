// SPDX-License-Identifier: Apache-2.0

//! What tests of the device and of the simulator share: phones, and servers that misbehave.
#![allow(dead_code)] // Each of the two uses some of it.

pub(crate) mod fakes;
pub(crate) mod proofs;
pub(crate) mod trial;
pub(crate) mod world;

use std::{path::Path, sync::Arc, time::Duration};

use hashchain::{DeviceId, LinkHash, Native, OpeningKey, StudyId, Verifier};
use mhealth_api::Head;
use mhealth_device_host::{
    chain::FinalHead, host::Clock, payload::Participant, store::LocalId, Device, Recipient, Record,
    Sealed, Store, SystemClock, Terms,
};
use rand::{rngs::StdRng, SeedableRng};
use time::{macros::datetime, OffsetDateTime};

/// A clock that stands still.
pub(crate) struct StoppedClock(pub(crate) OffsetDateTime);

impl Clock for StoppedClock {
    fn now(&self) -> OffsetDateTime {
        self.0
    }

    /// What is measured with it goes on, so that waits end.
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

/// The auditor's private key; what is escrowed to its public half can be opened in tests.
pub(crate) fn auditor() -> OpeningKey {
    OpeningKey::from_bytes(&[0x41; 32])
}

pub(crate) fn terms() -> Terms {
    Terms {
        chain: proofs::genesis_hash(),
        study: StudyId(0),
        auditor_key: auditor().sealing_key().0,
        auditor_epoch: 0,
    }
}

pub(crate) fn clock() -> Arc<StoppedClock> {
    Arc::new(StoppedClock(datetime!(2026-11-20 19:00 UTC)))
}

pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub(crate) fn store_at(path: &Path) -> Store {
    Store::open_or_create(path, &terms(), clock(), &mut rng(1)).expect("a usable file")
}

pub(crate) fn store_in_memory() -> Store {
    Store::in_memory(&terms(), clock(), &mut rng(1)).expect("a store")
}

pub(crate) fn device<'s>(store: &'s Store, participant: &str) -> Device<'s> {
    let seed = participant.bytes().map(u64::from).sum();
    Device::of(store, &Participant(participant.into()), &mut rng(seed)).expect("a device")
}

pub(crate) fn seal(device: &Device<'_>, source: &str) -> Sealed {
    let payload = format!("payload of {source}");
    let record = Record {
        source,
        media_type: "text/plain",
        payload: payload.as_bytes(),
    };
    device
        .seal(&record, Recipient::Anybody, &mut rng(2))
        .expect("sealed")
}

/// That a device's head is final, by the word of the test.
pub(crate) fn word(store: &Store, number: u32, length: u64) -> FinalHead {
    let head = Head {
        length,
        hash: LinkHash([0; 32]),
    };
    let checker = store.checker(true);
    let known = checker.take_word(DeviceId(number), head, None);
    known.expect("it trusts words")
}

/// Verifies everything there is of a device: links, envelopes, tags by the escrowed secret, the newest signature.
pub(crate) fn assert_verifies(store: &Store, id: LocalId) {
    let device = store.device(id).expect("a device");
    let secret = hashchain::open_escrow(
        &auditor(),
        &device.key.0,
        &device.secret_commitment,
        &device.escrow,
    );
    let mut verifier = Verifier::with_secret(device.genesis, &secret.expect("it was escrowed"));
    for entry in store.entries(id, 1, device.length).expect("entries") {
        let envelope = store
            .envelope(id, entry.sequence)
            .expect("read")
            .expect("it is there");
        assert_eq!(hashchain::data_digest::<Native>(&envelope), entry.digest);
        verifier
            .check(&entry, Some(&envelope))
            .expect("the device's own entry");
    }
    let signature = store.device_key(id).expect("a key").sign_head(&device.head);
    verifier
        .check_signature(&device.key.0, &device.head, &signature.0)
        .expect("the device's own signature");
    let coverage = verifier.finish(&device.head).expect("its head");
    assert!(coverage.is_complete() && coverage.entries == device.length);
}
