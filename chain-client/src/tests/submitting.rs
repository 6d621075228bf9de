// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use hashchain::StudyId;

use super::{soon, until};
use crate::account::Account;
use crate::calls;
use crate::client::ChainClient;
use crate::error::Error;
use crate::fake::{signer_of, FakeNode, Trick};
use crate::pool::{PoolAnswer, PoolRefusal};
use crate::submitter::{Submitter, SubmitterOptions};

fn account() -> Account {
    Account::from_secret_uri("//Bob").expect("it is well known")
}

/// A submitter that hands everything over again at every tick.
fn impatient(client: &ChainClient) -> Submitter {
    let options = SubmitterOptions {
        resend_after: Duration::ZERO,
        ..SubmitterOptions::default()
    };
    client.submitter_with(account(), options)
}

fn nonces(node: &FakeNode) -> Vec<u64> {
    let handed = node.handed();
    handed
        .iter()
        .map(|transaction| signer_of(transaction).1)
        .collect()
}

fn distinct(node: &FakeNode) -> usize {
    node.handed().into_iter().collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn many_tasks_get_dense_nonces() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submitter = client.submitter(account());
    let submissions = (0..50).map(|study| submitter.submit(calls::close_study(StudyId(study))));
    let submissions = soon(join_all(submissions)).await;
    let submissions: Vec<_> = submissions.into_iter().map(|s| s.expect("taken")).collect();
    let given: BTreeSet<_> = submissions
        .iter()
        .map(|submission| submission.nonce())
        .collect();
    assert_eq!(given, (0..50).collect());
    node.make_block();
    for submission in submissions {
        let outcome = soon(submission.finalised())
            .await
            .expect("it is in the block");
        assert_eq!(outcome.block_number, 1);
    }
}

#[tokio::test]
async fn two_submitters_of_one_account_share_its_nonces() {
    let node = FakeNode::new();
    let client = node.client().await;
    let (one, other) = (client.submitter(account()), client.submitter(account()));
    let one = one
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    let other = other
        .submit(calls::close_study(StudyId(2)))
        .await
        .expect("taken");
    assert_eq!((one.nonce(), other.nonce()), (0, 1));
}

#[tokio::test]
async fn no_more_are_under_way_than_allowed() {
    let node = FakeNode::new();
    let client = node.client().await;
    let options = SubmitterOptions {
        in_flight: 2,
        ..SubmitterOptions::default()
    };
    let submitter = client.submitter_with(account(), options);
    let first = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    let _second = submitter
        .submit(calls::close_study(StudyId(2)))
        .await
        .expect("taken");
    let third = tokio::spawn({
        let submitter = submitter.clone();
        async move { submitter.submit(calls::close_study(StudyId(3))).await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(nonces(&node), [0, 1]);
    node.make_block();
    soon(first.finalised()).await.expect("it is in the block");
    soon(third)
        .await
        .expect("no panic")
        .expect("there is room now");
    assert_eq!(nonces(&node), [0, 1, 2]);
}

#[tokio::test]
async fn a_stale_nonce_is_recovered_by_asking_the_node() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submitter = client.submitter(account());
    let first = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    node.make_block();
    soon(first.finalised()).await.expect("it is in the block");
    node.use_nonce_elsewhere(&account().id());
    let second = submitter
        .submit(calls::close_study(StudyId(2)))
        .await
        .expect("taken");
    assert_eq!(second.nonce(), 2);
    assert_eq!(nonces(&node), [0, 1, 2]);
    node.make_block();
    soon(second.finalised()).await.expect("it is in the block");
}

#[tokio::test]
async fn a_refusal_for_want_of_a_role_is_told_at_once_and_spends_no_nonce() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submitter = client.submitter(account());
    node.play(Trick::Refuse(1010, "Custom error: 101"));
    let error = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect_err("no role");
    assert_eq!(error, Error::Refused(PoolRefusal::NoRole));
    assert_eq!(node.handed().len(), 1);
    let next = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    assert_eq!(next.nonce(), 0);
}

#[tokio::test]
async fn after_a_broken_connection_the_same_bytes_are_sent_again_and_no_others() {
    for trick in [Trick::Break, Trick::TakeAndBreak, Trick::Drop] {
        let node = FakeNode::new();
        let client = node.client().await;
        let submitter = impatient(&client);
        node.play(trick);
        let submission = submitter
            .submit(calls::close_study(StudyId(1)))
            .await
            .expect("under way");
        until(|| node.handed().len() > 1).await;
        node.make_block();
        let outcome = soon(submission.finalised())
            .await
            .expect("it is in the block");
        assert_eq!(outcome.extrinsic_index, 0);
        assert_eq!(distinct(&node), 1);
    }
}

#[tokio::test]
async fn what_a_restarted_node_lost_with_its_pool_is_handed_over_again_in_order() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submitter = client.submitter(account());
    let mut submissions = Vec::new();
    for study in 0..5 {
        submissions.push(
            submitter
                .submit(calls::close_study(StudyId(study)))
                .await
                .expect("taken"),
        );
    }
    node.empty_pool();
    node.generation.advance();
    until(|| node.handed().len() == 10).await;
    assert_eq!(nonces(&node)[5..], [0, 1, 2, 3, 4]);
    assert_eq!(distinct(&node), 5);
    node.make_block();
    for submission in submissions {
        soon(submission.finalised())
            .await
            .expect("it is in the block");
    }
}

#[tokio::test]
async fn a_transaction_that_no_block_took_in_time_has_expired_and_its_nonce_is_free_again() {
    let node = FakeNode::new();
    let client = node.client().await;
    let options = SubmitterOptions {
        era: 4,
        ..SubmitterOptions::default()
    };
    let submitter = client.submitter_with(account(), options);
    node.play(Trick::Drop);
    let submission = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    let hash = submission.hash();
    for _ in 0..3 {
        node.make_empty_block();
    }
    let error = soon(submission.finalised())
        .await
        .expect_err("no block took it");
    assert_eq!(error, Error::Expired { hash, death: 4 });
    assert!(error.is_safe_to_submit_anew());
    let again = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    assert_eq!(again.nonce(), 0);
    assert_ne!(again.hash(), hash);
}

#[tokio::test]
async fn a_nonce_that_went_to_another_program_is_told_as_such() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submitter = impatient(&client);
    node.play(Trick::Drop);
    node.use_nonce_elsewhere(&account().id());
    let submission = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    let (hash, nonce) = (submission.hash(), submission.nonce());
    node.use_nonce_elsewhere(&account().id());
    node.make_empty_block();
    let error = soon(submission.finalised())
        .await
        .expect_err("its nonce is gone");
    assert_eq!(error, Error::Superseded { hash, nonce });
}

#[tokio::test]
async fn a_role_that_was_taken_away_meanwhile_ends_the_wait() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submitter = impatient(&client);
    node.play(Trick::Drop);
    node.play(Trick::Refuse(1010, "Custom error: 101"));
    let submission = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    node.make_empty_block();
    let error = soon(submission.finalised())
        .await
        .expect_err("no role any more");
    assert_eq!(error, Error::Refused(PoolRefusal::NoRole));
}

#[tokio::test]
async fn a_node_that_stays_away_ends_the_wait_with_unreachable() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submitter = client.submitter(account());
    let submission = submitter
        .submit(calls::close_study(StudyId(1)))
        .await
        .expect("taken");
    node.go_down();
    let error = soon(submission.finalised())
        .await
        .expect_err("the node is down");
    assert!(error.is_unreachable(), "{error}");
    let error = submitter
        .submit(calls::close_study(StudyId(2)))
        .await
        .expect_err("the node is down");
    assert!(error.is_unreachable(), "{error}");
}

#[tokio::test]
async fn a_call_whose_caller_went_away_in_the_middle_stays_under_way() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submitter = impatient(&client);
    let mut submit = Box::pin(submitter.submit(calls::close_study(StudyId(1))));
    while node.handed().is_empty() {
        assert!(futures::poll!(&mut submit).is_pending());
        tokio::task::yield_now().await;
    }
    drop(submit);
    let next = submitter
        .submit(calls::close_study(StudyId(2)))
        .await
        .expect("taken");
    assert_eq!(next.nonce(), 1);
    node.make_block();
    soon(next.finalised()).await.expect("it is in the block");
}

#[tokio::test]
async fn a_submission_can_be_awaited_after_everything_else_is_gone() {
    let node = FakeNode::new();
    let client = node.client().await;
    let submission = client
        .submitter(account())
        .submit(calls::close_study(StudyId(1)))
        .await;
    drop(client);
    node.make_block();
    soon(submission.expect("taken").finalised())
        .await
        .expect("it is in the block");
}

#[tokio::test]
async fn a_stored_transaction_is_handed_over_twice_and_included_once() {
    let node = FakeNode::new();
    let client = node.client().await;
    node.make_empty_block();
    let call = calls::close_study(StudyId(1));
    let signed = client.sign(&account(), &call, 0, 64).await.expect("signed");
    assert_eq!((signed.birth, signed.death), (1, 65));
    for _ in 0..2 {
        let handed = client.send(&signed.bytes).await.expect("it answers");
        assert_eq!(handed, PoolAnswer::Taken);
    }
    let (_, before) = client.at_finalised().await.expect("it answers");
    assert_eq!(before.nonce(&account().id()).await, Ok(0));
    node.make_block();
    let mut follower = client.follow_from(2);
    let block = soon(follower.next()).await.expect("it is finalised");
    let hashes: Vec<_> = block.extrinsics.iter().map(|found| found.hash).collect();
    assert_eq!(hashes, [signed.hash]);
    let (_, after) = client.at_finalised().await.expect("it answers");
    assert_eq!(after.nonce(&account().id()).await, Ok(1));
    assert_eq!(
        client.send(&signed.bytes).await,
        Ok(PoolAnswer::Refused(PoolRefusal::Stale))
    );
    assert_eq!(client.block_hash(2).await, Ok(Some(block.hash)));
    assert_eq!(client.block_hash(3).await, Ok(None));
}

#[tokio::test]
async fn a_broken_connection_leaves_open_whether_a_transaction_arrived() {
    let node = FakeNode::new();
    let client = node.client().await;
    let call = calls::close_study(StudyId(1));
    let signed = client.sign(&account(), &call, 0, 64).await.expect("signed");
    node.play(Trick::Break);
    assert_eq!(client.send(&signed.bytes).await, Ok(PoolAnswer::Unknown));
}
