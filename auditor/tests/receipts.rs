// SPDX-License-Identifier: Apache-2.0

//! What an audit reads of erasures on the chain.

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};

use hashchain::StudyId;
use mhealth_chain_client::{calls, SuspensionReason};
use mhealth_evidence::erasure_receipt_key;
use mhealth_testing::node::Launch;
use mhealth_testing::node_front::{Lies, NodeFront};
use mhealth_testing::phone::record;
use serde_json::Value;

use support::Trial;

/// An honest node that remembers which keys of the state it was asked for.
struct Asked(Arc<Mutex<BTreeSet<String>>>);

impl Lies for Asked {
    fn ask(&self, method: &str, parameters: &mut Value) {
        let of_state = ["state_getReadProof", "state_getKeysPaged"].contains(&method);
        let asked = match &parameters[0] {
            Value::Array(keys) if of_state => &keys[..],
            key if of_state => std::slice::from_ref(key),
            _ => return,
        };
        let keys = asked.iter().filter_map(Value::as_str).map(str::to_owned);
        self.0.lock().unwrap().extend(keys);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_reads_receipts_of_devices_of_its_study_that_may_have_one_and_no_others() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phone = trial.enrol(StudyId(0), 42, None).await;
    let gone = trial.enrol(StudyId(0), 43, None).await.device();
    let night = record(&mut phone, 2, "a night");
    trial.bring(StudyId(0), &night).await;
    for call in [
        calls::suspend(gone, SuspensionReason::Withdrawn),
        calls::erase(gone, [7; 32]),
    ] {
        let done = trial.sponsor.submit_and_wait(call).await.unwrap();
        done.succeeded().unwrap();
    }
    let asked = Asked(Arc::default());
    let keys = asked.0.clone();
    let front = NodeFront::before(&trial.node.url(), asked).await.unwrap();
    let mut audit = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"));
    audit
        .args(["audit", "--node", &front.url(), "--study=0"])
        .arg(format!("--export=dave={}", trial.export().await.display()))
        .arg(trial.other_export())
        .arg("--auditor-key")
        .arg(trial.auditor_key_file());
    // The front serves in this process.
    let said = tokio::task::spawn_blocking(move || audit.output()).await;
    let said = String::from_utf8(said.unwrap().unwrap().stdout).unwrap();
    assert!(said.contains("valid=2"), "{said}");
    let of = |device| format!("0x{}", hex::encode(erasure_receipt_key(device)));
    let item = &of(gone)[..2 + 64];
    let keys = keys.lock().unwrap();
    let receipts: Vec<&String> = keys.iter().filter(|key| key.starts_with(item)).collect();
    assert_eq!(receipts, [&of(gone)]);
}
