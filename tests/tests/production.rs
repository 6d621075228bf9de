// SPDX-License-Identifier: Apache-2.0

//! A chain with keys of one's own, by the steps of `docs/operating/running-a-node.md`.

use std::fs;
use std::path::{Path, PathBuf};

use hashchain::StudyId;
use mhealth_chain_client::{Account, ChainClient, ChainType};
use mhealth_testing::node::{subcommand, Launch};
use serde_json::{json, Value};
use tempfile::TempDir;

/// A key as `key generate` prints it.
struct Key {
    phrase: String,
    address: String,
}

impl Key {
    fn generate(scheme: &str) -> Self {
        let command = format!("key generate --scheme {scheme} --output-type json");
        let printed = subcommand(command.split(' ')).expect("a key");
        let key: Value = serde_json::from_str(&printed).expect("JSON");
        let text = |name: &str| key[name].as_str().expect(name).to_string();
        Key {
            phrase: text("secretPhrase"),
            address: text("ss58PublicKey"),
        }
    }
}

/// The folder of an organisation that is the only validator and member of its chain.
struct Organisation {
    folder: TempDir,
    account: Key,
    voter: Key,
}

impl Organisation {
    fn new() -> Self {
        Organisation {
            folder: tempfile::tempdir().expect("a temporary folder"),
            account: Key::generate("sr25519"),
            voter: Key::generate("ed25519"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn base(&self) -> PathBuf {
        self.path("base")
    }

    /// The preset `local` as a live chain of another name.
    fn specification(&self) -> Value {
        let file = self.path("live.json");
        export(&["--chain=local"], &file).expect("exported");
        let text = fs::read_to_string(file).expect("read");
        let mut specification: Value = serde_json::from_str(&text).expect("JSON");
        specification["name"] = json!("Sleep Consortium");
        specification["id"] = json!("sleep_consortium");
        specification["chainType"] = json!("Live");
        specification
    }

    /// Puts the organisation's keys where the well-known ones are.
    fn take_over(&self, specification: &mut Value) {
        let genesis = &mut specification["genesis"]["runtimeGenesis"]["patch"];
        let (account, voter) = (&self.account.address, &self.voter.address);
        let keys = json!({ "aura": account, "grandpa": voter });
        genesis["session"]["keys"] = json!([[account, account, keys]]);
        genesis["members"]["members"] = json!([account]);
        genesis["studies"]["studies"] = json!([{
            "title": "The consortium's first study",
            "sponsor": account,
            "policy": "DeviceSigned",
            "auditorKey": format!("0x{}", hex::encode([0x41; 32])),
            "authenticationServers": [account],
            "relays": [],
        }]);
    }

    /// Writes the specification and makes its raw form of it.
    fn raw(&self, specification: &Value) -> Result<PathBuf, String> {
        let (words, raw) = (self.path("live.json"), self.path("live-raw.json"));
        fs::write(&words, specification.to_string()).expect("written");
        let chain = format!("--chain={}", words.display());
        export(&[&chain, "--raw"], &raw)?;
        Ok(raw)
    }

    fn key_command(&self, chain: &Path, command: &[&str]) {
        let chain = format!("--chain={}", chain.display());
        let base = format!("--base-path={}", self.base().display());
        let arguments = ["key"].iter().chain(command).copied();
        subcommand(arguments.chain([&*chain, &*base])).expect("done");
    }

    fn insert(&self, chain: &Path, key_type: &str, scheme: &str, key: &Key) {
        let file = self.path(&format!("{key_type}.secret"));
        fs::write(&file, format!("{}\n", key.phrase)).expect("written");
        let secret = file.to_str().expect("its name is ASCII");
        let options = ["--key-type", key_type, "--scheme", scheme, "--suri", secret];
        self.key_command(chain, &[&["insert"][..], &options].concat());
    }
}

fn export(options: &[&str], file: &Path) -> Result<(), String> {
    let output = format!("--output={}", file.display());
    let arguments = ["export-chain-spec"].iter().chain(options).copied();
    let exported = subcommand(arguments.chain([&*output]));
    exported.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_chain_with_keys_of_ones_own_makes_and_finalises_blocks() {
    let organisation = Organisation::new();
    let mut specification = organisation.specification();
    let refusal = organisation.raw(&specification);
    let refusal = refusal.expect_err("everybody knows its keys");
    assert!(refusal.contains("well-known development keys"), "{refusal}");

    organisation.take_over(&mut specification);
    let refusal = organisation.raw(&specification);
    let refusal = refusal.expect_err("nobody can veto in time");
    assert!(refusal.contains("retirementDelay"), "{refusal}");
    specification["genesis"]["runtimeGenesis"]["patch"]["clientHashchain"]["retirementDelay"] =
        json!(43_200);
    let chain = organisation.raw(&specification).expect("its own keys");
    let validator = Launch::bare()
        .arg(format!("--chain={}", chain.display()))
        .arg("--validator")
        .base_path(organisation.base());
    let Err(refusal) = validator.clone().start() else {
        panic!("a validator started without a network key");
    };
    let refusal = refusal.to_string();
    assert!(refusal.contains("generate-node-key"), "{refusal}");

    organisation.key_command(&chain, &["generate-node-key"]);
    organisation.insert(&chain, "aura", "sr25519", &organisation.account);
    organisation.insert(&chain, "gran", "ed25519", &organisation.voter);
    let node = validator.start().expect("the node starts");
    let client = ChainClient::connect(&node.url()).await.expect("it answers");
    assert_eq!(client.chain_type().await, Ok(ChainType::Live));

    let block = client.follow_from(3).next().await.expect("it is finalised");
    assert_eq!(block.number, 3);
    let account = Account::from_secret_uri(&organisation.account.phrase).expect("a phrase");
    let study = client
        .study(StudyId(0))
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(study.sponsor, account.id());
    assert!(client.has_role(&account.id()).await.expect("read"));
}
