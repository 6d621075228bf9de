// SPDX-License-Identifier: Apache-2.0

//! What readers of a real chain make of runs that lie within other calls, and of entries that no extrinsic brought.

mod support;

use codec::Encode;
use hashchain::{DeviceId, Run};
use mhealth_auditor::prove::{prove, Contents, Subject};
use mhealth_auditor::AuditError;
use mhealth_chain_client::{calls, ChainClient, FinalisedBlock, PoolAnswer};
use mhealth_runtime::{Runtime, RuntimeCall};
use mhealth_testing::audit;
use mhealth_testing::node::Launch;
use mhealth_testing::node_front::{Lies, NodeFront};
use mhealth_testing::phone;
use pallet_client_hashchain::{HeadPages, JournalLength, JournalPages};
use pallet_collective::Instance1;
use serde_json::{json, Value};
use sp_core::H256;
use sp_keyring::Sr25519Keyring::Alice;
use support::{signed, Setting, STUDY};

/// Blocks within which what was sent is final, and finality proved.
const SOON: u64 = 60;

/// A batch of one run, as the runtime has it.
fn batch(run: &Run) -> RuntimeCall {
    let entries = run.entries.iter();
    let entries = entries.map(|entry| pallet_client_hashchain::RunEntry {
        digest: H256(entry.digest.0),
        tag: H256(entry.tag.0),
    });
    let entries: Vec<_> = entries.collect();
    let runs = vec![pallet_client_hashchain::Run {
        device: run.device.0,
        sequence: run.first_sequence,
        previous: H256(run.previous.0),
        entries: entries.try_into().expect("they are few"),
        signature: run.signature,
    }];
    let runs = runs.try_into().expect("it is one");
    pallet_client_hashchain::Call::<Runtime>::submit_batch { runs }.into()
}

/// What the consortium, which has one member, does as root.
fn as_root(call: RuntimeCall) -> RuntimeCall {
    let call = Box::new(call);
    pallet_consortium::Call::<Runtime>::dispatch_as_root { call }.into()
}

/// The only member's motion, which is carried out at once.
fn motion(call: RuntimeCall) -> RuntimeCall {
    let length_bound = u32::try_from(call.encoded_size()).expect("it is short");
    pallet_collective::Call::<Runtime, Instance1>::propose {
        threshold: 1,
        proposal: Box::new(call),
        length_bound,
    }
    .into()
}

/// Sends what Alice signs, and waits for the first final block of which this can be said.
async fn send(
    setting: &Setting,
    nonce: u32,
    call: &RuntimeCall,
    is_so: impl AsyncFn(&FinalisedBlock) -> bool,
) -> FinalisedBlock {
    let sent = setting.chain.best_block().await.expect("it has one").number;
    let transaction = signed(setting, Alice, nonce, call);
    let answer = setting.chain.send(&transaction).await.expect("an answer");
    assert_eq!(answer, PoolAnswer::Taken);
    let mut blocks = setting.chain.follow_from(sent + 1);
    loop {
        let block = blocks.next().await.expect("the node answers");
        if is_so(&block).await {
            return block;
        }
        assert!(block.number < sent + SOON, "it is in no block");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_within_a_motion_is_found_at_any_depth_and_registers_nothing() {
    let setting = Setting::start(Launch::consensus()).await;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let run = phone.run(2);
    let within = batch(&run);
    for (nonce, call) in (0..).zip([
        motion(within.clone()),
        motion(as_root(within.clone())),
        motion(as_root(as_root(within))),
    ]) {
        let brings = async |block: &FinalisedBlock| {
            let brought = setting.chain.runs_brought(block.hash).await;
            !brought.expect("it is read").is_empty()
        };
        let block = send(&setting, nonce, &call, brings).await;
        let brought = setting.chain.runs_brought(block.hash).await;
        let brought = brought.expect("it is read");
        assert_eq!(brought.len(), 1);
        let found = &brought[0];
        assert!(found.wrapped, "{found:?}");
        assert_eq!(found.run, run);
        assert_eq!(found.submitter, setting.submitter("//Alice").account());
        let view = setting.chain.at(block.hash).await.expect("it is there");
        let head = view.head(phone.device()).await.expect("it is read");
        assert_eq!(head.expect("it is enrolled").length, 0);
    }

    let brought = setting.relay().submit_and_wait(calls::submit(run)).await;
    let block = brought.expect("it is registered").block_hash;
    let brought = setting.chain.runs_brought(block).await.expect("it is read");
    assert!(!brought[0].wrapped);
}

/// What is stored under these keys.
async fn stored(setting: &Setting, keys: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let node = setting.plain_json_rpc().await;
    let mut items = Vec::new();
    for key in keys {
        let name = json!(format!("0x{}", hex::encode(&key)));
        let value: String = node
            .request("state_getStorage", &[name])
            .await
            .expect("it is there");
        items.push((key, hex::decode(&value[2..]).expect("hexadecimal")));
    }
    items
}

/// Why a node gives no evidence of this device, whose entry stands in the state from this block on.
async fn not_provable(
    setting: &Setting,
    node: &ChainClient,
    device: DeviceId,
    from: u64,
) -> AuditError {
    let mut blocks = setting.chain.follow_from(from);
    loop {
        let block = blocks.next().await.expect("the node answers");
        let device = Subject::Device(device);
        match prove(node, device, &Contents::default(), &mut |_, _| ()).await {
            // It proves earlier blocks as yet.
            Err(AuditError::NotProvable(_)) => {}
            Err(error) => return error,
            Ok(proved) => {
                let entries = proved.parts[0].devices[0].entries.len();
                assert_eq!(entries, 0, "it was proved");
            }
        }
        assert!(block.number < from + SOON, "no later block is proved");
    }
}

/// Two thirds of the members can write the state. What they write there no extrinsic brought, and every reader says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_a_decision_wrote_into_the_state_is_unaccounted_for() {
    let setting = Setting::start(Launch::consensus()).await;
    let phone = phone::enrol(&setting.office(), STUDY, 1).await;
    let phone = phone.expect("enrolled");
    // Another chain with the same first block and the same phone, which writes there.
    let there = Setting::instant().await;
    let written = phone::enrol(&there.office(), STUDY, 1).await;
    let mut written = written.expect("enrolled");
    assert_eq!(written.device(), phone.device());
    assert_eq!(written.head(), phone.head());
    let run = calls::submit(written.run(1));
    let brought = there.relay().submit_and_wait(run).await;
    brought.expect("it is registered");
    let keys = vec![
        HeadPages::<Runtime>::hashed_key_for(0),
        JournalPages::<Runtime>::hashed_key_for(0),
        JournalLength::<Runtime>::hashed_key().to_vec(),
    ];
    let items = stored(&there, keys).await;

    let write = frame_system::Call::<Runtime>::set_storage { items };
    let registers = async |block: &FinalisedBlock| {
        let view = setting.chain.at(block.hash).await.expect("it is there");
        let head = view.head(phone.device()).await.expect("it is read");
        head.expect("it is enrolled").length == 1
    };
    let block = send(&setting, 0, &motion(as_root(write.into())), registers).await;
    let head = setting.chain.head(phone.device()).await;
    let head = head.expect("it is read").expect("it is enrolled");
    assert_eq!(head.hash, written.head());

    let error = not_provable(&setting, &setting.chain, phone.device(), block.number).await;
    assert_eq!(error.code(), "unaccounted", "{error}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = audit::Options {
        node: setting.node.url(),
        study: STUDY,
        genesis: Some(format!("{:?}", setting.chain.genesis_hash())),
        ..audit::Options::default()
    };
    let json = folder.path().join("report.json");
    let audited = audit::command(&options, &json)
        .expect("the auditor is there")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&audited.stdout);
    let line = said.lines().last().unwrap_or_default();
    assert_eq!(audited.status.code(), Some(1), "{audited:?}");
    assert!(
        line.contains(" unaccounted=1 ") && line.ends_with("proved=true"),
        "{line}"
    );
}

/// A node that hides the extrinsic with a run, from those who ask for a device's runs and from those who ask for blocks.
struct Hides;

impl Lies for Hides {
    fn answer(&self, method: &str, _: &Value, answer: &mut Value) {
        match method {
            "hashchain_runs" => *answer = json!([]),
            "chain_getBlock" => {
                let extrinsics = answer["block"]["extrinsics"].as_array_mut();
                // The first sets the clock.
                extrinsics.expect("a list").truncate(1);
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_an_entry_whose_extrinsic_a_node_hides_is_not_made() {
    let setting = Setting::start(Launch::consensus()).await;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let run = calls::submit(phone.run(1));
    let brought = setting.relay().submit_and_wait(run).await;
    let block = brought.expect("it is registered").block_number;
    let front = NodeFront::before(&setting.node.url(), Hides).await;
    let front = front.expect("it listens");
    let lying = ChainClient::connect(&front.url())
        .await
        .expect("it answers");
    let error = not_provable(&setting, &lying, phone.device(), block).await;
    assert_eq!(error.code(), "unaccounted", "{error}");
}
