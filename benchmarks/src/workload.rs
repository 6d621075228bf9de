// SPDX-License-Identifier: Apache-2.0

//! The entry file: what all systems register, made before anything is measured.
//!
//! A file is a list of batches, each a length of four bytes (little-endian) and the SCALE encoding of its runs, exactly as a
//! relay submits them. Even batches are of devices that one relay serves, odd ones of those of another, so that two accounts
//! can bring them without waiting for each other; a relay's batches follow each other.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use codec::{Decode, Encode};
use ed25519_dalek::{Signer, SigningKey};
use hashchain::{
    data_digest, escrow_commitment, genesis, key_proof_message, secret_commitment, sign_head,
    DeviceId, Enrolment, KeyProof, LinkHash, Native, RatchetKey, Sealer, Secret, Sha256, StudyId,
    HEADS_PER_PAGE,
};
use mhealth_runtime::genesis::DEVELOPMENT_AUDITOR_KEY;
use pallet_client_hashchain::{Run, RunEntry};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sp_core::H256;

use crate::plan::{Fault, Plan, Spread};

/// Relays that bring the entries.
pub(crate) const RELAYS: usize = 2;
/// Devices with neighbouring numbers that have the same relay. They are as many whatever the length of the chain's pages, so that runs
/// with pages of 8, 16 and 32 heads can be compared, and no page has devices of two relays.
const NEIGHBOURS: u32 = 32;
const _: () = assert!(NEIGHBOURS >= HEADS_PER_PAGE);
/// What the chain stores as escrow. It does not look into it.
pub(crate) const ESCROW: [u8; 81] = [1; 81];
/// What it stores as the digest of a participant's key.
pub(crate) const PARTICIPANT: [u8; 32] = [2; 32];

/// A device: its key, its secret and how far its hashchain has come.
pub(crate) struct Phone {
    key: SigningKey,
    secret: Secret,
    link_0: LinkHash,
    sealer: Sealer,
}

/// Number, length and head of every device, in order.
pub(crate) type Heads = Vec<(u32, u64, LinkHash)>;

/// The public key of every device.
pub(crate) type Keys = HashMap<u32, [u8; 32]>;

/// All devices of a study, numbered from `first` on.
pub(crate) struct Phones {
    first: u32,
    phones: Vec<Phone>,
    rng: StdRng,
    /// For [`Spread::Neighbours`]: the device of each relay that wrote last.
    latest: [u32; RELAYS],
    /// For [`Spread::Zipf`]: the sums of the weights up to each rank, and which device has it, for each relay.
    ranks: Vec<(Vec<f64>, Vec<u32>)>,
}

impl Phones {
    /// Makes the devices of a study that the chain will give the numbers from `first` on.
    pub(crate) fn new(chain: [u8; 32], study: StudyId, first: u32, count: u32) -> Self {
        let phones = (0..count)
            .map(|number| Phone::new(chain, study, number))
            .collect();
        Phones {
            first,
            phones,
            rng: StdRng::seed_from_u64(u64::from(study.0) + 1),
            latest: [0; RELAYS],
            ranks: Vec::new(),
        }
    }

    /// Number of devices.
    pub(crate) fn len(&self) -> u32 {
        self.phones.len() as u32
    }

    /// Each of the devices by itself, before its first entry.
    pub(crate) fn each(&self) -> impl Iterator<Item = hashchain::testing::Phone> + '_ {
        (self.first..).zip(&self.phones).map(|(number, phone)| {
            let key = phone.key.clone();
            hashchain::testing::Phone::new(key, DeviceId(number), phone.link_0, &phone.secret)
        })
    }

    /// The devices' public keys, secret commitments and proofs for this server, in the order in which they enrol.
    pub(crate) fn enrolments(
        &self,
        study: StudyId,
        chain: [u8; 32],
        server: [u8; 32],
    ) -> impl Iterator<Item = ([u8; 32], H256, [u8; 64])> + '_ {
        self.phones.iter().map(move |phone| {
            let key = phone.key.verifying_key().to_bytes();
            let commitment = secret_commitment::<Native>(&phone.secret);
            let message = key_proof_message(&KeyProof {
                chain: &chain,
                study,
                server: &server,
                device_key: &key,
                predecessor: None,
                secret_commitment: &commitment,
                escrow_commitment: &escrow_commitment::<Native>(&ESCROW),
                auditor_epoch: 0,
                auditor_key: &DEVELOPMENT_AUDITOR_KEY,
                participant: &PARTICIPANT,
            });
            let proof = phone.key.sign(&message).to_bytes();
            (key, H256(commitment), proof)
        })
    }

    /// Number and public key of every device, which a server that checks signatures knows.
    pub(crate) fn keys(&self) -> Keys {
        let numbered = (self.first..).zip(&self.phones);
        numbered
            .map(|(number, phone)| (number, phone.key.verifying_key().to_bytes()))
            .collect()
    }

    /// Number of entries and head of every device, which databases begin with.
    pub(crate) fn heads(&self) -> Heads {
        let numbered = (self.first..).zip(&self.phones);
        numbered
            .map(|(number, phone)| (number, phone.sealer.sequence(), phone.sealer.head()))
            .collect()
    }

    /// The device with the highest number.
    pub(crate) fn last(&self) -> DeviceId {
        DeviceId(self.first + self.len() - 1)
    }

    /// The link that each device began with.
    pub(crate) fn link_0(&self, device: DeviceId) -> LinkHash {
        self.phones[(device.0 - self.first) as usize].link_0
    }

    /// Writes the entry file of a plan and returns what is in it.
    pub(crate) fn write(&mut self, plan: &Plan, path: &Path) -> Result<EntryFile> {
        let mut file = BufWriter::new(File::create(path)?);
        let runs = (plan.batch / plan.run).max(1);
        ensure!(
            plan.spread == Spread::Zipf || self.phones.len() >= 2 * RELAYS * runs,
            "{} devices are too few for batches of {runs} runs in which each comes once",
            self.phones.len()
        );
        let mut made = EntryFile {
            path: path.to_path_buf(),
            batches: 0,
            entries: 0,
            wrong: 0,
            bytes: 0,
        };
        if plan.spread == Spread::Zipf && self.ranks.is_empty() {
            self.ranks = (0..RELAYS).map(|relay| self.rank(relay)).collect();
        }
        while made.entries < plan.entries {
            let relay = made.batches % RELAYS;
            let mut batch = Vec::with_capacity(runs);
            let mut seen = HashSet::with_capacity(runs);
            let mut forged = HashSet::new();
            while batch.len() < runs {
                let device = self.draw(plan.spread, relay);
                let fresh = seen.insert(device);
                if forged.contains(&device) || (!fresh && plan.spread != Spread::Zipf) {
                    continue;
                }
                let drawn = self.rng.random_range(0.0..100.0);
                let fault = plan.fault(batch.len(), drawn).filter(|_| fresh);
                let run = self.run(device, plan, fault);
                made.entries += run.entries.len();
                if fault.is_some() {
                    made.wrong += run.entries.len();
                    forged.insert(device);
                }
                batch.push(run);
            }
            let batch = batch.encode();
            file.write_all(&u32::try_from(batch.len())?.to_le_bytes())?;
            file.write_all(&batch)?;
            made.bytes += batch.len() as u64;
            made.batches += 1;
        }
        file.flush()?;
        Ok(made)
    }

    /// The devices of a relay in a random order, and the sums of their weights.
    fn rank(&mut self, relay: usize) -> (Vec<f64>, Vec<u32>) {
        let mut devices: Vec<u32> = (0..self.len())
            .filter(|device| served_by(*device) == relay)
            .collect();
        for index in (1..devices.len()).rev() {
            devices.swap(index, self.rng.random_range(0..=index));
        }
        let mut sum = 0.0;
        let sums = (1..=devices.len()).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        (sums.collect(), devices)
    }

    fn draw(&mut self, spread: Spread, relay: usize) -> u32 {
        match spread {
            Spread::Uniform => loop {
                let device = self.rng.random_range(0..self.len());
                if served_by(device) == relay {
                    return device;
                }
            },
            Spread::Neighbours => loop {
                let latest = &mut self.latest[relay];
                *latest = (*latest + 1) % self.phones.len() as u32;
                if served_by(*latest) == relay {
                    return *latest;
                }
            },
            Spread::Zipf => {
                let (sums, devices) = &self.ranks[relay];
                let total = sums.last().copied().unwrap_or_default();
                let at = self.rng.random_range(0.0..total);
                devices[sums.partition_point(|sum| *sum <= at)]
            }
        }
    }

    /// The next run of a device, or one with a fault in its place.
    fn run(&mut self, device: u32, plan: &Plan, fault: Option<Fault>) -> Run {
        let phone = &mut self.phones[device as usize];
        let (sequence, previous) = (phone.sealer.sequence() + 1, phone.sealer.head());
        let mut before = phone.copy();
        let sealer = match fault {
            Some(_) => &mut before,
            None => &mut phone.sealer,
        };
        let entries: Vec<_> = (0..plan.run)
            .map(|_| {
                let data = data_digest::<Native>(&(device, sealer.sequence()).encode());
                let entry = sealer.append(&data);
                RunEntry {
                    digest: H256(entry.digest.0),
                    tag: H256(entry.tag.0),
                }
            })
            .collect();
        let head = sealer.head();
        Run {
            device: self.first + device,
            sequence,
            previous: match fault {
                // One that somebody made up.
                Some(Fault::WrongLink) => H256(self.rng.random()),
                _ => H256(previous.0),
            },
            entries: entries.try_into().expect("runs here are short; qed"),
            // Over the right links: a forger has no key of the device. A bad one was one once, as a forger would take it.
            signature: plan.signed.then(|| match fault {
                Some(Fault::BadSignature) => sign_head(&phone.key, &previous),
                _ => sign_head(&phone.key, &head),
            }),
        }
    }
}

/// The relay that serves the device of this place in its study.
fn served_by(place: u32) -> usize {
    (place / NEIGHBOURS) as usize % RELAYS
}

impl Phone {
    fn new(chain: [u8; 32], study: StudyId, number: u32) -> Self {
        let seed = Native::sha256(&("benchmark", study.0, number).encode());
        let secret = Secret::from_bytes(&Native::sha256(&seed));
        let key = SigningKey::from_bytes(&seed);
        let link_0 = genesis::<Native>(&Enrolment {
            chain: &chain,
            study,
            device_key: &key.verifying_key().to_bytes(),
            predecessor: None,
            secret_commitment: &secret_commitment::<Native>(&secret),
            escrow_commitment: &escrow_commitment::<Native>(&ESCROW),
        });
        Phone {
            sealer: Sealer::begin(link_0, &secret),
            link_0,
            secret,
            key,
        }
    }

    /// A sealer that goes on from where the device's own is, and leaves that alone.
    fn copy(&self) -> Sealer {
        let key = self.sealer.key();
        let key = RatchetKey::restore(key.index(), key.expose())
            .expect("the index is that of a key that exists; qed");
        Sealer::resume(self.sealer.head(), key)
    }
}

/// An entry file, and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct EntryFile {
    /// Where it stands.
    pub(crate) path: PathBuf,
    /// Number of batches.
    pub(crate) batches: usize,
    /// Number of entries.
    pub(crate) entries: usize,
    /// How many of them are in runs that are to be refused.
    pub(crate) wrong: usize,
    /// Bytes of all runs.
    pub(crate) bytes: u64,
}

impl EntryFile {
    /// Entries that are to be registered.
    pub(crate) fn right(&self) -> usize {
        self.entries - self.wrong
    }

    /// The batches one by one, as bytes.
    pub(crate) fn batches(&self) -> Result<impl Iterator<Item = Result<Vec<u8>>>> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(&self.path)?);
        Ok((0..self.batches).map(move |_| {
            let mut length = [0; 4];
            file.read_exact(&mut length)?;
            let mut batch = vec![0; u32::from_le_bytes(length) as usize];
            file.read_exact(&mut batch)?;
            Ok(batch)
        }))
    }

    /// The batches one by one, as runs.
    pub(crate) fn runs(&self) -> Result<impl Iterator<Item = Result<Vec<Run>>>> {
        let batches = self.batches()?;
        Ok(batches
            .map(|batch| Vec::<Run>::decode(&mut &batch?[..]).context("the entry file is damaged")))
    }
}
