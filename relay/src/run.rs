// SPDX-License-Identifier: Apache-2.0

//! An upload that holds in itself: within the limits, digests and links computed, signature checked.
//!
//! What is not checked here is what the relay and the chain know of the device: see [`crate::store`].

use hashchain::{data_digest, is_signed, link, DataDigest, LinkHash, Native, Tag};
use mhealth_api::{run_id, Code, Hash, Key, Policy, Problem, RunUpload};
use mhealth_chain_client::{Run, RunEntry, H256};

/// Bytes of an entry without its envelope: digest and tag.
pub const ENTRY_BYTES: usize = 64;
/// Most entries of a run, as on chain.
pub const MAX_RUN_LENGTH: usize = 256;

/// A run as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRun {
    /// Names it by its content.
    pub id: Hash,
    /// Whose it is.
    pub device: u32,
    /// The device's study.
    pub study: u32,
    /// Sequence of its first entry, from 1 to 2⁶³ - 1, as is that of its last.
    pub sequence: u64,
    /// Link before the first entry.
    pub previous: Hash,
    /// Links of its entries; at least one.
    pub links: Vec<Hash>,
    /// The device's signature over the last link.
    pub signature: Option<[u8; 64]>,
    /// Digest and tag of each entry, [`ENTRY_BYTES`] together.
    pub digests_and_tags: Vec<u8>,
    /// Each envelope with its length before it, 4 bytes big-endian.
    pub envelopes: Vec<u8>,
}

/// What the check has to know of a device.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The device's study.
    pub study: u32,
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
        let last = last_sequence(&upload)?;
        let mut links = Vec::with_capacity(upload.entries.len());
        let mut digests_and_tags = Vec::with_capacity(upload.entries.len() * ENTRY_BYTES);
        let size = upload
            .entries
            .iter()
            .map(|entry| entry.envelope.0.len() + 4);
        let mut envelopes = Vec::with_capacity(size.sum());
        let mut previous = LinkHash(upload.previous.0);
        for (entry, sequence) in upload.entries.iter().zip(upload.sequence..) {
            let envelope = &entry.envelope.0;
            if envelope.len() > rules.max_envelope {
                let detail = format!(
                    "The envelope of entry {sequence} has {} bytes; this relay takes {}.",
                    envelope.len(),
                    rules.max_envelope
                );
                return Err(Problem::with_detail(Code::BodyTooLarge, detail));
            }
            if data_digest::<Native>(envelope).0 != entry.digest.0 {
                let detail = format!("The envelope of entry {sequence} does not have its digest.");
                return Err(Problem::with_detail(Code::DigestMismatch, detail));
            }
            let (digest, tag) = (DataDigest(entry.digest.0), Tag(entry.tag.0));
            previous = link::<Native>(sequence, &previous, &digest, &tag);
            links.push(Hash(previous.0));
            digests_and_tags.extend_from_slice(&digest.0);
            digests_and_tags.extend_from_slice(&tag.0);
            // The limit is far below 4 GiB.
            envelopes.extend_from_slice(&(envelope.len() as u32).to_be_bytes());
            envelopes.extend_from_slice(envelope);
        }
        let signature = upload.signature.map(|signature| signature.0);
        if rules.policy == Policy::DeviceSigned {
            let signature = signature.as_ref().ok_or(Code::MissingSignature)?;
            if !is_signed(&rules.key.0, &previous, signature) {
                return Err(Code::BadSignature.into());
            }
        }
        let head = Hash(previous.0);
        debug_assert_eq!(last, upload.sequence + links.len() as u64 - 1);
        Ok(Self {
            id: run_id(upload.device, upload.sequence, &upload.previous, &head),
            device: upload.device,
            study: rules.study,
            sequence: upload.sequence,
            previous: upload.previous,
            links,
            signature,
            digests_and_tags,
            envelopes,
        })
    }

    /// Sequence of the last entry.
    pub fn last(&self) -> u64 {
        self.sequence + self.links.len() as u64 - 1
    }

    /// Link of the last entry.
    pub fn head(&self) -> Hash {
        *self.links.last().expect("a checked run has an entry; qed")
    }

    /// The link that this run claims at a sequence from the one before its first entry to its last.
    pub fn link_at(&self, sequence: u64) -> Hash {
        match sequence.checked_sub(self.sequence) {
            None => self.previous,
            Some(place) => self.links[place as usize],
        }
    }
}

fn last_sequence(upload: &RunUpload) -> Result<u64, Code> {
    let count = upload.entries.len();
    if count == 0 {
        return Err(Code::EmptyRun);
    }
    if count > MAX_RUN_LENGTH {
        return Err(Code::RunTooLong);
    }
    let last = upload.sequence.checked_add(count as u64 - 1);
    match last {
        Some(last) if upload.sequence > 0 && last <= i64::MAX as u64 => Ok(last),
        _ => Err(Code::InvalidSequence),
    }
}

/// A stored run as the chain takes it.
pub fn for_chain(
    device: u32,
    sequence: u64,
    previous: Hash,
    digests_and_tags: &[u8],
    signature: Option<[u8; 64]>,
) -> Run {
    let entries = digests_and_tags
        .chunks_exact(ENTRY_BYTES)
        .map(|entry| RunEntry {
            digest: H256::from_slice(&entry[..32]),
            tag: H256::from_slice(&entry[32..]),
        });
    Run {
        device,
        sequence,
        previous: H256(previous.0),
        entries: entries.collect(),
        signature,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;
    use mhealth_api::Base64;

    fn rules(device: &TestDevice, policy: Policy) -> Rules {
        Rules {
            study: 3,
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
        assert_eq!((run.sequence, run.last()), (1, 5));
        assert_eq!(run.link_at(0), upload.previous);
        assert_eq!(run.link_at(5), run.head());
        let sent = for_chain(7, 1, upload.previous, &run.digests_and_tags, run.signature);
        assert_eq!(sent.entries.len(), 5);
        assert_eq!(sent.entries[4].tag.0, upload.entries[4].tag.0);
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
        let mut upload = device.run(1);
        upload.signature = None;
        assert!(CheckedRun::check(upload, &rules(&device, Policy::HashchainOnly)).is_ok());
    }
}
