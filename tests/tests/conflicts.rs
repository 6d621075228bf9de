// SPDX-License-Identifier: Apache-2.0

//! Two real nodes that do not know each other have the key of one voter, so two chains are final. Whoever has a role shows one of them
//! what is final on the other.

mod support;

use codec::Encode;
use mhealth_chain_client::{calls, Call, ChainClient, Error, FinalityProof, H256};
use mhealth_runtime::Runtime;
use mhealth_testing::member::Member;
use mhealth_testing::node::Launch;
use mhealth_testing::rpc::JsonRpc;
use pallet_finality::{ConflictOf, Conflicts};
use serde_json::Value;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};
use support::{stored, Setting};

/// The last final block that a node can prove, once it is a later one than this.
async fn proof_after(chain: &ChainClient, number: u64) -> FinalityProof {
    let mut blocks = chain.follow_from(number + 1);
    loop {
        blocks.next().await.expect("the node answers");
        let proof = chain.latest_finality_proof().await.expect("it answers");
        if let Some(proof) = proof.filter(|proof| proof.block.number > number) {
            return proof;
        }
    }
}

/// Hands both in, with the headers of this chain from the higher one down.
async fn report(chain: &ChainClient, lower: &FinalityProof, higher: &FinalityProof) -> Call {
    let led = chain.headers_down_to(higher.block, lower.block.number);
    let (headers, _) = led.await.expect("it answers").expect("they are few");
    calls::report_conflict(0, lower.bytes.clone(), higher.bytes.clone(), headers)
}

/// What the chain has on record.
async fn recorded(node: &JsonRpc) -> Vec<ConflictOf<Runtime>> {
    let conflicts = stored(node, &Conflicts::<Runtime>::hashed_key(), None).await;
    conflicts.unwrap_or_default()
}

fn is_refused_with(error: &Error, name: &str) -> bool {
    matches!(error, Error::Dispatch(refusal) if refusal.name() == name)
}

/// A block as the program `mhealth` names it.
fn named(proved: &Value) -> (u64, H256) {
    let number = proved["number"].as_u64().expect("a number");
    let hash = proved["hash"].as_str().expect("a hash");
    (number, hash.parse().expect("a hash"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_hands_in_what_two_nodes_prove_and_the_chain_names_who_signed_both() {
    let here = Setting::start(Launch::consensus()).await;
    let there = Setting::start(Launch::consensus()).await;
    assert_eq!(here.chain.genesis_hash(), there.chain.genesis_hash());
    let node = JsonRpc::connect(&here.node.url())
        .await
        .expect("it answers");
    let relay = here.submitter("//Eve");

    let first = proof_after(&here.chain, 0).await;
    let second = proof_after(&here.chain, first.block.number).await;
    let one_chain = report(&here.chain, &first, &second).await;
    let refused = relay.submit_and_wait(one_chain).await;
    let refused = refused.expect_err("the second descends from the first");
    assert!(
        is_refused_with(&refused, "Finality.NoConflict"),
        "{refused}"
    );
    assert!(recorded(&node).await.is_empty());

    // Another chain, and a higher block on it.
    let theirs = proof_after(&there.chain, first.block.number).await;
    let two_chains = report(&there.chain, &first, &theirs).await;
    let stranger = here.submitter("//Ferdie").submit(two_chains.clone()).await;
    let stranger = stranger.expect_err("nobody knows it");
    assert_eq!(stranger.code(), "no_role", "{stranger}");
    let taken = relay.submit_and_wait(two_chains.clone()).await;
    let taken = taken.expect("it is recorded");

    let known = recorded(&node).await;
    assert_eq!(known.len(), 1);
    let conflict = &known[0];
    let blocks = [&first, &theirs].map(|it| (it.block.number, it.block.hash.0));
    let on_record = conflict.blocks;
    let on_record = on_record.map(|(number, hash)| (u64::from(number), hash.0));
    assert_eq!(on_record, blocks);
    assert_eq!(conflict.set, 0);
    assert_eq!(u64::from(conflict.reported), taken.block_number);
    let signers: Vec<_> = conflict
        .signers
        .iter()
        .map(|signer| (signer.key.encode(), signer.validator.clone()))
        .collect();
    let voter = Ed25519Keyring::Alice.public().0.to_vec();
    let alice = Sr25519Keyring::Alice.to_account_id();
    assert_eq!(signers, [(voter, Some(alice))]);

    let again = relay.submit_and_wait(two_chains).await;
    let again = again.expect_err("it is known");
    assert!(is_refused_with(&again, "Finality.KnownConflict"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_shows_the_chain_of_one_node_what_another_proves() {
    let here = Setting::start(Launch::consensus()).await;
    let there = Setting::start(Launch::consensus()).await;
    let node = JsonRpc::connect(&here.node.url())
        .await
        .expect("it answers");
    let folder = tempfile::tempdir().expect("a temporary folder");
    proof_after(&here.chain, 0).await;
    proof_after(&there.chain, 0).await;
    let member = |name| Member::new(&here.node.url(), name, folder.path()).expect("written");
    let report = |name, other: &str| {
        let command = ["report-conflict", "--other", other];
        member(name).does(&command).expect("it answers")
    };

    let itself = report("//Eve", &here.node.url());
    assert_eq!(itself, Err("no_conflict".to_owned()));
    let stranger = report("//Ferdie", &there.node.url());
    assert_eq!(stranger, Err("no_role".to_owned()));
    assert!(recorded(&node).await.is_empty());

    let shown = report("//Eve", &there.node.url()).expect("it is recorded");
    let known = recorded(&node).await;
    assert_eq!(known.len(), 1);
    let blocks = shown["blocks"].as_array().expect("two blocks");
    let blocks: Vec<_> = blocks.iter().map(named).collect();
    let on_record = known[0].blocks;
    let on_record = on_record.map(|(number, hash)| (u64::from(number), H256(hash.0)));
    assert_eq!(blocks, on_record);
}
