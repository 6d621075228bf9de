// SPDX-License-Identifier: Apache-2.0

//! Puts records together that a phone cut into [parts](crate::parts).

use alloc::vec::Vec;
use core::fmt;

use crate::encoding::Sha256;
use crate::envelope::Content;
use crate::newtypes::RecordDigest;
use crate::parts::{record_digest, MalformedPart, Part};

/// What a device's entries hold, as a person would count it. Printing it shows no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An entry that is a record by itself.
    Entry {
        /// Its place in the device's hashchain.
        sequence: u64,
        /// What it holds.
        content: Content<'a>,
    },
    /// A record that was put together.
    Record(WholeRecord),
}

/// A record that was put together of its parts, and is the one that they name.
#[derive(Clone, PartialEq, Eq)]
pub struct WholeRecord {
    /// What its parts name it.
    pub digest: RecordDigest,
    /// The entry of its first part.
    pub first: u64,
    /// The entry of its last part.
    pub last: u64,
    whole: Vec<u8>,
}

impl WholeRecord {
    /// Media type and payload.
    pub fn content(&self) -> Content<'_> {
        Content::parse(&self.whole).expect("it was read before the value was made; qed")
    }
}

impl fmt::Debug for WholeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first, self.last);
        write!(f, "WholeRecord({}, entries {first} to {last})", self.digest)
    }
}

/// Parts of a record that cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRecord {
    /// What the parts name the whole; none of an entry that says that it is a part and is none.
    pub digest: Option<RecordDigest>,
    /// The entry of its first part.
    pub first: u64,
    /// The entry of its last part.
    pub last: u64,
    /// Why.
    pub why: BrokenBecause,
}

/// Why a record cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokenBecause {
    /// Entries with parts of it are not there, or hold something else: these.
    Missing(Vec<u64>),
    /// All parts are there, and together they are not the record that they name.
    Differs,
    /// An entry says that it is a part and is none, or one that cannot stand at its place.
    Malformed,
}

impl BrokenBecause {
    /// The reason as one lower-case word. Stable.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing(_) => "part-missing",
            Self::Differs => "parts-differ",
            Self::Malformed => "part-malformed",
        }
    }
}

impl fmt::Display for BrokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first, self.last);
        match &self.why {
            BrokenBecause::Missing(missing) => {
                write!(f, "of a record in the entries {first} to {last} ")?;
                for (place, sequence) in missing.iter().enumerate() {
                    let between = if place == 0 { "entry " } else { ", " };
                    write!(f, "{between}{sequence}")?;
                }
                f.write_str(" is missing")
            }
            BrokenBecause::Differs => write!(
                f,
                "the entries {first} to {last} are not the record that they name"
            ),
            BrokenBecause::Malformed => write!(f, "entry {first} is not a part of a record"),
        }
    }
}

impl core::error::Error for BrokenRecord {}

/// Puts the records of one device together: takes the opened envelopes of its entries in the order of their sequences, and gives
/// back every record, those in parts as one, and what cannot be put together with the entries that are missing.
///
/// Entries whose envelopes are not at hand, or cannot be opened, are left out; if they had parts, they are named. Entries that come
/// twice count once. Memory: one record at a time, at most [`MAX_RECORD_LENGTH`](crate::MAX_RECORD_LENGTH) bytes.
///
/// ```
/// use hashchain::*;
///
/// let content = Content::new("text/plain", b"a long night")?;
/// let split = split::<Native>(&content, 60)?;
/// let payloads: Vec<Vec<u8>> = split.parts().map(|part| part.payload()).collect();
/// let entry = |sequence: u64| {
///     let payload = &payloads[sequence as usize - 7];
///     (sequence, Content::new(PART_MEDIA_TYPE, payload).expect("the media type is good"))
/// };
/// let last = 6 + payloads.len() as u64;
///
/// // All parts are there:
/// let found = join::<Native>((7..=last).map(entry)).next().expect("a record")?;
/// let Found::Record(record) = found else { panic!("it was in parts") };
/// assert_eq!((record.first, record.last), (7, last));
/// assert_eq!(record.content(), content);
///
/// // The second one was lost:
/// let rest = (7..=last).filter(|sequence| *sequence != 8).map(entry);
/// let broken = join::<Native>(rest).next().expect("parts").unwrap_err();
/// assert_eq!(broken.why, BrokenBecause::Missing(vec![8]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn join<'a, H: Sha256>(
    entries: impl IntoIterator<Item = (u64, Content<'a>)>,
) -> impl Iterator<Item = Result<Found<'a>, BrokenRecord>> {
    let (mut joiner, mut entries) = (Joiner::default(), entries.into_iter());
    let (mut ready, mut is_over) = (Vec::new().into_iter(), false);
    core::iter::from_fn(move || loop {
        if let Some(next) = ready.next() {
            return Some(next);
        }
        if is_over {
            return None;
        }
        ready = match entries.next() {
            Some((sequence, content)) => joiner.add::<H>(sequence, content).into_iter(),
            None => {
                is_over = true;
                let broken = joiner.finish().map(Err);
                broken.into_iter().collect::<Vec<_>>().into_iter()
            }
        };
    })
}

/// The same as [`join`], for those who have the entries one by one.
#[derive(Debug, Default)]
pub struct Joiner {
    /// The entry that came last; 0 before the first.
    last: u64,
    open: Option<Open>,
}

/// A record of which parts have come.
struct Open {
    record: RecordDigest,
    of: u32,
    length: u64,
    /// The entry of part 1.
    first: u64,
    /// The part that comes next.
    next: u32,
    /// The pieces so far; nothing is kept of a record that cannot be put together any more.
    whole: Vec<u8>,
    /// Whether the pieces are more than the parts say.
    is_too_long: bool,
    missing: Vec<u64>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Open({}, part {} comes next)", self.record, self.next)
    }
}

impl Joiner {
    /// Takes the next entry of the device. Gives what is known by it: nothing for a part after which more are to come, and for an
    /// entry whose `sequence` is not larger than that of the entry before.
    pub fn add<'a, H: Sha256>(
        &mut self,
        sequence: u64,
        content: Content<'a>,
    ) -> Vec<Result<Found<'a>, BrokenRecord>> {
        let mut ready = Vec::new();
        if sequence <= self.last {
            return ready;
        }
        self.last = sequence;
        let malformed = BrokenRecord {
            digest: None,
            first: sequence,
            last: sequence,
            why: BrokenBecause::Malformed,
        };
        let part = match Part::parse(&content) {
            Ok(None) => {
                ready.extend(self.finish().map(Err));
                ready.push(Ok(Found::Entry { sequence, content }));
                return ready;
            }
            Ok(Some(part)) => part.first(sequence).map(|first| (part, first)),
            Err(MalformedPart) => None,
        };
        let Some((part, first)) = part else {
            ready.extend(self.finish().map(Err));
            ready.push(Err(malformed));
            return ready;
        };
        let open = self.open.as_ref();
        let goes_on = open.is_some_and(|open| open.is_of(&part, first));
        if !goes_on {
            ready.extend(self.finish().map(Err));
            self.open = Some(Open::before(&part, first));
        }
        let is_complete = self.open.as_mut().is_some_and(|open| open.take(&part));
        if is_complete {
            ready.extend(
                self.open
                    .take()
                    .map(|open| open.end::<H>().map(Found::Record)),
            );
        }
        ready
    }

    /// No entry comes any more: what is missing of a record whose last parts did not come.
    pub fn finish(&mut self) -> Option<BrokenRecord> {
        self.open.take().map(Open::broken)
    }
}

impl Open {
    fn before(part: &Part<'_>, first: u64) -> Self {
        Self {
            record: part.record,
            of: part.of,
            length: part.length,
            first,
            next: 1,
            whole: Vec::new(),
            is_too_long: false,
            missing: Vec::new(),
        }
    }

    /// Whether the part, whose record begins at this entry, is of this record.
    fn is_of(&self, part: &Part<'_>, first: u64) -> bool {
        self.record == part.record
            && self.of == part.of
            && self.length == part.length
            && self.first == first
    }

    fn entry_of(&self, number: u32) -> u64 {
        self.first.saturating_add(u64::from(number) - 1)
    }

    /// Takes a part of it; returns whether it was the last one.
    fn take(&mut self, part: &Part<'_>) -> bool {
        self.pass_over(part.number);
        self.next = part.number + 1;
        self.is_too_long |= self.whole.len() as u64 + part.piece.len() as u64 > self.length;
        let is_useful = self.missing.is_empty() && !self.is_too_long;
        match is_useful {
            true => self.whole.extend_from_slice(part.piece),
            // No more than the parts say, and nothing of what cannot be put together.
            false => self.whole = Vec::new(),
        }
        part.number == self.of
    }

    /// Notes what did not come before this part.
    fn pass_over(&mut self, until: u32) {
        let missing = (self.next..until).map(|number| self.entry_of(number));
        let missing: Vec<u64> = missing.collect();
        self.missing.extend(missing);
    }

    fn end<H: Sha256>(self) -> Result<WholeRecord, BrokenRecord> {
        let is_it = |content: Content<'_>| {
            self.whole.len() as u64 == self.length && record_digest::<H>(&content) == self.record
        };
        let is_whole = self.missing.is_empty() && !self.is_too_long;
        match is_whole && Content::parse(&self.whole).is_ok_and(is_it) {
            true => Ok(WholeRecord {
                digest: self.record,
                first: self.first,
                last: self.entry_of(self.of),
                whole: self.whole,
            }),
            false => Err(self.broken()),
        }
    }

    fn broken(mut self) -> BrokenRecord {
        self.pass_over(self.of + 1);
        BrokenRecord {
            digest: Some(self.record),
            first: self.first,
            last: self.entry_of(self.of),
            why: match self.missing.is_empty() {
                true => BrokenBecause::Differs,
                false => BrokenBecause::Missing(self.missing),
            },
        }
    }
}
