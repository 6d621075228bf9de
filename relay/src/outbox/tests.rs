// SPDX-License-Identifier: Apache-2.0

//! The outbox against a chain in memory that does what real ones do only sometimes.

mod chain;
mod random;

use std::sync::Arc;
use std::time::Duration;

use mhealth_api::{Hash, RunState};
use mhealth_chain_client::RefusalReason;
use tokio::task::JoinHandle;

use self::chain::FakeChain;
use super::*;
use crate::store::tests::{accept, candidate, on_both, Scratch};
use crate::testing::TestDevice;

struct Process {
    stop: CancellationToken,
    task: JoinHandle<()>,
    stored: Arc<Notify>,
}

impl Process {
    fn start(store: Store, chain: &FakeChain, clock: SharedClock) -> Self {
        let options = OutboxOptions {
            gather: Duration::ZERO,
            resend_after: Duration::from_millis(50),
            lease: Duration::from_secs(6),
            ..OutboxOptions::default()
        };
        Self::start_with(store, chain, clock, options)
    }

    fn start_with(
        store: Store,
        chain: &FakeChain,
        clock: SharedClock,
        options: OutboxOptions,
    ) -> Self {
        let ledger: Arc<dyn Ledger> = Arc::new(chain.clone());
        let stored = Arc::new(Notify::new());
        let outbox = Outbox::new(
            store,
            ledger.clone(),
            Directory::new(ledger, clock.clone()),
            Metrics::register(&prometheus::Registry::new()).unwrap(),
            clock,
            options,
            stored.clone(),
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(outbox.run(stop.clone()));
        Self { stop, task, stored }
    }

    /// As by `kill -9`: whatever was under way ends where it is.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Waits until it holds.
async fn until<F: std::future::Future<Output = bool>>(condition: impl Fn() -> F) {
    let patience = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    patience.await.expect("it did not happen");
}

async fn state(store: &Store, run: &Hash) -> RunState {
    store.status(run).await.unwrap().unwrap().state
}

async fn until_state(store: &Store, run: &Hash, expected: RunState) {
    until(|| async { state(store, run).await == expected }).await;
}

/// A relay with one device, and a run of it that was accepted.
async fn with_one_run(scratch: Scratch) -> (Scratch, FakeChain, TestDevice, Hash) {
    let chain = FakeChain::new();
    let mut device = TestDevice::new(1);
    chain.enrol(1, device.genesis());
    let run = device.checked(2);
    let id = run.id;
    accept(&scratch.store, &[candidate(run, device.genesis())]).await;
    (scratch, chain, device, id)
}

on_both! {
    what_waits_is_sent_and_its_outcome_written_down;
    a_process_that_was_killed_sends_the_same_bytes_again;
    outcomes_that_were_missed_are_caught_up_with;
    an_expired_batch_gives_its_runs_to_another_with_the_same_nonce;
    a_nonce_that_was_used_elsewhere_gives_the_runs_back;
    two_processes_submit_everything_once;
    each_refusal_has_its_state;
    a_run_that_was_registered_by_another_relay_is_finalised_without_an_extrinsic;
    a_gap_that_earlier_runs_will_bridge_is_no_refusal;
    a_gap_that_nothing_will_bridge_is_refused;
    events_that_the_node_dropped_are_replaced_by_what_stands_registered;
    finalised_blocks_that_a_node_lost_are_taken_back_and_the_same_bytes_sent;
    a_chain_that_began_anew_is_noticed_at_the_start;
    a_node_that_is_away_delays_and_loses_nothing;
    batches_keep_to_their_limits_and_to_the_order_of_runs;
}

async fn what_waits_is_sent_and_its_outcome_written_down(scratch: Scratch) {
    let (scratch, chain, device, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until_state(&scratch.store, &run, RunState::Submitted).await;
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    let status = scratch.store.status(&run).await.unwrap().unwrap();
    assert_eq!(status.block.unwrap().number, 1);
    assert_eq!(chain.head(1), device.head());
    process.stop().await;
    // Another process need not wait for the lease to run out.
    assert!(scratch
        .store
        .take_lease("other", Duration::from_secs(6))
        .await
        .unwrap()
        .is_some());
}

async fn a_process_that_was_killed_sends_the_same_bytes_again(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    chain.swallow(true);
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.handed().len() == 1 }).await;
    process.kill().await;
    chain.swallow(false);
    scratch.clock.advance(7);
    let process = Process::start(scratch.other().await, &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    let handed = chain.handed();
    assert!(handed.iter().all(|bytes| *bytes == handed[0]), "{handed:?}");
    assert_eq!(chain.submissions(run), 1);
    process.stop().await;
}

async fn outcomes_that_were_missed_are_caught_up_with(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    process.kill().await;
    chain.make_block();
    for _ in 0..100 {
        chain.make_block();
    }
    scratch.clock.advance(7);
    let process = Process::start(scratch.other().await, &chain, scratch.clock.clone());
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!(chain.submissions(run), 1);
    process.stop().await;
}

async fn an_expired_batch_gives_its_runs_to_another_with_the_same_nonce(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    chain.swallow(true);
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { !chain.handed().is_empty() }).await;
    // Its last block goes by without it.
    for _ in 0..62 {
        chain.make_block();
    }
    assert_eq!(state(&scratch.store, &run).await, RunState::Submitted);
    chain.make_block();
    until(|| async { chain.distinct() == 2 }).await;
    chain.swallow(false);
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!((chain.submissions(run), chain.nonce()), (1, 1));
    process.stop().await;
}

async fn a_nonce_that_was_used_elsewhere_gives_the_runs_back(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    chain.swallow(true);
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { !chain.handed().is_empty() }).await;
    chain.use_nonce_elsewhere();
    chain.swallow(false);
    chain.make_block();
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!((chain.submissions(run), chain.nonce()), (1, 2));
    process.stop().await;
}

async fn two_processes_submit_everything_once(scratch: Scratch) {
    let chain = FakeChain::new();
    let mut processes = Vec::new();
    for _ in 0..2 {
        let store = scratch.other().await;
        processes.push(Process::start(store, &chain, scratch.clock.clone()));
    }
    let mut devices: Vec<_> = (0..10).map(TestDevice::new).collect();
    let mut runs = Vec::new();
    for _ in 0..10 {
        for (number, device) in devices.iter_mut().enumerate() {
            chain.enrol(number as u32, device.genesis());
            let run = device.checked(1);
            runs.push(run.id);
            accept(&scratch.store, &[candidate(run, device.genesis())]).await;
        }
        processes
            .iter()
            .for_each(|process| process.stored.notify_one());
        chain.make_block();
        // The one that leads may stand still for so long that the other takes over.
        scratch.clock.advance(4);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until(|| async {
        chain.make_block();
        scratch.store.queue().await.unwrap().runs == 0
    })
    .await;
    for run in runs {
        assert_eq!(chain.submissions(run), 1);
        assert_eq!(state(&scratch.store, &run).await, RunState::Finalised);
    }
    for process in processes {
        process.stop().await;
    }
}

async fn each_refusal_has_its_state(scratch: Scratch) {
    let chain = FakeChain::new();
    let reasons = [
        (
            RefusalReason::DeviceSuspended,
            RunState::Refused,
            "DeviceSuspended",
        ),
        (RefusalReason::Fork, RunState::Conflicting, "Fork"),
        (
            RefusalReason::PreviousIsNotHead,
            RunState::Conflicting,
            "PreviousIsNotHead",
        ),
        (RefusalReason::BeyondReach, RunState::Refused, "BeyondReach"),
    ];
    let mut runs = Vec::new();
    for (number, (reason, state, name)) in reasons.into_iter().enumerate() {
        let mut device = TestDevice::new(number as u32);
        chain.enrol(number as u32, device.genesis());
        let run = device.checked(1);
        chain.refuse(run.id, reason);
        runs.push((run.id, state, name));
        accept(&scratch.store, &[candidate(run, device.genesis())]).await;
    }
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    for (run, state, name) in runs {
        until_state(&scratch.store, &run, state).await;
        let status = scratch.store.status(&run).await.unwrap().unwrap();
        assert_eq!(status.reason.as_deref(), Some(name));
    }
    process.stop().await;
}

async fn a_run_that_was_registered_by_another_relay_is_finalised_without_an_extrinsic(
    scratch: Scratch,
) {
    let (scratch, chain, device, run) = with_one_run(scratch).await;
    chain.set_head(1, device.head());
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    let status = scratch.store.status(&run).await.unwrap().unwrap();
    assert_eq!(
        (status.extrinsic_index, status.block.unwrap().number),
        (None, 1)
    );
    process.stop().await;
}

async fn a_gap_that_earlier_runs_will_bridge_is_no_refusal(scratch: Scratch) {
    let chain = FakeChain::new();
    let mut device = TestDevice::new(1);
    chain.enrol(1, device.genesis());
    let (first, second) = (device.checked(1), device.checked(1));
    let genesis = device.genesis();
    // The store takes the second one first, as it does after the chain's head was seen to be there and then lost.
    let at_one = mhealth_api::Head {
        length: 1,
        hash: first.head(),
    };
    accept(&scratch.store, &[candidate(second.clone(), at_one)]).await;
    let mut first_again = candidate(first.clone(), genesis);
    first_again.sight.link = Some((1, None));
    accept(&scratch.store, &[first_again]).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async {
        chain.make_block();
        state(&scratch.store, &second.id).await == RunState::Finalised
    })
    .await;
    assert_eq!(state(&scratch.store, &first.id).await, RunState::Finalised);
    assert_eq!(chain.head(1), device.head());
    process.stop().await;
}

async fn a_gap_that_nothing_will_bridge_is_refused(scratch: Scratch) {
    let chain = FakeChain::new();
    let mut device = TestDevice::new(1);
    chain.enrol(1, device.genesis());
    let (first, second) = (device.checked(1), device.checked(1));
    let at_one = mhealth_api::Head {
        length: 1,
        hash: first.head(),
    };
    accept(&scratch.store, &[candidate(second.clone(), at_one)]).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &second.id, RunState::Refused).await;
    assert_eq!(scratch.store.head(1).await.unwrap(), None);
    process.stop().await;
}

async fn events_that_the_node_dropped_are_replaced_by_what_stands_registered(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    let mut other = TestDevice::new(2);
    chain.enrol(2, other.genesis());
    let refused = other.checked(1);
    chain.refuse(refused.id, RefusalReason::DeviceSuspended);
    accept(
        &scratch.store,
        &[candidate(refused.clone(), other.genesis())],
    )
    .await;
    chain.drop_events(true);
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    // The other one is asked for again, and gets its reason.
    chain.drop_events(false);
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &refused.id, RunState::Refused).await;
    assert_eq!(chain.submissions(run), 1);
    process.stop().await;
}

async fn finalised_blocks_that_a_node_lost_are_taken_back_and_the_same_bytes_sent(
    scratch: Scratch,
) {
    let (scratch, chain, device, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    chain.lose_blocks_after(0);
    assert_ne!(chain.head(1), device.head());
    // The node goes on from where it woke up, with other blocks.
    chain.make_block();
    chain.make_block();
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until(|| async { chain.head(1) == device.head() }).await;
    until_state(&scratch.store, &run, RunState::Finalised).await;
    let number = scratch
        .store
        .status(&run)
        .await
        .unwrap()
        .unwrap()
        .block
        .unwrap()
        .number;
    assert_eq!(number, 3);
    assert_eq!(chain.distinct(), 1);
    process.stop().await;
}

async fn a_chain_that_began_anew_is_noticed_at_the_start(scratch: Scratch) {
    let (scratch, chain, device, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    for _ in 0..9 {
        chain.make_block();
    }
    until(|| async {
        scratch
            .store
            .followed()
            .await
            .unwrap()
            .is_some_and(|block| block.number == 9)
    })
    .await;
    assert_eq!(state(&scratch.store, &run).await, RunState::Finalised);
    process.stop().await;
    chain.lose_blocks_after(0);
    chain.make_block();
    // It need not come so far as the other one had.
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!(chain.head(1), device.head());
    process.stop().await;
}

async fn a_node_that_is_away_delays_and_loses_nothing(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    chain.go_away(true);
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(state(&scratch.store, &run).await, RunState::Pending);
    chain.go_away(false);
    until(|| async { chain.pool_size() == 1 }).await;
    chain.go_away(true);
    chain.go_away(false);
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!(chain.submissions(run), 1);
    process.stop().await;
}

async fn batches_keep_to_their_limits_and_to_the_order_of_runs(scratch: Scratch) {
    let chain = FakeChain::new();
    let mut device = TestDevice::new(1);
    chain.enrol(1, device.genesis());
    let genesis = device.genesis();
    let runs: Vec<_> = (0..7).map(|_| device.checked(4)).collect();
    for run in &runs {
        accept(&scratch.store, &[candidate(run.clone(), genesis)]).await;
    }
    let options = OutboxOptions {
        max_batch_entries: 10,
        gather: Duration::ZERO,
        in_flight: 3,
        ..OutboxOptions::default()
    };
    let process = Process::start_with(
        scratch.store.clone(),
        &chain,
        scratch.clock.clone(),
        options,
    );
    until(|| async { chain.pool_size() == 3 }).await;
    assert_eq!(chain.handed().len(), 3);
    chain.make_block();
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until(|| async { scratch.store.queue().await.unwrap().runs == 0 }).await;
    assert_eq!(chain.head(1), device.head());
    process.stop().await;
}
