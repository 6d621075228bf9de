// SPDX-License-Identifier: Apache-2.0

//! The runs of a batch, as the bytes they arrived in.
//!
//! A transaction is read twice whenever the runtime meets it, in the pool as in a block. A list of [`Run`]s, each with
//! a list of its own, asks the node for memory once a run and moves every field several times. That, and a call of the
//! node for each link, was a fifth of the time of a block (docs/explained/decisions.md). So the bytes stay together, and a run is read where it is.

use crate::{DeviceId, Run, RunEntry, MAX_BATCH_LENGTH, MAX_RUN_LENGTH};
use alloc::vec::Vec;
use codec::{Compact, Decode, DecodeWithMemTracking, Encode, EncodeLike, Error, Input, Output};
use core::fmt;
use frame_support::{traits::ConstU32, BoundedVec};
use scale_info::{Type, TypeInfo};
use sp_core::H256;

/// Bytes of the number of a device.
const DEVICE: usize = 4;
/// Bytes of a link.
const LINK: usize = 32;
/// Bytes of an entry: digest and tag.
const ENTRY: usize = 32 + 32;
/// Bytes of a signature.
const SIGNATURE: usize = 64;
/// Bytes of a run for which memory is asked at first: of a signed one with sixteen entries.
const USUAL: usize = DEVICE + 2 + LINK + 1 + 16 * ENTRY + 1 + SIGNATURE;

/// Runs that one account submits together; each stands or falls alone.
///
/// Encoded, and in the metadata, they are a bounded list of [`Run`]s.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Runs {
    runs: u32,
    entries: u32,
    signatures: u32,
    /// The runs one after the other, encoded: checked when they were read.
    bytes: Vec<u8>,
}

/// A run of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunView<'a> {
    /// The device whose entries these are.
    pub device: DeviceId,
    /// Sequence of the first entry, from 1.
    pub sequence: u64,
    /// Link of the entry before the first, or link 0.
    pub previous: H256,
    /// The entries, oldest first.
    pub entries: Entries<'a>,
    /// The device's Ed25519 signature over `enc("head", link of the last entry)`.
    pub signature: Option<&'a [u8; SIGNATURE]>,
}

/// The entries of a run, each a digest and a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entries<'a>(&'a [[u8; ENTRY]]);

impl From<RunView<'_>> for Run {
    fn from(run: RunView<'_>) -> Self {
        Run {
            device: run.device,
            sequence: run.sequence,
            previous: run.previous,
            // There is no view of a run that has more.
            entries: BoundedVec::truncate_from(run.entries.iter().collect()),
            signature: run.signature.copied(),
        }
    }
}

impl<'a> Entries<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The entry at this place, from 0.
    pub fn at(self, place: usize) -> Option<RunEntry> {
        self.0.get(place).map(entry)
    }

    /// One after the other.
    pub fn iter(self) -> impl ExactSizeIterator<Item = RunEntry> + 'a {
        self.0.iter().map(entry)
    }
}

fn entry(bytes: &[u8; ENTRY]) -> RunEntry {
    let (digest, tag) = bytes.split_at(ENTRY / 2);
    RunEntry {
        digest: H256::from_slice(digest),
        tag: H256::from_slice(tag),
    }
}

impl Runs {
    /// How many runs there are.
    pub fn len(&self) -> u32 {
        self.runs
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs == 0
    }

    /// How many entries all of them have.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// How many of them are signed.
    pub fn signatures(&self) -> u32 {
        self.signatures
    }

    /// One run after the other.
    pub fn iter(&self) -> impl Iterator<Item = RunView<'_>> {
        views(&self.bytes)
    }

    /// The runs one after the other, encoded, without their number.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn with(mut self, run: &Run) -> Self {
        self.runs += 1;
        self.entries += run.entries.len() as u32;
        self.signatures += u32::from(run.signature.is_some());
        run.encode_to(&mut self.bytes);
        self
    }
}

/// The runs that are encoded in these bytes one after the other, up to the first that is not a run.
pub(crate) fn views(mut bytes: &[u8]) -> impl Iterator<Item = RunView<'_>> {
    core::iter::from_fn(move || {
        let (run, rest) = view(bytes)?;
        bytes = rest;
        Some(run)
    })
}

fn view(bytes: &[u8]) -> Option<(RunView<'_>, &[u8])> {
    let (device, mut rest) = bytes.split_first_chunk()?;
    let Compact(sequence) = Compact::<u64>::decode(&mut rest).ok()?;
    let (previous, mut rest) = rest.split_first_chunk()?;
    let Compact(count) = Compact::<u32>::decode(&mut rest).ok()?;
    let (entries, rest) = rest.split_at_checked((count as usize).checked_mul(ENTRY)?)?;
    let (is_signed, rest) = rest.split_first()?;
    let (signature, rest) = match is_signed {
        0 => (None, rest),
        _ => rest
            .split_first_chunk()
            .map(|(signature, rest)| (Some(signature), rest))?,
    };
    let run = RunView {
        device: DeviceId::from_le_bytes(*device),
        sequence,
        previous: H256(*previous),
        entries: Entries(entries.as_chunks().0),
        signature,
    };
    Some((run, rest))
}

impl Decode for Runs {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let Compact(count) = Compact::<u32>::decode(input)?;
        if count > MAX_BATCH_LENGTH {
            return Err("more runs than a batch may have".into());
        }
        let room = (count as usize * USUAL).min(input.remaining_len()?.unwrap_or_default());
        input.on_before_alloc_mem(room)?;
        let mut runs = Self {
            bytes: Vec::with_capacity(room),
            ..Self::default()
        };
        for _ in 0..count {
            runs.read(input)?;
        }
        Ok(runs)
    }
}

impl Runs {
    /// Reads one run more.
    fn read<I: Input>(&mut self, input: &mut I) -> Result<(), Error> {
        let bytes = &mut self.bytes;
        let begin = bytes.len() + DEVICE;
        let first = last_read(input, bytes, DEVICE + 1)?;
        // Few entries, as nearly every run has, are counted in one byte.
        let first = last_read(input, bytes, further_bytes(first) + LINK + 1)?;
        Compact::<u64>::decode(&mut &bytes[begin..])?;
        let entries = match first & 0b11 {
            0 => u32::from(first >> 2),
            1 => {
                let second = last_read(input, bytes, 1)?;
                let entries = u32::from(u16::from_le_bytes([first, second]) >> 2);
                if entries >> 6 == 0 {
                    return Err("a length takes more bytes than it needs".into());
                }
                entries
            }
            _ => u32::MAX,
        };
        if entries > MAX_RUN_LENGTH {
            return Err("more entries than a run may have".into());
        }
        let is_signed = last_read(input, bytes, entries as usize * ENTRY + 1)?;
        match is_signed {
            0 => (),
            1 => drop(last_read(input, bytes, SIGNATURE)?),
            _ => return Err("a signature is there or not".into()),
        }
        self.runs += 1;
        self.entries += entries;
        self.signatures += u32::from(is_signed);
        Ok(())
    }
}

/// How many bytes of a compact number follow its first.
fn further_bytes(first: u8) -> usize {
    match first & 0b11 {
        0b00 => 0,
        0b01 => 1,
        0b10 => 3,
        _ => usize::from(first >> 2) + 4,
    }
}

/// Reads so many bytes more, at least one, and returns the last of them.
fn last_read<I: Input>(input: &mut I, bytes: &mut Vec<u8>, more: usize) -> Result<u8, Error> {
    let begin = bytes.len();
    let end = begin + more;
    if end > bytes.capacity() {
        input.on_before_alloc_mem(end)?;
    }
    bytes.resize(end, 0);
    input.read(&mut bytes[begin..])?;
    bytes
        .last()
        .copied()
        .ok_or_else(|| "nothing was read".into())
}

impl DecodeWithMemTracking for Runs {}

impl Encode for Runs {
    fn size_hint(&self) -> usize {
        Compact(self.runs).size_hint() + self.bytes.len()
    }

    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        Compact(self.runs).encode_to(output);
        output.write(&self.bytes);
    }
}

impl EncodeLike for Runs {}

impl TypeInfo for Runs {
    type Identity = BoundedVec<Run, ConstU32<MAX_BATCH_LENGTH>>;

    fn type_info() -> Type {
        Self::Identity::type_info()
    }
}

impl TryFrom<Vec<Run>> for Runs {
    type Error = Vec<Run>;

    /// Gives the runs back if they are more than a batch may have.
    fn try_from(runs: Vec<Run>) -> Result<Self, Self::Error> {
        if runs.len() > MAX_BATCH_LENGTH as usize {
            return Err(runs);
        }
        Ok(runs.iter().fold(Self::default(), Self::with))
    }
}

impl From<&Run> for Runs {
    fn from(run: &Run) -> Self {
        Self::default().with(run)
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
