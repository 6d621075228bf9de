// SPDX-License-Identifier: Apache-2.0

//! The subcommands that look after a node's database, on the database of a node that has stopped.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mhealth_chain_client::{ChainClient, H256};
use mhealth_testing::node::{self, Launch};
use serde_json::Value;
use tempfile::TempDir;

/// The development chain in a folder of its own.
struct Database(TempDir);

/// A block by number and hash, as `chain-info` prints it.
type Block = (u64, H256);

impl Database {
    fn new() -> Self {
        Database(tempfile::tempdir().expect("a temporary folder"))
    }

    fn base(&self) -> PathBuf {
        self.0.path().join("base")
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("blocks.json")
    }

    /// Runs a node until this block is final, and returns its hash.
    async fn run_until(&self, launch: Launch, block: u64) -> Result<H256> {
        let mut node = launch.base_path(self.base()).start()?;
        let client = ChainClient::connect(&node.url()).await?;
        let block = client.follow_from(block).next().await?;
        node.stop()?;
        Ok(block.hash)
    }

    /// Goes on without votes until there is this block, which is not final then.
    fn run_without_votes_until(&self, block: u64) -> Result<()> {
        let launch = Launch::consensus().arg("--no-grandpa");
        let mut node = launch.base_path(self.base()).start()?;
        node.wait_for_log(&format!("Imported #{block} "))?;
        node.stop()
    }

    fn run(&self, subcommand: &str, arguments: &[&str]) -> Result<String> {
        let base = format!("--base-path={}", self.base().display());
        let arguments = [subcommand, "--dev", &base]
            .into_iter()
            .chain(arguments.iter().copied());
        node::subcommand(arguments)
    }

    fn blocks(&self, subcommand: &str, file: &Path) -> Result<String> {
        self.run(subcommand, &[file.to_str().expect("its name is ASCII")])
    }

    /// The best and the finalised block.
    fn info(&self) -> (Block, Block) {
        let printed = self.run("chain-info", &[]).expect("read");
        let info: Value = serde_json::from_str(&printed).expect("JSON");
        let block = |name: &str| {
            let number = info[format!("{name}_number")].as_u64().expect("a number");
            let hash = info[format!("{name}_hash")].clone();
            (number, serde_json::from_value(hash).expect("a hash"))
        };
        (block("best"), block("finalized"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_exported_taken_back_deleted_and_imported_again_block_for_block() {
    let chain = Database::new();
    let fourth = chain
        .run_until(Launch::consensus(), 4)
        .await
        .expect("a chain");
    let (_, finalised) = chain.info();
    let more = chain.run_without_votes_until(finalised.0 + 2);
    more.expect("it goes on");
    let (best, finalised) = chain.info();
    assert!(
        best.0 > finalised.0 && finalised.0 >= 4,
        "{best:?} {finalised:?}"
    );
    let hash = format!("{fourth:#x}");
    chain.run("check-block", &[&hash]).expect("it is sound");
    chain
        .blocks("export-blocks", &chain.file())
        .expect("exported");

    chain.run("revert", &["1"]).expect("reverted");
    assert_eq!(chain.info().0 .0, best.0 - 1);
    // What is final stays, whatever is asked.
    chain.run("revert", &["256"]).expect("reverted");
    assert_eq!(chain.info(), (finalised, finalised));
    chain
        .blocks("import-blocks", &chain.file())
        .expect("imported");
    assert_eq!(chain.info(), (best, finalised));

    chain.run("purge-chain", &["-y"]).expect("deleted");
    assert_eq!(chain.info().0 .0, 0);
    chain
        .blocks("import-blocks", &chain.file())
        .expect("imported");
    assert_eq!(chain.info().0, best);
    let again = chain.run_until(Launch::consensus(), best.0).await;
    assert_eq!(again.expect("it goes on"), best.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocks_of_a_sealed_chain_are_not_imported() {
    let chain = Database::new();
    let sealed = Launch::consensus().arg("--sealing=100");
    chain.run_until(sealed, 3).await.expect("a chain");
    let (best, finalised) = chain.info();
    assert_eq!(best, finalised);
    chain
        .blocks("export-blocks", &chain.file())
        .expect("exported");
    chain.run("revert", &["1"]).expect("nothing to revert");
    assert_eq!(chain.info().0, best);

    chain.run("purge-chain", &["-y"]).expect("deleted");
    let refusal = chain.blocks("import-blocks", &chain.file());
    let refusal = refusal.expect_err("they have no seal").to_string();
    assert!(refusal.contains("Stopping after #0 blocks"), "{refusal}");
    assert_eq!(chain.info().0 .0, 0);
}
