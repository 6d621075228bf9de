// SPDX-License-Identifier: Apache-2.0

//! The chain learns which of its blocks are final though nobody calls anything, and readers of its blocks take no harm from that.

mod support;

use codec::DecodeAll;
use mhealth_auditor::evidence::verify;
use mhealth_auditor::prove::{prove, Contents, Subject};
use mhealth_chain_client::{calls, H256};
use mhealth_runtime::limits::{FINAL_REPORT, LEAST_LAG};
use mhealth_runtime::{Runtime, RuntimeCall, UncheckedExtrinsic};
use mhealth_testing::node::Launch;
use mhealth_testing::phone;
use mhealth_testing::rpc::JsonRpc;
use pallet_finality::LastFinal;
use serde_json::{json, Value};
use support::{stored, Setting, STUDY};

/// How often nodes look, how long their votes take, and some blocks for a busy machine.
const SLACK: u64 = 30;

/// The last final block that the chain knows of after a block.
async fn known(node: &JsonRpc, after: H256) -> Option<u32> {
    // Its number comes first.
    stored(node, &LastFinal::<Runtime>::hashed_key(), Some(after)).await
}

/// The calls in a block that nobody signed.
async fn unsigned(node: &JsonRpc, block: H256) -> Vec<RuntimeCall> {
    let block: Value = node
        .request("chain_getBlock", &[json!(block)])
        .await
        .expect("the node answers");
    let extrinsics = block["block"]["extrinsics"].as_array().expect("a list");
    let calls = extrinsics.iter().filter_map(|extrinsic| {
        let digits = extrinsic.as_str().expect("text");
        let bytes = hex::decode(&digits[2..]).expect("hexadecimal");
        let extrinsic = UncheckedExtrinsic::decode_all(&mut &bytes[..]).expect("an extrinsic");
        (!extrinsic.is_signed()).then_some(extrinsic.function)
    });
    calls.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validators_node_shows_the_chain_what_is_final_and_evidence_stays_what_it_was() {
    let setting = Setting::start(Launch::consensus()).await;
    let node = JsonRpc::connect(&setting.node.url())
        .await
        .expect("it answers");
    let enrolled = phone::enrol(&setting.office(), STUDY, 1).await;
    let mut phone = enrolled.expect("enrolled");
    let run = calls::submit(phone.run(2));
    let brought = setting.relay().submit_and_wait(run).await;
    brought.expect("registered");

    let mut blocks = setting.chain.follow_from(1);
    let mut shown = Vec::new();
    while shown.len() < 2 {
        let block = blocks.next().await.expect("the node answers");
        let periods = shown.len() as u64 + 1;
        assert!(
            block.number < periods * (u64::from(FINAL_REPORT) + SLACK),
            "nobody shows what is final: {shown:?}"
        );
        let last = known(&node, block.hash).await;
        let reports = unsigned(&node, block.hash).await;
        let reports = reports
            .iter()
            .filter(|call| matches!(call, RuntimeCall::Finality(_)));
        let news = last.filter(|last| shown.last() < Some(last));
        assert_eq!(reports.count(), usize::from(news.is_some()));
        if let Some(last) = news {
            assert!(u64::from(last) < block.number);
            // Nobody who looks at the chain takes finality for lost.
            assert!(block.number < u64::from(last) + u64::from(LEAST_LAG));
            shown.push(last);
        }
    }
    assert!(shown[1] >= shown[0] + FINAL_REPORT, "{shown:?}");

    let device = Subject::Device(phone.device());
    let proved = prove(&setting.chain, device, &Contents::default(), &mut |_, _| ()).await;
    let evidence = proved.expect("it is proved").parts.remove(0);
    let genesis = setting.chain.genesis_hash().0;
    let claims = verify(&evidence, genesis, &[]).expect("it verifies");
    assert_eq!(claims.devices[0].entries, 2);
}
