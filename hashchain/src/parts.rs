// SPDX-License-Identifier: Apache-2.0

//! Records that are longer than an envelope may be: cut into parts, and put together again.
//!
//! A record's content is `lp(media type) ‖ payload`. A phone cuts it into pieces and seals each as an entry of its own, one after
//! the other. Every part names the whole record by its digest, which part of how many it is, and how long the whole is:
//!
//! ```text
//! media type of a part   application/vnd.mhealth-chain.part
//! payload of a part      record digest (32 bytes) ‖ u32 number, from 1 ‖ u32 of ‖ u64 length of the content ‖ piece
//! record digest          H("record", media type, payload)
//! ```
//!
//! So nothing new is on the chain, and whoever can open the envelopes can put a record together, sees that it is the whole one, and
//! can say which entry is missing. Parts of one record are neighbours: part *k* is the entry *k* − 1 after that of part 1.
//!
//! [`split`] is the phone's side, [`join`](crate::join()) the reader's.

use alloc::vec::Vec;
use core::fmt;

use crate::encoding::{hash, Sha256};
use crate::envelope::Content;
use crate::newtypes::RecordDigest;

/// The media type of a part.
pub const PART_MEDIA_TYPE: &str = "application/vnd.mhealth-chain.part";
/// Most parts of a record.
pub const MAX_PARTS: u32 = 1_024;
/// Most bytes of the content of a record in parts, its media type included: 64 MiB.
pub const MAX_RECORD_LENGTH: usize = 64 << 20;

/// Bytes of a part's payload before its piece.
const HEADER: usize = 32 + 4 + 4 + 8;

/// `H("record", media type, payload)`: what binds the parts of a record.
pub fn record_digest<H: Sha256>(content: &Content<'_>) -> RecordDigest {
    let parts = [content.media_type().as_bytes(), content.payload()];
    RecordDigest(hash::<H>("record", &parts))
}

/// One part of a record. Printing it shows no data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The whole record.
    pub record: RecordDigest,
    /// Which part it is, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
    /// Bytes of the whole record's content.
    pub length: u64,
    /// A piece of that content.
    pub piece: &'a [u8],
}

impl<'a> Part<'a> {
    /// Reads what an envelope holds; none if it is no part, but a record by itself.
    pub fn parse(content: &Content<'a>) -> Result<Option<Self>, MalformedPart> {
        if content.media_type() != PART_MEDIA_TYPE {
            return Ok(None);
        }
        let rest = content.payload();
        let (record, rest) = rest.split_first_chunk::<32>().ok_or(MalformedPart)?;
        let (number, rest) = rest.split_first_chunk::<4>().ok_or(MalformedPart)?;
        let (of, rest) = rest.split_first_chunk::<4>().ok_or(MalformedPart)?;
        let (length, piece) = rest.split_first_chunk::<8>().ok_or(MalformedPart)?;
        let part = Self {
            record: RecordDigest(*record),
            number: u32::from_be_bytes(*number),
            of: u32::from_be_bytes(*of),
            length: u64::from_be_bytes(*length),
            piece,
        };
        match part.is_well_formed() {
            true => Ok(Some(part)),
            false => Err(MalformedPart),
        }
    }

    fn is_well_formed(&self) -> bool {
        (2..=MAX_PARTS).contains(&self.of)
            && (1..=self.of).contains(&self.number)
            && self.length <= MAX_RECORD_LENGTH as u64
            && !self.piece.is_empty()
            && self.piece.len() as u64 <= self.length
    }

    /// The payload of its envelope; the media type is [`PART_MEDIA_TYPE`].
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(HEADER + self.piece.len());
        payload.extend_from_slice(&self.record.0);
        payload.extend_from_slice(&self.number.to_be_bytes());
        payload.extend_from_slice(&self.of.to_be_bytes());
        payload.extend_from_slice(&self.length.to_be_bytes());
        payload.extend_from_slice(self.piece);
        payload
    }

    /// The entry of part 1, if this part is this entry.
    pub(crate) fn first(&self, sequence: u64) -> Option<u64> {
        let before = u64::from(self.number) - 1;
        sequence.checked_sub(before).filter(|first| *first > 0)
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, of, bytes) = (self.number, self.of, self.piece.len());
        write!(
            f,
            "Part({number} of {of} of {}, {bytes} bytes)",
            self.record
        )
    }
}

/// A payload that bears the media type of a part and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedPart;

impl fmt::Display for MalformedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payload is not a part of a record")
    }
}

impl core::error::Error for MalformedPart {}

/// A record cannot be cut so that it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTooLong;

impl fmt::Display for RecordTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the record has more than {MAX_RECORD_LENGTH} bytes, or more than {MAX_PARTS} parts"
        )
    }
}

impl core::error::Error for RecordTooLong {}

/// A record that was cut.
#[derive(Clone, PartialEq, Eq)]
pub struct Split {
    record: RecordDigest,
    whole: Vec<u8>,
    piece: usize,
}

impl Split {
    /// How many parts it has.
    pub fn count(&self) -> u32 {
        // Checked when it was made.
        self.whole.len().div_ceil(self.piece) as u32
    }

    /// The parts, in the order in which they are to be sealed.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let (of, length) = (self.count(), self.whole.len() as u64);
        let pieces = (1..=of).zip(self.whole.chunks(self.piece));
        pieces.map(move |(number, piece)| Part {
            record: self.record,
            number,
            of,
            length,
            piece,
        })
    }
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Split({} in {} parts)", self.record, self.count())
    }
}

/// Cuts a record into at least two parts, each with a payload of at most `most` bytes, its header included.
pub fn split<H: Sha256>(content: &Content<'_>, most: usize) -> Result<Split, RecordTooLong> {
    let length = content.written_length();
    let piece = most.saturating_sub(HEADER).min(length.div_ceil(2)).max(1);
    if length > MAX_RECORD_LENGTH || length.div_ceil(piece) > MAX_PARTS as usize {
        return Err(RecordTooLong);
    }
    let mut whole = Vec::with_capacity(length);
    content.write(&mut whole);
    Ok(Split {
        record: record_digest::<H>(content),
        whole,
        piece,
    })
}
