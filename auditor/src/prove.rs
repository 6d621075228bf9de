// SPDX-License-Identifier: Apache-2.0

//! Makes evidence: asks a node for every proof that [`crate::evidence`] needs, and checks the result before it is handed out.

mod authorities;
mod envelopes;
mod registering;
mod search;

use std::collections::BTreeMap;
use std::fmt;

use codec::{Decode, DecodeAll, Encode};
use hashchain::{DeviceId, OpeningKey, StudyId};
use mhealth_chain_client::{ChainClient, DeviceView, H256};
use mhealth_evidence::{
    conflicts_key, device_key, genesis_hash_key, head_page_key, next_device_key, Checkpoint,
    FinalityProof, Header, HEADS_PER_PAGE,
};

use crate::audit::NamedExport;
use crate::chain::{all_devices, read_proof, NodesFinality};
use crate::error::AuditError;
use crate::evidence::{verify, Blobs, Evidence, LARGEST};
use crate::export::Limits;

use envelopes::Envelopes;
use search::Found;

/// Requests at the same time.
const AT_ONCE: usize = 16;

/// More bytes of a file than its contents have: magic, version, checksum, and longer counts.
const FRAME: usize = 128;

/// What goes into the file beside the proofs.
#[derive(Debug, Default)]
pub struct Contents {
    /// The auditor's keys of all epochs of the devices: one of them opens the escrow of each, so that the secret goes into the file.
    /// None: it does not.
    pub auditors: Vec<OpeningKey>,
    /// Blocks that the readers trust. The file begins at the newest of them that is before the proved block.
    pub checkpoints: Vec<Checkpoint>,
    /// Whether devices with entries that no extrinsic accounts for are left out, instead of that nothing is made.
    pub leave_out_unaccounted: bool,
    /// Exports that show the envelopes. When there are any, those of all devices that were not erased must be in them, and go
    /// into the file.
    pub exports: Vec<NamedExport>,
    /// Bytes of the largest file; as many as [are read](LARGEST) if none are given.
    pub largest: Option<usize>,
}

/// What evidence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One device.
    Device(DeviceId),
    /// All devices of a study.
    Study(StudyId),
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The evidence, in several parts where one would be too large. Each part is evidence by itself. In parts, and when a
    /// device was left out, it does not say that its devices are all of a study.
    pub parts: Vec<Evidence>,
    /// The devices of the study that it is not about, in order of their numbers.
    pub left_out: Vec<Unaccounted>,
}

/// A device of which no evidence can be made: its tags stand in extrinsics alone, and no extrinsic accounts for these entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unaccounted {
    /// The device.
    pub device: DeviceId,
    /// The entries, as ranges of sequences, both ends included.
    pub sequences: Vec<(u64, u64)>,
}

impl fmt::Display for Unaccounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Ranges that are written out.
        const SHOWN: usize = 10;
        write!(
            f,
            "device {}: no extrinsic of any block accounts for entry ",
            self.device
        )?;
        for (index, (first, last)) in self.sequences.iter().take(SHOWN).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first} to {last}")?,
            }
        }
        match self.sequences.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            _ => f.write_str(" and others"),
        }
    }
}

/// Takes a part of the evidence when it is made, and hears whether it is the only one.
pub type Take<'a> = dyn FnMut(Evidence, bool) -> Result<(), AuditError> + 'a;

/// Makes evidence as [`prove_in_parts`] does, and keeps all of it in memory.
pub async fn prove(
    client: &ChainClient,
    subject: Subject,
    contents: &Contents,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Proved, AuditError> {
    let mut parts = Vec::new();
    let mut keep = |part: Evidence, _: bool| -> Result<(), AuditError> {
        parts.push(part);
        Ok(())
    };
    let left_out = prove_in_parts(client, subject, contents, progress, &mut keep).await?;
    Ok(Proved { parts, left_out })
}

/// Makes evidence of a device or a study, in the latest block whose finality is proved. Each part is handed over when it is made and
/// checked, so that a study takes no more memory than its digests and the largest part. Returns what was left out.
///
/// Of a device, only the blocks are asked for that registered its entries, which headers lead to, so the age of the chain hardly
/// matters; of a study every block since the first enrolment, and the record of every device on the chain. The node may have dropped
/// the states of old blocks. Handovers of authorities come from the node's list of sets; headers are read only where it has none.
pub async fn prove_in_parts(
    client: &ChainClient,
    subject: Subject,
    contents: &Contents,
    progress: &mut dyn FnMut(u64, u64),
    take: &mut Take<'_>,
) -> Result<Vec<Unaccounted>, AuditError> {
    let shown = client.block_proof().await?;
    let block: Header = decoded(&shown.header, "a header")?;
    let finality: NodesFinality = decoded(&shown.finality_proof, "a finality proof")?;
    let hash = shown.block;
    let view = client.at(hash).await?;
    let mut all_keys = vec![genesis_hash_key()];
    let (study, records) = match subject {
        Subject::Device(device) => (None, view.device(device).await?.into_iter().collect()),
        Subject::Study(study) => {
            let mut all = all_devices(&view, &mut |_| ()).await?;
            let pages = all.iter().step_by(HEADS_PER_PAGE as usize);
            all_keys.extend(pages.map(|device| head_page_key(device.device)));
            all_keys.push(next_device_key());
            all.retain(|device| device.study == study);
            (Some(study), all)
        }
    };
    let Some(of) = records.first().map(|record| record.study) else {
        let what = match subject {
            Subject::Device(device) => format!("there is no device {device}"),
            Subject::Study(study) => format!("study {study} has no devices"),
        };
        let number = block.number;
        return Err(unfit(&format!(
            "in block {number}, the latest that is proved to be final, {what}"
        )));
    };
    let own_keys: BTreeMap<DeviceId, Vec<Vec<u8>>> = records.iter().map(own_keys).collect();
    let genesis = client.genesis_hash();
    let found = registering::devices(client, records, hash, block.number, progress).await?;
    let (devices, left_out) = search::sort_out(found, contents)?;
    let envelopes = match contents.exports.as_slice() {
        [] => None,
        exports => {
            let limits = limits(study, &devices);
            Some(Envelopes::read(exports, genesis.0, of, limits, &devices).await?)
        }
    };
    let shown = |found: &Found| envelopes.as_ref().filter(|_| !found.is_erased);
    let size = |found: &Found| {
        let more = shown(found).map_or(0, |shown| shown.size(&found.evidence.entries));
        found.evidence.encoded_size() + more
    };
    let checkpoint = Checkpoint::newest_before(&contents.checkpoints, block.number);
    // The first block needs no trust beside the genesis hash.
    let checkpoint = checkpoint.filter(|checkpoint| checkpoint.number > 0);
    let (start, handovers) = authorities::lead(client, block.number, hash, checkpoint).await?;
    let bare = Evidence {
        genesis: header(client, genesis).await?,
        start,
        finality: FinalityProof {
            handovers,
            nodes: Blobs::default(),
            block,
            descendants: finality.descendants,
            justification: finality.justification,
        },
        study: None,
        devices: Vec::new(),
    };
    let last = bare.finality.descendants.last();
    if last.unwrap_or(&bare.finality.block).hash() != finality.block {
        return Err(unfit("the node's finality proof is for another block"));
    }
    let most = contents.largest.unwrap_or(LARGEST);
    // What is left to be put into files, the first of it last.
    let mut left = shares(devices, most, size);
    let mut whole = left.len() == 1;
    left.reverse();
    while let Some(mut devices) = left.pop() {
        let study = study.filter(|_| whole && left_out.is_empty());
        let mut keys = match study {
            Some(_) => all_keys.clone(),
            None => vec![genesis_hash_key()],
        };
        let of_devices = devices.iter();
        let of_devices = of_devices.filter_map(|it| own_keys.get(&it.evidence.device));
        keys.extend(of_devices.flatten().cloned());
        keys.sort();
        keys.dedup();
        let mut evidence = bare.clone();
        evidence.finality.nodes = read_proof(client, &keys, hash).await?;
        evidence.study = study;
        let own = devices.iter().map(size).sum::<usize>();
        if evidence.encoded_size() + own > most.saturating_sub(FRAME) {
            let [one] = devices.as_slice() else {
                let second = devices.split_off(devices.len() / 2);
                left.extend([second, devices]);
                whole = false;
                continue;
            };
            return Err(AuditError::TooLarge {
                device: one.evidence.device,
                most,
            });
        }
        for found in devices {
            let envelopes = shown(&found).map(|shown| shown.of(&found.evidence.entries));
            let mut device = found.evidence;
            device.envelopes = envelopes.transpose()?;
            evidence.devices.push(device);
        }
        if let Err(refusal) = verify(&evidence, genesis.0, &contents.checkpoints) {
            return Err(unfit(&refusal.to_string()));
        }
        take(evidence, whole)?;
    }
    Ok(left_out)
}

/// How much is read of an export. One about a device may be of a study of any size; of a study it is known what is registered.
fn limits(study: Option<StudyId>, devices: &[Found]) -> Limits {
    let limits = Limits::default();
    match study {
        None => limits,
        Some(_) => {
            let entries = devices.iter().map(|it| it.evidence.entries.len() as u64);
            limits.lines_of(entries.sum(), devices.len() as u64)
        }
    }
}

/// The places in the state of what is said of a device.
fn own_keys(record: &DeviceView) -> (DeviceId, Vec<Vec<u8>>) {
    let device = record.device;
    let mut keys = vec![
        device_key(device),
        head_page_key(device),
        conflicts_key(device),
    ];
    keys.extend(record.predecessor.map(device_key));
    (device, keys)
}

/// The devices in shares for one file each. Half of a file is left for the proofs.
fn shares(devices: Vec<Found>, most: usize, size: impl Fn(&Found) -> usize) -> Vec<Vec<Found>> {
    let mut shares = vec![Vec::new()];
    let mut bytes = 0;
    for device in devices {
        let own = size(&device);
        match shares.last_mut() {
            Some(share) if share.is_empty() || bytes + own <= most / 2 => {
                bytes += own;
                share.push(device);
            }
            _ => {
                bytes = own;
                shares.push(vec![device]);
            }
        }
    }
    shares
}

fn unfit(why: &str) -> AuditError {
    AuditError::NotProvable(why.into())
}

fn decoded<T: Decode>(bytes: &[u8], what: &str) -> Result<T, AuditError> {
    T::decode_all(&mut &bytes[..]).map_err(|_| unfit(&format!("the node's answer is not {what}")))
}

async fn header(client: &ChainClient, block: H256) -> Result<Header, AuditError> {
    decoded(&client.header(block).await?, "a header")
}
