// SPDX-License-Identifier: Apache-2.0

//! A run as it goes to a relay.

use alloc::{string::String, vec::Vec};
use hashchain::DeviceId;
use mhealth_api::{run_id, Base64, Hash, Head, RunEntry, RunStatus, RunUpload, SignatureBytes};

use crate::chain::OutgoingRun;

/// A run with the bytes of its upload, which are the same at every attempt and for every relay.
pub(super) struct PreparedRun {
    pub(super) first: u64,
    pub(super) last: u64,
    /// What every honest relay calls it.
    pub(super) id: Hash,
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    /// Relays that acknowledged it before.
    pub(super) holders: Vec<String>,
}

impl PreparedRun {
    pub(super) fn of(outgoing: OutgoingRun) -> Self {
        let OutgoingRun {
            run,
            envelopes,
            holders,
        } = outgoing;
        let last = run
            .links()
            .last()
            .expect("a run is made of at least one entry; qed");
        let entries = run.entries.iter().zip(envelopes);
        let upload = RunUpload {
            device: run.device,
            sequence: run.first_sequence,
            previous: run.previous,
            entries: entries
                .map(|(entry, envelope)| RunEntry {
                    digest: entry.digest,
                    tag: entry.tag,
                    envelope: Base64(envelope),
                })
                .collect(),
            signature: run.signature.map(SignatureBytes),
        };
        Self {
            first: run.first_sequence,
            last: last.sequence,
            id: run_id(run.device, run.first_sequence, &run.previous, &last.hash),
            head: Head {
                hash: last.hash,
                length: last.sequence,
            },
            body: serde_json::to_vec(&upload).expect("bytes and numbers always serialise; qed"),
            holders,
        }
    }

    pub(super) fn entries(&self) -> usize {
        (self.last - self.first + 1) as usize
    }

    /// Whether a status is this run's, and not a mix-up or a lie.
    pub(super) fn is_of(&self, status: &RunStatus, device: DeviceId) -> bool {
        status.run == self.id
            && status.device == device
            && status.sequence == self.first
            && status.entries as usize == self.entries()
            && status.head == self.head.hash
    }
}
