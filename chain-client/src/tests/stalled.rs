// SPDX-License-Identifier: Apache-2.0

//! A node on which nothing becomes final any more.

use std::time::Duration;

use hashchain::StudyId;

use super::soon;
use crate::account::Account;
use crate::calls;
use crate::client::ChainClient;
use crate::error::Error;
use crate::fake::{FakeNode, Trick};
use crate::signing::{Birth, ERA};
use crate::submission::Submission;
use crate::submitter::SubmitterOptions;

/// A node with so many blocks, of which only the first is final.
async fn stalled(blocks: u64) -> (FakeNode, ChainClient) {
    let node = FakeNode::new();
    for _ in 0..blocks {
        node.make_block_that_is_not_final();
    }
    let client = node.client().await;
    (node, client)
}

async fn submit(client: &ChainClient, birth: Birth) -> Submission {
    let account = Account::from_secret_uri("//Bob").expect("it is well known");
    let options = SubmitterOptions {
        birth,
        ..SubmitterOptions::default()
    };
    let call = calls::close_study(StudyId(1));
    let submission = client.submitter_with(account, options).submit(call).await;
    submission.expect("taken")
}

#[tokio::test]
async fn a_transaction_that_counts_from_the_best_chain_is_valid_however_long_nothing_became_final()
{
    const STALLED: u64 = 3 * ERA;
    let (_node, client) = stalled(STALLED).await;
    let from_final = submit(&client, Birth::LastFinal).await;
    assert_eq!((from_final.birth(), from_final.death()), (0, ERA));
    let from_best = submit(&client, Birth::Best).await;
    assert!(from_best.birth() < STALLED, "a small fork would void it");
    assert!(
        from_best.death() > STALLED + ERA / 2,
        "it is for later blocks"
    );
}

#[tokio::test]
async fn on_a_young_chain_the_best_chain_begins_at_the_first_block() {
    let (_node, client) = stalled(3).await;
    assert_eq!(submit(&client, Birth::Best).await.birth(), 0);
}

#[tokio::test]
async fn a_transaction_is_found_in_a_block_that_is_not_final_however_late_the_block_comes() {
    let (node, client) = stalled(2 * ERA).await;
    let submission = submit(&client, Birth::Best).await;
    let mut waiting = std::pin::pin!(client.included(&submission, Duration::from_secs(10)));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    early.expect_err("no block has it yet");
    node.make_block_that_is_not_final();
    let found = soon(waiting).await.expect("it is in the block");
    assert_eq!(found.block_number, 2 * ERA + 1);
    assert_eq!(found.extrinsic_hash, submission.hash());
}

#[tokio::test]
async fn a_transaction_that_no_block_can_have_any_more_has_expired() {
    let (node, client) = stalled(2 * ERA).await;
    node.play(Trick::Drop);
    let submission = submit(&client, Birth::Best).await;
    while client.best_block().await.expect("it answers").number + 1 < submission.death() {
        node.make_block_that_is_not_final();
    }
    let waited = soon(client.included(&submission, Duration::from_secs(10))).await;
    let (hash, death) = (submission.hash(), submission.death());
    assert_eq!(waited, Err(Error::Expired { hash, death }));
}

#[tokio::test]
async fn while_it_may_still_be_included_nobody_is_told_to_do_it_again() {
    let (node, client) = stalled(2 * ERA).await;
    let submission = submit(&client, Birth::Best).await;
    let waited = client.included(&submission, Duration::ZERO);
    let no_block = soon(waited).await.expect_err("no block came");
    node.go_down();
    let waited = client.included(&submission, Duration::from_secs(10));
    let no_answer = soon(waited).await.expect_err("it is down");
    for open in [no_block, no_answer] {
        assert_eq!(open.code(), "transaction_undecided");
        assert!(open.to_string().contains("may still be included"), "{open}");
        assert!(!open.is_safe_to_submit_anew());
    }
    node.come_back();
    node.make_block_that_is_not_final();
    let waited = client.included(&submission, Duration::from_secs(10));
    soon(waited).await.expect("it is in the block");
}
