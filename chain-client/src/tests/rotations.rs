// SPDX-License-Identifier: Apache-2.0

use codec::Encode;
use hashchain::StudyId;

use crate::fake::FakeNode;
use crate::view::MOST_PARTS;
use crate::Error;

/// An answer of the chain, with so many accounts that were given up.
fn part(accounts: usize, next: Option<[u8; 32]>) -> Vec<u8> {
    let rotation = ([1u8; 32], [2u8; 32]);
    (vec![rotation; accounts], next).encode()
}

/// How many accounts were given up, as a node says that answers with these parts; and after which accounts it was asked.
async fn asked(parts: Vec<Vec<u8>>) -> (Result<usize, Error>, Vec<Vec<u8>>) {
    let node = FakeNode::new();
    let client = node.client().await;
    for part in parts {
        node.answer_part(part);
    }
    let (_, view) = client.at_finalised().await.expect("it answers");
    let found = view.rotations(StudyId(7)).await;
    (found.map(|found| found.len()), node.asked_for_parts())
}

#[tokio::test]
async fn changed_accounts_are_asked_for_part_by_part_until_the_chain_has_no_more() {
    let parts = vec![
        part(1_024, Some([3; 32])),
        part(0, Some([4; 32])),
        part(2, None),
    ];
    let (found, after) = asked(parts).await;
    assert_eq!(found, Ok(1_026));
    let expected = [None, Some([3; 32]), Some([4; 32])];
    let expected = expected.map(|after: Option<[u8; 32]>| (7u32, after).encode());
    assert_eq!(after, expected);
}

#[tokio::test]
async fn a_node_that_repeats_itself_is_not_asked_again() {
    let same = || part(1, Some([3; 32]));
    let (found, after) = asked(vec![same(), same(), same()]).await;
    assert!(matches!(found, Err(Error::Protocol { .. })), "{found:?}");
    assert_eq!(after.len(), 2);
}

#[tokio::test]
async fn a_part_that_is_longer_than_the_chain_makes_them_is_refused() {
    let (found, after) = asked(vec![part(1_025, Some([3; 32])), part(0, None)]).await;
    assert!(matches!(found, Err(Error::Protocol { .. })), "{found:?}");
    assert_eq!(after.len(), 1);
}

#[tokio::test]
async fn a_node_that_always_has_more_is_not_asked_for_ever() {
    let parts = (0..=MOST_PARTS).map(|number| part(1, Some([number as u8; 32])));
    let (found, after) = asked(parts.collect()).await;
    assert!(matches!(found, Err(Error::Protocol { .. })), "{found:?}");
    assert_eq!(after.len(), MOST_PARTS);
}
