// SPDX-License-Identifier: Apache-2.0

//! Evidence from a node that never comes to an end.

mod support;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hashchain::StudyId;
use mhealth_testing::node::Launch;
use mhealth_testing::node_front::{Lies, NodeFront};
use mhealth_testing::phone::record;
use serde_json::{json, Value};

use support::Trial;

/// Whatever set of authorities it is asked from, it says that the first block handed over to another, and that this was not the last.
struct Endless;

impl Lies for Endless {
    fn ask(&self, _: &str, parameters: &mut Value) {
        for parameter in parameters.as_array_mut().into_iter().flatten() {
            if let Some(set) = parameter.get_mut("set") {
                *set = Value::Null;
            }
        }
    }

    fn answer(&self, method: &str, asked: &Value, answer: &mut Value) {
        let parameters = asked.as_array().into_iter().flatten();
        let mut sets = parameters.filter(|parameter| parameter.get("set").is_some());
        if method.starts_with("hashchain_prove") && sets.next().is_some() {
            let first = &answer["first"]["header"];
            let handover = json!({ "header": first, "justification": "0x00" });
            answer["handovers"] = json!([handover]);
            answer["blockHash"] = json!(format!("0x{}", "11".repeat(32)));
        }
    }
}

async fn prove(trial: &Trial, node: &str) -> Output {
    // What does not end by itself has status 124.
    let mut command = Command::new("timeout");
    command
        .args(["60", env!("CARGO_BIN_EXE_mhealth-auditor"), "prove"])
        .args(["--node", node, "--device=0"])
        .args(["--genesis", &trial.genesis(), "--out"])
        .arg(trial.directory.path().join("evidence"));
    // The front serves in this process.
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shows_handovers_without_end_is_left() {
    let mut trial = Trial::begin(Launch::consensus()).await;
    let mut phone = trial.enrol(StudyId(0), 61, None).await;
    let night = record(&mut phone, 1, "a night");
    trial.bring(StudyId(0), &night).await;
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        let output = prove(&trial, &trial.node.url()).await;
        if output.status.success() {
            break;
        }
        assert!(Instant::now() < patience, "{output:?}");
        // Finality is what is waited for; the node has no call that waits for a proof of it.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let front = NodeFront::before(&trial.node.url(), Endless).await;
    let output = prove(&trial, &front.unwrap().url()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said.contains("error=not_provable"), "{output:?}");
}
