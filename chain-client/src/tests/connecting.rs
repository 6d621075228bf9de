// SPDX-License-Identifier: Apache-2.0

use subxt::utils::H256;

use crate::error::Error;
use crate::fake::FakeNode;

#[tokio::test]
async fn the_right_chain_is_accepted() {
    let node = FakeNode::new();
    let client = node.try_client(Some(node.genesis())).await;
    assert_eq!(
        client.expect("it is the right chain").genesis_hash(),
        node.genesis()
    );
}

#[tokio::test]
async fn a_wrong_chain_is_refused_with_both_hashes() {
    let node = FakeNode::new();
    let expected = H256::repeat_byte(7);
    let error = node
        .try_client(Some(expected))
        .await
        .expect_err("it is the wrong chain");
    assert_eq!(
        error,
        Error::WrongChain {
            url: "ws://fake".into(),
            expected,
            found: node.genesis()
        }
    );
}

#[tokio::test]
async fn a_node_that_is_down_is_unreachable() {
    let node = FakeNode::new();
    let client = node.client().await;
    node.go_down();
    let error = client.finalised().await.expect_err("the node is down");
    assert!(error.is_unreachable(), "{error}");
    node.come_back();
    assert_eq!(
        client.finalised().await.expect("the node is back").number,
        0
    );
}
