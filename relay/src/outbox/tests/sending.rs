// SPDX-License-Identifier: Apache-2.0

//! Batches, and what becomes of those that go astray.

use super::*;

pub(super) async fn what_waits_is_sent_and_its_outcome_written_down(scratch: Scratch) {
    let (scratch, chain, device, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until_state(&scratch.store, &run, RunState::Submitted).await;
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    let status = scratch.store.status(&run).await.unwrap().unwrap();
    assert_eq!(status.block.unwrap().number, 1);
    assert_eq!(chain.head(DeviceId(1)), device.head());
    process.stop().await;
    // Another process need not wait for the lease to run out.
    assert!(scratch
        .store
        .take_lease("other", Duration::from_secs(6))
        .await
        .unwrap()
        .is_some());
}

pub(super) async fn an_expired_batch_gives_its_runs_to_another_with_the_same_nonce(
    scratch: Scratch,
) {
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

pub(super) async fn a_nonce_that_was_used_elsewhere_gives_the_runs_back(scratch: Scratch) {
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

pub(super) async fn batches_keep_to_their_limits_and_to_the_order_of_runs(scratch: Scratch) {
    let chain = FakeChain::new();
    let mut device = TestDevice::new(1);
    chain.enrol(DeviceId(1), device.genesis());
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
    assert_eq!(chain.head(DeviceId(1)), device.head());
    process.stop().await;
}
