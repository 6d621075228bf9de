// SPDX-License-Identifier: Apache-2.0

//! Exports as relays make them: lines, and the account's signature under them.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{bail, Context, Result};
use hashchain::encoding::Sha256;
use hashchain::{Native, StudyId};
use mhealth_api::{
    BlockRef, ClosingLine, ExportClosing, ExportLine, ExportedRun, Hash, Key, SignatureBytes,
};
use mhealth_chain_client::{Account, ChainClient, Error};

use crate::http;

/// Saves a relay's whole export in a file, as an auditor does.
pub async fn save(relay: &str, credential: &str, study: StudyId, file: &Path) -> Result<()> {
    let mut file = File::create(file)?;
    let mut after = 0;
    loop {
        let url = format!("{relay}/v1/export?study={study}&after={after}");
        let (status, answer) = http::get_bytes_as(&url, Some(credential)).await?;
        if status != 200 {
            bail!("the relay answers {status}");
        }
        file.write_all(&answer)?;
        let last = answer
            .split(|byte| *byte == b'\n')
            .rfind(|line| !line.is_empty());
        let closing: ClosingLine = serde_json::from_slice(last.context("an empty answer")?)?;
        if !closing.closing.more {
            return Ok(());
        }
        after = closing.closing.reached;
    }
}

/// What a relay answers for beside its lines.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The relay's account.
    pub account: Account,
    /// Hash of the chain's genesis block.
    pub chain: Hash,
    /// The study.
    pub study: StudyId,
    /// The finalised block that it has seen.
    pub block: BlockRef,
}

impl Signer {
    /// A relay that has seen the latest finalised block.
    pub async fn now(chain: &ChainClient, study: StudyId, account: Account) -> Result<Self, Error> {
        let block = chain.finalised().await?;
        Ok(Signer {
            account,
            chain: Hash(chain.genesis_hash().0),
            study,
            block: BlockRef {
                number: block.number,
                hash: Hash(block.hash.0),
            },
        })
    }

    /// A whole export: one answer that shows all runs.
    pub fn export(&self, runs: &[ExportedRun]) -> String {
        self.answer(0, runs, false)
    }

    /// An answer of runs after a cursor.
    pub fn answer(&self, after: u64, runs: &[ExportedRun], more: bool) -> String {
        let lines = lines(runs);
        let reached = runs.last().map_or(after, |run| run.cursor);
        let closing = self.closing(&lines, after, reached, more);
        lines + &closing_line(closing)
    }

    /// What the account signs of these lines.
    pub fn closing(&self, lines: &str, after: u64, reached: u64, more: bool) -> ExportClosing {
        let mut closing = ExportClosing {
            account: Key(self.account.public_key()),
            chain: self.chain,
            study: self.study,
            after,
            reached,
            more,
            block: self.block,
            lines: Hash(Native::sha256(lines.as_bytes())),
            signature: SignatureBytes([0; 64]),
        };
        self.sign(&mut closing);
        closing
    }

    /// Signs a closing, whatever it says.
    pub fn sign(&self, closing: &mut ExportClosing) {
        let signature = self.account.sign_statement(&closing.statement());
        closing.signature = SignatureBytes(signature);
    }
}

/// Runs as lines.
pub fn lines(runs: &[ExportedRun]) -> String {
    let lines = runs
        .iter()
        .map(|run| line(&ExportLine::Run(Box::new(run.clone()))));
    lines.collect()
}

/// A closing as a line.
pub fn closing_line(closing: ExportClosing) -> String {
    line(&ExportLine::Closing(ClosingLine { closing }))
}

fn line(line: &ExportLine) -> String {
    serde_json::to_string(line).expect("it has no map with odd keys; qed") + "\n"
}
