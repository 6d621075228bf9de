// SPDX-License-Identifier: Apache-2.0

//! What the chain makes of a run.

use mhealth_api::Refusal;

use super::*;

pub(super) async fn each_refusal_has_its_state(scratch: Scratch) {
    let chain = FakeChain::new();
    let reasons = [
        (Refusal::DeviceSuspended, RunState::Refused),
        (Refusal::Fork, RunState::Conflicting),
        (Refusal::PreviousIsNotHead, RunState::Conflicting),
        (Refusal::BeyondReach, RunState::Refused),
    ];
    let mut runs = Vec::new();
    for (number, (reason, state)) in (0..).zip(reasons) {
        let mut device = TestDevice::new(number);
        chain.enrol(device.number(), device.genesis());
        let run = device.checked(1);
        chain.refuse(run.id, reason.clone());
        runs.push((run.id, state, reason));
        accept(&scratch.store, &[candidate(run, device.genesis())]).await;
    }
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    for (run, state, reason) in runs {
        until_state(&scratch.store, &run, state).await;
        let status = scratch.store.status(&run).await.unwrap().unwrap();
        assert_eq!(status.reason, Some(reason));
    }
    process.stop().await;
}

pub(super) async fn a_run_that_was_registered_by_another_relay_is_finalised_without_an_extrinsic(
    scratch: Scratch,
) {
    let (scratch, chain, device, run) = with_one_run(scratch).await;
    chain.set_head(DeviceId(1), device.head());
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

pub(super) async fn a_gap_that_earlier_runs_will_bridge_is_no_refusal(scratch: Scratch) {
    let chain = FakeChain::new();
    let mut device = TestDevice::new(1);
    chain.enrol(DeviceId(1), device.genesis());
    let (first, second) = (device.checked(1), device.checked(1));
    let genesis = device.genesis();
    // The store takes the second one first, as it does after the chain's head was seen to be there and then lost.
    let at_one = mhealth_api::Head {
        length: 1,
        hash: first.head(),
    };
    accept(&scratch.store, &[candidate(second.clone(), at_one)]).await;
    let mut first_again = candidate(first.clone(), genesis);
    first_again.answers.link = Some((1, None));
    accept(&scratch.store, &[first_again]).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until_on_chain(&scratch.store, &chain, || async {
        state(&scratch.store, &second.id).await == RunState::Finalised
    })
    .await;
    assert_eq!(state(&scratch.store, &first.id).await, RunState::Finalised);
    assert_eq!(chain.head(DeviceId(1)), device.head());
    process.stop().await;
}

pub(super) async fn a_gap_that_nothing_will_bridge_is_refused(scratch: Scratch) {
    let chain = FakeChain::new();
    let mut device = TestDevice::new(1);
    chain.enrol(DeviceId(1), device.genesis());
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
    assert_eq!(scratch.store.head(DeviceId(1)).await.unwrap(), None);
    process.stop().await;
}

pub(super) async fn what_a_clock_settled_that_was_behind_is_not_old_at_once(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    chain.set_time(1_800_000_000);
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    process.stop().await;
    let (store, study) = (&scratch.store, hashchain::StudyId(0));
    assert_eq!(store.expire(study, 1_800_000_000_000).await.unwrap(), 0);
    assert_eq!(store.expire(study, 1_800_000_000_001).await.unwrap(), 2);
}
