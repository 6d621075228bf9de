// SPDX-License-Identifier: Apache-2.0

//! The whole life of one device, by what an app calls.

use hashchain::DeviceId;
use mhealth_api::{DeviceStatus, Refusal};
use mhealth_device_host::{
    store::FreezeReason, Device, EnrolmentCode, Error, Standing, Store, SyncError,
};

use crate::{
    device,
    fake::{FakeChain, Trouble},
    seal, store_in_memory,
    support::{
        fakes::Fake,
        trial::{address, impatience, settings, through},
        world::World,
    },
};

fn code() -> EnrolmentCode {
    crate::support::world::code("CODE")
}

fn number(device: &Device<'_>) -> Option<DeviceId> {
    device.record().expect("a record").number
}

fn seal_nights(device: &Device<'_>, nights: u32) {
    for night in 0..nights {
        seal(device, &format!("night {night}"));
    }
}

#[tokio::test]
async fn a_phone_enrols_seals_uploads_and_is_level_though_answers_are_lost() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    seal_nights(&phone, 40);
    assert_eq!(
        phone.upload(&chain).await.expect("compared"),
        Standing::Unenrolled
    );
    chain
        .state()
        .troubles
        .extend([Trouble::LostAnswer, Trouble::None, Trouble::LostAnswer]);
    let lost = phone.enrol(&chain, &code()).await.expect_err("lost");
    assert_eq!((lost.code(), number(&phone)), ("node_unreachable", None));
    assert_eq!(
        phone.enrol(&chain, &code()).await.expect("found"),
        DeviceId(0)
    );
    assert_eq!(
        phone.enrol(&chain, &code()).await.expect("it is"),
        DeviceId(0)
    );

    phone.upload(&chain).await.expect_err("lost");
    assert_eq!(
        phone.upload(&chain).await.expect("uploaded"),
        Standing::Level
    );
    assert_eq!(phone.sync(&chain).await.expect("compared"), Standing::Level);
    let record = phone.record().expect("a record");
    assert_eq!(chain.head_of(record.key).hash, record.head);
    assert_eq!((record.confirmed, record.queued()), (40, 0));
}

#[tokio::test]
async fn an_upload_is_one_devices_own() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let (phone, other) = (device(&store, "P-1"), device(&store, "P-2"));
    for device in [&phone, &other] {
        seal_nights(device, 3);
        device.enrol(&chain, &code()).await.expect("enrolled");
    }
    phone.upload(&chain).await.expect("uploaded");
    assert_eq!(
        other.sync(&chain).await.expect("compared"),
        Standing::Queued(3)
    );
    let totals = store.totals().expect("totals");
    assert_eq!((totals.entries, totals.finalised), (6, 3));
}

#[tokio::test]
async fn what_is_refused_is_told_by_its_code_and_stays_queued() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    seal_nights(&phone, 3);
    let key = phone.record().expect("a record").key;
    chain.state().unwelcome.push(key);
    let refused = phone.enrol(&chain, &code()).await.expect_err("refused");
    assert_eq!(refused.code(), "key_in_use");
    chain.state().unwelcome.clear();
    phone.enrol(&chain, &code()).await.expect("enrolled");

    chain.state().shut_out = Some((key, Refusal::StudyClosed));
    let refused = phone.upload(&chain).await.expect_err("refused");
    assert!(
        matches!(refused, SyncError::Refused(refusal) if refusal.reason == Some(Refusal::StudyClosed))
    );
    assert_eq!(phone.record().expect("a record").queued(), 3);
}

#[tokio::test]
async fn a_device_that_was_stopped_does_not_enrol() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    chain.enrol_otherwise(phone.record().expect("a record").key);
    let stopped = phone.enrol(&chain, &code()).await.expect_err("stopped");
    assert!(matches!(
        stopped,
        SyncError::Device(Error::Frozen {
            reason: FreezeReason::OtherEnrolment,
            ..
        })
    ));
    assert_eq!(
        phone.upload(&chain).await.expect("compared"),
        Standing::Frozen(FreezeReason::OtherEnrolment)
    );
}

#[tokio::test]
async fn an_app_that_knows_only_its_authentication_server_finds_the_relays() {
    let world = World::with_codes(&["CODE"]);
    let (office, relay) = (Fake::office(&world).await, Fake::relay(&world).await);
    office.set().relays = vec![relay.address.clone()];
    let servers = || through(settings(&office, &[], 1));
    let store: Store = store_in_memory();
    let phone = device(&store, "P-1");
    seal_nights(&phone, 5);
    phone.enrol(&servers(), &code()).await.expect("enrolled");
    // Each time as if the app had been started afresh.
    assert_eq!(
        phone.sync(&servers()).await.expect("compared"),
        Standing::Queued(5)
    );
    assert_eq!(
        phone.upload(&servers()).await.expect("uploaded"),
        Standing::Level
    );
    world.state().devices[0].status = DeviceStatus::Suspended;
    let refused = phone.sync(&servers()).await.expect_err("no token");
    assert_eq!(refused.code(), "device_suspended");
}

#[tokio::test]
async fn a_program_that_runs_for_long_learns_of_other_relays_with_each_token() {
    let world = World::with_codes(&["CODE"]);
    let office = Fake::office(&world).await;
    let [old, kept, new] = [
        Fake::relay(&world).await,
        Fake::relay(&world).await,
        Fake::relay(&world).await,
    ];
    let names = |relays: &[&Fake]| relays.iter().map(|relay| relay.address.clone()).collect();
    office.set().relays = names(&[&old, &kept]);
    office.set().token_life = Some(0);
    let mut settings = settings(&office, &[], 1);
    settings.device.patience = impatience();
    let servers = through(settings);
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    phone.enrol(&servers, &code()).await.expect("enrolled");
    seal_nights(&phone, 3);
    let uploaded = phone.upload(&servers).await.expect("uploaded");
    assert_eq!(uploaded, Standing::Level);
    assert_eq!(servers.relays(), [address(&old), address(&kept)]);

    // The study's relays were replaced while the program ran.
    office.set().relays = names(&[&new]);
    for gone in [&old, &kept] {
        gone.set().down = true;
    }
    seal(&phone, "after that");
    let uploaded = phone.upload(&servers).await.expect("uploaded");
    assert_eq!(uploaded, Standing::Level);
    assert_eq!(servers.relays(), [address(&new)]);
    assert!(!new.received("/v1/runs").is_empty());

    // Named twice it is one, and nonsense is none.
    let mut again: Vec<String> = names(&[&new, &new]);
    again.push("ws://relay.example.org".into());
    office.set().relays = again;
    seal(&phone, "later still");
    phone.upload(&servers).await.expect("uploaded");
    assert_eq!(servers.relays(), [address(&new)]);
}
