// SPDX-License-Identifier: Apache-2.0

//! A validator whose keys are on two nodes, among real nodes.

mod support;

use mhealth_chain_client::{Account, ChainClient, H256};
use mhealth_runtime::{Header, Runtime};
use mhealth_testing::node::{local_with_a_twin, VALIDATORS};
use mhealth_testing::rpc::JsonRpc;
use pallet_accountability::{Equivocation, OffenceOf, Offences, SessionRecord, Sessions};
use serde_json::{json, Value};
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature};
use support::stored;

/// Dave's place among the validators.
const DAVE: usize = 3;

/// Until this block the offence has to be recorded.
const PATIENCE: u64 = 60;

/// For so many blocks after it, none must be Dave's: three rounds.
const ROUNDS: u64 = 12;

/// Whose slot a block has.
async fn author(node: &JsonRpc, block: H256) -> usize {
    let header = node.request("chain_getHeader", &[json!(block)]).await;
    let header: Value = header.expect("the node answers");
    let header: Header = serde_json::from_value(header).expect("a header");
    let mut items = header.digest.logs().iter();
    let slot = items.find_map(CompatibleDigestItem::<AuthoritySignature>::as_aura_pre_digest);
    (u64::from(slot.expect("every block has a slot")) % VALIDATORS.len() as u64) as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_on_two_nodes_is_recorded_and_makes_no_more_blocks_in_the_session() {
    let nodes = local_with_a_twin(DAVE).await.expect("they start");
    let chain = ChainClient::connect(&nodes[0].url())
        .await
        .expect("it answers");
    let node = JsonRpc::connect(&nodes[0].url()).await.expect("it answers");
    let dave = Account::from_secret_uri("//Dave").expect("it is well known");
    let offences =
        Offences::<Runtime>::hashed_key_for(sp_core::crypto::AccountId32::from(dave.id().0));

    let mut blocks = chain.follow_from(1);
    let offence = loop {
        let block = blocks.next().await.expect("the node answers");
        assert!(block.number < PATIENCE, "nothing is recorded");
        let known: Option<Vec<OffenceOf<Runtime>>> =
            stored(&node, &offences, Some(block.hash)).await;
        if let Some(offence) = known.and_then(|known| known.first().cloned()) {
            break offence;
        }
    };
    assert!(offence.disabled, "{offence:?}");
    assert_eq!((offence.session, offence.reporter), (0, None));

    // The block after the report is the first that a disabled validator cannot make.
    let mut blocks = chain.follow_from(u64::from(offence.reported_in) + 1);
    let mut last = H256::zero();
    for _ in 0..ROUNDS {
        last = blocks.next().await.expect("the node answers").hash;
        assert_ne!(author(&node, last).await, DAVE);
    }
    let session = Sessions::<Runtime>::hashed_key_for(0);
    let record: SessionRecord<Runtime> = stored(&node, &session, Some(last))
        .await
        .expect("it is there");
    let conduct = record.conduct[DAVE];
    // Most often the two nodes make two blocks before their votes differ.
    match offence.equivocation {
        Equivocation::TwoBlocks { slot } => {
            assert_eq!(slot % VALIDATORS.len() as u64, DAVE as u64);
            assert!(conduct.two_blocks, "{record:?}");
        }
        Equivocation::TwoVotes { set_id, .. } => {
            assert_eq!(set_id, 0);
            assert!(conduct.two_votes, "{record:?}");
        }
    }
    assert!(conduct.missed_slots >= 2, "{record:?}");
}
