// SPDX-License-Identifier: Apache-2.0

//! A database whose relay changed its account on chain.

use super::*;
use crate::takeover::{check, TakeoverError};

const FORMER: [u8; 32] = [9; 32];
const NEXT: [u8; 32] = [10; 32];

/// A process of the account that took the former's place.
fn successor(store: Store, chain: &FakeChain, clock: SharedClock) -> Process {
    let options = OutboxOptions {
        gather: Duration::ZERO,
        resend_after: Duration::from_millis(50),
        former: Some(FORMER),
        ..OutboxOptions::default()
    };
    Process::start_with(store, chain, clock, options)
}

async fn bound_with_one_run(scratch: Scratch) -> (Scratch, FakeChain, Hash) {
    let (scratch, chain, _, run) = with_one_run(scratch).await;
    let genesis = chain.genesis();
    scratch.store.bind_to(&genesis, &FORMER).await.unwrap();
    (scratch, chain, run)
}

pub(super) async fn what_the_former_account_sent_ends_before_the_next_one_signs(scratch: Scratch) {
    let (scratch, chain, run) = bound_with_one_run(scratch).await;
    chain.swallow(true);
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.handed().len() == 1 }).await;
    process.kill().await;
    scratch.pass(7).await;
    chain.swallow(false);
    let next = chain.rotate(NEXT);
    let process = successor(scratch.other().await, &next, scratch.clock.clone());
    // Its nonce is the next one's, too: only time shows that the former's transaction is void.
    for _ in 0..62 {
        next.make_block();
    }
    until(|| async { scratch.store.followed().await.unwrap().unwrap().number == 62 }).await;
    assert_eq!(state(&scratch.store, &run).await, RunState::Submitted);
    assert_eq!(scratch.store.account().await.unwrap(), Some(FORMER));
    next.make_block();
    until(|| async { next.pool_size() == 1 }).await;
    assert_eq!(scratch.store.account().await.unwrap(), Some(NEXT));
    next.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    assert_eq!((next.submissions(run), next.nonce()), (1, 1));
    process.stop().await;
}

pub(super) async fn what_the_former_account_registered_is_not_brought_again(scratch: Scratch) {
    let (scratch, chain, run) = bound_with_one_run(scratch).await;
    let process = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    until(|| async { chain.pool_size() == 1 }).await;
    process.kill().await;
    chain.make_block();
    let next = chain.rotate(NEXT);
    next.make_block();
    scratch.pass(7).await;
    let process = successor(scratch.other().await, &next, scratch.clock.clone());
    until_state(&scratch.store, &run, RunState::Finalised).await;
    until(|| async { scratch.store.account().await.unwrap() == Some(NEXT) }).await;
    assert_eq!((next.submissions(run), next.distinct()), (1, 1));
    process.stop().await;
}

pub(super) async fn a_process_of_the_former_account_does_not_take_the_database_back(
    scratch: Scratch,
) {
    let (scratch, chain, run) = bound_with_one_run(scratch).await;
    let next = chain.rotate(NEXT);
    let process = successor(scratch.other().await, &next, scratch.clock.clone());
    until(|| async { next.pool_size() == 1 }).await;
    process.kill().await;
    scratch.pass(7).await;
    let old = Process::start(scratch.store.clone(), &chain, scratch.clock.clone());
    // It sees whose the database is, and leaves the lease to others.
    let ended = tokio::time::timeout(Duration::from_secs(20), old.task).await;
    ended.expect("it ends").unwrap();
    assert_eq!(scratch.store.account().await.unwrap(), Some(NEXT));
    let process = successor(scratch.other().await, &next, scratch.clock.clone());
    next.make_block();
    until_state(&scratch.store, &run, RunState::Finalised).await;
    process.stop().await;
}

pub(super) async fn only_the_account_that_took_the_place_takes_the_database(scratch: Scratch) {
    let (scratch, chain, _) = bound_with_one_run(scratch).await;
    let store = &scratch.store;
    let refused = check(store, &chain, [3; 32]).await;
    let Err(TakeoverError::NotSuccessor { study, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(store.studies().await.unwrap(), [study]);
    let next = chain.rotate(NEXT);
    check(store, &next, FORMER).await.unwrap();
    // The other way round, nobody took a place.
    assert!(check(store, &chain, NEXT).await.is_err());
    next.go_away(true);
    assert!(matches!(
        check(store, &next, FORMER).await,
        Err(TakeoverError::Ledger(_))
    ));
}
