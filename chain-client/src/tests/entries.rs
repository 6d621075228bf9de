// SPDX-License-Identifier: Apache-2.0

use codec::Encode;
use hashchain::DeviceId;

use crate::fake::FakeNode;
use crate::Error;

/// An answer of the chain, with entries of device 3 of these sequences, at ten times that in the journal.
fn answer(sequences: &[u64], next: Option<u64>) -> Vec<u8> {
    let entries: Vec<_> = sequences
        .iter()
        .map(|sequence| {
            let previous = sequence.checked_sub(1).map(|before| before * 10);
            let hashes = [[1u8; 32], [2; 32]];
            (sequence * 10, 3u32, *sequence, hashes, previous)
        })
        .collect();
    (entries, next).encode()
}

#[tokio::test]
async fn entries_are_asked_for_part_by_part_until_the_chain_has_no_more() {
    let node = FakeNode::new();
    let client = node.client().await;
    for (sequences, next) in [(&[][..], Some(90)), (&[9, 8], Some(70)), (&[7, 6, 5], None)] {
        node.answer_part(answer(sequences, next));
    }
    let entries = client.entries(DeviceId(3), 5, 5).await.unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (entry.sequence, entry.index, entry.previous))
        .collect();
    assert_eq!(found[0], (5, 50, Some(40)));
    assert!(found.iter().map(|(sequence, ..)| *sequence).eq(5..10));
    let asked = [None, Some(90), Some(70)];
    let asked = asked.map(|at: Option<u64>| (3u32, 5u64, 5u32, at).encode());
    assert_eq!(node.asked_for_parts(), asked);
}

#[tokio::test]
async fn a_node_that_leads_in_a_circle_is_not_followed() {
    let node = FakeNode::new();
    let client = node.client().await;
    for next in [90, 70, 70] {
        node.answer_part(answer(&[], Some(next)));
    }
    let error = client.entries(DeviceId(3), 5, 5).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_of_another_form_is_no_answer() {
    let whole = answer(&[9, 8], Some(70));
    let longer = [&whole[..], &[0]].concat();
    for wrong in [&whole[..whole.len() - 1], &longer, &[0xff; 5]] {
        let node = FakeNode::new();
        let client = node.client().await;
        node.answer_part(wrong.to_vec());
        let error = client.entries(DeviceId(3), 5, 5).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error}");
    }
}
