// SPDX-License-Identifier: Apache-2.0

//! A node on which nothing becomes final any more.

use hashchain::StudyId;

use crate::account::Account;
use crate::calls;
use crate::client::ChainClient;
use crate::fake::FakeNode;
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
