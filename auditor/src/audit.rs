// SPDX-License-Identifier: Apache-2.0

//! A whole audit: gathers chain and exports, then judges one device after the other.

use std::collections::HashMap;
use std::path::PathBuf;

use hashchain::{DeviceId, OpeningKey, StudyId};
use mhealth_api::{ExportedRun, Key, Policy};
use mhealth_chain_client::ChainClient;
use serde::{Deserialize, Serialize};

use crate::case::{BroughtRun, Case, DeviceRecord, HeldRun, RelayStore, SecretAccess};
use crate::chain::{self, Basis, ChainStudy, Progress};
use crate::error::AuditError;
use crate::export::{self, ExportFault, Reading, Source};
use crate::judge::{judge, Judgement};
use crate::scratch::Scratch;

/// What an audit is given besides the chain.
#[derive(Debug, Default)]
pub struct Options {
    /// The relays' exports.
    pub exports: Vec<NamedExport>,
    /// The study's auditor key.
    pub auditor: Option<OpeningKey>,
    /// Participants' keys, by device.
    pub participants: HashMap<DeviceId, OpeningKey>,
    /// Records of destroyed participants' keys.
    pub erasures: Vec<Erasure>,
    /// What is known of the chain.
    pub basis: Basis,
    /// Where to keep what was read, so that an audit that was cut short goes on from there.
    pub kept: Option<PathBuf>,
}

/// A relay's export, and whose it is.
#[derive(Clone, Debug)]
pub struct NamedExport {
    /// What the report calls it.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// The relay's account. Without it, it is taken from the extrinsics that the relay's receipts name.
    pub account: Option<[u8; 32]>,
}

/// The record that a participant's key was destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The device whose envelopes were sealed to the key.
    pub device: DeviceId,
    /// When the key was destroyed, as the study wrote it down.
    pub erased_at: String,
    /// By whom and on what request.
    pub record: String,
}

/// An export, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    /// What it is called.
    pub name: String,
    /// The relay's account on chain.
    pub account: Option<Key>,
    /// How reading it went.
    #[serde(flatten)]
    pub reading: Reading,
}

/// Everything that was gathered.
pub struct Audit {
    /// The study, at the block of the audit.
    pub study: ChainStudy,
    /// The exports.
    pub stores: Vec<StoreReport>,
    options: Options,
    scratch: Scratch,
}

impl Audit {
    /// Reads chain and exports.
    pub async fn gather(
        client: &ChainClient,
        study: StudyId,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, AuditError> {
        let scratch = match &options.kept {
            Some(path) => Scratch::kept(path)?,
            None => Scratch::temporary()?,
        };
        let mut whose = format!("{} study {study}", hex::encode(client.genesis_hash().0));
        for checkpoint in &options.basis.checkpoints {
            whose += &format!(" from {checkpoint}");
        }
        match scratch.fact("audit")? {
            Some(found) if found != whose => return Err(AuditError::ForeignFile),
            _ => scratch.remember("audit", &whose)?,
        }
        let study = chain::read(client, study, &options.basis, &scratch, progress).await?;
        if let Some(auditor) = &options.auditor {
            if auditor.sealing_key().0 != study.study.auditor_key {
                return Err(AuditError::WrongAuditorKey {
                    expected: Key(study.study.auditor_key),
                    given: Key(auditor.sealing_key().0),
                });
            }
        }
        scratch.forget_held()?;
        let mut stores = Vec::new();
        for (index, export) in options.exports.iter().enumerate() {
            let reading = take_in(&study, &options, &scratch, index, progress).await?;
            let account = match export.account {
                Some(account) => Some(study.rotations.present(account)),
                None => scratch.account_of(index)?,
            };
            stores.push(StoreReport {
                name: export.name.clone(),
                account: account.map(Key),
                reading,
            });
        }
        Ok(Audit {
            study,
            stores,
            options,
            scratch,
        })
    }

    /// Judges every device, in order of their numbers, and hands each over with the times of the blocks that it names.
    pub async fn judge_each<E: From<AuditError>>(
        &self,
        progress: &mut dyn FnMut(Progress),
        sink: &mut dyn FnMut(Judged<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let devices = self.study.devices.len() as u64;
        for (record, number) in self.study.devices.iter().zip(1..) {
            let case = self.case(record).await?;
            let judgement = judge(&case);
            let mut block_times = HashMap::new();
            for block in judgement.entries.iter().filter_map(|entry| entry.block) {
                if let std::collections::hash_map::Entry::Vacant(vacant) = block_times.entry(block)
                {
                    let time = self.scratch.block_time(block).map_err(AuditError::from)?;
                    vacant.insert(time);
                }
            }
            let erasure = self.erasure(record.device);
            sink(Judged {
                record,
                judgement,
                erasure,
                block_times,
            })?;
            progress(Progress::Judged(number, devices));
        }
        Ok(())
    }

    fn erasure(&self, device: DeviceId) -> Option<&Erasure> {
        self.options
            .erasures
            .iter()
            .find(|erasure| erasure.device == device)
    }

    /// The runs of a device in blocks, up to the block of the audit: an earlier audit may have read further.
    fn brought(&self, device: DeviceId) -> Result<Vec<BroughtRun>, AuditError> {
        let mut brought = self.scratch.brought(device)?;
        brought.retain(|run| run.block <= self.study.block.number);
        Ok(brought)
    }

    async fn case(&self, record: &DeviceRecord) -> Result<Case, AuditError> {
        let device = record.device;
        let mut stores = Vec::new();
        for (index, store) in self.stores.iter().enumerate() {
            stores.push(RelayStore {
                name: store.name.clone(),
                account: store.account.map(|account| account.0),
                complete: store.reading.is_complete(),
                runs: self.scratch.held(device, index)?,
            });
        }
        let study = &self.study;
        let (conflicts, conflicts_not_stored) =
            study.state.conflicts(device, &study.rotations).await?;
        Ok(Case {
            chain: self.study.genesis,
            device_signed: self.study.study.policy == Policy::DeviceSigned,
            record: record.clone(),
            registered: self.scratch.registered(device)?,
            brought: self.brought(device)?,
            blocks_complete: self.study.blocks_complete,
            conflicts,
            conflicts_not_stored,
            stores,
            secret: SecretAccess::open(self.options.auditor.as_ref(), record),
            erased: self.erasure(device).is_some(),
            now: self.study.time,
        })
    }
}

/// A judged device, on its way to the reports.
pub struct Judged<'a> {
    /// What the chain has about it.
    pub record: &'a DeviceRecord,
    /// What the audit says.
    pub judgement: Judgement,
    /// The record of the participant's erasure.
    pub erasure: Option<&'a Erasure>,
    /// When the blocks that the judgement names were made, in seconds since 1970.
    pub block_times: HashMap<u64, Option<u64>>,
}

async fn take_in(
    study: &ChainStudy,
    options: &Options,
    scratch: &Scratch,
    index: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Reading, AuditError> {
    let source = &options.exports[index].source;
    let mut take = |line: u64, run: ExportedRun, reading: &mut Reading| -> Result<(), AuditError> {
        let device = run.status.device;
        let position = chain::position(&study.devices, device);
        let record = position.map(|position| &study.devices[position]);
        let Some(record) = record.filter(|record| record.study == run.study) else {
            reading.fault(ExportFault::ForeignDevice { line, device });
            return Ok(());
        };
        // No database and no device gets this far; see docs/protocol/hashchain.md, section 8.
        let last = run.status.sequence.checked_add(run.entries.len() as u64);
        if last.is_none_or(|last| last > hashchain::MAX_INDEX)
            || run.received_at > hashchain::MAX_INDEX
        {
            reading.fault(ExportFault::Unreadable {
                line,
                why: "a number is larger than any that occurs".into(),
            });
            return Ok(());
        }
        let held = HeldRun::from_export(&run, &record.key, options.participants.get(&device));
        let block = run
            .status
            .block
            .filter(|block| block.number <= hashchain::MAX_INDEX);
        let place = block.zip(run.status.extrinsic_index);
        let place = place.map(|(block, extrinsic)| (block.number, extrinsic));
        scratch.add_held(index, line, &held, place)?;
        progress(Progress::Runs(reading.runs));
        Ok(())
    };
    scratch.begin()?;
    let reading = export::read(source, study.number, &mut take).await;
    scratch.end()?;
    reading
}
