// SPDX-License-Identifier: Apache-2.0

//! What finalised blocks did to runs, and what happens when they are lost.

use mhealth_api::{Refusal, RunState};

use super::*;
use crate::testing::TestDevice;

pub(super) async fn outcomes(scratch: Scratch) {
    let store = &scratch.store;
    let mut group = Vec::new();
    for device in 0..5 {
        let mut device = TestDevice::new(device);
        let genesis = device.genesis();
        group.push(candidate(device.checked(2), genesis));
    }
    accept(store, &group).await;
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    let fates = [
        Fate::Registered,
        Fate::RegisteredBefore,
        Fate::Refused(Refusal::DeviceSuspended),
        Fate::Conflicting(Refusal::Fork),
        Fate::Again,
    ];
    settle(store, lease, 7, &live, &fates).await;
    let mut statuses = Vec::new();
    for candidate in &group {
        statuses.push(store.status(&candidate.run.id).await.unwrap().unwrap());
    }
    let states: Vec<_> = statuses.iter().map(|status| status.state.clone()).collect();
    use RunState::*;
    assert_eq!(
        states,
        [Finalised, Finalised, Refused, Conflicting, Pending]
    );
    let extrinsics: Vec<_> = statuses
        .iter()
        .map(|status| status.extrinsic_index)
        .collect();
    assert_eq!(extrinsics, [Some(2), None, Some(2), Some(2), None]);
    assert_eq!(statuses[0].block, Some(block(7)));
    assert_eq!(statuses[4].block, None);
    assert_eq!(statuses[3].reason, Some(Refusal::Fork));
    assert_eq!(store.followed().await.unwrap(), Some(block(7)));
    assert!(store.live_batches().await.unwrap().is_empty());
    // The heads of refused runs are forgotten, those of others are not.
    let head = async |device| store.head(DeviceId(device)).await.unwrap();
    assert!(head(0).await.is_some() && head(2).await.is_none());
    // A second time changes nothing.
    settle(store, lease, 8, &live, &[const { Fate::Again }; 5]).await;
    assert_eq!(
        store.status(&group[0].run.id).await.unwrap().unwrap(),
        statuses[0]
    );
}

pub(super) async fn another_chance(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let run = candidate(device.checked(2), genesis);
    accept(store, std::slice::from_ref(&run)).await;
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    settle(
        store,
        lease,
        1,
        &live,
        &[Fate::Refused(Refusal::DeviceSuspended)],
    )
    .await;
    let decisions = accept(store, std::slice::from_ref(&run)).await;
    assert!(
        matches!(&decisions[0], Ok(Acceptance::Accepted(status)) if status.state == RunState::Pending)
    );
    assert_eq!(store.head(DeviceId(1)).await.unwrap(), Some(device.head()));
    let live = batch(store, lease, 1).await;
    settle(
        store,
        lease,
        2,
        &live,
        &[Fate::Refused(Refusal::BadSignature)],
    )
    .await;
    let decisions = accept(store, &[run]).await;
    assert!(
        matches!(&decisions[0], Ok(Acceptance::Known(status)) if status.state == RunState::Refused)
    );
}

/// The hash of a block that was worked off, if it is remembered.
async fn followed_at(store: &Store, number: u64) -> Option<Hash> {
    let latest = store.followed_up_to(number).await.unwrap();
    latest
        .filter(|block| block.number == number)
        .map(|block| block.hash)
}

pub(super) async fn rolled_back(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let lease = lease(store).await;
    let mut batches = Vec::new();
    for nonce in 0..3 {
        accept(store, &[candidate(device.checked(1), genesis)]).await;
        let live = batch(store, lease, nonce).await;
        let fate = if nonce == 2 {
            Fate::Refused(Refusal::Gap)
        } else {
            Fate::Registered
        };
        settle(store, lease, nonce + 1, &live, &[fate]).await;
        batches.push(live);
    }
    assert_eq!(followed_at(store, 0).await, None);
    assert_eq!(followed_at(store, 1).await, Some(block(1).hash));
    store.roll_back(lease, 1).await.unwrap();
    assert_eq!(store.followed().await.unwrap(), Some(block(1)));
    assert_eq!(followed_at(store, 2).await, None);
    let live = store.live_batches().await.unwrap();
    let nonces: Vec<_> = live.iter().map(|batch| batch.transaction.nonce).collect();
    assert_eq!(nonces, [1, 2]);
    let mut states = Vec::new();
    for batch in &batches {
        let run = device_run(store, batch).await;
        states.push(store.status(&run).await.unwrap().unwrap().state);
    }
    assert_eq!(
        states,
        [
            RunState::Finalised,
            RunState::Submitted,
            RunState::Submitted
        ]
    );
    settle(store, lease, 2, &live[1], &[Fate::Registered]).await;
}

pub(super) async fn settled_long_ago(scratch: Scratch) {
    let store = &scratch.store;
    let lease = lease(store).await;
    let mut runs = Vec::new();
    // One run each night, each with a fate of its own.
    for (number, fate) in [
        (1, Fate::Registered),
        (1_001, Fate::Refused(Refusal::DeviceSuspended)),
        (2_001, Fate::Registered),
    ] {
        let mut device = TestDevice::new(number as u32);
        let genesis = device.genesis();
        accept(store, &[candidate(device.checked(1), genesis)]).await;
        let live = batch(store, lease, number).await;
        settle(store, lease, number, &live, &[fate]).await;
        // Until the next one comes nothing goes on, and what was settled is forgotten.
        let later = block(number + 600);
        store.settle(lease, later, &[]).await.unwrap();
        runs.push(device_run(store, &live).await);
    }
    assert_eq!(store.next_nonce().await.unwrap(), Some(2_002));
    let mut device = TestDevice::new(4);
    let genesis = device.genesis();
    accept(store, &[candidate(device.checked(1), genesis)]).await;
    let live = batch(store, lease, 2_002).await;
    settle(store, lease, 3_000, &live, &[Fate::Registered]).await;
    let lost = device_run(store, &live).await;
    store.roll_back(lease, 2_999).await.unwrap();
    let status = async |run: &Hash| store.status(run).await.unwrap().unwrap();
    assert_eq!(status(&lost).await.state, RunState::Submitted);
    use RunState::{Finalised, Refused};
    for (run, state) in runs.iter().zip([Finalised, Refused, Finalised]) {
        let status = status(run).await;
        assert_eq!(status.state, state);
        assert!(status.block.is_some(), "{status:?}");
    }
    // Settled again, it gives nobody back.
    settle(store, lease, 3_001, &live, &[Fate::Registered]).await;
    assert!(store.pending_runs(10).await.unwrap().is_empty());
}
