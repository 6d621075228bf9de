// SPDX-License-Identifier: Apache-2.0

//! Nodes that forget, wake up in the past, or are away.

use mhealth_api::Refusal;

use super::*;

pub(super) async fn events_that_the_node_dropped_are_replaced_by_what_stands_registered(
    scratch: Scratch,
) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    let mut other = TestDevice::new(2);
    chain.enrol(DeviceId(2), other.genesis());
    let refused = other.checked(1);
    chain.refuse(refused.id, Refusal::DeviceSuspended);
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

pub(super) async fn finalised_blocks_that_a_node_lost_are_taken_back_and_the_same_bytes_sent(
    scratch: Scratch,
) {
    let (scratch, chain, device, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    chain.lose_blocks_after(0);
    assert_ne!(chain.head(DeviceId(1)), device.head());
    // The node goes on from where it woke up, with other blocks.
    chain.make_block();
    chain.make_block();
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until(|| async { chain.head(DeviceId(1)) == device.head() }).await;
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

pub(super) async fn a_chain_that_began_anew_is_noticed_at_the_start(scratch: Scratch) {
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
    assert_eq!(chain.head(DeviceId(1)), device.head());
    process.stop().await;
}

pub(super) async fn a_node_that_is_away_delays_and_loses_nothing(scratch: Scratch) {
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

pub(super) async fn a_chain_that_began_anew_while_a_process_began_frees_no_nonce(scratch: Scratch) {
    let (scratch, chain, mut device, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    process.stop().await;
    let next = device.checked(1);
    let id = next.id;
    accept(&scratch.store, &[candidate(next, device.genesis())]).await;
    chain.lose_all_after_next_look();
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until_on_chain(&scratch.store, &chain, || async {
        state(&scratch.store, &id).await == RunState::Finalised
    })
    .await;
    assert_eq!(state(&scratch.store, &run).await, RunState::Finalised);
    assert_eq!(chain.head(DeviceId(1)), device.head());
    process.stop().await;
}
