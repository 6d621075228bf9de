// SPDX-License-Identifier: Apache-2.0

//! A trial on a real chain: phones with real escrows, an authentication server, and a relay that keeps what it brings.
#![allow(dead_code)] // Each test uses a part of it.

use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use hashchain::{
    data_digest, sign_head, DeviceId, Native, RatchetKey, Run, RunEntry, Sealer, Secret, StudyId,
};
use mhealth_api::{
    run_id, Base64, ExportedEntry, ExportedRun, RunState, RunStatus, SignatureBytes,
};
use mhealth_chain_client::{calls, Account, ChainClient, ChainEvent, Submitter};
use mhealth_testing::enrolment::{self, development_auditor_digits};
use mhealth_testing::node::{Launch, Node};
use rand::rngs::StdRng;
use rand::SeedableRng;
use tempfile::TempDir;

pub(crate) struct Trial {
    pub(crate) node: Node,
    pub(crate) chain: ChainClient,
    pub(crate) directory: TempDir,
    pub(crate) office: Submitter,
    pub(crate) relay: Submitter,
    pub(crate) lines: Vec<ExportedRun>,
}

pub(crate) struct Phone {
    pub(crate) device: DeviceId,
    pub(crate) key: SigningKey,
    pub(crate) sealer: Sealer,
}

pub(crate) struct Parcel {
    pub(crate) run: Run,
    pub(crate) envelopes: Vec<Vec<u8>>,
}

impl Phone {
    pub(crate) fn copy(&self) -> Self {
        let key = self.sealer.key();
        Phone {
            device: self.device,
            key: self.key.clone(),
            sealer: Sealer::resume(
                self.sealer.head(),
                RatchetKey::restore(key.index(), key.expose()).unwrap(),
            ),
        }
    }

    pub(crate) fn record(&mut self, count: u8, data: &str) -> Parcel {
        let (previous, first_sequence) = (self.sealer.head(), self.sealer.sequence() + 1);
        let envelopes: Vec<Vec<u8>> = (0..count)
            .map(|index| [&[1u8][..], &[index; 32], data.as_bytes(), &[9; 32]].concat())
            .collect();
        let entries = envelopes.iter().map(|envelope| {
            let entry = self.sealer.append(&data_digest::<Native>(envelope));
            RunEntry::from(&entry)
        });
        let entries = entries.collect();
        Parcel {
            run: Run {
                device: self.device,
                first_sequence,
                previous,
                entries,
                signature: Some(sign_head(&self.key, &self.sealer.head())),
            },
            envelopes,
        }
    }
}

impl Parcel {
    /// What a relay that stored it exports.
    pub(crate) fn line(&self, cursor: u64, study: StudyId, state: RunState) -> ExportedRun {
        let run = &self.run;
        let head = run.last_link();
        ExportedRun {
            cursor,
            status: RunStatus {
                run: run_id(run.device, run.first_sequence, &run.previous, &head),
                device: run.device,
                sequence: run.first_sequence,
                entries: run.entries.len() as u32,
                head,
                state,
                block: None,
                extrinsic_index: None,
                reason: None,
            },
            study,
            previous: run.previous,
            entries: run
                .entries
                .iter()
                .zip(&self.envelopes)
                .map(|(entry, envelope)| ExportedEntry {
                    digest: entry.digest,
                    tag: entry.tag,
                    envelope: Base64(envelope.clone()),
                })
                .collect(),
            signature: run.signature.map(SignatureBytes),
            received_at: 1,
        }
    }
}

impl Trial {
    pub(crate) async fn begin(launch: Launch) -> Self {
        let node = launch.start().unwrap();
        let chain = ChainClient::connect(&node.url()).await.unwrap();
        let account = |name: &str| chain.submitter(Account::from_secret_uri(name).unwrap());
        Trial {
            office: account("//Charlie"),
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
        self.enrol_with(study, [seed; 32], predecessor).await
    }

    pub(crate) async fn enrol_with(
        &self,
        study: StudyId,
        seed: [u8; 32],
        predecessor: Option<DeviceId>,
    ) -> Phone {
        let key = SigningKey::from_bytes(&seed);
        let secret = Secret::from_bytes(&seed.map(|byte| byte ^ 0xff));
        let mut rng = StdRng::from_seed(seed);
        let call = enrolment::enrolment(study, &key, &secret, predecessor, &mut rng);
        let (device, genesis) = enrolment::enrol(&self.office, call).await.unwrap();
        Phone {
            device,
            key,
            sealer: Sealer::begin(genesis, &secret),
        }
    }

    /// The relay keeps a run and brings it to the chain.
    pub(crate) async fn bring(&mut self, study: StudyId, parcel: &Parcel) {
        let call = calls::submit_batch(vec![parcel.run.clone()]);
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
        self.lines.push(parcel.line(cursor, study, state));
    }

    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The development auditor's private key, as a file.
    pub(crate) fn auditor_key_file(&self) -> PathBuf {
        self.file("auditor.key", development_auditor_digits())
    }

    pub(crate) fn genesis(&self) -> String {
        format!("{:?}", self.chain.genesis_hash())
    }

    pub(crate) fn export(&self) -> PathBuf {
        let lines = self
            .lines
            .iter()
            .map(|line| serde_json::to_string(line).unwrap() + "\n");
        self.file("export.ndjson", lines.collect::<String>())
    }
}
