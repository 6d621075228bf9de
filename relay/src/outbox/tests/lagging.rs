// SPDX-License-Identifier: Apache-2.0

//! Relays that were off for long, and nodes that are further behind than anything is remembered.

use super::*;

/// As if every block so far had been worked off long ago: all but the latest one is forgotten.
async fn skip_to_end(store: &Store, chain: &FakeChain) {
    let lease = store.take_lease("test", Duration::from_secs(6)).await;
    let lease = lease.unwrap().expect("nobody has it");
    let latest = chain.finalised().await.unwrap();
    store.settle(lease, latest, &[]).await.unwrap();
    store.give_lease_back(lease).await.unwrap();
}

pub(super) async fn a_node_that_is_far_behind_is_waited_for_and_nothing_is_taken_back(
    scratch: Scratch,
) {
    let (scratch, chain, mut device, run) = with_one_run(scratch).await;
    (0..700).for_each(|_| chain.make_block());
    skip_to_end(&scratch.store, &chain).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    process.stop().await;
    // Another node, or the same one with an empty folder: it has none of the blocks that are remembered.
    chain.show_up_to(Some(10));
    let next = device.checked(1);
    let id = next.id;
    accept(&scratch.store, &[candidate(next, device.genesis())]).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { process.gauge("mhealth_relay_node_behind_blocks") == 691 }).await;
    assert_eq!(state(&scratch.store, &run).await, RunState::Finalised);
    let followed = scratch.store.followed().await.unwrap().unwrap();
    assert_eq!((followed.number, chain.handed().len()), (701, 1));
    // When it has caught up, all goes on from there.
    chain.show_up_to(None);
    chain.make_block();
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &id, RunState::Finalised).await;
    let status = scratch.store.status(&run).await.unwrap().unwrap();
    assert_eq!(status.block.unwrap().number, 701);
    assert_eq!(chain.submissions(run), 1);
    assert_eq!(chain.head(DeviceId(1)), device.head());
    process.stop().await;
}

pub(super) async fn a_chain_that_began_anew_long_ago_is_not_waited_for(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    process.stop().await;
    (0..1_200).for_each(|_| chain.make_block());
    skip_to_end(&scratch.store, &chain).await;
    // Somebody began it anew, and kept the relay's database.
    chain.lose_blocks_after(0);
    (0..10).for_each(|_| chain.make_block());
    let mut other = TestDevice::new(2);
    chain.enrol(DeviceId(2), other.genesis());
    let next = other.checked(1);
    let id = next.id;
    accept(&scratch.store, &[candidate(next, other.genesis())]).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    assert_eq!(process.gauge("mhealth_relay_node_behind_blocks"), 0);
    chain.make_block();
    until_state(&scratch.store, &id, RunState::Finalised).await;
    process.stop().await;
}

pub(super) async fn a_copy_is_noticed_that_was_made_long_after_anything_was_sent(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!(process.gauge("mhealth_relay_unknown_transactions"), 0);
    process.stop().await;
    (0..600).for_each(|_| chain.make_block());
    skip_to_end(&scratch.store, &chain).await;
    // Two were sent of which this database knows nothing.
    chain.use_nonce_elsewhere();
    chain.use_nonce_elsewhere();
    chain.make_block();
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { process.gauge("mhealth_relay_unknown_transactions") == 2 }).await;
    process.stop().await;
}

pub(super) async fn devices_are_remembered_for_long_only_while_the_latest_blocks_are_read(
    scratch: Scratch,
) {
    let chain = FakeChain::new();
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    chain.enrol(DeviceId(1), genesis);
    // A relay that is off while the chain goes on.
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { scratch.store.followed().await.unwrap().is_some() }).await;
    process.stop().await;
    chain.hold_back(true);
    (0..20).for_each(|_| chain.make_block());
    accept(&scratch.store, &[candidate(device.checked(1), genesis)]).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.handed().len() == 1 }).await;
    let read = async || process.directory.device(DeviceId(1)).await.unwrap();
    let is_asked_again = async || {
        read().await;
        scratch.clock.advance(30);
        read().await.head.is_some()
    };
    assert!(is_asked_again().await);
    chain.hold_back(false);
    until(|| async { !is_asked_again().await }).await;
    process.stop().await;
}
