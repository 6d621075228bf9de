// SPDX-License-Identifier: Apache-2.0

//! Blocks that are made by hand.

mod support;

use mhealth_chain_client::{Account, BlockId, H256};
use mhealth_testing::node::Launch;
use mhealth_testing::phone;
use serde_json::{json, Value};
use support::{Setting, STUDY};

/// Asks for a block, final at once, and returns its hash. An empty one only if that is wished.
async fn create_block(setting: &Setting, empty: bool) -> Result<H256, String> {
    let params = [json!(empty), json!(true)];
    let node = setting.plain_json_rpc().await;
    let created: Result<Value, _> = node.request("engine_createBlock", &params).await;
    let created = created.map_err(|error| error.to_string())?;
    Ok(serde_json::from_value(created["hash"].clone()).expect("a hash"))
}

#[tokio::test(flavor = "multi_thread")]
async fn under_manual_sealing_a_block_is_made_when_it_is_asked_for_and_final_at_once() {
    let setting = Setting::start(Launch::consensus().arg("--sealing=manual")).await;
    let chain = &setting.chain;
    assert_eq!(chain.finalised().await.expect("it has one").number, 0);

    let hash = create_block(&setting, true).await.expect("an empty block");
    let first = BlockId { number: 1, hash };
    assert_eq!(chain.finalised().await.expect("it has one"), first);
    let refusal = create_block(&setting, false).await;
    refusal.expect_err("there is nothing to put into it");
    assert_eq!(chain.finalised().await.expect("it has one"), first);

    let office = setting.office();
    let key = Account::device(&[7; 32]).public_key();
    let submission = office
        .submit(phone::enrolment(&office, STUDY, 7))
        .await
        .expect("pooled");
    let hash = create_block(&setting, false).await.expect("a block for it");
    let outcome = submission.finalised().await.expect("it is in the block");
    assert_eq!(outcome.block_number, 2);
    let second = BlockId { number: 2, hash };
    assert_eq!(chain.finalised().await.expect("it has one"), second);
    assert!(chain.device_by_key(key).await.expect("read").is_some());
}
