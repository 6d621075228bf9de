// SPDX-License-Identifier: Apache-2.0

//! Runs go into one batch at a time.

use mhealth_api::{Refusal, RunState};

use super::*;
use crate::testing::TestDevice;

pub(super) async fn one_batch_at_a_time(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(store, &[candidate(device.checked(1), genesis)]).await;
    let lease = lease(store).await;
    let seen = store.pending_runs(10).await.unwrap();
    let runs: Vec<_> = seen.iter().map(|pending| pending.run).collect();
    let live = batch(store, lease, 0).await;
    assert_eq!(live.runs, runs);
    // What was read before is not what waits now.
    let again = store
        .store_batch(lease, transaction(1), runs)
        .await
        .unwrap();
    assert!(again.is_none());
    assert!(store.pending_runs(10).await.unwrap().is_empty());
    let batches = store.live_batches().await.unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].runs, live.runs);
    assert_eq!(&batches[0].transaction.bytes[..], [0; 3]);
    let status = store
        .status(&device_run(store, &live).await)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.state, RunState::Submitted);
}

pub(super) async fn discarded(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(store, &[candidate(device.checked(2), genesis)]).await;
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    store.discard(lease, live.id).await.unwrap();
    assert!(store.live_batches().await.unwrap().is_empty());
    // Its nonce is free for the next one.
    let next = batch(store, lease, 0).await;
    assert_eq!(next.runs, live.runs);
    // Nothing that is said of the dead batch touches the run any more.
    settle(store, lease, 3, &live, &[Fate::Refused(Refusal::Gap)]).await;
    let run = device_run(store, &next).await;
    assert_eq!(
        store.status(&run).await.unwrap().unwrap().state,
        RunState::Submitted
    );
}
