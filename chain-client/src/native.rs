// SPDX-License-Identifier: Apache-2.0

//! Runs and entries, read from their bytes as this program knows that they are encoded.
//!
//! Reading by the types of the metadata visits every byte of a hash by itself, so blocks and journal would take many times as long
//! to read as to fetch. It is done where the metadata says that the types are others:
//! [`Runtime::reads_natively`](crate::runtime::Runtime::reads_natively) tells.

use hashchain::{DataDigest, DeviceId, LinkHash, Run, RunEntry, Tag};
use subxt::ext::codec::{Compact, Decode};

use crate::types::{EntriesPage, EntryView};

/// Bytes of a digest or tag.
const HASH: usize = 32;
/// Bytes of an entry of a run: digest and tag.
const ENTRY: usize = 2 * HASH;
/// Bytes of the shortest run, and of the shortest entry of the journal.
const LEAST_RUN: usize = 4 + 1 + HASH + 1 + 1;
const LEAST_ENTRY_VIEW: usize = 8 + 4 + 8 + HASH + HASH + 1;

/// A run, and the bytes after it are left. None if the bytes are none.
pub(crate) fn run(input: &mut &[u8]) -> Option<Run> {
    let device = DeviceId(value(input)?);
    let Compact(first_sequence): Compact<u64> = value(input)?;
    let previous = LinkHash(value(input)?);
    let entries = count(input)?.checked_mul(ENTRY)?;
    let (entries, rest) = input.split_at_checked(entries)?;
    *input = rest;
    let entries = entries.as_chunks::<HASH>().0.as_chunks::<2>().0.iter();
    Some(Run {
        device,
        first_sequence,
        previous,
        entries: entries
            .map(|[digest, tag]| RunEntry {
                digest: DataDigest(*digest),
                tag: Tag(*tag),
            })
            .collect(),
        signature: value(input)?,
    })
}

/// The runs of a batch, and the bytes after them are left. None if the bytes are none.
pub(crate) fn batch(input: &mut &[u8]) -> Option<Vec<Run>> {
    several(input, LEAST_RUN, run)
}

/// A part of a device's entries, and nothing after it. None if the bytes are none.
pub(crate) fn entries_page(mut input: &[u8]) -> Option<EntriesPage> {
    let entries = several(&mut input, LEAST_ENTRY_VIEW, entry_view)?;
    let next = value(&mut input)?;
    input.is_empty().then_some(EntriesPage { entries, next })
}

fn entry_view(input: &mut &[u8]) -> Option<EntryView> {
    Some(EntryView {
        index: value(input)?,
        device: DeviceId(value(input)?),
        sequence: value(input)?,
        digest: DataDigest(value(input)?),
        hash: LinkHash(value(input)?),
        previous: value(input)?,
    })
}

/// A list of values of at least so many bytes each.
fn several<T>(
    input: &mut &[u8],
    least: usize,
    one: impl Fn(&mut &[u8]) -> Option<T>,
) -> Option<Vec<T>> {
    let count = count(input)?;
    // What is said to be there takes memory only as far as there are bytes for it.
    let mut values = Vec::with_capacity(count.min(input.len() / least));
    for _ in 0..count {
        values.push(one(input)?);
    }
    Some(values)
}

fn count(input: &mut &[u8]) -> Option<usize> {
    let count: Compact<u32> = value(input)?;
    usize::try_from(count.0).ok()
}

fn value<T: Decode>(input: &mut &[u8]) -> Option<T> {
    T::decode(input).ok()
}
