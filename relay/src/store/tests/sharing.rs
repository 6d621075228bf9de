// SPDX-License-Identifier: Apache-2.0

//! What devices get of the relay.

use mhealth_api::{Code, Refusal};
use mhealth_server::Clock as _;

use super::*;
use crate::testing::TestDevice;

/// The devices whose runs wait, in the order in which they go to the chain.
async fn waiting(store: &Store) -> Vec<u32> {
    let pending = store.pending_runs(10_000).await.unwrap();
    pending.iter().map(|pending| pending.run.device.0).collect()
}

async fn send(
    store: &Store,
    device: &mut TestDevice,
    runs: usize,
    quotas: &Quotas,
) -> Vec<Decision> {
    let mut candidates = Vec::new();
    for _ in 0..runs {
        let head = device.head();
        candidates.push(candidate(device.checked(1), head));
    }
    store.accept(&candidates, quotas).await.unwrap()
}

pub(super) async fn turns(scratch: Scratch) {
    let store = &scratch.store;
    let quotas = quotas(2);
    let (mut loud, mut quiet, mut late) =
        (TestDevice::new(1), TestDevice::new(2), TestDevice::new(3));
    send(store, &mut loud, 100, &quotas).await;
    send(store, &mut quiet, 2, &quotas).await;
    assert_eq!(waiting(store).await[..5], [1, 2, 1, 2, 1]);
    // Each device's own runs keep their order.
    let pending = store.pending_runs(10_000).await.unwrap();
    let loud_ones = pending.iter().filter(|pending| pending.run.device.0 == 1);
    let sequences: Vec<_> = loud_ones.map(|pending| pending.run.sequence).collect();
    assert_eq!(sequences, (1..=100).collect::<Vec<_>>());
    // After some of them have gone, a newcomer does not come after the rest.
    let lease = lease(store).await;
    let first = pending.into_iter().take(50).map(|pending| pending.run);
    let sent = store
        .store_batch(lease, transaction(0), first.collect())
        .await;
    let sent = sent.unwrap().unwrap();
    send(store, &mut late, 1, &quotas).await;
    assert_eq!(waiting(store).await[..2], [1, 3]);
    // What comes back goes first.
    store.discard(lease, sent.id).await.unwrap();
    assert_eq!(waiting(store).await[..4], [1, 2, 1, 2]);
}

pub(super) async fn past_turns(scratch: Scratch) {
    let store = &scratch.store;
    let quotas = quotas(2);
    let (mut old, mut new) = (TestDevice::new(1), TestDevice::new(2));
    send(store, &mut old, 200, &quotas).await;
    let lease = lease(store).await;
    let gone = store.pending_runs(1_000).await.unwrap();
    let gone = gone.into_iter().map(|pending| pending.run).collect();
    store
        .store_batch(lease, transaction(0), gone)
        .await
        .unwrap();
    send(store, &mut new, 50, &quotas).await;
    send(store, &mut old, 1, &quotas).await;
    assert_eq!(waiting(store).await[..3], [2, 1, 2]);
}

pub(super) async fn queue_quota(scratch: Scratch) {
    let store = &scratch.store;
    let quotas = Quotas {
        queued_entries: 10,
        ..quotas(2)
    };
    let mut loud = TestDevice::new(1);
    let (genesis, first) = (loud.genesis(), loud.checked(1));
    store
        .accept(&[candidate(first.clone(), genesis)], &quotas)
        .await
        .unwrap();
    let decisions = send(store, &mut loud, 12, &quotas).await;
    assert!(decisions[..9].iter().all(is_accepted), "{decisions:?}");
    let Ok(Acceptance::OverQuota(Code::DeviceQueueFull, Some(wait))) = &decisions[9] else {
        panic!("{decisions:?}")
    };
    assert!(!wait.is_zero());
    // What it sent is known, and others are not concerned.
    let again = store.accept(&[candidate(first, genesis)], &quotas).await;
    assert!(matches!(again.unwrap()[0], Ok(Acceptance::Known(_))));
    let mut quiet = TestDevice::new(2);
    let decisions = send(store, &mut quiet, 10, &quotas).await;
    assert!(decisions.iter().all(is_accepted), "{decisions:?}");
    // When some are on their way, it may send again.
    let lease = lease(store).await;
    let pending = store.pending_runs(4).await.unwrap();
    let gone = pending.into_iter().map(|pending| pending.run).collect();
    store
        .store_batch(lease, transaction(0), gone)
        .await
        .unwrap();
    let mut loud = TestDevice::new(1);
    loud.run(10);
    let decisions = send(store, &mut loud, 1, &quotas).await;
    assert!(is_accepted(&decisions[0]), "{decisions:?}");
}

fn is_accepted(decision: &Decision) -> bool {
    matches!(decision, Ok(Acceptance::Accepted(_)))
}

pub(super) async fn waiting_again(scratch: Scratch) {
    let store = &scratch.store;
    let quotas = Quotas {
        queued_entries: 10,
        ..quotas(2)
    };
    let lease = lease(store).await;
    // One run is refused for now, and a transaction goes astray; long before all that follows.
    let mut refused = TestDevice::new(1);
    let genesis = refused.genesis();
    let again = candidate(refused.checked(1), genesis);
    store
        .accept(std::slice::from_ref(&again), &quotas)
        .await
        .unwrap();
    let live = batch(store, lease, 0).await;
    let fates = [Fate::Refused(Refusal::DeviceSuspended)];
    settle(store, lease, 1, &live, &fates).await;
    let mut busy = TestDevice::new(2);
    send(store, &mut busy, 1, &quotas).await;
    let astray = batch(store, lease, 1).await;
    for nonce in 2..20 {
        let decisions = send(store, &mut busy, 5, &quotas).await;
        assert!(decisions.iter().all(is_accepted), "{decisions:?}");
        batch(store, lease, nonce).await;
    }
    // Both wait again, and nothing else does.
    let decisions = store.accept(&[again], &quotas).await.unwrap();
    assert!(is_accepted(&decisions[0]), "{decisions:?}");
    store.discard(lease, astray.id).await.unwrap();
    // What comes back goes first, and what was refused is new.
    assert_eq!(waiting(store).await, [2, 1]);
    let decisions = send(store, &mut busy, 1, &quotas).await;
    assert!(is_accepted(&decisions[0]), "{decisions:?}");
    let mut other = TestDevice::new(3);
    let decisions = send(store, &mut other, 1, &quotas).await;
    assert!(is_accepted(&decisions[0]), "{decisions:?}");
    // Its bytes were counted once, and its entries count while they wait.
    let (counted, turn): (i64, i64) =
        sqlx::query_as("SELECT bytes, turn FROM device_usage WHERE device = 1")
            .fetch_one(store.database().pool())
            .await
            .unwrap();
    let (bytes,): (i64,) =
        sqlx::query_as("SELECT CAST(length(envelopes) AS BIGINT) FROM payloads WHERE id = 1")
            .fetch_one(store.database().pool())
            .await
            .unwrap();
    assert_eq!(counted, bytes + 64);
    assert!(turn > 90, "{turn}");
}

pub(super) async fn clock_ahead(scratch: Scratch) {
    const DAY: u64 = 86_400;
    let store = &scratch.store;
    let quotas = Quotas {
        bytes_per_day: 700,
        ..quotas(2)
    };
    let mut device = TestDevice::new(1);
    scratch.clock.set(9_000 * DAY);
    let refused = loop {
        let head = device.head();
        let next = [candidate(device.checked(1), head)];
        let decisions = store.accept(&next, &quotas).await.unwrap();
        if !is_accepted(&decisions[0]) {
            break next;
        }
    };
    // The clock is set right, and what is told to wait is enough.
    scratch.clock.set(30 * DAY);
    let decisions = store.accept(&refused, &quotas).await.unwrap();
    let Ok(Acceptance::OverQuota(Code::DeviceBytesUsed, Some(wait))) = &decisions[0] else {
        panic!("{decisions:?}")
    };
    scratch.clock.advance(wait.as_secs() + 1);
    let decisions = store.accept(&refused, &quotas).await.unwrap();
    assert!(is_accepted(&decisions[0]), "{decisions:?}");
}

pub(super) async fn byte_quotas(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let quotas = Quotas {
        bytes_per_day: 700,
        bytes: 1_300,
        ..quotas(2)
    };
    let mut over_day = 0;
    let mut stored = 0;
    loop {
        let head = device.head();
        let run = device.checked(1);
        let decision = loop {
            let next = [candidate(run.clone(), head)];
            let decisions = store.accept(&next, &quotas).await.unwrap();
            match &decisions[0] {
                Ok(Acceptance::OverQuota(Code::DeviceBytesUsed, Some(wait))) => {
                    over_day += 1;
                    // What it is told to wait is enough.
                    assert!(over_day < 50);
                    scratch.clock.advance(wait.as_secs() + 1);
                }
                other => break other.clone(),
            }
        };
        match decision {
            Ok(Acceptance::Accepted(_)) => stored += 1,
            Ok(Acceptance::OverQuota(Code::DeviceStorageFull, None)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(over_day > 0 && stored > 3, "{over_day} {stored}");
    let (bytes,): (i64,) = sqlx::query_as("SELECT bytes FROM device_usage WHERE device = 1")
        .fetch_one(store.database().pool())
        .await
        .unwrap();
    assert!((600..=1_300).contains(&bytes), "{bytes}");
    let mut other = TestDevice::new(2);
    let decisions = send(store, &mut other, 1, &quotas).await;
    assert!(matches!(decisions[0], Ok(Acceptance::Accepted(_))));
}

pub(super) async fn heard_of(scratch: Scratch) {
    const DAY: u64 = 86_400;
    let store = &scratch.store;
    let (mut silent, mut known) = (TestDevice::new(1), TestDevice::new(2));
    send(store, &mut silent, 1, &quotas(2)).await;
    send(store, &mut known, 1, &quotas(2)).await;
    scratch.clock.advance(3 * DAY);
    send(store, &mut known, 1, &quotas(2)).await;
    let within = async |days: u64| {
        let since = scratch
            .clock
            .now_millis()
            .saturating_sub(days * DAY * 1_000);
        store.devices_heard_of(since).await.unwrap()
    };
    assert_eq!((within(2).await, within(7).await), (1, 2));
    scratch.clock.advance(7 * DAY);
    assert_eq!((within(2).await, within(7).await), (0, 0));
    assert_eq!(within(30).await, 2);
}

/// The first runs of a device were refused while later ones wait, and are sent again.
pub(super) async fn sent_again(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let runs: Vec<_> = (0..6)
        .map(|_| candidate(device.checked(2), genesis))
        .collect();
    accept(store, &runs).await;
    let mut other = TestDevice::new(2);
    send(store, &mut other, 2, &quotas(2)).await;
    let lease = lease(store).await;
    let pending = store.pending_runs(100).await.unwrap();
    let own = pending.iter().map(|pending| pending.run);
    let first: Vec<_> = own
        .filter(|run| run.device == DeviceId(1))
        .take(2)
        .collect();
    let stored = store.store_batch(lease, transaction(0), first).await;
    let live = stored.unwrap().expect("nobody else changes runs");
    let refused = Fate::Refused(Refusal::DeviceSuspended);
    settle(store, lease, 1, &live, &[refused.clone(), refused]).await;
    let decisions = accept(store, &runs[..2]).await;
    assert!(decisions.iter().all(is_accepted), "{decisions:?}");
    let pending = store.pending_runs(100).await.unwrap();
    let own = pending.iter().map(|pending| pending.run);
    let own = own.filter(|run| run.device == DeviceId(1));
    let sequences: Vec<_> = own.map(|run| run.sequence).collect();
    assert_eq!(sequences, [1, 3, 5, 7, 9, 11]);
    // Nobody else waits longer for it than for the device's own runs.
    assert_eq!(pending[0].run.device, DeviceId(2));
}
