// SPDX-License-Identifier: Apache-2.0

//! A small world in memory: a phone, relays, and a chain that judges runs as the runtime does.

use ed25519_dalek::SigningKey;
use hashchain::{
    data_digest, escrow_commitment, genesis, head_message, is_signed_by_zip215, seal_escrow,
    secret_commitment, DeviceId, Enrolment, Entry, LinkHash, Native, OpeningKey, Secret, StudyId,
};
use mhealth_api::{DeviceStatus, Refusal, RunState, RunUpload};
use mhealth_testing::phone::{record, Phone};
use rand::rngs::StdRng;
use rand::SeedableRng;

use crate::case::{
    BroughtRun, Case, Conflict, DeviceRecord, Erased, Fate, HeldEnvelope, HeldRun, RegisteredEntry,
    RelayStore, SecretAccess,
};
use crate::export::Holder;
use crate::judge::{judge, Judgement, ON_ITS_WAY};
use crate::verdict::Content;

pub(super) const CHAIN: [u8; 32] = [7; 32];
const DEVICE: DeviceId = DeviceId(3);
const STUDY: StudyId = StudyId(0);
pub(super) const DAVE: [u8; 32] = [0xd0; 32];
pub(super) const EVE: [u8; 32] = [0xe0; 32];

/// Chain, relays and auditor.
pub(super) struct World {
    pub(super) device_signed: bool,
    pub(super) auditor: OpeningKey,
    pub(super) record: DeviceRecord,
    pub(super) registered: Vec<RegisteredEntry>,
    pub(super) brought: Vec<BroughtRun>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) stores: Vec<RelayStore>,
    /// Who is a relay at the block of the audit.
    pub(super) appointed: Vec<[u8; 32]>,
    pub(super) phone: Phone,
    pub(super) block: u64,
    pub(super) every_signature: bool,
}

impl World {
    pub(super) fn new(device_signed: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(4);
        let auditor = OpeningKey::from_bytes(&[11; 32]);
        let secret = Secret::from_bytes(&[12; 32]);
        let key = SigningKey::from_bytes(&[13; 32]);
        let public = key.verifying_key().to_bytes();
        let escrow = seal_escrow(&auditor.sealing_key(), &public, &secret, &mut rng).unwrap();
        let commitment = secret_commitment::<Native>(&secret);
        let genesis = genesis::<Native>(&Enrolment {
            chain: &CHAIN,
            study: STUDY,
            device_key: &public,
            predecessor: None,
            secret_commitment: &commitment,
            escrow_commitment: &escrow_commitment::<Native>(&escrow),
        });
        let store = |name: &str, account| RelayStore {
            name: name.into(),
            holder: Holder::Relay,
            account: Some(account),
            complete: true,
            block: None,
            runs: Vec::new(),
        };
        World {
            device_signed,
            auditor,
            record: DeviceRecord {
                device: DEVICE,
                study: STUDY,
                key: public,
                secret_commitment: commitment,
                escrow,
                auditor_epoch: 0,
                participant: [5; 32],
                genesis,
                length: 0,
                head: genesis,
                status: DeviceStatus::Active,
                predecessor: None,
                successor: None,
                trusted_length: None,
                enrolled_at: 1,
            },
            registered: Vec::new(),
            brought: Vec::new(),
            conflicts: Vec::new(),
            stores: vec![store("dave", DAVE), store("eve", EVE)],
            appointed: vec![DAVE, EVE],
            phone: Phone::new(key, DEVICE, genesis, &secret),
            block: 1,
            every_signature: false,
        }
    }

    /// A relay takes a parcel into its store and brings it to the chain.
    pub(super) fn relay(&mut self, relay: usize, parcel: &RunUpload) -> RunState {
        let account = self.stores[relay].account.unwrap();
        let state = self.bring(account, parcel);
        self.store(relay, parcel, state.clone());
        state
    }

    /// A relay takes a parcel into its store, and no more.
    pub(super) fn store(&mut self, relay: usize, parcel: &RunUpload, state: RunState) {
        let envelopes = parcel.entries.iter().map(|entry| HeldEnvelope {
            digest: data_digest::<Native>(&entry.envelope.0),
            content: Content::Sealed,
        });
        let settled_at = (!state.is_open()).then_some(self.block);
        self.stores[relay].runs.push(HeldRun {
            run: parcel.run(),
            envelopes: envelopes.collect(),
            state,
            reason: None,
            settled_at,
            received_at: 1,
            consistent: true,
            signed_at: None,
            held_since: None,
        });
    }

    /// The chain judges a run, as the runtime does.
    pub(super) fn bring(&mut self, account: [u8; 32], parcel: &RunUpload) -> RunState {
        self.block += 1;
        let run = parcel.run();
        let entries: Vec<Entry> = run.links().collect();
        let (first, last, end) = (
            run.first_sequence,
            run.last_sequence().unwrap(),
            run.last_link(),
        );
        let length = self.record.length;
        let signed = run.signature.is_some_and(|signature| {
            is_signed_by_zip215(&self.record.key, &head_message(&end), &signature)
        });
        let link_at = |sequence: u64| match sequence.checked_sub(first) {
            None => run.previous,
            Some(index) => entries[index as usize].hash,
        };
        let mut registered = vec![self.record.genesis];
        registered.extend(self.registered.iter().map(|entry| entry.link));
        let common = last.min(length);
        let mut refused = None;
        if first > length + 1 {
            refused = Some(Refusal::Gap);
        } else if registered[common as usize] != link_at(common) {
            let mut at = common;
            while at > (first - 1).max(1) && registered[at as usize - 1] != link_at(at - 1) {
                at -= 1;
            }
            if signed || !self.device_signed {
                self.conflicts.push(Conflict {
                    sequence: at,
                    recorded: registered[at as usize],
                    rival: link_at(at),
                    rival_digest: (at >= first).then(|| entries[(at - first) as usize].digest),
                    signed,
                    submitter: account,
                    block: self.block,
                });
            }
            if signed && self.device_signed {
                self.record.status = DeviceStatus::Suspended;
            }
            refused = Some(Refusal::Fork);
        } else if last > length {
            if self.record.status != DeviceStatus::Active {
                refused = Some(Refusal::DeviceSuspended);
            } else if self.device_signed && !signed {
                refused = Some(Refusal::BadSignature);
            } else {
                let new = entries.iter().filter(|entry| entry.sequence > length);
                self.registered.extend(new.map(|entry| RegisteredEntry {
                    sequence: entry.sequence,
                    digest: entry.digest,
                    link: entry.hash,
                }));
                (self.record.length, self.record.head) = (last, end);
            }
        }
        self.brought.push(BroughtRun {
            block: self.block,
            extrinsic: 1,
            submitter: account,
            fate: refused.clone().map_or(Fate::Registered, Fate::Refused),
            run,
        });
        match refused {
            None => RunState::Finalised,
            Some(Refusal::Fork) => RunState::Conflicting,
            Some(_) => RunState::Refused,
        }
    }

    /// The stores as relays show them now: what no test says otherwise of is signed, about the latest block.
    fn shown(&self) -> Vec<RelayStore> {
        let mut stores = self.stores.clone();
        for store in stores.iter_mut().filter(|store| store.account.is_some()) {
            let seen = *store.block.get_or_insert(self.block);
            for held in &mut store.runs {
                held.signed_at.get_or_insert(seen);
            }
        }
        stores
    }

    pub(super) fn case(&self) -> Case {
        Case {
            chain: CHAIN,
            device_signed: self.device_signed,
            record: self.record.clone(),
            registered: self.registered.clone(),
            brought: self.brought.clone(),
            blocks_complete: true,
            conflicts: self.conflicts.clone(),
            conflicts_not_stored: 0,
            relays: vec![DAVE, EVE],
            appointed: self.appointed.clone(),
            stores: self.shown(),
            secret: SecretAccess::open(
                std::slice::from_ref(&self.auditor),
                &self.auditor.sealing_key().0,
                &self.record,
            ),
            participant_key_fits: None,
            erased: Erased::default(),
            block: self.block,
            patience: ON_ITS_WAY,
            every_signature: self.every_signature,
        }
    }

    pub(super) fn audit(&self) -> Judgement {
        judge(&self.case())
    }
}

/// A relay that alters a parcel's last entry and computes the links anew; it keeps tags and signature, having no better.
pub(super) fn altered(parcel: &RunUpload) -> RunUpload {
    let mut altered = parcel.clone();
    let last = altered.entries.last_mut().unwrap();
    *last.envelope.0.last_mut().unwrap() ^= 1;
    last.digest = data_digest::<Native>(&last.envelope.0);
    altered
}

/// Somebody with the device's authentication key writes in its name: no secret, no signing key.
pub(super) fn foreign(sequence: u64, previous: LinkHash, data: &str) -> RunUpload {
    let key = SigningKey::from_bytes(&[99; 32]);
    let thief = Phone::new(key, DEVICE, previous, &Secret::from_bytes(&[98; 32]));
    record(&mut thief.resumed_at(previous, sequence - 1), 1, data)
}
