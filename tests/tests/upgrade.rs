// SPDX-License-Identifier: Apache-2.0

//! The chain gets new rules, with a migration of what is stored, while a trial goes on; and goes back, forwards.
//!
//! The new rules are those of `lab/upgrades/`, which `scripts/test upgrade` builds.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use codec::{Compact, DecodeAll};
use mhealth_chain_client::{Account, ChainClient};
use mhealth_runtime::{
    Accountability, Admission, ClientHashchain, Consortium, Finality, HostFunctions, Studies,
};
use mhealth_testing::audit;
use mhealth_testing::export::Signer;
use mhealth_testing::member::Member;
use mhealth_testing::process::Program;
use mhealth_testing::rpc::JsonRpc;
use mhealth_testing::topology::{Cohort, Site, Topology, RELAYS, SIGNED_STUDY};
use sc_executor::WasmExecutor;
use serde_json::{json, Value};
use sp_core::storage::Storage;
use sp_core::traits::{CallContext, CodeExecutor, RuntimeCode, WrappedRuntimeCode};
use tempfile::TempDir;
use tracing_subscriber::filter::LevelFilter;

/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// Keys of the state that are asked for at a time.
const PAGE: usize = 512;
/// How many phones there are; `MHEALTH_UPGRADE_PHONES` has the state larger.
const PHONES: u32 = 4;

/// A trial on a development chain, whose only member is //Alice.
struct Trial {
    // Before the folder that they write to.
    site: Site,
    member: Member,
    cohort: Cohort,
    folder: TempDir,
}

impl Trial {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let site = Site::start(Topology::OneRelay, folder.path()).await;
        let site = site.expect("it starts");
        let member = Member::new(&site.node().url(), "//Alice", folder.path());
        Trial {
            member: member.expect("its secret is written"),
            cohort: site.cohorts().remove(0),
            site,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self) -> String {
        self.site.node().url()
    }

    /// All phones make nights up to so many, and bring them to the chain.
    fn nights(&self, nights: u32) {
        let mut phones = self
            .cohort
            .device("simulate", self.folder.path())
            .expect("it is built");
        let count = std::env::var("MHEALTH_UPGRADE_PHONES");
        let count = count.map_or(PHONES, |count| count.parse().expect("a number of phones"));
        phones.arg(format!("--devices={count}"));
        phones.arg(format!("--nights={nights}"));
        succeeds(phones.output());
    }

    /// What `mhealth` answers to the member; the code of its error if it fails.
    fn mhealth(&self, arguments: &[&str]) -> Result<Value, String> {
        self.member.does(arguments).expect("it answers")
    }

    /// The consortium decides on these rules, and puts them in force.
    fn upgrade(&self, code: &Path) -> Result<Value, String> {
        let code = code.to_str().expect("its name is ASCII");
        let decided = self.mhealth(&["propose", "upgrade", code])?;
        assert_eq!(decided["carried_out"], json!(true), "{decided}");
        self.mhealth(&["upgrade", code])
    }

    /// Devices that each of the chain's studies may enrol.
    fn allowed(&self) -> [u64; 2] {
        ["0", "1"].map(|study| {
            let study = self.mhealth(&["study", "show", study]);
            let study = study.expect("it is there");
            let devices = study["allowance"]["devices"].as_u64();
            devices.expect("a number")
        })
    }

    /// The migration runs one block after the code.
    fn allows(&self, devices: [u64; 2]) {
        let deadline = Instant::now() + PATIENCE;
        while self.allowed() != devices {
            assert!(Instant::now() < deadline, "{devices:?} were never allowed");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    async fn rpc(&self) -> JsonRpc {
        JsonRpc::connect(&self.url()).await.expect("it answers")
    }

    async fn version(&self) -> u64 {
        let rpc = self.rpc().await;
        let version = rpc.request("state_getRuntimeVersion", &[]).await;
        let version: Value = version.expect("it answers");
        version["specVersion"].as_u64().expect("a number")
    }

    async fn version_is(&self, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.version().await != number {
            assert!(Instant::now() < deadline, "version {number} never came");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// The state of the last final block.
    async fn state(&self) -> Storage {
        let chain = ChainClient::connect(&self.url()).await.expect("it answers");
        let block = chain.finalised().await.expect("it answers").hash;
        snapshot(&self.rpc().await, json!(block)).await
    }

    /// These rules, which check what they do, can come into force in the state of the last final block, and within one block.
    async fn takes(&self, code: &Path) {
        let state = self.state().await;
        let bytes: usize = state.top.values().map(Vec::len).sum();
        let keys = state.top.len();
        let start = Instant::now();
        let [time, proof, most_time, most_proof] = rehearse(code, state).expect("it takes them");
        let took = start.elapsed();
        assert!(time <= most_time && proof <= most_proof, "{time} {proof}");
        let weighs = Duration::from_nanos(time / 1_000);
        eprintln!("keys={keys} bytes={bytes} weighs={weighs:?} checked_in={took:?}");
    }

    /// Every pallet's invariants hold in the state of the last final block.
    async fn state_holds(&self) {
        let storage = self.state().await;
        sp_io::TestExternalities::from(storage).execute_with(|| {
            Accountability::do_try_state().expect("accountability");
            Admission::do_try_state().expect("admission");
            ClientHashchain::do_try_state().expect("client-hashchain");
            Consortium::do_try_state().expect("consortium");
            Finality::do_try_state().expect("finality");
            Studies::do_try_state().expect("studies");
        });
    }

    /// Evidence of the study, in a file of this name.
    fn prove(&self, name: &str) -> PathBuf {
        let file = self.path(name);
        let mut auditor = Program::Auditor.command().expect("it is built");
        auditor.args(["prove", "--study=0", "--node", &self.url(), "--out"]);
        succeeds(auditor.arg(&file).output());
        file
    }

    /// What is said of evidence by somebody who has nothing but it and the genesis hash.
    async fn verify(&self, evidence: &Path) {
        let chain = ChainClient::connect(&self.url()).await.expect("it answers");
        let genesis = format!("{:#x}", chain.genesis_hash());
        let mut auditor = Program::Auditor.command().expect("it is built");
        auditor
            .arg("verify")
            .arg(evidence)
            .args(["--genesis", &genesis]);
        let said = succeeds(auditor.output());
        assert!(said.contains("verified=true"), "{said}");
    }

    /// The auditor finds this many entries, and every one of them right. It believes nobody, and names this many runtimes.
    async fn audit(&self, entries: u64, runtimes: usize) {
        let chain = ChainClient::connect(&self.url()).await.expect("it answers");
        let eve = Account::from_secret_uri(RELAYS[1]).expect("it is an account");
        let eve = Signer::now(&chain, SIGNED_STUDY, eve).await;
        let nothing = self.path("eve.ndjson");
        let export = eve.expect("the chain answers").export(&[]);
        std::fs::write(&nothing, export).expect("it is written");
        let options = audit::Options {
            genesis: Some(format!("{:#x}", chain.genesis_hash())),
            exports: vec![("eve".into(), nothing)],
            trust_node: false,
            ..self.site.audit()
        };
        let file = self.path("audit.json");
        let mut auditor = audit::command(&options, &file).expect("it is built");
        let said = succeeds(auditor.output());
        assert!(said.trim_end().ends_with("proved=true"), "{said}");
        let report = audit::read(&file).expect("it is a report");
        assert_eq!(report.alarms(), [""; 0]);
        assert_eq!(report.summary.registered, entries);
        let text = std::fs::read(&file).expect("it is there");
        let report: Value = serde_json::from_slice(&text).expect("it is JSON");
        let proved = &report["audit"]["standing"]["runtimes"];
        let versions: Vec<u64> = (0..runtimes)
            .filter_map(|place| proved[place]["spec_version"].as_u64())
            .collect();
        assert_eq!(versions.len(), runtimes, "{proved}");
        assert!(
            versions.is_sorted_by(|one, next| one + 1 == *next),
            "{proved}"
        );
    }

    /// Entries that the chain has.
    fn entries(&self) -> u64 {
        let status = self.mhealth(&["status"]).expect("it answers");
        status["entries"].as_u64().expect("a number")
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the runtimes of lab/upgrades: scripts/test upgrade"]
async fn a_trial_goes_on_over_an_upgrade_with_a_migration_and_over_the_way_back() {
    let built = |name| PathBuf::from(std::env::var_os(name).expect("scripts/test upgrade sets it"));
    // What runtimes say that end here.
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::ERROR);
    log.with_writer(std::io::stderr).init();
    let (next, back) = (built("MHEALTH_NEXT_RUNTIME"), built("MHEALTH_BACK_RUNTIME"));
    let checked = ["MHEALTH_NEXT_CHECKED", "MHEALTH_BACK_CHECKED"].map(built);
    let trial = Trial::begin().await;
    trial.nights(2);
    let (first, allowed) = (trial.version().await, trial.allowed());
    trial.state_holds().await;
    trial.takes(&checked[0]).await;
    // These begin with what the others leave.
    let early = rehearse(&checked[1], trial.state().await);
    let early = early.expect_err("nothing has led to them yet");
    assert!(early.contains("aborted"), "{early}");
    let before = trial.prove("before.evidence");

    // Phones go on sending while the rules change.
    std::thread::scope(|scope| {
        let phones = scope.spawn(|| trial.nights(6));
        let upgraded = trial.upgrade(&next);
        upgraded.expect("it is in force");
        phones.join().expect("the phones are content");
    });
    trial.version_is(first + 1).await;
    trial.allows(allowed.map(|devices| 2 * devices));
    trial.nights(8);
    trial.state_holds().await;
    trial.verify(&before).await;
    let between = trial.prove("between.evidence");
    trial.audit(trial.entries(), 2).await;

    // The same code again is no upgrade, and neither is older code.
    let again = trial.upgrade(&next).expect_err("it is not higher");
    assert_eq!(again, "upgrade_rejected");
    assert_eq!(trial.version().await, first + 1);

    trial.takes(&checked[1]).await;
    trial.upgrade(&back).expect("it is in force");
    trial.version_is(first + 2).await;
    trial.allows(allowed);
    trial.nights(9);
    trial.state_holds().await;
    for evidence in [before, between, trial.prove("after.evidence")] {
        trial.verify(&evidence).await;
    }
    trial.audit(trial.entries(), 3).await;
}

/// What rules do to a state when they come into force: their migration finds what it expects and leaves what it must, all of the state
/// can be read, and every pallet's invariants hold. Returns the time and the bytes of proof that this weighs, and those of a block. What
/// does not hold ends the runtime; why, it logs.
fn rehearse(code: &Path, state: Storage) -> Result<[u64; 4], String> {
    /// `UpgradeCheckSelect::All`
    const EVERYTHING: [u8; 1] = [1];
    let code = std::fs::read(code).expect("it is built");
    let hash = sp_io::hashing::blake2_256(&code).to_vec();
    let fetcher = WrappedRuntimeCode(code.into());
    let code = RuntimeCode {
        code_fetcher: &fetcher,
        heap_pages: None,
        hash,
    };
    let executor = WasmExecutor::<HostFunctions>::builder().build();
    let mut state = sp_io::TestExternalities::from(state);
    let (said, _) = executor.call(
        &mut state.ext(),
        &code,
        "TryRuntime_on_runtime_upgrade",
        &EVERYTHING,
        CallContext::Offchain,
    );
    let said = said.map_err(|error| error.to_string())?;
    let weights = <[Compact<u64>; 4]>::decode_all(&mut &said[..]);
    Ok(weights.expect("two weights").map(|part| part.0))
}

/// A block's whole state.
async fn snapshot(rpc: &JsonRpc, block: Value) -> Storage {
    let mut storage = Storage::default();
    let mut last = Value::Null;
    loop {
        let params = [json!("0x"), json!(PAGE), last, block.clone()];
        let keys = rpc.request("state_getKeysPaged", &params).await;
        let keys: Vec<String> = keys.expect("it answers");
        for key in &keys {
            let asked = [json!(key), block.clone()];
            let value = rpc.request("state_getStorage", &asked).await;
            let value: String = value.expect("it has this key");
            storage.top.insert(bytes(key), bytes(&value));
        }
        if keys.len() < PAGE {
            return storage;
        }
        last = json!(keys.last());
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    hex::decode(&digits[2..]).expect("hexadecimal")
}

fn succeeds(output: std::io::Result<Output>) -> String {
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{log}");
    said
}
