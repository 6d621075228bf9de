// SPDX-License-Identifier: Apache-2.0

//! Audits against a node that lies: what it says counts as far as it proves it.

mod support;

use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hashchain::{DeviceId, StudyId};
use mhealth_chain_client::Error;
use mhealth_evidence::{
    conflicts_key, device_key, events_key, head_page_key, journal_page_key, next_device_key,
    relays_prefix, study_key, AUTHORITIES_KEY, CODE_KEY,
};
use mhealth_testing::node::Launch;
use mhealth_testing::node_front::{Lies, NodeFront};
use mhealth_testing::phone::record;
use serde_json::{json, Value};

use support::Trial;

/// How a node lies: in what it is asked, and in what it answers.
struct Lie {
    ask: fn(&str, &mut Value),
    answer: fn(&str, &Value, &mut Value),
}

impl Lies for Lie {
    fn ask(&self, method: &str, parameters: &mut Value) {
        (self.ask)(method, parameters);
    }

    fn answer(&self, method: &str, asked: &Value, answer: &mut Value) {
        (self.answer)(method, asked, answer);
    }
}

fn as_asked(_: &str, _: &mut Value) {}

struct Said {
    status: i32,
    /// The last line.
    line: String,
    report: Value,
    html: String,
}

impl Said {
    /// The code of an audit that was not made.
    fn code(&self) -> &str {
        assert_eq!(self.status, 3, "{}", self.line);
        self.line.rsplit('=').next().unwrap()
    }
}

async fn audit(trial: &Trial, node: &str, more: &[&str]) -> Said {
    let export = trial.export().await;
    let json = trial.directory.path().join("proved.json");
    let html = trial.directory.path().join("proved.html");
    let _ = std::fs::remove_file(&json);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"));
    command
        .args(["audit", "--node", node, "--study=0", "--json"])
        .arg(&json)
        .arg("--html")
        .arg(&html)
        .arg(format!("--export=dave={}", export.display()))
        .arg(trial.other_export())
        .arg("--auditor-key")
        .arg(trial.auditor_key_file())
        .args(more);
    // The front serves in this process.
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    Said {
        status: output.status.code().unwrap(),
        line: text.lines().last().unwrap_or_default().to_owned(),
        report: serde_json::from_slice(&std::fs::read(&json).unwrap_or_default())
            .unwrap_or_default(),
        html: std::fs::read_to_string(&html).unwrap_or_default(),
    }
}

/// A trial with one device that somebody contradicted, once all of it is in a block whose finality is proved.
async fn trial() -> Trial {
    let mut trial = Trial::begin(Launch::consensus()).await;
    let mut phone = trial.enrol(StudyId(0), 41, None).await;
    let night = record(&mut phone, 2, "a night");
    trial.bring(StudyId(0), &night).await;
    let mut copy = phone.copy();
    let one = record(&mut phone, 1, "another night");
    trial.bring(StudyId(0), &one).await;
    let rival = record(&mut copy, 1, "a rival's");
    trial.bring(StudyId(0), &rival).await;
    trial
}

const CONFLICTING: &str = "conflicts=1";

async fn whole(trial: &Trial, more: &[&str]) -> Said {
    audit_until(trial, more, |said| said.line.contains(CONFLICTING)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_says_what_it_proved_and_what_is_only_the_nodes_word() {
    let mut trial = Trial::begin(Launch::consensus()).await;
    let mut phone = trial.enrol(StudyId(0), 40, None).await;
    let night = record(&mut phone, 2, "a night");
    trial.bring(StudyId(0), &night).await;
    let genesis = trial.genesis();
    let given = ["--genesis", &genesis[..]];
    let said = audit_until(&trial, &given, |said| said.line.contains("valid=2")).await;
    assert_eq!(said.status, 0, "{}", said.line);
    assert!(said.line.starts_with("audit=right") && said.line.ends_with("proved=true"));
    let standing = &said.report["audit"]["standing"];
    assert_eq!(standing["words"], json!([]));
    let finality =
        json!({ "checkpoint": null, "handovers": 0, "authority_set": 0, "authorities": 1 });
    assert_eq!(standing["finality"], finality);
    assert!(said.html.contains("state and extrinsics are proved"));
    let runtimes = standing["runtimes"].as_array().expect("a list");
    assert_eq!(runtimes.len(), 1, "{standing}");
    assert_eq!(runtimes[0]["from"], 1);

    // From a checkpoint on, and from a block that is none of the chain's.
    let block = trial.chain.block_hash(1).await.unwrap().unwrap();
    let checkpoint = format!("{block:?}@1");
    let from = [&given[..], &["--checkpoint", &checkpoint]].concat();
    let said = audit(&trial, &trial.node.url(), &from).await;
    assert_eq!(said.status, 0, "{}", said.line);
    // Blocks are final so soon that the audit may be about the second one.
    assert_eq!(
        said.report["audit"]["standing"]["finality"]["checkpoint"],
        1
    );
    let strange = format!("0x{}@1", "77".repeat(32));
    let from = [&given[..], &["--checkpoint", &strange]].concat();
    let said = audit(&trial, &trial.node.url(), &from).await;
    assert_ne!(said.status, 0, "{}", said.line);

    // Without the hash of the first block the node says which chain it is.
    let said = audit(&trial, &trial.node.url(), &[]).await;
    assert_eq!(said.status, 4, "{}", said.line);
    assert!(said.line.starts_with("audit=not_proved") && said.line.ends_with("proved=false"));
    let words = &said.report["audit"]["standing"]["words"];
    assert_eq!(words, &json!([{ "word": "genesis" }]));
    assert_eq!(said.report["summary"]["outcome"], "not_proved");
    assert!(said.html.contains("only the node says"));

    // A node that gives no proof of finality: its word is enough for nobody who did not say so.
    let lie = Lie {
        ask: as_asked,
        answer: |method, _, answer| {
            if method == "hashchain_proveFinality" {
                answer["finalityProof"] = json!("0x00");
            }
        },
    };
    let front = NodeFront::before(&trial.node.url(), lie).await.unwrap();
    let said = audit(&trial, &front.url(), &given).await;
    assert_eq!(said.status, 4, "{}", said.line);
    assert_eq!(
        said.report["audit"]["standing"]["words"][0]["word"],
        "finality"
    );
    let content = [&given[..], &["--trust-node"]].concat();
    let said = audit(&trial, &front.url(), &content).await;
    assert_eq!(said.status, 0, "{}", said.line);
    assert!(said.line.ends_with("proved=false"));
}

/// Audits until the node has proofs, which take a few blocks.
async fn proved(trial: &Trial, more: &[&str]) -> Said {
    audit_until(trial, more, |said| said.line.ends_with("proved=true")).await
}

/// Audits until it says so. Finality is what is waited for; the node has no call that waits for a proof of it.
async fn audit_until(trial: &Trial, more: &[&str], is_so: impl Fn(&Said) -> bool) -> Said {
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        let said = audit(trial, &trial.node.url(), more).await;
        if is_so(&said) {
            return said;
        }
        assert!(
            Instant::now() < patience,
            "{}: {}",
            said.line,
            said.report["audit"]["standing"]
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_devices_is_proved_to_be_final() {
    let trial = Trial::begin(Launch::consensus()).await;
    let genesis = trial.genesis();
    let said = proved(&trial, &["--genesis", &genesis]).await;
    // Nothing was judged.
    assert_eq!(said.status, 2, "{}", said.line);
    let standing = &said.report["audit"]["standing"];
    assert_eq!(standing["words"], json!([]));
    assert_eq!(standing["finality"]["authorities"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_dropped_the_first_state_proves_the_first_authorities() {
    let trial = Trial::begin(Launch::consensus().arg("--state-pruning=16")).await;
    let keys = [AUTHORITIES_KEY.to_vec()];
    let patience = Instant::now() + Duration::from_secs(240);
    loop {
        let first = trial.chain.genesis_hash();
        match trial.chain.read_proof(&keys, first).await {
            Err(Error::StatePruned { .. }) => break,
            read => read.unwrap(),
        };
        assert!(Instant::now() < patience, "the first state is still there");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let genesis = trial.genesis();
    let said = proved(&trial, &["--genesis", &genesis]).await;
    let finality = &said.report["audit"]["standing"]["finality"];
    assert_eq!(finality["checkpoint"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_finality_cannot_be_proved() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phone = trial.enrol(StudyId(0), 42, None).await;
    let night = record(&mut phone, 1, "a night");
    trial.bring(StudyId(0), &night).await;
    let genesis = trial.genesis();
    let said = audit(&trial, &trial.node.url(), &["--genesis", &genesis]).await;
    assert_eq!(said.status, 4, "{}", said.line);
    assert_eq!(
        said.report["audit"]["standing"]["words"][0]["word"],
        "finality"
    );
    let content = ["--genesis", &genesis[..], "--trust-node"];
    let said = audit(&trial, &trial.node.url(), &content).await;
    assert_eq!(said.status, 0, "{}", said.line);
}

/// Changes a byte of the last node of a proof of the state, which is never one that no value needs.
fn spoil(answer: &mut Value) {
    let nodes = answer["proof"].as_array_mut().expect("a list of nodes");
    for node in nodes {
        let text = node.as_str().expect("hexadecimal");
        let last = if text.ends_with('0') { "1" } else { "0" };
        *node = json!(format!("{}{last}", &text[..text.len() - 1]));
    }
}

/// Whether a proof was asked for about a key of the item whose proofs are spoiled at present.
fn about_spoiled(asked: &Value) -> bool {
    let item = SPOILED.lock().unwrap();
    let prefix = format!("0x{}", hex::encode(&item[..]));
    let mut keys = asked[0].as_array().into_iter().flatten();
    keys.any(|key| key.as_str().is_some_and(|key| key.starts_with(&prefix)))
}

/// What the keys of an item begin with. A lie is a function, and remembers nothing.
static SPOILED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// An older block than the one that is asked for.
static OLDER: Mutex<String> = Mutex::new(String::new());

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lies_is_not_believed() {
    let trial = trial().await;
    let genesis = trial.genesis();
    let given = ["--genesis", &genesis[..]];
    let honest = whole(&trial, &given).await;
    assert_eq!(honest.status, 1, "{}", honest.line);
    assert!(honest.line.ends_with("proved=true"));

    let lied = async |lie: Lie| {
        let front = NodeFront::before(&trial.node.url(), lie).await.unwrap();
        audit(&trial, &front.url(), &given).await
    };
    // Nothing is taken from what the runtime is said to answer. By metadata without the call that brings runs there are none.
    let said = lied(Lie {
        ask: as_asked,
        answer: |method, asked, answer| {
            if method == "state_call" && !asked[0].to_string().contains("Metadata") {
                *answer = json!("0x00");
            } else if method == "state_call" {
                let [call, other] = ["submit_batch", "submit_other"].map(hex::encode);
                let metadata = answer.as_str().expect("hexadecimal");
                *answer = json!(metadata.replace(&call, &other));
            }
        },
    });
    let said = said.await;
    assert_eq!(said.status, 1, "{}", said.line);
    assert_eq!(said.line, honest.line);

    // It hides a conflict, shortens a history, invents a device, shows another code.
    for (what, key) in [
        ("conflicts", conflicts_key(DeviceId(0))),
        ("heads", head_page_key(DeviceId(0))),
        ("journal", journal_page_key(0)),
        ("number of devices", next_device_key()),
        ("records", device_key(DeviceId(0))),
        ("study", study_key(StudyId(0))),
        ("relays", relays_prefix(StudyId(0))),
        ("events", events_key()),
        ("code", CODE_KEY.to_vec()),
    ] {
        *SPOILED.lock().unwrap() = key[..key.len().min(32)].to_vec();
        let said = lied(Lie {
            ask: as_asked,
            answer: |method, asked, answer| {
                if method == "state_getReadProof" && about_spoiled(asked) {
                    spoil(answer);
                }
            },
        });
        assert_eq!(said.await.code(), "state_not_proved", "{what}");
    }
    // It shows the state of an older block.
    *OLDER.lock().unwrap() = genesis.clone();
    let said = lied(Lie {
        ask: |method, parameters| {
            if method == "state_getReadProof" {
                parameters[1] = json!(*OLDER.lock().unwrap());
            }
        },
        answer: |_, _, _| (),
    });
    assert_eq!(said.await.code(), "state_not_proved");

    // It leaves out an extrinsic.
    let said = lied(Lie {
        ask: as_asked,
        answer: |method, _, answer| {
            if method == "chain_getBlock" {
                let extrinsics = answer["block"]["extrinsics"].as_array_mut();
                let extrinsics = extrinsics.expect("a list");
                if extrinsics.len() > 1 {
                    extrinsics.pop();
                }
            }
        },
    });
    assert_eq!(said.await.code(), "extrinsics_not_proved");

    // It leaves out a block.
    let said = lied(Lie {
        ask: |method, parameters| {
            let number = parameters[0].as_u64();
            if let (true, Some(number @ 3..)) = (method == "chain_getBlockHash", number) {
                parameters[0] = json!(number - 1);
            }
        },
        answer: |_, _, _| (),
    });
    assert_eq!(said.await.code(), "blocks_not_linked");

    // It claims that a block is final for which nobody signed.
    let said = lied(Lie {
        ask: as_asked,
        answer: |method, _, answer| {
            if method == "hashchain_proveFinality" {
                // A byte of a signature: after hash, length, round, target, count and the vote's target.
                let place = 2 + 2 * (32 + 2 + 8 + 36 + 1 + 36 + 10);
                let proof = answer["finalityProof"].as_str().expect("hexadecimal");
                let other = if &proof[place..=place] == "0" {
                    "1"
                } else {
                    "0"
                };
                let altered = format!("{}{other}{}", &proof[..place], &proof[place + 1..]);
                answer["finalityProof"] = json!(altered);
            }
        },
    });
    assert_eq!(said.await.code(), "block_not_final");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_is_not_believed() {
    let trial = Trial::begin(Launch::instant()).await;
    let expected = format!("0x{}", "ab".repeat(32));
    let said = audit(&trial, &trial.node.url(), &["--genesis", &expected]).await;
    assert_eq!(said.code(), "chain_unreadable");
    // It says that its first block is the one that is expected, and shows its own.
    let lie = Lie {
        ask: |method, parameters| {
            if parameters[0] == json!(format!("0x{}", "ab".repeat(32))) {
                assert_ne!(method, "chain_getBlockHash");
                parameters[0] = Value::Null;
            }
        },
        answer: |method, asked, answer| {
            if method == "chain_getBlockHash" && asked[0] == json!(0) {
                *answer = json!(format!("0x{}", "ab".repeat(32)));
            }
        },
    };
    let front = NodeFront::before(&trial.node.url(), lie).await.unwrap();
    let said = audit(&trial, &front.url(), &["--genesis", &expected]).await;
    assert_ne!(said.status, 0, "{}", said.line);
    assert_ne!(said.status, 4, "{}", said.line);
}
