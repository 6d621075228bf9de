// SPDX-License-Identifier: Apache-2.0

//! What blocks prove by themselves, when the state that they made is gone.

mod support;

use codec::{Decode, Encode};
use hashchain::{DataDigest, Native, RunEntry, Tag};
use mhealth_chain_client::{calls, H256};
use mhealth_runtime::{Header, RuntimeCall, UncheckedExtrinsic, VERSION};
use mhealth_testing::node::Launch;
use mhealth_testing::phone;
use pallet_client_hashchain::{Call, Runs};
use serde_json::{json, Value};
use support::{Setting, STUDY};

/// How many blocks' states the node keeps.
const STATES: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_proved_by_blocks_alone_when_the_state_is_gone() {
    let setting = Setting::start(Launch::instant().arg(format!("--state-pruning={STATES}"))).await;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let mut head = phone.head();
    let relay = setting.relay();
    for _ in 0..STATES + 4 {
        let runs = vec![phone.run(2), phone.run(1)];
        relay
            .submit_and_wait(calls::submit_batch(runs))
            .await
            .expect("registered");
    }

    // A node that dropped the state cannot say any more what it was.
    let early = block_hash(&setting, 2).await;
    let gone = setting.chain.read_proof(&[vec![0]], early).await;
    let gone = gone.expect_err("the state is gone").to_string();
    assert!(gone.contains("dropped the state"), "{gone}");

    let latest = setting.chain.finalised().await.expect("it has one");
    let node = setting.plain_json_rpc().await;
    let mut parent = setting.chain.genesis_hash();
    let mut entries = 0;
    for number in 1..=latest.number {
        let hash = block_hash(&setting, number).await;
        let block: Value = node
            .request("chain_getBlock", &[json!(hash)])
            .await
            .expect("the node answers");
        let header: Header =
            serde_json::from_value(block["block"]["header"].clone()).expect("a header");
        assert_eq!(sp_io::hashing::blake2_256(&header.encode()), hash.0);
        assert_eq!(header.parent_hash.0, parent.0);
        parent = hash;
        let extrinsics: Vec<Vec<u8>> = block["block"]["extrinsics"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|extrinsic| {
                let text = extrinsic.as_str().expect("hexadecimal");
                hex::decode(&text[2..]).expect("hexadecimal")
            })
            .collect();
        let root = sp_io::trie::blake2_256_ordered_root(
            extrinsics.clone(),
            VERSION.extrinsics_root_state_version(),
        );
        assert_eq!(root, header.extrinsics_root);
        let batches: Vec<Runs> = extrinsics.iter().map(|bytes| runs_of(bytes)).collect();
        for run in batches.iter().flat_map(Runs::iter) {
            assert_eq!((run.device, run.previous.0), (phone.device().0, head.0));
            let brought = run.entries.iter().map(|entry| RunEntry {
                digest: DataDigest(entry.digest.0),
                tag: Tag(entry.tag.0),
            });
            for entry in hashchain::entries::<Native>(run.sequence, head, brought) {
                head = entry.hash;
                entries += 1;
                assert_eq!(entries, entry.sequence);
            }
        }
    }
    assert_eq!(parent, latest.hash, "these are the chain's own blocks");
    assert_eq!((head, entries), (phone.head(), phone.length()));
}

async fn block_hash(setting: &Setting, number: u64) -> H256 {
    let answer = setting.chain.block_hash(number).await;
    answer.expect("the node answers").expect("it has the block")
}

fn runs_of(extrinsic: &[u8]) -> Runs {
    let extrinsic = UncheckedExtrinsic::decode(&mut &extrinsic[..]).expect("an extrinsic");
    match extrinsic.function {
        RuntimeCall::ClientHashchain(Call::submit_batch { runs }) => runs,
        _ => Runs::default(),
    }
}
