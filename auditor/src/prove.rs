// SPDX-License-Identifier: Apache-2.0

//! Makes evidence: asks a node for every proof that [`crate::evidence`] needs, and checks the result before it is handed out.

mod authorities;
mod registering;
mod search;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use codec::{Decode, DecodeAll, Encode};
use hashchain::{DataDigest, DeviceId, OpeningKey, StudyId};
use mhealth_chain_client::{ChainClient, DeviceView, H256};
use mhealth_evidence::{
    conflicts_key, device_key, genesis_hash_key, head_page_key, next_device_key, Checkpoint,
    FinalityProof, Header, HEADS_PER_PAGE,
};

use crate::chain::{all_devices, read_proof, NodesFinality};
use crate::error::AuditError;
use crate::evidence::{verify, Blobs, DeviceEvidence, Evidence, LARGEST};

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
    /// Envelopes by their digests. When there are any, all of the device's must be among them, and go into the file.
    pub envelopes: HashMap<DataDigest, Vec<u8>>,
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

/// Makes evidence of a device or a study, in the latest block whose finality is proved.
///
/// Of a device, only the blocks are asked for that registered its entries, which headers lead to, so the age of the chain hardly
/// matters; of a study every block since the first enrolment, and the record of every device on the chain. The node may have dropped
/// the states of old blocks. From a checkpoint on every header is read for handovers of authorities.
pub async fn prove(
    client: &ChainClient,
    subject: Subject,
    contents: &Contents,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Proved, AuditError> {
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
    if records.is_empty() {
        let what = match subject {
            Subject::Device(device) => format!("there is no device {device}"),
            Subject::Study(study) => format!("study {study} has no devices"),
        };
        let number = block.number;
        return Err(unfit(&format!(
            "in block {number}, the latest that is proved to be final, {what}"
        )));
    }
    let own_keys: BTreeMap<DeviceId, Vec<Vec<u8>>> = records.iter().map(own_keys).collect();
    let genesis = client.genesis_hash();
    let found = registering::devices(client, records, hash, block.number, progress).await?;
    let (devices, left_out) = search::sort_out(found, contents)?;
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
    let (mut parts, mut whole) = (Vec::new(), true);
    // What is left to be put into files, the first of it last.
    let mut left = shares(devices, most);
    whole &= left.len() == 1;
    left.reverse();
    while let Some(mut devices) = left.pop() {
        let study = study.filter(|_| whole && left_out.is_empty());
        let mut keys = match study {
            Some(_) => all_keys.clone(),
            None => vec![genesis_hash_key()],
        };
        let of_devices = devices.iter().filter_map(|it| own_keys.get(&it.device));
        keys.extend(of_devices.flatten().cloned());
        keys.sort();
        keys.dedup();
        let mut evidence = bare.clone();
        evidence.finality.nodes = read_proof(client, &keys, hash).await?;
        evidence.study = study;
        if evidence.encoded_size() + devices.encoded_size() > most.saturating_sub(FRAME) {
            let [one] = devices.as_slice() else {
                let second = devices.split_off(devices.len() / 2);
                left.extend([second, devices]);
                whole = false;
                continue;
            };
            return Err(AuditError::TooLarge {
                device: one.device,
                most,
            });
        }
        evidence.devices = devices;
        if let Err(refusal) = verify(&evidence, genesis.0, &contents.checkpoints) {
            return Err(unfit(&refusal.to_string()));
        }
        parts.push(evidence);
    }
    Ok(Proved { parts, left_out })
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
fn shares(devices: Vec<DeviceEvidence>, most: usize) -> Vec<Vec<DeviceEvidence>> {
    let mut shares = vec![Vec::new()];
    let mut size = 0;
    for device in devices {
        let own = device.encoded_size();
        match shares.last_mut() {
            Some(share) if share.is_empty() || size + own <= most / 2 => {
                size += own;
                share.push(device);
            }
            _ => {
                size = own;
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
