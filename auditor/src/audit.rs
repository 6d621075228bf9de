// SPDX-License-Identifier: Apache-2.0

//! A whole audit: gathers chain and exports, then judges one device after the other.

use std::collections::HashMap;
use std::path::PathBuf;

use hashchain::{DeviceId, OpeningKey, StudyId};
use mhealth_api::{ErasureOrder, Key, Policy};
use mhealth_chain_client::{open_private, ChainClient};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::case::{
    BroughtRun, Case, Conflict, DeviceRecord, Erased, ErasureReceipt, RelayStore, SecretAccess,
};
use crate::chain::{self, Basis, ChainStudy, Progress};
use crate::error::AuditError;
use crate::export::{Holder, Limits, Reading, Source};
use crate::intake;
use crate::judge::{judge, Judgement, ON_ITS_WAY};
use crate::participants::ParticipantList;
use crate::scratch::Scratch;

/// What an audit is given besides the chain.
#[derive(Debug, Default)]
pub struct Options {
    /// The relays' exports, and what stopped phones still hold.
    pub exports: Vec<NamedExport>,
    /// The keys of the study's auditor, each of another epoch.
    pub auditors: Vec<OpeningKey>,
    /// Participants' keys, by device.
    pub participants: HashMap<DeviceId, OpeningKey>,
    /// The public halves that devices should seal to, as the holder of the participants' keys lists them.
    pub listed: Option<ParticipantList>,
    /// What the study has on file of erasures.
    pub erasures: Vec<Erasure>,
    /// The study's rule of retention: for how many days relays keep the data of an entry that is registered. For ever if it is
    /// not said.
    pub retention_days: Option<u32>,
    /// For how many blocks a run may be on its way to the chain; [`ON_ITS_WAY`] if it is not said.
    pub patience: Option<u64>,
    /// Whether each signature is checked by itself, also where a later one covers its run.
    pub every_signature: bool,
    /// How much is read of an export.
    pub limits: Limits,
    /// What is known of the chain.
    pub basis: Basis,
    /// Where to keep what was read, so that an audit that was cut short goes on from there.
    pub kept: Option<PathBuf>,
}

/// A relay's export, or what a phone still holds, and whose it is.
#[derive(Clone, Debug)]
pub struct NamedExport {
    /// What the report calls it.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Who shows it.
    pub holder: Holder,
}

/// What the study has on file of an erasure. It erases nothing in an audit: the receipt on the chain does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The device whose envelopes were sealed to the key.
    pub device: DeviceId,
    /// When the key was destroyed, as the study wrote it down.
    pub erased_at: String,
    /// By whom and on what request.
    pub record: String,
    /// The order that the holder of the participants' keys signed, whose digest is the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<ErasureOrder>,
}

impl Erasure {
    /// Whether this is what a receipt stands for: the holder signed it, over this device and this record.
    fn is_behind(&self, receipt: &ErasureReceipt) -> bool {
        self.order.as_ref().is_some_and(|order| {
            order.receipt() == receipt.receipt
                && order.is_signed()
                && order.devices.contains(&self.device)
                && order.record == ErasureOrder::record_of(&self.record)
        })
    }
}

/// The erasure of a device's data: what stands on the chain, and what the study has on file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasedDevice {
    /// The receipt on the chain. Without it nothing counts as erased.
    pub receipt: Option<ErasureReceipt>,
    /// What the study has on file, if that is what the receipt stands for, or there is no receipt.
    pub record: Option<Erasure>,
}

/// An export, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    /// What it is called.
    pub name: String,
    /// Who shows it.
    pub holder: Holder,
    /// The present account of the relay that signed all of it. Without it nobody is charged with what it shows.
    pub account: Option<Key>,
    /// Whether the chain knows that account as a relay of the study.
    pub known: bool,
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
    /// The study's relays: those that the chain names, and those that brought runs of it, by their present accounts.
    pub relays: Vec<[u8; 32]>,
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
            Some(path) => {
                // It has what relays show, whoever may read the folder.
                open_private(path)?;
                Scratch::kept(path)?
            }
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
        for auditor in &options.auditors {
            let key = auditor.sealing_key().0;
            let former = &study.study.former_auditor_keys;
            if key != study.study.auditor_key && !former.contains(&key) {
                return Err(AuditError::WrongAuditorKey {
                    expected: Key(study.study.auditor_key),
                    given: Key(key),
                });
            }
        }
        scratch.forget_held()?;
        let (mut study, mut read, mut ahead) = (study, Vec::new(), None);
        for index in 0..options.exports.len() {
            let taken = intake::take_in(&study, &options, &scratch, index, progress).await?;
            ahead = ahead.max(intake::is_ahead(&study, &scratch, index, &taken)?);
            read.push(taken);
        }
        // The study went on meanwhile. So the audit is about a block that the exports have not passed.
        if let Some(block) = ahead {
            chain::wait_for(client, block).await?;
            let number = study.number;
            study = chain::read(client, number, &options.basis, &scratch, progress).await?;
        }
        let relays = intake::relays(&study, &scratch)?;
        let mut stores = Vec::new();
        for ((index, export), taken) in options.exports.iter().enumerate().zip(read) {
            let reading = intake::settle(client, &study, &options, &scratch, index, taken).await?;
            let account = intake::account(&study, &scratch, index, &reading)?;
            stores.push(StoreReport {
                name: export.name.clone(),
                holder: export.holder,
                account: account.map(Key),
                known: account.is_some_and(|account| relays.contains(&account)),
                reading,
            });
        }
        Ok(Audit {
            study,
            stores,
            relays,
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
        let mut judged = 0;
        let mut left = &self.study.devices[..];
        while !left.is_empty() {
            let (some, others) = left.split_at(self.at_once(left)?);
            left = others;
            let ids: Vec<DeviceId> = some.iter().map(|record| record.device).collect();
            let rotations = &self.study.rotations;
            let conflicts = self.study.state.conflicts(&ids, rotations).await?;
            let cases = some.iter().zip(conflicts);
            let cases = cases.map(|(record, conflicts)| self.case(record, conflicts));
            let cases: Vec<Case> = cases.collect::<Result<_, AuditError>>()?;
            let judgements: Vec<Judgement> = cases.par_iter().map(judge).collect();
            for (record, judgement) in some.iter().zip(judgements) {
                judged += 1;
                self.hand_over(record, judgement, sink)?;
                progress(Progress::Judged(judged, devices));
            }
        }
        Ok(())
    }

    /// How many of these devices are judged at once, on all processors: not so many that their entries fill the memory. Each entry
    /// counts where it is registered, and in every block and every export that has it.
    fn at_once(&self, devices: &[DeviceRecord]) -> Result<usize, AuditError> {
        const DEVICES: usize = 64;
        const ENTRIES: u64 = 262_144;
        let mut entries: u64 = 0;
        let mut fit = 0;
        for record in devices.iter().take(DEVICES) {
            let shown = self.scratch.entries_shown(record.device)?;
            entries = entries.saturating_add(record.length.saturating_add(shown));
            if entries > ENTRIES {
                break;
            }
            fit += 1;
        }
        Ok(fit.max(1))
    }

    /// The public halves that devices should seal to, if they were given.
    pub fn listed(&self) -> Option<&ParticipantList> {
        self.options.listed.as_ref()
    }

    fn hand_over<E: From<AuditError>>(
        &self,
        record: &DeviceRecord,
        judgement: Judgement,
        sink: &mut dyn FnMut(Judged<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut block_times = HashMap::new();
        let named = judgement.entries.iter().filter_map(|entry| entry.block);
        // Nothing of a device is older than its enrolment, as its phone tells it.
        for block in named.chain([record.enrolled_at]) {
            if let std::collections::hash_map::Entry::Vacant(vacant) = block_times.entry(block) {
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
        })
    }

    /// The study's relays of which no export was given that they signed.
    pub fn unread(&self) -> Vec<Key> {
        let signed: Vec<Option<Key>> = self.stores.iter().map(|store| store.account).collect();
        let relays = self.relays.iter().map(|account| Key(*account));
        relays
            .filter(|account| !signed.contains(&Some(*account)))
            .collect()
    }

    fn erasure(&self, device: DeviceId) -> Option<ErasedDevice> {
        let receipt = self.study.erasures.get(&device).copied();
        let mut on_file = self.options.erasures.iter();
        let record = on_file.find(|erasure| {
            let is_it = receipt.is_none_or(|receipt| erasure.is_behind(&receipt));
            erasure.device == device && is_it
        });
        (receipt.is_some() || record.is_some()).then(|| ErasedDevice {
            receipt,
            record: record.cloned(),
        })
    }

    /// What may be gone of a device.
    fn erased(&self, device: DeviceId, brought: &[BroughtRun]) -> Result<Erased, AuditError> {
        let erasure = self.erasure(device);
        let receipt = erasure.as_ref().and_then(|erasure| erasure.receipt);
        Ok(Erased {
            receipt: receipt.map(|receipt| receipt.block),
            only_on_file: erasure.is_some() && receipt.is_none(),
            unordered: receipt
                .filter(|_| erasure.is_some_and(|erasure| erasure.record.is_none()))
                .map(|receipt| receipt.submitter),
            expired: self.expired(brought)?,
        })
    }

    /// The last block with a run of a device from which on the study's rule of retention has passed.
    fn expired(&self, brought: &[BroughtRun]) -> Result<Option<u64>, AuditError> {
        const DAY: u64 = 86_400;
        let age = self
            .options
            .retention_days
            .map(|days| u64::from(days) * DAY);
        let Some(latest) = self
            .study
            .time
            .zip(age)
            .map(|(now, age)| now.saturating_sub(age))
        else {
            return Ok(None);
        };
        for block in brought.iter().rev().map(|run| run.block) {
            let time = self.scratch.block_time(block)?;
            if time.is_some_and(|time| time <= latest) {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// The runs of a device in blocks, up to the block of the audit: an earlier audit may have read further.
    fn brought(&self, device: DeviceId) -> Result<Vec<BroughtRun>, AuditError> {
        let mut brought = self.scratch.brought(device)?;
        brought.retain(|run| run.block <= self.study.block.number);
        Ok(brought)
    }

    fn secret(&self, record: &DeviceRecord) -> SecretAccess {
        // The chain enrols no device of an epoch that was not reached; then the present key does not open its escrow either.
        let of_epoch = self.study.study.auditor_key_of(record.auditor_epoch);
        let of_epoch = of_epoch.unwrap_or(self.study.study.auditor_key);
        SecretAccess::open(&self.options.auditors, &of_epoch, record)
    }

    fn case(
        &self,
        record: &DeviceRecord,
        (conflicts, conflicts_not_stored): (Vec<Conflict>, u32),
    ) -> Result<Case, AuditError> {
        let device = record.device;
        let mut stores = Vec::new();
        for (index, store) in self.stores.iter().enumerate() {
            stores.push(RelayStore {
                name: store.name.clone(),
                holder: store.holder,
                account: store.account.map(|account| account.0),
                complete: store.reading.is_complete(),
                block: store.reading.block.map(|block| block.number),
                runs: self.scratch.held(device, index)?,
            });
        }
        let brought = self.brought(device)?;
        Ok(Case {
            erased: self.erased(device, &brought)?,
            chain: self.study.genesis,
            device_signed: self.study.study.policy == Policy::DeviceSigned,
            record: record.clone(),
            registered: self.scratch.registered(device)?,
            brought,
            blocks_complete: self.study.blocks_complete,
            conflicts,
            conflicts_not_stored,
            relays: self.relays.clone(),
            appointed: self.study.relays.clone(),
            stores,
            secret: self.secret(record),
            participant_key_fits: self
                .options
                .listed
                .as_ref()
                .map(|list| list.fits(device, &record.participant)),
            block: self.study.block.number,
            patience: self.options.patience.unwrap_or(ON_ITS_WAY),
            every_signature: self.options.every_signature,
        })
    }
}

/// A judged device, on its way to the reports.
pub struct Judged<'a> {
    /// What the chain has about it.
    pub record: &'a DeviceRecord,
    /// What the audit says.
    pub judgement: Judgement,
    /// The erasure of its data.
    pub erasure: Option<ErasedDevice>,
    /// When the blocks that the judgement names were made, and the one that enrolled the device, in seconds since 1970.
    pub block_times: HashMap<u64, Option<u64>>,
}
