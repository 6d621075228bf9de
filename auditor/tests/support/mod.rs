// SPDX-License-Identifier: Apache-2.0

//! A trial on a real chain: phones with real escrows, an authentication server, and a relay that keeps what it brings.
#![allow(dead_code)] // Each test uses a part of it.

pub(crate) mod audits;

use std::io::Write;
use std::path::PathBuf;

use hashchain::{DeviceId, StudyId};
use mhealth_api::{ExportedRun, RunState, RunUpload};
use mhealth_chain_client::{calls, Account, ChainClient, ChainEvent, Submitter};
use mhealth_testing::enrolment::development_auditor_digits;
use mhealth_testing::export::Signer;
use mhealth_testing::node::{Launch, Node};
use mhealth_testing::phone::{enrol_after, exported, Phone};
use tempfile::TempDir;

/// File of the relay that has nothing.
const OTHER_EXPORT: &str = "eve.ndjson";

pub(crate) struct Trial {
    pub(crate) node: Node,
    pub(crate) chain: ChainClient,
    pub(crate) directory: TempDir,
    pub(crate) office: Submitter,
    pub(crate) sponsor: Submitter,
    pub(crate) relay: Submitter,
    pub(crate) lines: Vec<ExportedRun>,
}

impl Trial {
    pub(crate) async fn begin(launch: Launch) -> Self {
        let node = launch.start().unwrap();
        let chain = ChainClient::connect(&node.url()).await.unwrap();
        let account = |name: &str| chain.submitter(Account::from_secret_uri(name).unwrap());
        Trial {
            office: account("//Charlie"),
            sponsor: account("//Bob"),
            relay: account("//Dave"),
            node,
            chain,
            directory: TempDir::new().unwrap(),
            lines: Vec::new(),
        }
    }

    pub(crate) async fn enrol(
        &self,
        study: StudyId,
        seed: u8,
        predecessor: Option<DeviceId>,
    ) -> Phone {
        enrol_after(&self.office, study, &[seed; 32], predecessor)
            .await
            .unwrap()
    }

    /// The relay keeps a run and brings it to the chain.
    pub(crate) async fn bring(&mut self, study: StudyId, run: &RunUpload) {
        let call = calls::submit_batch(vec![run.run()]);
        let outcome = self.relay.submit_and_wait(call).await.unwrap();
        let refused = outcome
            .events
            .iter()
            .any(|event| matches!(event, ChainEvent::RunRefused { .. }));
        let state = match refused {
            true => RunState::Conflicting,
            false => RunState::Finalised,
        };
        let cursor = self.lines.len() as u64 + 1;
        self.lines.push(exported(run, cursor, study, state));
    }

    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        let mut file = mhealth_chain_client::create_private(&path).unwrap();
        file.write_all(text.as_ref()).unwrap();
        path
    }

    /// The development auditor's private key, as a file.
    pub(crate) fn auditor_key_file(&self) -> PathBuf {
        self.file("auditor.key", development_auditor_digits())
    }

    pub(crate) fn genesis(&self) -> String {
        format!("{:?}", self.chain.genesis_hash())
    }

    /// What the relay shows, signed by its account. The study's other relay has nothing, and signs that, too.
    pub(crate) async fn export(&self) -> PathBuf {
        let study = self.lines.first().map_or(StudyId(0), |line| line.study);
        let eve = self.signer("//Eve", study).await;
        self.file(OTHER_EXPORT, eve.export(&[]));
        let dave = self.signer("//Dave", study).await;
        self.file("export.ndjson", dave.export(&self.lines))
    }

    /// A relay's account, and what it has seen of the chain.
    pub(crate) async fn signer(&self, account: &str, study: StudyId) -> Signer {
        let account = Account::from_secret_uri(account).unwrap();
        Signer::now(&self.chain, study, account).await.unwrap()
    }

    /// The options that give an audit the other relay's export.
    pub(crate) fn other_export(&self) -> String {
        let file = self.directory.path().join(OTHER_EXPORT);
        format!("--export=eve={}", file.display())
    }
}
