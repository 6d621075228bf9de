// SPDX-License-Identifier: Apache-2.0

//! Looks for a device's tags, which stand in the extrinsics alone.

use hashchain::{head_message, is_signed_by_zip215, is_strictly_signed, Run, RunEntry, Tag};
use mhealth_api::DeviceStatus;
use mhealth_chain_client::{ChainView, DeviceView, EntryView};

use super::{unfit, Contents, Unaccounted};
use crate::error::AuditError;
use crate::evidence::DeviceEvidence;
use crate::judge::ranges;

/// A device whose runs are looked for in the blocks.
pub(super) struct Search {
    pub(super) record: DeviceView,
    registered: Vec<EntryView>,
    tags: Vec<Option<Tag>>,
    signature: Option<[u8; 64]>,
    /// Whether the chain has the receipt that its data were erased.
    is_erased: bool,
}

impl Search {
    /// Reads the registered entries.
    pub(super) async fn begin(view: &ChainView, record: DeviceView) -> Result<Self, AuditError> {
        // From the head back in one go: whatever began at an entry would have to walk there first.
        let registered = view.entries(record.device, 1, u32::MAX).await?;
        let sequences = registered.iter().map(|entry| entry.sequence);
        if !sequences.eq(1..=record.length) {
            return Err(unfit("entries of the device have left the node's state"));
        }
        // A device that may still write has no receipt.
        let is_erased =
            record.status != DeviceStatus::Active && view.erasure(record.device).await?.is_some();
        Ok(Self {
            is_erased,
            tags: vec![None; registered.len()],
            record,
            registered,
            signature: None,
        })
    }

    /// Takes tags and signature from a run that a block brought.
    pub(super) fn look_at(&mut self, run: &Run) {
        let mut last = None;
        for entry in run.links() {
            let place = usize::try_from(entry.sequence.wrapping_sub(1)).unwrap_or(usize::MAX);
            let registered = self.registered.get(place);
            if registered.is_some_and(|registered| registered.hash == entry.hash) {
                self.tags[place] = Some(entry.tag);
            }
            last = Some(entry.hash);
        }
        let (key, head) = (&self.record.key, &self.record.head);
        if last == Some(*head) {
            let message = head_message(head);
            let signed = |signature: &[u8; 64]| is_signed_by_zip215(key, &message, signature);
            if let Some(signature) = run.signature.filter(signed) {
                // One that every verifier accepts is the better evidence.
                if self.signature.is_none() || is_strictly_signed(key, &message, &signature) {
                    self.signature = Some(signature);
                }
            }
        }
    }

    /// Where in the journal its entries are.
    pub(super) fn places(&self) -> impl Iterator<Item = u64> + '_ {
        self.registered.iter().map(|entry| entry.index)
    }

    /// Whether all was found that there can be: every tag, and where every run is signed, a signature that every verifier accepts.
    pub(super) fn is_complete(&self, device_signed: bool) -> bool {
        let (key, head) = (&self.record.key, &self.record.head);
        let is_signed = || {
            let signature = self.signature.as_ref();
            signature.is_some_and(|it| is_strictly_signed(key, &head_message(head), it))
        };
        let wants_none = self.tags.is_empty() || !device_signed;
        self.tags.iter().all(Option::is_some) && (wants_none || is_signed())
    }

    /// The places of which no block had the tag.
    fn unaccounted(&self) -> Vec<u64> {
        let tags = self.tags.iter().zip(1..);
        tags.filter(|(tag, _)| tag.is_none())
            .map(|(_, sequence)| sequence)
            .collect()
    }

    fn end(self, contents: &Contents) -> Result<Result<Found, Unaccounted>, AuditError> {
        let missing = self.unaccounted();
        if !missing.is_empty() {
            return Ok(Err(Unaccounted {
                device: self.record.device,
                sequences: ranges(missing),
            }));
        }
        let entries = self.registered.iter().zip(self.tags.iter().flatten());
        let entries: Vec<RunEntry> = entries
            .map(|(entry, tag)| RunEntry {
                digest: entry.digest,
                tag: *tag,
            })
            .collect();
        let evidence = DeviceEvidence {
            device: self.record.device,
            signature: self.signature,
            envelopes: None,
            entries,
            secret: secret(&self.record, contents)?,
        };
        Ok(Ok(Found {
            evidence,
            is_erased: self.is_erased,
        }))
    }
}

/// A device of which all was found that the chain has. Its envelopes are not there yet.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) evidence: DeviceEvidence,
    /// The chain has the receipt that its data were erased, so nobody shows them.
    pub(super) is_erased: bool,
}

/// The evidence of each device, and the devices of which there is none because entries of theirs are unaccounted for. An
/// error where the caller wants all, and where nothing is left.
pub(super) fn sort_out(
    searches: Vec<Search>,
    contents: &Contents,
) -> Result<(Vec<Found>, Vec<Unaccounted>), AuditError> {
    let (mut devices, mut left_out) = (Vec::new(), Vec::new());
    for search in searches {
        match search.end(contents)? {
            Ok(device) => devices.push(device),
            Err(unaccounted) => left_out.push(unaccounted),
        }
    }
    if !left_out.is_empty() && (devices.is_empty() || !contents.leave_out_unaccounted) {
        return Err(AuditError::Unaccounted(left_out));
    }
    Ok((devices, left_out))
}

fn secret(record: &DeviceView, contents: &Contents) -> Result<Option<[u8; 32]>, AuditError> {
    if contents.auditors.is_empty() {
        return Ok(None);
    }
    let commitment = record.secret_commitment.0;
    let mut auditors = contents.auditors.iter();
    let secret = auditors.find_map(|auditor| {
        hashchain::open_escrow(auditor, &record.key, &commitment, &record.escrow).ok()
    });
    secret
        .map(|secret| Some(*secret.expose()))
        .ok_or_else(|| unfit("no auditor's key that was given opens the device's escrow"))
}

#[cfg(test)]
mod tests;
