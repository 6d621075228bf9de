// SPDX-License-Identifier: Apache-2.0

//! A run as it goes to a relay.

use mhealth_api::{run_id, Base64, Hash, RunEntry, RunStatus, RunUpload, SignatureBytes};

use crate::chain::{ChainHead, OutgoingRun};

/// A run with the bytes of its upload, which are the same at every attempt and for every relay.
pub(super) struct PreparedRun {
    pub(super) first: u64,
    pub(super) last: u64,
    /// What every honest relay calls it.
    pub(super) id: Hash,
    pub(super) head: ChainHead,
    pub(super) body: Vec<u8>,
    /// Relays that acknowledged it before.
    pub(super) holders: Vec<String>,
}

impl PreparedRun {
    pub(super) fn of(device: u32, outgoing: OutgoingRun) -> Self {
        let OutgoingRun { run, envelopes } = outgoing;
        let (first, last) = (*run.first(), *run.last());
        let previous = Hash(first.previous.0);
        let entries = run
            .entries
            .iter()
            .zip(envelopes)
            .map(|(entry, envelope)| RunEntry {
                digest: Hash(entry.digest.0),
                tag: Hash(entry.tag.0),
                envelope: Base64(envelope),
            })
            .collect();
        let upload = RunUpload {
            device,
            sequence: first.sequence,
            previous,
            entries,
            signature: Some(SignatureBytes(run.signature.0)),
        };
        Self {
            first: first.sequence,
            last: last.sequence,
            id: run_id(device, first.sequence, &previous, &Hash(last.hash.0)),
            head: ChainHead {
                hash: last.hash,
                length: last.sequence,
            },
            body: serde_json::to_vec(&upload).expect("bytes and numbers always serialise; qed"),
            holders: run.holders,
        }
    }

    pub(super) fn entries(&self) -> usize {
        (self.last - self.first + 1) as usize
    }

    /// Whether a status is this run's, and not a mix-up or a lie.
    pub(super) fn is_of(&self, status: &RunStatus, device: u32) -> bool {
        status.run == self.id
            && status.device == device
            && status.sequence == self.first
            && status.entries as usize == self.entries()
            && status.head.0 == self.head.hash.0
    }
}
