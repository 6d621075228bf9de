// SPDX-License-Identifier: Apache-2.0

//! How a device finds out where it stands.

use std::fs;

use hashchain::LinkHash;
use mhealth_device_host::{
    fleet::{enrol_all, sync_all, upload_all},
    store::FreezeReason,
    Device, Standing, Store,
};

use crate::{clock, device, fake::FakeChain, seal, store_at, store_in_memory};

async fn register(store: &Store, chain: &FakeChain) {
    assert_eq!(enrol_all(store, chain, |_| ()).await.expect("enrolled"), []);
    assert_eq!(
        upload_all(store, chain, 4, |_| ()).await.expect("uploaded"),
        []
    );
}

async fn standing(device: &Device<'_>, chain: &FakeChain) -> Standing {
    device.sync(chain).await.expect("compared")
}

#[tokio::test]
async fn a_device_is_unenrolled_then_behind_then_level() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    seal(&phone, "monday");
    assert_eq!(standing(&phone, &chain).await, Standing::Unenrolled);
    enrol_all(&store, &chain, |_| ()).await.expect("enrolled");
    seal(&phone, "tuesday");
    assert_eq!(standing(&phone, &chain).await, Standing::Queued(2));
    upload_all(&store, &chain, 4, |_| ())
        .await
        .expect("uploaded");
    assert_eq!(standing(&phone, &chain).await, Standing::Level);
    assert_eq!(phone.record().expect("a record").confirmed, 2);
}

#[tokio::test]
async fn a_foreign_entry_stops_the_device_whether_the_chain_is_behind_level_or_ahead() {
    for own_after in 0..=3 {
        let (store, chain) = (store_in_memory(), FakeChain::new());
        let phone = device(&store, "P-1");
        seal(&phone, "monday");
        register(&store, &chain).await;
        let key = phone.record().expect("a record").key;
        chain.forge(key, LinkHash([0xbd; 32]));
        for night in 0..own_after {
            seal(&phone, &format!("night {night}"));
        }
        let stopped = Standing::Frozen(FreezeReason::ForeignHead);
        assert_eq!(
            standing(&phone, &chain).await,
            stopped,
            "{own_after} own entries since"
        );
        assert_eq!(standing(&phone, &chain).await, stopped, "it stays stopped");
        let refused = upload_all(&store, &chain, 4, |_| ())
            .await
            .expect("nothing to do");
        assert_eq!(
            (refused, chain.head_of(key).length),
            (vec![], 2),
            "nothing more was sent"
        );
    }
}

#[tokio::test]
async fn a_restored_backup_is_told_from_a_foreign_head() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, copy) = (
        folder.path().join("state.db"),
        folder.path().join("copy.db"),
    );
    let chain = FakeChain::new();
    let key = {
        let store = store_at(&path);
        let phone = device(&store, "P-1");
        seal(&phone, "monday");
        register(&store, &chain).await;
        drop(store);
        fs::copy(&path, &copy).expect("copied");
        let store = store_at(&path);
        let phone = device(&store, "P-1");
        for night in 0..5 {
            seal(&phone, &format!("night {night}"));
        }
        register(&store, &chain).await;
        phone.record().expect("a record").key
    };
    assert_eq!(chain.head_of(key).length, 6);
    let backup = Store::open(&copy, clock()).expect("opened");
    let phone = device(&backup, "P-1");
    let restored = Standing::Frozen(FreezeReason::RestoredBackup);
    assert_eq!(standing(&phone, &chain).await, restored);

    // The same with a last entry that the device never made.
    let copy = folder.path().join("later copy.db");
    fs::copy(&path, &copy).expect("copied");
    chain.forge(key, LinkHash([0xbd; 32]));
    let backup = Store::open(&copy, clock()).expect("opened");
    let foreign = Standing::Frozen(FreezeReason::ForeignHead);
    assert_eq!(standing(&device(&backup, "P-1"), &chain).await, foreign);
}

#[tokio::test]
async fn a_backup_that_sealed_again_takes_its_lost_entries_for_foreign() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, copy) = (
        folder.path().join("state.db"),
        folder.path().join("copy.db"),
    );
    let chain = FakeChain::new();
    let store = store_at(&path);
    register(&store, &chain).await;
    seal(&device(&store, "P-1"), "monday");
    drop(store);
    fs::copy(&path, &copy).expect("copied");
    let store = store_at(&path);
    seal(&device(&store, "P-1"), "tuesday");
    register(&store, &chain).await;
    let backup = Store::open(&copy, clock()).expect("opened");
    let phone = device(&backup, "P-1");
    seal(&phone, "wednesday");
    let foreign = Standing::Frozen(FreezeReason::ForeignHead);
    assert_eq!(standing(&phone, &chain).await, foreign);
}

#[tokio::test]
async fn a_key_that_is_enrolled_under_other_terms_stops_the_device() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    seal(&phone, "monday");
    chain.enrol_otherwise(phone.record().expect("a record").key);
    enrol_all(&store, &chain, |_| ())
        .await
        .expect("nothing to enrol");
    let other = Standing::Frozen(FreezeReason::OtherEnrolment);
    assert_eq!(standing(&phone, &chain).await, other);
}

#[tokio::test]
async fn a_chain_that_forgot_what_it_finalised_is_a_fault_and_stops_nobody() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    seal(&phone, "monday");
    register(&store, &chain).await;
    // Started afresh: the same genesis block, and nothing in it.
    let afresh = FakeChain::new();
    let error = sync_all(&store, &afresh).await.expect_err("it went back");
    assert_eq!(error.code(), "relay_behind");
    // Started afresh, and the number was given to somebody else.
    let stranger = store_in_memory();
    seal(&device(&stranger, "P-9"), "monday");
    register(&stranger, &afresh).await;
    assert_eq!(
        sync_all(&store, &afresh)
            .await
            .expect_err("it went back")
            .code(),
        "relay_behind"
    );
    assert_eq!(standing(&phone, &chain).await, Standing::Level);
}

#[tokio::test]
async fn another_chain_is_refused_before_anything_is_compared() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    seal(&device(&store, "P-1"), "monday");
    register(&store, &chain).await;
    let other = FakeChain::other();
    let error = sync_all(&store, &other).await.expect_err("another chain");
    assert_eq!(error.code(), "state_of_another_chain");
    assert_eq!(
        enrol_all(&store, &other, |_| ())
            .await
            .expect_err("other")
            .code(),
        error.code()
    );
    assert_eq!(
        upload_all(&store, &other, 4, |_| ())
            .await
            .expect_err("other")
            .code(),
        error.code()
    );
}
