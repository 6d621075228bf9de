// SPDX-License-Identifier: Apache-2.0

//! An upload that holds in itself: within the limits, digests and links computed, signature checked.
//!
//! What is not checked here is what the relay and the chain know of the device: see [`crate::store`].

use hashchain::{
    data_digest, head_message, is_strictly_signed, LinkHash, Native, Run, StudyId, MAX_RUN_LENGTH,
};
use mhealth_api::{run_id, Code, Hash, Key, Policy, Problem, RunUpload};

/// A run as it is stored. It has an entry, and sequences from 1 to 2⁶³ - 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRun {
    /// Names it by its content.
    pub id: Hash,
    /// The device's study.
    pub study: StudyId,
    /// The run as the chain takes it.
    pub run: Run,
    /// Links of its entries.
    pub links: Vec<LinkHash>,
    /// Each envelope with its length before it, 4 bytes big-endian.
    pub envelopes: Vec<u8>,
    /// Whether the device's key signed it. Where the study asks for that, it did.
    pub is_signed: bool,
}

/// What the check has to know of a device.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The device's study.
    pub study: StudyId,
    /// Its key.
    pub key: Key,
    /// What the chain demands.
    pub policy: Policy,
    /// Most bytes of one envelope.
    pub max_envelope: usize,
}

impl CheckedRun {
    /// Checks an upload in the order: shape and limits, digests, links, signature.
    pub fn check(upload: RunUpload, rules: &Rules) -> Result<Self, Problem> {
        match upload.entries.len() {
            0 => return Err(Code::EmptyRun.into()),
            1..=MAX_RUN_LENGTH => {}
            _ => return Err(Code::RunTooLong.into()),
        }
        let run = upload.run();
        let last = run.last_sequence();
        if run.first_sequence == 0 || last.is_none_or(|last| last > i64::MAX as u64) {
            return Err(Code::InvalidSequence.into());
        }
        let mut links = Vec::with_capacity(run.entries.len());
        let size = upload
            .entries
            .iter()
            .map(|entry| entry.envelope.0.len() + 4);
        let mut envelopes = Vec::with_capacity(size.sum());
        for (entry, link) in upload.entries.iter().zip(run.links()) {
            let envelope = &entry.envelope.0;
            let sequence = link.sequence;
            if envelope.len() > rules.max_envelope {
                let detail = format!(
                    "The envelope of entry {sequence} has {} bytes; this relay takes {}.",
                    envelope.len(),
                    rules.max_envelope
                );
                return Err(Problem::with_detail(Code::BodyTooLarge, detail));
            }
            if data_digest::<Native>(envelope) != entry.digest {
                let detail = format!("The envelope of entry {sequence} does not have its digest.");
                return Err(Problem::with_detail(Code::DigestMismatch, detail));
            }
            links.push(link.hash);
            // The limit is far below 4 GiB.
            envelopes.extend_from_slice(&(envelope.len() as u32).to_be_bytes());
            envelopes.extend_from_slice(envelope);
        }
        let head = links.last().ok_or(Code::EmptyRun)?;
        let is_signed = run.signature.as_ref().is_some_and(|signature| {
            is_strictly_signed(&rules.key.0, &head_message(head), signature)
        });
        if rules.policy == Policy::DeviceSigned && !is_signed {
            return Err(match run.signature {
                None => Code::MissingSignature,
                Some(_) => Code::BadSignature,
            }
            .into());
        }
        Ok(Self {
            id: run_id(run.device, run.first_sequence, &run.previous, head),
            study: rules.study,
            run,
            links,
            envelopes,
            is_signed,
        })
    }

    /// Sequence of the last entry.
    pub fn last(&self) -> u64 {
        self.run.first_sequence + self.links.len() as u64 - 1
    }

    /// Link of the last entry.
    pub fn head(&self) -> LinkHash {
        *self.links.last().expect("a checked run has an entry; qed")
    }

    /// The link that this run claims at a sequence from the one before its first entry to its last.
    pub fn link_at(&self, sequence: u64) -> LinkHash {
        match sequence.checked_sub(self.run.first_sequence) {
            None => self.run.previous,
            Some(place) => self.links[place as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;
    use mhealth_api::Base64;

    fn rules(device: &TestDevice, policy: Policy) -> Rules {
        Rules {
            study: StudyId(3),
            key: device.key(),
            policy,
            max_envelope: 1_000,
        }
    }

    fn refusal(upload: RunUpload, rules: &Rules) -> Code {
        let problem = CheckedRun::check(upload, rules).unwrap_err();
        problem.known_code().unwrap()
    }

    #[test]
    fn an_honest_run_passes_and_its_last_link_is_the_devices_head() {
        let mut device = TestDevice::new(7);
        let upload = device.run(5);
        let run = CheckedRun::check(upload.clone(), &rules(&device, Policy::DeviceSigned)).unwrap();
        assert_eq!(run.head(), device.head().hash);
        assert_eq!((run.run.first_sequence, run.last()), (1, 5));
        assert_eq!(run.link_at(0), upload.previous);
        assert_eq!(run.link_at(5), run.head());
        assert_eq!(run.run.entries.len(), 5);
        assert_eq!(run.run.entries[4].tag, upload.entries[4].tag);
    }

    #[test]
    fn each_fault_has_its_code() {
        let mut device = TestDevice::new(7);
        let honest = device.run(3);
        let rules = rules(&device, Policy::DeviceSigned);
        let with = |change: &dyn Fn(&mut RunUpload)| {
            let mut upload = honest.clone();
            change(&mut upload);
            refusal(upload, &rules)
        };
        assert_eq!(with(&|run| run.entries.clear()), Code::EmptyRun);
        assert_eq!(
            with(&|run| run.entries = vec![run.entries[0].clone(); 257]),
            Code::RunTooLong
        );
        for sequence in [0, i64::MAX as u64 - 1, u64::MAX] {
            assert_eq!(with(&|run| run.sequence = sequence), Code::InvalidSequence);
        }
        assert_eq!(
            with(&|run| run.entries[1].envelope = Base64(vec![1])),
            Code::DigestMismatch
        );
        assert_eq!(
            with(&|run| run.entries[1].envelope = Base64(vec![0; 1_001])),
            Code::BodyTooLarge
        );
        assert_eq!(with(&|run| run.signature = None), Code::MissingSignature);
        assert_eq!(with(&|run| run.sequence = 2), Code::BadSignature);
        assert_eq!(with(&|run| run.previous.0[0] ^= 1), Code::BadSignature);
        assert_eq!(
            with(&|run| run.entries[0].tag.0[0] ^= 1),
            Code::BadSignature
        );
    }

    #[test]
    fn a_study_without_signatures_takes_unsigned_runs() {
        let mut device = TestDevice::new(7);
        let upload = device.run(1);
        let mut bare = upload.clone();
        bare.signature = None;
        let mut foreign = upload.clone();
        foreign.signature = Some(mhealth_api::SignatureBytes([5; 64]));
        for (upload, is_signed) in [(upload, true), (bare, false), (foreign, false)] {
            let run = CheckedRun::check(upload, &rules(&device, Policy::HashchainOnly)).unwrap();
            assert_eq!(run.is_signed, is_signed);
        }
    }
}
