// SPDX-License-Identifier: Apache-2.0

//! Who may write: the holder of the lease, for one chain and one account.

use super::*;
use crate::testing::TestDevice;

pub(super) async fn fencing(scratch: Scratch) {
    let store = &scratch.store;
    let other = scratch.other().await;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(store, &[candidate(device.checked(1), genesis)]).await;
    let first = lease(store).await;
    assert_eq!(other.take_lease("two", LEASE).await.unwrap(), None);
    scratch.pass(90).await;
    store.renew_lease(first).await.unwrap();
    scratch.pass(90).await;
    assert_eq!(other.take_lease("two", LEASE).await.unwrap(), None);
    scratch.pass(20).await;
    let second = other.take_lease("two", LEASE).await.unwrap().unwrap();
    let runs: Vec<_> = store
        .pending_runs(10)
        .await
        .unwrap()
        .iter()
        .map(|pending| pending.run)
        .collect();
    let refused = store.store_batch(first, transaction(0), runs).await;
    assert!(matches!(refused, Err(StoreError::Fenced)));
    assert!(matches!(
        store.settle(first, block(1), &[]).await,
        Err(StoreError::Fenced)
    ));
    assert!(matches!(
        store.renew_lease(first).await,
        Err(StoreError::Fenced)
    ));
    assert!(matches!(
        store.discard(first, 1).await,
        Err(StoreError::Fenced)
    ));
    assert!(matches!(
        store.roll_back(first, 0).await,
        Err(StoreError::Fenced)
    ));
    assert!(store.followed().await.unwrap().is_none());
    batch(&other, second, 0).await;
    other.give_lease_back(second).await.unwrap();
    assert!(store.take_lease("one", LEASE).await.unwrap().is_some());
}

pub(super) async fn next_account(scratch: Scratch) {
    let store = &scratch.store;
    store.bind_to(&Hash([1; 32]), &[2; 32]).await.unwrap();
    assert_eq!(store.next_nonce().await.unwrap(), None);
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let lease = lease(store).await;
    // The second one has a nonce that is free again: what is known does not go back.
    for nonce in [7, 3] {
        accept(store, &[candidate(device.checked(1), genesis)]).await;
        let live = batch(store, lease, nonce).await;
        assert_eq!(store.next_nonce().await.unwrap(), Some(8));
        settle(store, lease, nonce, &live, &[Fate::Registered]).await;
    }
    assert!(store.hand_over(lease, &[3; 32]).await.unwrap());
    assert_eq!(store.next_nonce().await.unwrap(), None);
    accept(store, &[candidate(device.checked(1), genesis)]).await;
    batch(store, lease, 0).await;
    assert_eq!(store.next_nonce().await.unwrap(), Some(1));
}

pub(super) async fn bound(scratch: Scratch) {
    let store = &scratch.store;
    store.bind_to(&Hash([1; 32]), &[2; 32]).await.unwrap();
    store.bind_to(&Hash([1; 32]), &[2; 32]).await.unwrap();
    let chain = store.bind_to(&Hash([3; 32]), &[2; 32]).await;
    assert!(matches!(
        chain,
        Err(StoreError::Foreign { what: "chain", .. })
    ));
    let account = store.bind_to(&Hash([1; 32]), &[3; 32]).await;
    assert!(matches!(
        account,
        Err(StoreError::Foreign {
            what: "account",
            ..
        })
    ));
}
