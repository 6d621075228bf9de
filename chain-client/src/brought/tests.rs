// SPDX-License-Identifier: Apache-2.0

use hashchain::{DataDigest, DeviceId, LinkHash, RunEntry, Tag};
use subxt::ext::codec::{Compact, Encode};

use super::*;
use crate::account::Account;
use crate::calls;
use crate::fake::FakeNode;
use crate::runtime::api::runtime_types::bounded_collections::bounded_vec::BoundedVec;
use crate::runtime::api::runtime_types::pallet_collective::pallet::Call as CouncilCall;
use crate::runtime::api::runtime_types::pallet_consortium::pallet::Call as ConsortiumCall;
use crate::runtime::{api, Runtime};
use crate::signing::SignedTransaction;
use crate::types::SuspensionReason;
use crate::within::MAX_DEPTH;
use crate::Call;

fn run(device: u32) -> Run {
    let entry = |digest, tag| RunEntry {
        digest: DataDigest([digest; 32]),
        tag: Tag([tag; 32]),
    };
    Run {
        device: DeviceId(device),
        first_sequence: 7,
        previous: LinkHash([device as u8; 32]),
        entries: vec![entry(1, 2), entry(3, 4)],
        signature: device.is_multiple_of(2).then_some([9; 64]),
    }
}

fn relay() -> Account {
    Account::from_secret_uri("//Dave").unwrap()
}

/// What the reader finds in a block of these transactions of the relay.
async fn found(transactions: Vec<Call>) -> Vec<BroughtRun> {
    let node = FakeNode::new();
    let client = node.client().await;
    let mut extrinsics = Vec::new();
    for (call, nonce) in transactions.into_iter().zip(0..) {
        let signed = client.sign(&relay(), &call, nonce, 64).await.unwrap();
        extrinsics.push(signed.bytes.to_vec());
    }
    let runtime = runtime(&client).await;
    assert!(runtime.reads_natively());
    let found = read(&runtime, &extrinsics).unwrap();
    // By the types of the metadata the same is read.
    let by_types = read(&runtime.by_its_types(), &extrinsics).unwrap();
    assert_eq!(by_types, found);
    found
}

async fn runtime(client: &crate::ChainClient) -> Runtime {
    let connection = client.connection();
    connection.runtime(client.genesis_hash()).await.unwrap()
}

fn batch(devices: std::ops::Range<u32>) -> RuntimeCall {
    RuntimeCall::ClientHashchain(HashchainCall::submit_batch {
        runs: BoundedVec(devices.map(run).map(Into::into).collect()),
    })
}

fn executed(call: RuntimeCall) -> RuntimeCall {
    RuntimeCall::Council(CouncilCall::execute {
        proposal: Box::new(call),
        length_bound: 99,
    })
}

fn as_root(call: RuntimeCall) -> RuntimeCall {
    RuntimeCall::Consortium(ConsortiumCall::dispatch_as_root {
        call: Box::new(call),
    })
}

#[tokio::test]
async fn the_runs_of_a_block_are_read_with_their_submitter_and_place() {
    let suspend = calls::suspend(DeviceId(4), SuspensionReason::Lost);
    let brought = found(vec![
        calls::submit_batch(vec![run(1), run(2)]),
        suspend,
        calls::submit(run(3)),
    ]);
    let brought = brought.await;
    let places: Vec<_> = brought
        .iter()
        .map(|run| (run.extrinsic_index, run.position, run.wrapped))
        .collect();
    assert_eq!(places, [(0, 0, false), (0, 1, false), (2, 0, false)]);
    for (brought, device) in brought.iter().zip(1..) {
        assert_eq!(brought.submitter, relay().id());
        assert_eq!(brought.run, run(device));
    }
}

#[tokio::test]
async fn runs_within_other_calls_are_read_like_those_of_the_extrinsic_itself() {
    let council = || api::tx().council();
    let brought = found(vec![
        Call::new(council().execute(batch(1..3), 999)),
        Call::new(council().propose(1, as_root(executed(batch(3..4))), 999)),
        Call::new(api::tx().consortium().dispatch_as_root(executed(as_root(
            RuntimeCall::ClientHashchain(HashchainCall::submit { run: run(4).into() }),
        )))),
        calls::submit(run(5)),
    ]);
    let brought = brought.await;
    let places: Vec<_> = brought
        .iter()
        .map(|run| (run.extrinsic_index, run.position, run.wrapped))
        .collect();
    let expected = [
        (0, 0, true),
        (0, 1, true),
        (1, 0, true),
        (2, 0, true),
        (3, 0, false),
    ];
    assert_eq!(places, expected);
    for (brought, device) in brought.iter().zip(1..) {
        assert_eq!(brought.submitter, relay().id());
        assert_eq!(brought.run, run(device));
    }
}

/// An extrinsic of this call, as the relay would sign it.
async fn extrinsic(client: &crate::ChainClient, call: &[u8]) -> Vec<u8> {
    let plain = calls::submit_batch(Vec::new());
    let signed = client.sign(&relay(), &plain, 0, 64).await.unwrap();
    let (_, body) = subxt::utils::strip_compact_prefix(&signed.bytes).unwrap();
    // The call is at the end: its pallet, its variant, and no runs.
    let body = [&body[..body.len() - 3], call].concat();
    [Compact(body.len() as u32).encode(), body].concat()
}

/// A run in so many calls, each within the next.
async fn at_depth(depth: usize) -> Result<Vec<BroughtRun>, Error> {
    let node = FakeNode::new();
    let client = node.client().await;
    let runtime = runtime(&client).await;
    let metadata = runtime.at().metadata_ref();
    let pallet = metadata.pallet_by_name("Consortium").unwrap();
    let variant = pallet.call_variant_by_name("dispatch_as_root").unwrap();
    let wrap = [pallet.call_index(), variant.index];
    let pallet = metadata.pallet_by_name("ClientHashchain").unwrap();
    let variant = pallet.call_variant_by_name("submit_batch").unwrap();
    // One run with a single entry, of nothing but zeros.
    let run = [vec![4], vec![0; 4 + 1 + 32], vec![4], vec![0; 64], vec![0]].concat();
    let inner = [&[pallet.call_index(), variant.index][..], &run].concat();
    let call = [wrap.repeat(depth), inner].concat();
    read(&runtime, &[extrinsic(&client, &call).await])
}

#[test]
fn calls_within_each_other_are_read_as_deep_as_the_chain_reads_them_and_not_deeper() {
    // On as little stack as a worker of the reader has.
    let reader = std::thread::Builder::new().stack_size(2 << 20);
    let reader = reader.spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        for depth in [0, 1, 2, MAX_DEPTH - 1] {
            let brought = runtime.block_on(at_depth(depth)).unwrap();
            assert_eq!(brought.len(), 1, "{depth}");
            assert_eq!(brought[0].wrapped, depth > 0);
        }
        for depth in [MAX_DEPTH, 1 << 20] {
            assert_eq!(runtime.block_on(at_depth(depth)).unwrap(), [], "{depth}");
        }
    });
    reader.unwrap().join().unwrap();
}

#[tokio::test]
async fn a_batch_that_ends_early_is_no_batch_however_it_is_read() {
    let node = FakeNode::new();
    let client = node.client().await;
    let runtime = runtime(&client).await;
    let body = |signed: SignedTransaction| {
        let (_, body) = subxt::utils::strip_compact_prefix(&signed.bytes).unwrap();
        body.to_vec()
    };
    let empty = calls::submit_batch(Vec::new());
    let empty = body(client.sign(&relay(), &empty, 0, 64).await.unwrap());
    let three = calls::submit_batch((1..4).map(run).collect());
    let three = body(client.sign(&relay(), &three, 0, 64).await.unwrap());
    // The call is at the end, and that of no runs has three bytes.
    let whole = &three[empty.len() - 3..];
    for end in [whole.len() - 1, whole.len() - 64, 60, 4, 3] {
        let extrinsic = extrinsic(&client, &whole[..end]).await;
        for runtime in [runtime.clone(), runtime.by_its_types()] {
            let error = read(&runtime, std::slice::from_ref(&extrinsic)).unwrap_err();
            assert!(matches!(error, Error::Protocol { .. }), "{end}: {error}");
        }
    }
    // A number of runs for which there is no room.
    let mut many = whole[..2].to_vec();
    many.extend(Compact(u32::MAX).encode());
    let extrinsic = extrinsic(&client, &many).await;
    assert!(read(&runtime, &[extrinsic]).is_err());
}

/// A node that has dropped the state of its block 2, in which runs with six entries were brought beside something else.
async fn pruned() -> (FakeNode, crate::ChainClient) {
    let node = FakeNode::new();
    let client = node.client().await;
    node.make_empty_block();
    let relay = client.submitter(relay());
    let suspend = calls::suspend(DeviceId(4), SuspensionReason::Lost);
    for call in [calls::submit_batch((1..4).map(run).collect()), suspend] {
        relay.submit(call).await.unwrap();
    }
    node.make_block();
    node.make_empty_block();
    node.prune();
    (node, client)
}

#[tokio::test]
async fn where_the_state_is_gone_what_accounts_for_all_entries_is_taken() {
    let (node, client) = pruned().await;
    let block = client.block_hash(2).await.unwrap().unwrap();
    node.count_journal(1, 10);
    node.count_journal(2, 16);
    let found = client.runs_brought(block).await.unwrap();
    assert_eq!(found.len(), 3);
    let empty = client.block_hash(3).await.unwrap().unwrap();
    assert_eq!(client.runs_brought(empty).await, Ok(Vec::new()));
}

#[tokio::test]
async fn where_the_state_is_gone_what_may_not_be_all_is_an_error() {
    let (node, client) = pruned().await;
    let block = client.block_hash(2).await.unwrap().unwrap();
    let pruned = Err(Error::StatePruned {
        block: "2".to_owned(),
    });
    // The headers do not say how many entries there were.
    assert_eq!(client.runs_brought(block).await, pruned);
    // There were more than the present rules find, as after an upgrade that moved a call.
    node.count_journal(1, 10);
    node.count_journal(2, 17);
    assert_eq!(client.runs_brought(block).await, pruned);
}
