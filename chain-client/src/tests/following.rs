// SPDX-License-Identifier: Apache-2.0

use super::soon;
use crate::error::Error;
use crate::fake::FakeNode;
use crate::follower::Follower;

async fn numbers(follower: &mut Follower, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let block = soon(follower.next()).await.expect("the node answers");
        numbers.push(block.number);
    }
    numbers
}

#[tokio::test]
async fn blocks_that_are_final_already_come_first_from_the_one_asked_for() {
    let node = FakeNode::new();
    for _ in 0..40 {
        node.make_block();
    }
    let mut follower = node.client().await.follow_from(3);
    assert_eq!(
        numbers(&mut follower, 38).await,
        (3..=40).collect::<Vec<_>>()
    );
    assert_eq!(follower.position(), 41);
}

#[tokio::test]
async fn the_genesis_block_can_be_followed_too() {
    let node = FakeNode::new();
    node.make_block();
    let mut follower = node.client().await.follow_from(0);
    assert_eq!(numbers(&mut follower, 2).await, [0, 1]);
}

#[tokio::test]
async fn blocks_made_while_the_connection_was_lost_are_filled_in() {
    let node = FakeNode::new();
    node.make_block();
    let mut follower = node.client().await.follow_from(1);
    assert_eq!(numbers(&mut follower, 1).await, [1]);
    node.go_down();
    let error = soon(follower.next()).await.expect_err("the node is down");
    assert!(error.is_unreachable(), "{error}");
    for _ in 0..20 {
        node.make_block();
    }
    node.come_back();
    node.make_block();
    assert_eq!(
        numbers(&mut follower, 21).await,
        (2..=22).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_cancelled_wait_loses_no_block() {
    let node = FakeNode::new();
    let mut follower = node.client().await.follow_from(1);
    for number in 1..=30 {
        node.make_block();
        // Each of these waits is dropped somewhere in the middle.
        for polls in 0..4 {
            let mut wait = Box::pin(follower.next());
            for _ in 0..polls {
                if let std::task::Poll::Ready(block) = futures::poll!(&mut wait) {
                    panic!("block {block:?} came too early for this test");
                }
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(numbers(&mut follower, 1).await, [number]);
    }
}

#[tokio::test]
async fn a_chain_that_does_not_go_on_from_what_was_followed_is_reported() {
    let node = FakeNode::new();
    for _ in 0..3 {
        node.make_block();
    }
    let mut follower = node.client().await.follow_from(1);
    assert_eq!(numbers(&mut follower, 3).await, [1, 2, 3]);
    node.go_down();
    node.come_back_with_another_history();
    node.make_block();
    let error = soon(follower.next())
        .await
        .expect_err("the history is another");
    assert!(
        matches!(error, Error::Diverged { number: 4, .. }),
        "{error}"
    );
}
