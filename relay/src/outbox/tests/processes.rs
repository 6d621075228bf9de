// SPDX-License-Identifier: Apache-2.0

//! Processes that are killed, and two on one database.

use super::*;

pub(super) async fn a_process_that_was_killed_sends_the_same_bytes_again(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    chain.swallow(true);
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.handed().len() == 1 }).await;
    process.kill().await;
    chain.swallow(false);
    scratch.pass(7).await;
    let process = Process::start(scratch.other().await, &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    chain.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    let handed = chain.handed();
    assert!(handed.iter().all(|bytes| *bytes == handed[0]), "{handed:?}");
    assert_eq!(chain.submissions(run), 1);
    process.stop().await;
}

pub(super) async fn outcomes_that_were_missed_are_caught_up_with(scratch: Scratch) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    process.kill().await;
    chain.make_block();
    for _ in 0..100 {
        chain.make_block();
    }
    scratch.pass(7).await;
    let process = Process::start(scratch.other().await, &chain, scratch.clock.clone());
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!(chain.submissions(run), 1);
    process.stop().await;
}

pub(super) async fn two_processes_submit_everything_once(scratch: Scratch) {
    let chain = FakeChain::new();
    let mut processes = Vec::new();
    for _ in 0..2 {
        let store = scratch.other().await;
        processes.push(Process::start(store, &chain, scratch.clock.clone()));
    }
    let mut devices: Vec<_> = (0..10).map(TestDevice::new).collect();
    let mut runs = Vec::new();
    for _ in 0..10 {
        for device in &mut devices {
            chain.enrol(device.number(), device.genesis());
            let run = device.checked(1);
            runs.push(run.id);
            accept(&scratch.store, &[candidate(run, device.genesis())]).await;
        }
        processes
            .iter()
            .for_each(|process| process.stored.notify_one());
        chain.make_block();
        // The one that leads may stand still for so long that the other takes over.
        scratch.pass(4).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until_on_chain(&scratch.store, &chain, || async {
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
