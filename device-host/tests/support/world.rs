// SPDX-License-Identifier: Apache-2.0

//! The chain, the study's office and its codes, as the fake servers share them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use hashchain::{DataDigest, DeviceId, Enrolment, LinkHash, Native, StudyId};
use mhealth_api::{
    BlockRef, ChainHead, Code, DeviceStatus, EnrolRequest, Enrolled, EnrolmentCode, Hash, Head,
    Key, Predecessor, Refusal,
};
use mhealth_evidence::{Checkpoint, Handover};

use super::proofs;

/// A registered entry.
#[derive(Clone, Copy)]
pub(crate) struct Registered {
    pub(crate) digest: DataDigest,
    pub(crate) hash: LinkHash,
}

/// A device as the chain has it.
pub(crate) struct OnChain {
    pub(crate) key: Key,
    pub(crate) participant: Hash,
    pub(crate) genesis: LinkHash,
    pub(crate) entries: Vec<Registered>,
    pub(crate) status: DeviceStatus,
}

impl OnChain {
    pub(crate) fn hash_at(&self, length: u64) -> Option<LinkHash> {
        match length.checked_sub(1) {
            None => Some(self.genesis),
            Some(last) => self.entries.get(last as usize).map(|entry| entry.hash),
        }
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            length: self.entries.len() as u64,
            hash: self.entries.last().map_or(self.genesis, |entry| entry.hash),
        }
    }
}

/// The code that tests know by this name, for a participant without a key.
pub(crate) fn code(name: &str) -> EnrolmentCode {
    code_for(name, None)
}

/// The same for data that are sealed to this key.
pub(crate) fn code_for(name: &str, participant_key: Option<&Key>) -> EnrolmentCode {
    let chain = Hash(crate::support::terms().chain);
    code_on(&chain, name, participant_key)
}

/// The same for this chain.
pub(crate) fn code_on(chain: &Hash, name: &str, participant_key: Option<&Key>) -> EnrolmentCode {
    use hashchain::Sha256;
    let digest = Native::sha256(name.as_bytes());
    let secret = digest.first_chunk().expect("a digest is longer");
    EnrolmentCode::new(secret, chain, participant_key)
}

/// An enrolment code.
#[derive(Clone, Default)]
pub(crate) struct Issued {
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) participant_key: Option<Key>,
    pub(crate) used_for: Option<(Key, Vec<u8>)>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) devices: Vec<OnChain>,
    pub(crate) codes: HashMap<String, Issued>,
    pub(crate) tokens: HashMap<String, DeviceId>,
    /// Names of proofs of possession that were used.
    pub(crate) proofs: HashSet<String>,
    pub(crate) block: u64,
    /// The auditor's key and its epoch, if the server does not say those of the tests' terms.
    pub(crate) auditor: Option<(Key, u32)>,
    /// How each set of authorities handed over to the next.
    pub(crate) handovers: Vec<Handover>,
    /// Blocks from which on devices are retired.
    pub(crate) retires_at: HashMap<DeviceId, u32>,
    /// Runs that were registered, to see that none is registered twice.
    pub(crate) registered: HashSet<LinkHash>,
}

#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

impl World {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the lock")
    }

    pub(crate) fn with_codes(codes: &[&str]) -> Self {
        let world = Self::default();
        for code in codes {
            world
                .state()
                .codes
                .insert(self::code(code).reveal().to_string(), Issued::default());
        }
        world
    }

    /// Staff issue a code; what the server says of its participant's key need not be true.
    pub(crate) fn issue(&self, code: &EnrolmentCode, participant_key: Option<Key>) {
        let issued = Issued {
            participant_key,
            ..Issued::default()
        };
        let code = code.reveal().to_string();
        self.state().codes.insert(code, issued);
    }

    /// The server forgets who redeemed a code, as one does whose database is an older copy. The chain forgets nothing.
    pub(crate) fn forget(&self, code: &EnrolmentCode) {
        let mut state = self.state();
        let issued = state.codes.get_mut(&*code.reveal());
        issued.expect("it is issued").used_for = None;
    }

    /// New authorities take over.
    pub(crate) fn hand_over(&self) {
        let mut state = self.state();
        state.block += 1;
        let (set, block) = (state.handovers.len() as u64, state.block as u32);
        state.handovers.push(proofs::hand_over(set, block));
        state.block += 1;
    }

    /// New authorities are appointed by force, for whom nobody signed. The block that does so.
    pub(crate) fn appoint_by_force(&self) -> Checkpoint {
        let mut state = self.state();
        state.block += 1;
        let (set, block) = (state.handovers.len() as u64, state.block as u32);
        let appointed = proofs::appoint_by_force(set, block);
        let checkpoint = Checkpoint::of(&appointed.header);
        state.handovers.push(appointed);
        state.block += 1;
        checkpoint
    }

    pub(crate) fn forge(&self, device: DeviceId) {
        let forged = Registered {
            digest: DataDigest([0xfa; 32]),
            hash: LinkHash([0xbd; 32]),
        };
        let mut state = self.state();
        state.block += 1;
        state.devices[device.0 as usize].entries.push(forged);
    }
}

impl State {
    pub(crate) fn present(&self) -> BlockRef {
        BlockRef {
            number: self.block,
            hash: Hash(std::array::from_fn(|i| {
                (self.block as u8).wrapping_add(i as u8)
            })),
        }
    }

    /// The study's auditor key and its epoch.
    pub(crate) fn auditor(&self) -> (Key, u32) {
        let present = (Key(crate::support::terms().auditor_key), 0);
        self.auditor.unwrap_or(present)
    }

    pub(crate) fn head_of(&self, device: DeviceId) -> Option<ChainHead> {
        Some(ChainHead {
            head: self.devices.get(device.0 as usize)?.head(),
            block: self.present(),
        })
    }

    pub(crate) fn enrol(&mut self, request: &EnrolRequest) -> Result<Enrolled, Code> {
        let content = serde_json::to_vec(request).expect("written");
        let chain = Hash(crate::support::terms().chain);
        let message = mhealth_api::enrolment_message(&chain, StudyId(0), request);
        verify(&request.device_key, &message, &request.proof.0)?;
        let (auditor, epoch) = self.auditor();
        let is_known = self.devices.iter().any(|it| it.key == request.device_key);
        let issued = self.codes.get_mut(&request.code).ok_or(Code::UnknownCode)?;
        let predecessor = issued.predecessor;
        let before = predecessor.map(|before| before.device);
        if request.auditor_epoch != epoch {
            return Err(Code::OtherAuditorEpoch);
        }
        let message =
            mhealth_api::key_proof_message(&chain, StudyId(0), &SERVER, &auditor, before, request);
        verify(&request.device_key, &message, &request.key_proof.0)
            .map_err(|_| Code::InvalidKeyProof)?;
        match &issued.used_for {
            Some(used) if *used == (request.device_key, content.clone()) => {}
            Some(_) => return Err(Code::CodeUsed),
            None if is_known => return Err(Code::KeyInUse),
            None => {
                issued.used_for = Some((request.device_key, content));
                let escrow = hashchain::escrow_commitment::<Native>(&request.escrow.0);
                let genesis = hashchain::genesis::<Native>(&Enrolment {
                    chain: &crate::support::terms().chain,
                    study: StudyId(0),
                    device_key: &request.device_key.0,
                    predecessor: predecessor.map(|before| before.head),
                    secret_commitment: &request.secret_commitment.0,
                    escrow_commitment: &escrow,
                });
                self.block += 1;
                self.devices.push(OnChain {
                    key: request.device_key,
                    participant: request.participant,
                    genesis,
                    entries: Vec::new(),
                    status: DeviceStatus::Active,
                });
            }
        }
        let device = self
            .devices
            .iter()
            .position(|d| d.key == request.device_key);
        let device = device.expect("it was enrolled");
        Ok(Enrolled {
            device: DeviceId(device as u32),
            study: StudyId(0),
            genesis: self.devices[device].genesis,
            block: self.present(),
        })
    }

    /// Registers a run as the pallet does; otherwise the reason.
    pub(crate) fn register(&mut self, run: &mhealth_api::RunUpload) -> Result<(), Refusal> {
        self.block += 1;
        let device = &mut self.devices[run.device.0 as usize];
        let before = run.sequence - 1;
        if before > device.head().length {
            return Err(Refusal::Gap);
        }
        if device.hash_at(before) != Some(run.previous) {
            return Err(Refusal::PreviousIsNotHead);
        }
        let mut new = Vec::new();
        for entry in run.run().links() {
            match device.hash_at(entry.sequence) {
                Some(known) if known == entry.hash => {}
                Some(_) => return Err(Refusal::Fork),
                None => new.push(Registered {
                    digest: entry.digest,
                    hash: entry.hash,
                }),
            }
        }
        if device.status != DeviceStatus::Active && !new.is_empty() {
            return Err(Refusal::DeviceSuspended);
        }
        for entry in &new {
            assert!(
                self.registered.insert(entry.hash),
                "an entry was registered twice"
            );
        }
        device.entries.extend(new);
        Ok(())
    }
}

/// Account of the pretended authentication server.
pub(crate) const SERVER: Key = Key([0xc4; 32]);

pub(crate) fn verify(key: &Key, message: &[u8], signature: &[u8; 64]) -> Result<(), Code> {
    if hashchain::is_weak_device_key(&key.0) {
        return Err(Code::WeakKey);
    }
    match hashchain::is_strictly_signed(&key.0, message, signature) {
        true => Ok(()),
        false => Err(Code::InvalidProof),
    }
}
