// SPDX-License-Identifier: Apache-2.0

//! Reads the state of the block of the audit. Nothing is taken from the node but nodes of the state's trie, which lead from the root
//! that the block's header names to the values, or show that there are none.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt};
use hashchain::{DeviceId, StudyId};
use mhealth_api::{DeviceStatus, Hash, Key, Policy};
use mhealth_chain_client::{AccountId32, ChainClient, StudyView, H256};
use mhealth_evidence::{
    conflicts_key, device_key, erasure_receipt_key, head_page_key, journal_length_key,
    journal_page_key, last_runtime_upgrade_key, next_device_key, now_key, relays_prefix,
    rotations_prefix, study_key, Blobs, DeviceHead, DeviceRecord as Record, DeviceStatus as Status,
    NotProved, Rotated, State, StudyPolicy, StudyStatus, ENTRIES_PER_PAGE, HEADS_PER_PAGE,
};

use super::proof::{Target, Unproved};
use super::Progress;
use crate::case::{Conflict, DeviceRecord, ErasureReceipt, Predecessor, RegisteredEntry};
use crate::error::AuditError;
use crate::scratch::Scratch;

/// Storage keys a request.
const KEYS: usize = 512;
/// Requests at the same time.
const AT_ONCE: usize = 8;
/// Pages of the journal a request, about half a megabyte.
const JOURNAL_PAGES: u64 = 64;

/// The state of the block of the audit.
#[derive(Clone)]
pub(crate) struct ProvedState {
    client: ChainClient,
    block: H256,
    number: u32,
    root: [u8; 32],
}

impl ProvedState {
    pub(super) fn new(client: &ChainClient, target: &Target) -> Self {
        ProvedState {
            client: client.clone(),
            block: target.block.hash,
            number: target.header.number,
            root: target.header.state_root,
        }
    }

    /// What a reader makes of the state, once the nodes that lead to these keys are there.
    async fn read<T>(
        &self,
        what: &'static str,
        keys: &[Vec<u8>],
        reader: impl FnOnce(&State<'_>) -> Result<T, NotProved>,
    ) -> Result<T, AuditError> {
        let nodes = read_proof(&self.client, keys, self.block).await?;
        let read = reader(&State::new(self.root, &nodes));
        Ok(read.map_err(|_| self.unproved(what))?)
    }

    fn unproved(&self, what: &'static str) -> Unproved {
        Unproved::State {
            block: self.number.into(),
            what,
        }
    }

    /// The study; none when there is none of this number.
    pub(super) async fn study(&self, study: StudyId) -> Result<Option<StudyView>, AuditError> {
        let keys = [study_key(study)];
        let record = self
            .read("the study", &keys, |state| state.study(study))
            .await?;
        Ok(record.map(|record| StudyView {
            sponsor: AccountId32(record.sponsor),
            policy: match record.policy {
                StudyPolicy::DeviceSigned => Policy::DeviceSigned,
                StudyPolicy::HashchainOnly => Policy::HashchainOnly,
            },
            open: record.status == StudyStatus::Open,
            auditor_key: record.auditor_key,
            title: String::from_utf8_lossy(&record.title).into_owned(),
            former_auditor_keys: record.former_auditor_keys,
        }))
    }

    /// The accounts of the study's relays.
    pub(super) async fn relays(&self, study: StudyId) -> Result<Vec<[u8; 32]>, AuditError> {
        let keys = self.under(relays_prefix(study)).await?;
        self.read("the study's relays", &keys, |state| state.relays(study))
            .await
    }

    /// The accounts that servers of the study gave up, each with the one that took its place then.
    pub(super) async fn rotations(&self, study: StudyId) -> Result<Vec<Rotated>, AuditError> {
        let keys = self.under(rotations_prefix(study)).await?;
        self.read("the study's former accounts", &keys, |state| {
            state.rotations(study)
        })
        .await
    }

    /// The receipts of erasures of these devices. One that may still write has none.
    pub(super) async fn erasures(
        &self,
        devices: &[DeviceRecord],
    ) -> Result<HashMap<DeviceId, ErasureReceipt>, AuditError> {
        let asked = devices
            .iter()
            .filter(|it| it.status != DeviceStatus::Active);
        let asked: Vec<DeviceId> = asked.map(|it| it.device).collect();
        let mut erasures = HashMap::new();
        for some in asked.chunks(KEYS) {
            let keys: Vec<Vec<u8>> = some.iter().map(|it| erasure_receipt_key(*it)).collect();
            let receipts = self.read("receipts of erasures", &keys, |state| {
                let receipts = some.iter().map(|device| state.erasure(*device));
                receipts.collect::<Result<Vec<_>, _>>()
            });
            for (device, of) in some.iter().zip(receipts.await?) {
                let Some(of) = of else { continue };
                let receipt = ErasureReceipt {
                    receipt: Hash(of.receipt),
                    submitter: Key(of.submitter),
                    block: u64::from(of.block),
                };
                erasures.insert(*device, receipt);
            }
        }
        Ok(erasures)
    }

    /// All keys that begin so, as the node says, and that beginning: where there are none, its proof shows that. What the node leaves
    /// out is found missing as the values are read.
    async fn under(&self, prefix: Vec<u8>) -> Result<Vec<Vec<u8>>, AuditError> {
        let mut keys = self.client.keys_under(&prefix, self.block).await?;
        keys.push(prefix);
        Ok(keys)
    }

    /// The seconds since 1970 that the block names, and the version of the runtime by whose rules it was made.
    pub(super) async fn time_and_version(&self) -> Result<(Option<u64>, u32), AuditError> {
        let keys = [now_key(), last_runtime_upgrade_key()];
        self.read("its time", &keys, |state| {
            let milliseconds: Option<u64> = state.value(&now_key())?;
            Ok((milliseconds.map(|it| it / 1_000), state.spec_version()?))
        })
        .await
    }

    /// The devices of a study, in order of their numbers.
    pub(super) async fn devices(
        &self,
        study: StudyId,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<DeviceRecord>, AuditError> {
        let keys = [next_device_key()];
        let next = self
            .read("the number of devices", &keys, |state| state.devices())
            .await?;
        let firsts = (0..next).step_by(HEADS_PER_PAGE as usize);
        let firsts: Vec<DeviceId> = firsts.map(DeviceId).collect();
        let mut devices = Vec::new();
        for some in firsts.chunks(KEYS) {
            let keys: Vec<Vec<u8>> = some.iter().map(|first| head_page_key(*first)).collect();
            let heads = self.read("heads of devices", &keys, |state| {
                let mut heads = Vec::new();
                for first in some {
                    let page = state.heads(*first)?;
                    // All numbers were given out, one after the other.
                    if page.len() != HEADS_PER_PAGE.min(next - first.0) as usize {
                        return Err(NotProved);
                    }
                    let numbers = (first.0..).map(DeviceId);
                    let of_study = numbers.zip(page).filter(|(_, head)| head.study == study);
                    heads.extend(of_study);
                }
                Ok(heads)
            });
            for some in heads.await?.chunks(KEYS) {
                devices.extend(self.records(some).await?);
                progress(Progress::Devices(devices.len() as u64));
            }
        }
        Ok(devices)
    }

    async fn records(
        &self,
        heads: &[(DeviceId, DeviceHead)],
    ) -> Result<Vec<DeviceRecord>, AuditError> {
        let keys: Vec<Vec<u8>> = heads
            .iter()
            .map(|(device, _)| device_key(*device))
            .collect();
        self.read("records of devices", &keys, |state| {
            let record = |(device, head): &(DeviceId, DeviceHead)| {
                let record = state.device(*device)?.ok_or(NotProved)?;
                Ok(self.record(*device, record, *head))
            };
            heads.iter().map(record).collect()
        })
        .await
    }

    /// A device, of whatever study.
    pub(crate) async fn device(
        &self,
        device: DeviceId,
    ) -> Result<Option<DeviceRecord>, AuditError> {
        let keys = [device_key(device), head_page_key(device)];
        let read = self.read("a device", &keys, |state| {
            Ok(state.device(device)?.zip(state.head(device)?))
        });
        let read = read.await?;
        Ok(read.map(|(record, head)| self.record(device, record, head)))
    }

    fn record(&self, device: DeviceId, record: Record, head: DeviceHead) -> DeviceRecord {
        // Once the block has come, the device is retired with its latest entry trusted, without a word in the state.
        let has_come_due = record.is_retired_at(self.number);
        DeviceRecord {
            device,
            study: head.study,
            key: record.key,
            secret_commitment: record.secret_commitment,
            escrow: record.escrow,
            auditor_epoch: record.auditor_epoch,
            participant: record.participant,
            genesis: record.genesis,
            length: head.length,
            head: head.hash,
            status: match head.status {
                Status::Active => DeviceStatus::Active,
                Status::Suspended(_) if has_come_due => DeviceStatus::Retired,
                Status::Suspended(_) => DeviceStatus::Suspended,
                Status::Retired => DeviceStatus::Retired,
            },
            predecessor: record.predecessor.map(|device| Predecessor {
                device,
                trusted_head: None,
            }),
            successor: record.successor,
            trusted_length: match has_come_due {
                true => Some(head.length),
                false => record.trusted.map(|trusted| trusted.length),
            },
            enrolled_at: u64::from(record.enrolled_at),
        }
    }

    /// Reads the journal into the scratch file, as far as it is about these devices and has not left the state.
    pub(super) async fn journal(
        &self,
        devices: &[DeviceRecord],
        scratch: &Scratch,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), AuditError> {
        let keys = [journal_length_key()];
        let length = self
            .read("the journal", &keys, |state| state.journal_length())
            .await?;
        let end = length.div_ceil(ENTRIES_PER_PAGE);
        let parts = (0..end).step_by(JOURNAL_PAGES as usize);
        let mut parts = futures::stream::iter(parts)
            .map(|first| async move {
                let pages = first..end.min(first + JOURNAL_PAGES);
                let keys: Vec<Vec<u8>> = pages.clone().map(journal_page_key).collect();
                self.read("the journal", &keys, |state| {
                    let mut entries = Vec::new();
                    for page in pages {
                        entries.extend(state.journal_page(page)?);
                    }
                    Ok(entries)
                })
                .await
            })
            .buffered(AT_ONCE);
        let mut read = 0;
        while let Some(entries) = parts.try_next().await? {
            read = (read + JOURNAL_PAGES * ENTRIES_PER_PAGE).min(length);
            progress(Progress::Journal(read, length));
            scratch.together(|scratch| {
                let entries = entries
                    .into_iter()
                    .filter(|entry| super::position(devices, entry.device).is_some())
                    .map(|entry| {
                        let registered = RegisteredEntry {
                            sequence: entry.sequence,
                            digest: entry.digest,
                            link: entry.hash,
                        };
                        (entry.device, registered)
                    });
                Ok::<_, AuditError>(scratch.add_registered(entries.collect())?)
            })?;
        }
        Ok(())
    }

    /// The rival histories that the chain recorded for each of these devices, and how many it had no place for.
    pub(crate) async fn conflicts(
        &self,
        devices: &[DeviceId],
        rotations: &super::Rotations,
    ) -> Result<Vec<(Vec<Conflict>, u32)>, AuditError> {
        let keys: Vec<Vec<u8>> = devices.iter().map(|it| conflicts_key(*it)).collect();
        let conflicts = self.read("conflicts", &keys, |state| {
            let conflicts = devices.iter().map(|device| state.conflicts(*device));
            conflicts.collect::<Result<Vec<_>, _>>()
        });
        let conflicts = conflicts.await?.into_iter().map(|conflicts| {
            let stored = conflicts.stored.into_iter().map(|conflict| Conflict {
                sequence: conflict.sequence,
                recorded: conflict.recorded,
                rival: conflict.rival,
                rival_digest: conflict.rival_digest,
                signed: conflict.signed,
                submitter: rotations.present(conflict.submitter),
                block: u64::from(conflict.block),
            });
            (stored.collect(), conflicts.not_stored)
        });
        Ok(conflicts.collect())
    }
}

/// Nodes of a block's state that lead to these keys.
pub(crate) async fn read_proof(
    client: &ChainClient,
    keys: &[Vec<u8>],
    block: H256,
) -> Result<Blobs, AuditError> {
    let mut nodes = BTreeSet::new();
    for some in keys.chunks(KEYS) {
        nodes.extend(client.read_proof(some, block).await?);
    }
    Ok(nodes.iter().collect())
}
