// SPDX-License-Identifier: Apache-2.0

//! Evidence of a device takes few blocks and few states of the node that it is made with, whatever it begins at.

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hashchain::StudyId;
use mhealth_auditor::evidence::{verify, Checkpoint, Evidence};
use mhealth_auditor::prove::{prove, Contents, Subject};
use mhealth_chain_client::{ChainClient, Error, H256};
use mhealth_evidence::device_key;
use mhealth_testing::finality::wait_until_final;
use mhealth_testing::node::Launch;
use mhealth_testing::node_front::{Lies, NodeFront};
use mhealth_testing::phone::{record, Phone};
use serde_json::Value;

use support::Trial;

/// Blocks after which reading every header stands out.
const BLOCKS: u64 = 24;

/// A trial with one device that has one entry, and a block after its enrolment.
async fn trial(launch: Launch) -> (Trial, Phone, H256) {
    let mut trial = Trial::begin(launch).await;
    let mut phone = trial.enrol(StudyId(0), 61, None).await;
    let night = record(&mut phone, 1, "a night");
    trial.bring(StudyId(0), &night).await;
    let block = trial.chain.finalised().await.unwrap().hash;
    (trial, phone, block)
}

/// Evidence of the device, once it can be made. Finality is what is waited for; the node has no call that waits for a proof of it.
async fn evidence(client: &ChainClient, phone: &Phone, checkpoints: &[Checkpoint]) -> Evidence {
    let contents = Contents {
        checkpoints: checkpoints.to_vec(),
        ..Contents::default()
    };
    let device = Subject::Device(phone.device());
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        match prove(client, device, &contents, &mut |_, _| ()).await {
            Ok(mut proved) => return proved.parts.remove(0),
            Err(error) => assert!(Instant::now() < patience, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Notes the numbers of the blocks that a node is asked for.
#[derive(Clone, Default)]
struct Numbers(Arc<Mutex<BTreeSet<String>>>);

impl Lies for Numbers {
    fn ask(&self, method: &str, parameters: &mut Value) {
        if method == "chain_getBlockHash" {
            let number = parameters[0].to_string();
            self.0.lock().unwrap().insert(number);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_from_a_checkpoint_takes_few_headers_of_those_since() {
    let (trial, phone, _) = trial(Launch::consensus()).await;
    let hash = trial.chain.block_hash(1).await.unwrap().unwrap().0;
    let checkpoint = Checkpoint { hash, number: 1 };
    wait_until_final(&trial.node, BLOCKS).await.unwrap();
    let numbers = Numbers::default();
    let url = trial.node.url();
    let front = NodeFront::before(&url, numbers.clone()).await.unwrap();
    let client = ChainClient::connect(&front.url()).await.unwrap();
    // Whatever it took until there was a proof does not count.
    evidence(&client, &phone, &[checkpoint]).await;
    numbers.0.lock().unwrap().clear();

    let evidence = evidence(&client, &phone, &[checkpoint]).await;

    let genesis = trial.chain.genesis_hash().0;
    let claims = verify(&evidence, genesis, &[checkpoint]).unwrap();
    assert_eq!(claims.trust.checkpoint, Some(checkpoint));
    assert_eq!(claims.devices[0].entries, 1);
    let asked = numbers.0.lock().unwrap();
    assert!((asked.len() as u64) < BLOCKS / 2, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_takes_no_state_that_the_node_has_dropped() {
    let launch = Launch::consensus().arg("--state-pruning=16");
    let (trial, phone, block) = trial(launch).await;
    let keys = [device_key(phone.device())];
    let patience = Instant::now() + Duration::from_secs(240);
    loop {
        match trial.chain.read_proof(&keys, block).await {
            Err(Error::StatePruned { .. }) => break,
            read => read.unwrap(),
        };
        assert!(Instant::now() < patience, "the state is still there");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    let evidence = evidence(&trial.chain, &phone, &[]).await;

    let genesis = trial.chain.genesis_hash().0;
    let claims = verify(&evidence, genesis, &[]).unwrap();
    let device = &claims.devices[0];
    // The secret, by which alone tags are checked, is not in it.
    assert!(device.signed);
    assert_eq!((device.entries, device.head), (1, phone.head()));
}
