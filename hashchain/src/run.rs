// SPDX-License-Identifier: Apache-2.0

//! Runs: consecutive entries of one device, as it uploads them (`docs/protocol/hashchain.md`, section 8).

use alloc::vec::Vec;

use crate::encoding::Sha256;
use crate::link::{link, Entry};
use crate::newtypes::{DataDigest, DeviceId, LinkHash, Tag};

/// Most entries of a run.
pub const MAX_RUN_LENGTH: usize = 256;

/// One entry of a run: everything that is not derived from the entry before, and not the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "scale",
    derive(
        codec::Encode,
        codec::Decode,
        codec::DecodeWithMemTracking,
        codec::MaxEncodedLen,
        scale_info::TypeInfo
    )
)]
pub struct RunEntry {
    /// `H("data", envelope)`.
    pub digest: DataDigest,
    /// What only a holder of the device's secret can make or check.
    pub tag: Tag,
}

impl RunEntry {
    /// Bytes of an entry: digest and tag.
    pub const LENGTH: usize = 64;

    /// Digest and tag, one after the other.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..32].copy_from_slice(&self.digest.0);
        bytes[32..].copy_from_slice(&self.tag.0);
        bytes
    }

    /// What [`RunEntry::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Self {
        let (mut digest, mut tag) = ([0; 32], [0; 32]);
        digest.copy_from_slice(&bytes[..32]);
        tag.copy_from_slice(&bytes[32..]);
        Self {
            digest: DataDigest(digest),
            tag: Tag(tag),
        }
    }
}

impl From<&Entry> for RunEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            digest: entry.digest,
            tag: entry.tag,
        }
    }
}

/// Consecutive entries of one device, without their data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The device whose entries these are.
    pub device: DeviceId,
    /// Sequence of the first entry, from 1.
    pub first_sequence: u64,
    /// Link of the entry before the first, or link 0.
    pub previous: LinkHash,
    /// The entries, oldest first; at most [`MAX_RUN_LENGTH`].
    pub entries: Vec<RunEntry>,
    /// The device's Ed25519 signature over `enc("head", link of the last entry)`.
    pub signature: Option<[u8; 64]>,
}

impl Run {
    /// Sequence of the last entry. None of a run without entries, and where it would be 2⁶⁴ or more.
    pub fn last_sequence(&self) -> Option<u64> {
        let before_last = (self.entries.len() as u64).checked_sub(1)?;
        self.first_sequence.checked_add(before_last)
    }

    /// The entries with the links that follow from `previous`, oldest first. Ends early where sequences do.
    #[cfg(feature = "native")]
    pub fn links(&self) -> impl Iterator<Item = Entry> + '_ {
        entries::<crate::Native>(
            self.first_sequence,
            self.previous,
            self.entries.iter().copied(),
        )
    }

    /// Link of the last entry; `previous` of a run without entries.
    #[cfg(feature = "native")]
    pub fn last_link(&self) -> LinkHash {
        self.links()
            .last()
            .map_or(self.previous, |entry| entry.hash)
    }
}

/// The entries of a run that claims this first sequence and previous link, each with the link that follows from it. Ends early
/// where sequences do.
///
/// This is the one place where links are folded: who has a run in another form than [`Run`] asks here, too.
pub fn entries<H: Sha256>(
    first_sequence: u64,
    previous: LinkHash,
    entries: impl IntoIterator<Item = RunEntry>,
) -> impl Iterator<Item = Entry> {
    let mut previous = previous;
    let mut next = Some(first_sequence);
    entries
        .into_iter()
        .map_while(move |RunEntry { digest, tag }| {
            let sequence = next?;
            next = sequence.checked_add(1);
            let hash = link::<H>(sequence, &previous, &digest, &tag);
            let entry = Entry {
                sequence,
                previous,
                digest,
                tag,
                hash,
            };
            previous = hash;
            Some(entry)
        })
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Sealer, Secret};

    fn run(first_sequence: u64, entries: usize) -> Run {
        Run {
            device: DeviceId(3),
            first_sequence,
            previous: LinkHash([1; 32]),
            entries: vec![
                RunEntry {
                    digest: DataDigest([2; 32]),
                    tag: Tag([3; 32]),
                };
                entries
            ],
            signature: None,
        }
    }

    #[test]
    fn a_runs_links_are_those_of_the_device_that_made_it() {
        let mut sealer = Sealer::begin(LinkHash([1; 32]), &Secret::from_bytes(&[7; 32]));
        let made: Vec<Entry> = (0..5)
            .map(|day| sealer.append(&DataDigest([day; 32])))
            .collect();
        let run = Run {
            entries: made.iter().map(RunEntry::from).collect(),
            ..run(1, 0)
        };
        assert_eq!(run.links().collect::<Vec<_>>(), made);
        assert_eq!(run.last_link(), sealer.head());
        assert_eq!(run.last_sequence(), Some(5));
    }

    #[test]
    fn a_run_without_entries_ends_where_it_begins() {
        assert_eq!(run(9, 0).last_link(), LinkHash([1; 32]));
        assert_eq!(run(9, 0).last_sequence(), None);
    }

    #[test]
    fn links_end_where_sequences_do() {
        let run = run(u64::MAX - 1, 3);
        let sequences: Vec<u64> = run.links().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, [u64::MAX - 1, u64::MAX]);
        assert_eq!(run.last_sequence(), None);
    }

    #[test]
    fn an_entry_is_read_back_from_its_bytes() {
        let entry = RunEntry {
            digest: DataDigest([2; 32]),
            tag: Tag([3; 32]),
        };
        assert_eq!(RunEntry::from_bytes(&entry.to_bytes()), entry);
    }
}
