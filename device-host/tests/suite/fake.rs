// SPDX-License-Identifier: Apache-2.0

//! A chain in memory that decides as the pallet does, loses connections when told to, and keeps what it was sent.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use hashchain::{DataDigest, DeviceId, Enrolment, Entry, LinkHash, Native, Run, StudyId};
use mhealth_api::{Head, Refusal, RegisteredEntry};
use mhealth_device_host::{
    chain::{
        Chain, ChainDevice, ChainFault, ChainRefusal, Decision, Enrolment as Enrolling, FinalHead,
        HeadChecker, OutgoingRun, Question, Receipt, StudyTerms, Upload, UploadPolicy,
    },
    PublicKey,
};

/// What happens to the next enrolment or upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It arrives and is answered.
    None,
    /// It never arrives.
    LostRequest,
    /// It arrives, and the answer is lost.
    LostAnswer,
}

#[derive(Default)]
pub(crate) struct State {
    devices: Vec<Enrolled>,
    pub(crate) troubles: VecDeque<Trouble>,
    /// Every run that arrived, in order.
    pub(crate) received: Vec<Run>,
    /// Keys that the chain enrols under no circumstances.
    pub(crate) unwelcome: Vec<PublicKey>,
    /// Devices whose runs are refused with this code.
    pub(crate) shut_out: Option<(PublicKey, Refusal)>,
}

struct Enrolled {
    key: PublicKey,
    genesis: LinkHash,
    entries: Vec<RegisteredEntry>,
}

impl Enrolled {
    fn hash_at(&self, length: u64) -> Option<LinkHash> {
        match length.checked_sub(1) {
            None => Some(self.genesis),
            Some(last) => self.entries.get(last as usize).map(|entry| entry.hash),
        }
    }

    fn as_found(&self, id: usize) -> ChainDevice {
        ChainDevice {
            number: DeviceId(id as u32),
            genesis: self.genesis,
            head: self.head(),
            retired: false,
        }
    }

    fn head(&self) -> Head {
        let hash = self.entries.last().map_or(self.genesis, |entry| entry.hash);
        Head {
            hash,
            length: self.entries.len() as u64,
        }
    }

    fn record(&mut self, run: &Run) -> Decision<Receipt> {
        let refuse = |reason: Refusal| Err(ChainRefusal::by_chain(reason, "refused"));
        let before = run.first_sequence - 1;
        if before > self.head().length {
            return refuse(Refusal::Gap);
        }
        if self.hash_at(before) != Some(run.previous) {
            return refuse(Refusal::PreviousIsNotHead);
        }
        let signature = run.signature.expect("a signature");
        let message = hashchain::head_message(&run.last_link());
        if !hashchain::is_strictly_signed(&self.key.0, &message, &signature) {
            return refuse(Refusal::BadSignature);
        }
        for Entry {
            sequence,
            digest,
            hash,
            ..
        } in run.links()
        {
            match self.entries.get(sequence as usize - 1) {
                None => self.entries.push(RegisteredEntry {
                    sequence,
                    digest,
                    hash,
                }),
                Some(recorded) if recorded.hash == hash => {}
                Some(_) => return refuse(Refusal::Fork),
            }
        }
        Ok(Receipt::default())
    }
}

pub(crate) struct FakeChain {
    genesis: [u8; 32],
    auditor_key: [u8; 32],
    state: Mutex<State>,
}

impl FakeChain {
    pub(crate) fn new() -> Self {
        let terms = crate::terms();
        Self {
            genesis: terms.chain,
            auditor_key: terms.auditor_key,
            state: Mutex::default(),
        }
    }

    pub(crate) fn other() -> Self {
        Self {
            genesis: [0xee; 32],
            ..Self::new()
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }

    pub(crate) fn head_of(&self, key: PublicKey) -> Head {
        self.state()
            .devices
            .iter()
            .find(|d| d.key == key)
            .expect("it is enrolled")
            .head()
    }

    pub(crate) fn entries_of(&self, key: PublicKey) -> Vec<RegisteredEntry> {
        let state = self.state();
        state
            .devices
            .iter()
            .find(|d| d.key == key)
            .expect("it is enrolled")
            .entries
            .clone()
    }

    /// Puts an entry into a device's chain that the device did not make.
    pub(crate) fn forge(&self, key: PublicKey, hash: LinkHash) {
        let mut state = self.state();
        let device = state
            .devices
            .iter_mut()
            .find(|d| d.key == key)
            .expect("it is enrolled");
        let sequence = device.entries.len() as u64 + 1;
        let digest = DataDigest([0xfa; 32]);
        device.entries.push(RegisteredEntry {
            sequence,
            digest,
            hash,
        });
    }

    /// Enrols a key under other terms than the device's own.
    pub(crate) fn enrol_otherwise(&self, key: PublicKey) {
        let genesis = LinkHash([0x0d; 32]);
        self.state().devices.push(Enrolled {
            key,
            genesis,
            entries: Vec::new(),
        });
    }

    fn trouble(&self) -> Trouble {
        self.state().troubles.pop_front().unwrap_or(Trouble::None)
    }
}

fn lost() -> ChainFault {
    ChainFault {
        code: "node_unreachable".into(),
        message: "lost".into(),
        passing: true,
    }
}

fn behind() -> ChainFault {
    ChainFault {
        code: "relay_behind".into(),
        message: "no such device".into(),
        passing: true,
    }
}

impl Chain for FakeChain {
    fn genesis(&self) -> [u8; 32] {
        self.genesis
    }

    async fn study(&self, study: StudyId) -> Result<Option<StudyTerms>, ChainFault> {
        Ok((study == StudyId(0)).then_some(StudyTerms {
            auditor_key: self.auditor_key,
            auditor_epoch: 0,
            open: true,
        }))
    }

    /// It has no proofs, so its devices are told to trust its words.
    fn policy(&self) -> UploadPolicy {
        UploadPolicy {
            trusts_words: true,
            ..UploadPolicy::default()
        }
    }

    async fn find(
        &self,
        _: &HeadChecker,
        keys: &[PublicKey],
    ) -> Result<Vec<Option<DeviceId>>, ChainFault> {
        let state = self.state();
        let find = |key: &PublicKey| {
            let id = state.devices.iter().position(|device| device.key == *key)?;
            Some(DeviceId(id as u32))
        };
        Ok(keys.iter().map(find).collect())
    }

    async fn heads(
        &self,
        checker: &HeadChecker,
        questions: &[Question],
    ) -> Vec<Result<FinalHead, ChainFault>> {
        let state = self.state();
        let word = |question: &Question| {
            let number = question.device.0 as usize;
            let device = state.devices.get(number);
            let device = device.filter(|device| device.key == question.key);
            let found = device
                .map(|device| device.as_found(number))
                .ok_or(behind())?;
            checker.take_word(question.device, found.head, Some(&found))
        };
        questions.iter().map(word).collect()
    }

    async fn entries(
        &self,
        device: DeviceId,
        from: u64,
        count: u32,
        source: usize,
    ) -> Result<Option<Vec<RegisteredEntry>>, ChainFault> {
        let state = self.state();
        let entries = &state.devices[device.0 as usize].entries;
        Ok((source == 0).then(|| {
            entries
                .iter()
                .skip(from as usize - 1)
                .take(count as usize)
                .copied()
                .collect()
        }))
    }

    async fn enrol(
        &self,
        study: StudyId,
        enrolments: Vec<Enrolling>,
    ) -> Result<Vec<Decision<ChainDevice>>, ChainFault> {
        let trouble = self.trouble();
        if trouble == Trouble::LostRequest {
            return Err(lost());
        }
        let mut state = self.state();
        let mut decisions = Vec::new();
        for Enrolling { device, .. } in enrolments {
            let known = state
                .devices
                .iter()
                .position(|known| known.key == device.key);
            if let Some(known) = known {
                decisions.push(Ok(state.devices[known].as_found(known)));
                continue;
            }
            if state.unwelcome.contains(&device.key) {
                decisions.push(Err(ChainRefusal::by_chain(Refusal::KeyInUse, "refused")));
                continue;
            }
            let escrow_commitment = hashchain::escrow_commitment::<Native>(&device.escrow);
            let genesis = hashchain::genesis::<Native>(&Enrolment {
                chain: &self.genesis,
                study,
                device_key: &device.key.0,
                predecessor: device.predecessor.map(|predecessor| predecessor.head),
                secret_commitment: &device.secret_commitment,
                escrow_commitment: &escrow_commitment,
            });
            state.devices.push(Enrolled {
                key: device.key,
                genesis,
                entries: Vec::new(),
            });
            let id = state.devices.len() - 1;
            decisions.push(Ok(state.devices[id].as_found(id)));
        }
        match trouble {
            Trouble::LostAnswer => Err(lost()),
            _ => Ok(decisions),
        }
    }

    async fn upload(
        &self,
        _: &HeadChecker,
        uploads: Vec<Upload>,
    ) -> Result<Vec<Vec<Decision<Receipt>>>, ChainFault> {
        let trouble = self.trouble();
        if trouble == Trouble::LostRequest {
            return Err(lost());
        }
        let mut state = self.state();
        let mut decisions = Vec::new();
        for upload in uploads {
            assert_eq!(
                state.devices[upload.device.0 as usize].key,
                upload.key.public()
            );
            let mut of_device = Vec::new();
            for OutgoingRun { run, .. } in upload.runs {
                let shut_out = state
                    .shut_out
                    .clone()
                    .filter(|(key, _)| *key == upload.key.public());
                of_device.push(match shut_out {
                    Some((_, reason)) => Err(ChainRefusal::by_chain(reason, "refused")),
                    None => state.devices[upload.device.0 as usize].record(&run),
                });
                state.received.push(run);
            }
            decisions.push(of_device);
        }
        match trouble {
            Trouble::LostAnswer => Err(lost()),
            _ => Ok(decisions),
        }
    }
}
