// SPDX-License-Identifier: Apache-2.0

//! Finality is lost and comes back, by the steps of `docs/operating/running-a-node.md#when-finality-is-lost`, and evidence
//! from before and after verifies.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use codec::DecodeAll;
use mhealth_auditor::evidence::{verify, Checkpoint, Evidence, Header, Refusal};
use mhealth_auditor::prove::{prove, Contents, Subject};
use mhealth_chain_client::{calls, Account, ChainClient, Error, Submitter, H256};
use mhealth_evidence::{forces_authorities, Anchor, HeadProof};
use mhealth_testing::member::Member;
use mhealth_testing::node::{changed_specification, Launch, Node};
use mhealth_testing::phone::{self, Phone};
use mhealth_testing::rpc::JsonRpc;
use mhealth_testing::topology::SPONSOR;
use serde_json::{json, Value};
use support::STUDY;

/// How long finality must have stalled on this chain, in blocks: five minutes would be long for a test.
const LEAST_LAG: u64 = 5;
/// For how many blocks a transaction is valid. Whoever counted from the last final block could say nothing any more after these.
const ERA: u64 = 64;
/// Blocks between the decision and its effect.
const DELAY: u64 = 16;
/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_secs(300);
/// A node without the voter of GRANDPA: to the others it is one that is gone.
const VOTER_OFF: &str = "--no-grandpa";

/// The development chain, but for its patience.
fn specification(folder: &Path) -> PathBuf {
    let file = folder.join("stalling.json");
    let written = changed_specification(&file, &[], |specification| {
        let patch = &mut specification["genesis"]["runtimeGenesis"]["patch"];
        patch["finality"] = json!({ "leastLag": LEAST_LAG });
    });
    written.expect("written");
    file
}

/// Asks until there is an answer. There is nothing else that tells of blocks which are not final.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The chain's only validator, with what the test does on its chain.
struct Validator {
    node: Node,
    chain: ChainClient,
}

impl Validator {
    async fn start(launch: Launch) -> Self {
        let node = launch.start().expect("the node starts");
        let chain = ChainClient::connect(&node.url()).await.expect("it answers");
        Validator { node, chain }
    }

    async fn start_again(&mut self, options: &[&str]) {
        self.node.stop().expect("it stops");
        self.node.start_again_with(options).expect("it starts");
        let chain = ChainClient::connect(&self.node.url()).await;
        self.chain = chain.expect("it answers");
    }

    fn submitter(&self, name: &str) -> Submitter {
        let account = Account::from_secret_uri(name).expect("it is well known");
        self.chain.submitter(account)
    }

    async fn best(&self) -> u64 {
        self.chain.best_block().await.expect("it answers").number
    }

    async fn finalised(&self) -> u64 {
        self.chain.finalised().await.expect("it answers").number
    }

    async fn best_is(&self, number: u64) {
        let reached = async || (self.best().await >= number).then_some(());
        until("blocks are made", reached).await;
    }

    /// The number of the set of voters, at the best block.
    async fn set(&self) -> u64 {
        let rpc = JsonRpc::connect(&self.node.url())
            .await
            .expect("it answers");
        let key = pallet_grandpa::CurrentSetId::<mhealth_runtime::Runtime>::hashed_key();
        let key = json!(format!("0x{}", hex::encode(key)));
        let value: String = rpc.request("state_getStorage", &[key]).await.expect("read");
        let bytes = hex::decode(&value[2..]).expect("hexadecimal");
        u64::decode_all(&mut &bytes[..]).expect("a number")
    }

    /// Evidence of the phone, once it has so many entries in a block whose finality is proved.
    async fn evidence(&self, phone: &Phone, entries: usize, trusted: &[Checkpoint]) -> Evidence {
        let contents = Contents {
            checkpoints: trusted.to_vec(),
            ..Contents::default()
        };
        let device = Subject::Device(phone.device());
        let proved = async || {
            let proved = prove(&self.chain, device, &contents, &mut |_, _| ()).await;
            let evidence = proved.ok().and_then(|mut proved| proved.parts.pop());
            evidence.filter(|evidence| evidence.devices[0].entries.len() == entries)
        };
        until("evidence can be made", proved).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finality_that_was_lost_comes_back_and_evidence_from_before_and_after_verifies() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let chain = format!("--chain={}", specification(folder.path()).display());
    let launch = Launch::bare()
        .args([&*chain, "--alice", "--validator", "--force-authoring"])
        .arg(format!("--node-key={:064x}", 1))
        .base_path(folder.path().join("alice"));
    let mut alice = Validator::start(launch).await;
    let genesis = alice.chain.genesis_hash().0;
    let enrolled = phone::enrol(&alice.submitter("//Charlie"), STUDY, 1).await;
    let mut phone = enrolled.expect("enrolled");
    let run = calls::submit(phone.run(1));
    let brought = alice.submitter("//Dave").submit_and_wait(run).await;
    brought.expect("registered");
    let before = alice.evidence(&phone, 1, &[]).await;

    an_old_view_of_finality_decides_nothing(&alice).await;

    // The voter is gone; blocks are still made, and nothing becomes final.
    alice.start_again(&[VOTER_OFF]).await;
    let last = alice.finalised().await;
    let head = alice.chain.block_proof().await.expect("proved");
    let proved = Header::decode_all(&mut &head.header[..]).expect("a header");
    assert_eq!(u64::from(proved.number), last);
    alice.best_is(last + LEAST_LAG + 1).await;
    assert_eq!(alice.finalised().await, last);

    what_is_not_final_is_shown_to_whoever_asks_for_it(&alice, folder.path());

    // Anybody proves which block is the last final one, and the consortium decides.
    let member = |name| Member::new(&alice.node.url(), name, folder.path()).expect("written");
    let reported = member("//Eve").does(&["report-final", "--not-final"]);
    let reported = reported.expect("it answers").expect("it is taken");
    assert_eq!(reported["last_final"], json!(last));
    assert_eq!(alice.set().await, 0);
    // People take their time. Whoever looks once more is told the same.
    alice.best_is(last + ERA + 1).await;
    let known = member("//Eve").does(&["report-final", "--not-final"]);
    let known = known.expect("it answers").expect("it is known");
    assert_eq!(known["last_final"], json!(last));
    let number = last.to_string();
    // Not while a session ends.
    let decided = until("the decision is taken", async || {
        let decision = ["propose", "note-stalled", &number, "--not-final"];
        let decided = member("//Alice").does(&decision);
        decided.expect("it answers").ok()
    })
    .await;
    assert_eq!(decided["carried_out"], json!(true));
    assert_eq!(decided["final"], json!(false));
    until("it is decided", async || {
        (alice.set().await == 1).then_some(())
    })
    .await;
    let block = alice.chain.best_block().await.expect("it answers");
    let checkpoint = Checkpoint {
        hash: block.hash.0,
        number: u32::try_from(block.number).expect("the chain is young"),
    };
    alice.best_is(block.number + DELAY + 1).await;

    // With a voter of the new set, finality goes on from the last final block.
    alice.start_again(&[]).await;
    let resumed = async || (alice.finalised().await > block.number).then_some(());
    until("finality resumes", resumed).await;
    let waiting = Member::new(&alice.node.url(), "//Eve", folder.path()).expect("written");
    let waited = waiting.does(&["wait", "--final", "+1", "--within", "60"]);
    let waited = waited.expect("it answers").expect("it is final");
    assert!(waited["final_block"].as_u64() > Some(block.number));
    let run = calls::submit(phone.run(1));
    let brought = alice.submitter("//Dave").submit_and_wait(run).await;
    brought.expect("registered");

    let after = alice.evidence(&phone, 2, &[checkpoint]).await;
    let claims = verify(&after, genesis, &[checkpoint]).expect("it verifies");
    assert_eq!(claims.trust.checkpoint, Some(checkpoint));
    assert_eq!((claims.authority_set, claims.devices[0].entries), (1, 2));
    let without = verify(&after, genesis, &[]);
    assert_eq!(without, Err(Refusal::Untrusted(checkpoint)));
    for trusted in [&[][..], &[checkpoint]] {
        let claims = verify(&before, genesis, trusted).expect("it verifies");
        assert_eq!((claims.authority_set, claims.devices[0].entries), (0, 1));
        assert_eq!(claims.trust.later, trusted);
    }
    a_phone_is_led_over_the_change(&alice, &phone, block.number).await;
    let device = Subject::Device(phone.device());
    let contents = Contents::default();
    let refused = prove(&alice.chain, device, &contents, &mut |_, _| ()).await;
    let refused = refused
        .expect_err("nobody signed for the change")
        .to_string();
    assert!(
        refused.contains("by force") && refused.contains("--checkpoint"),
        "{refused}"
    );

    a_new_node_begins_at_the_checkpoint(&alice, &chain, checkpoint, folder.path()).await;
    a_node_that_executes_nothing_stops_before_the_change(&alice, &chain).await;
}

/// Without finality a change is seen by those who look at the best block, and by nobody else.
fn what_is_not_final_is_shown_to_whoever_asks_for_it(alice: &Validator, folder: &Path) {
    let relay = Account::from_secret_uri("//Ferdie").expect("it is well known");
    let (relay, study) = (relay.id().to_string(), STUDY.to_string());
    let sponsor = Member::new(&alice.node.url(), SPONSOR, folder).expect("written");
    let does = |words: &[&str]| {
        let done = sponsor.does(words).expect("it answers");
        done.expect("it is done")
    };
    does(&["appoint", "relay", "--study", &study, &relay, "--not-final"]);
    let shown = |more: &[&str]| {
        let status = does(&[&["status", "--study", &study][..], more].concat());
        let relays = status["relays"].as_array().expect("a list");
        (relays.contains(&json!(relay)), status["final"].clone())
    };
    assert_eq!(shown(&[]), (false, json!(true)));
    assert_eq!(shown(&["--not-final"]), (true, json!(false)));
    let chain = does(&["status", "--not-final"]);
    let (seen, last) = (chain["block"].as_u64(), chain["final_block"].as_u64());
    assert!(seen > last, "{chain}");
    let late = sponsor.does(&["wait", "--final", "+1", "--within", "3"]);
    let late = late.expect("it answers").expect_err("finality is lost");
    assert_eq!(late, "not_final_in_time");
}

/// A decision for a block after which another was shown to be final fails, and finality goes on.
async fn an_old_view_of_finality_decides_nothing(alice: &Validator) {
    let relay = alice.submitter("//Eve");
    let mut shown = Vec::new();
    while shown.len() < 2 {
        let newer = async || {
            let head = alice.chain.block_proof().await.expect("proved");
            let block = Header::decode_all(&mut &head.header[..]).expect("a header");
            (shown.last() < Some(&block.number)).then_some((block.number, head.finality_proof))
        };
        let (number, proof) = until("blocks become final", newer).await;
        let reported = relay.submit_and_wait(calls::report_final(0, proof)).await;
        reported.expect("it is final");
        shown.push(number);
    }
    let decision = calls::note_stalled(1, shown[0]);
    let decided = alice.submitter("//Alice").submit_and_wait(decision).await;
    let block = decided.expect("it was proposed").block_number;
    assert_eq!(alice.set().await, 0);
    let goes_on = async || (alice.finalised().await > block).then_some(());
    until("finality goes on", goes_on).await;
}

/// A phone that knows the authorities before the change by force, and trusts the block that made it, gets a proof and takes it.
async fn a_phone_is_led_over_the_change(alice: &Validator, phone: &Phone, decided: u64) {
    let mut change = None;
    for number in (0..=decided).rev() {
        let hash = alice.chain.block_hash(number).await.expect("it answers");
        let hash = hash.expect("it is on the chain");
        let header = alice.chain.header(hash).await.expect("it answers");
        let header = Header::decode_all(&mut &header[..]).expect("a header");
        if forces_authorities(&header) {
            change = Some((hash, Checkpoint::of(&header)));
            break;
        }
    }
    let (hash, change) = change.expect("a block made the change");
    let prove = async |checkpoints: &[H256]| {
        let device = phone.device();
        let proved = alice.chain.prove_head(device, None, false, checkpoints);
        Ok::<_, Error>(proved.await?.expect("it is enrolled").proof)
    };
    let refused = prove(&[]).await.expect_err("nobody signed for the change");
    assert_eq!(refused.code(), "set_not_bridged");
    let proof = prove(&[hash]).await.expect("it leads over the change");
    let proof = HeadProof::from_bytes(&proof).expect("it is a proof");

    let first = proof.first.as_ref().expect("it begins at the first block");
    let genesis = alice.chain.genesis_hash().0;
    let mut anchor = Anchor::begin(genesis, first).expect("it is this chain's");
    let refused = anchor
        .check(&proof.finality)
        .expect_err("it is not trusted");
    assert_eq!(refused.code(), "change_by_force");
    let state = anchor.check_with(&proof.finality, &[change]);
    let state = state.expect("it is trusted");
    let head = state.head(phone.device()).expect("it is proved");
    assert_eq!(head.expect("it is enrolled").length, 2);
    assert_eq!(anchor.set().id(), 1);
}

/// Warp sync from the checkpoint leads over the change by force.
async fn a_new_node_begins_at_the_checkpoint(
    alice: &Validator,
    chain: &str,
    checkpoint: Checkpoint,
    folder: &Path,
) {
    let rpc = JsonRpc::connect(&alice.node.url())
        .await
        .expect("it answers");
    let hash = json!(format!("0x{}", hex::encode(checkpoint.hash)));
    let header: Value = rpc.request("chain_getHeader", &[hash]).await.expect("read");
    let file = folder.join("header.json");
    fs::write(&file, header.to_string()).expect("written");
    let address = alice.node.address().await.expect("it listens");
    let begin = format!("--checkpoint={checkpoint}");
    let with = format!("--checkpoint-header={}", file.display());
    let newcomer = Launch::bare().args([chain, &begin, &with]);
    let Err(refusal) = newcomer.clone().start() else {
        panic!("a checkpoint without warp sync says nothing");
    };
    assert!(refusal.to_string().contains("--sync warp"), "{refusal}");
    let newcomer = newcomer.args(["--sync=warp", "--bootnodes", &address]);
    let node = Validator::start(newcomer).await;
    let target = alice.chain.finalised().await.expect("it answers");
    let follows = async || (node.finalised().await >= target.number).then_some(());
    until("the new node follows", follows).await;
    let same = node.chain.block_hash(target.number).await;
    assert_eq!(same.expect("it answers"), Some(target.hash));
}

/// Nobody votes on such a change, so whoever does not execute the decision must not believe a header.
async fn a_node_that_executes_nothing_stops_before_the_change(alice: &Validator, chain: &str) {
    let address = alice.node.address().await.expect("it listens");
    let newcomer = Launch::bare().args([chain, "--sync=fast", "--bootnodes", &address]);
    let newcomer = newcomer.start().expect("it starts");
    let refused = newcomer.wait_for_log("changes the authorities by force");
    let refused = refused.expect("it says so");
    assert!(refused.contains("--sync full"), "{refused}");
}
