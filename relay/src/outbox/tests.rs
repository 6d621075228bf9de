// SPDX-License-Identifier: Apache-2.0

//! The outbox against a chain in memory that does what real ones do only sometimes.

pub(crate) mod chain;
mod lagging;
mod nodes;
mod outcomes;
mod processes;
mod random;
mod sending;
mod silence;
mod takeover;

use std::sync::Arc;
use std::time::Duration;

use hashchain::DeviceId;
use mhealth_api::{Hash, RunState};
use prometheus::{Registry, TextEncoder};
use tokio::task::JoinHandle;

use self::chain::FakeChain;
use self::lagging::*;
use self::nodes::*;
use self::outcomes::*;
use self::processes::*;
use self::sending::*;
use self::takeover::*;
use super::*;
use crate::store::tests::{accept, candidate, on_both, Scratch};
use crate::testing::TestDevice;

struct Process {
    stop: CancellationToken,
    task: JoinHandle<()>,
    stored: Arc<Notify>,
    directory: Directory,
    registry: Registry,
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
        let (stored, registry) = (Arc::new(Notify::new()), Registry::new());
        let directory = Directory::new(ledger.clone(), clock.clone());
        let outbox = Outbox::new(
            store,
            ledger,
            directory.clone(),
            Metrics::register(&registry).unwrap(),
            clock,
            options,
            stored.clone(),
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(outbox.run(stop.clone()));
        Self {
            stop,
            task,
            stored,
            directory,
            registry,
        }
    }

    /// What a gauge says.
    fn gauge(&self, name: &str) -> i64 {
        let told = TextEncoder::new().encode_to_string(&self.registry.gather());
        let start = format!("{name} ");
        let told = told.unwrap();
        let mut lines = told.lines();
        let value = lines.find_map(|line| line.strip_prefix(&start));
        value.expect("it is told").parse().unwrap()
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
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    patience.await.expect("it did not happen");
}

/// Waits until it holds, while the chain goes on. Blocks come no faster than they are worked off: on a slow machine the chain would
/// leave its relay behind for good, and every batch expire before it is sent.
async fn until_on_chain<F: std::future::Future<Output = bool>>(
    store: &Store,
    chain: &FakeChain,
    condition: impl Fn() -> F,
) {
    until(|| async {
        let followed = store.followed().await.unwrap();
        if followed.is_none_or(|followed| followed.number >= chain.number()) {
            chain.make_block();
        }
        condition().await
    })
    .await;
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
    chain.enrol(DeviceId(1), device.genesis());
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
    what_a_clock_settled_that_was_behind_is_not_old_at_once;
    a_gap_that_earlier_runs_will_bridge_is_no_refusal;
    a_gap_that_nothing_will_bridge_is_refused;
    events_that_the_node_dropped_are_replaced_by_what_stands_registered;
    finalised_blocks_that_a_node_lost_are_taken_back_and_the_same_bytes_sent;
    a_chain_that_began_anew_is_noticed_at_the_start;
    a_chain_that_began_anew_while_a_process_began_frees_no_nonce;
    a_node_that_is_away_delays_and_loses_nothing;
    a_node_that_is_far_behind_is_waited_for_and_nothing_is_taken_back;
    a_chain_that_began_anew_long_ago_is_not_waited_for;
    a_copy_is_noticed_that_was_made_long_after_anything_was_sent;
    devices_are_remembered_for_long_only_while_the_latest_blocks_are_read;
    batches_keep_to_their_limits_and_to_the_order_of_runs;
    what_the_former_account_sent_ends_before_the_next_one_signs;
    what_the_former_account_registered_is_not_brought_again;
    a_process_of_the_former_account_does_not_take_the_database_back;
    only_the_account_that_took_the_place_takes_the_database;
}
