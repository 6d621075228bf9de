// SPDX-License-Identifier: Apache-2.0

//! Reads SCALE from bytes that nobody vouches for: every length and every count is compared with what is there before
//! anything is allocated for it.

use alloc::vec::Vec;

use codec::{Compact, Decode, Encode, Error, Input, Output};

/// Bytes that are not encoded as they should be.
pub(crate) type Malformed = Error;

pub(crate) fn malformed(why: &'static str) -> Malformed {
    Error::from(why)
}

/// The next bytes of an input.
pub(crate) fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = input
        .split_at_checked(length)
        .ok_or_else(|| malformed("ends too early"))?;
    *input = rest;
    Ok(taken)
}

/// The next bytes of an input, whose number stands before them.
pub(crate) fn take_counted<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = length(input)?;
    take(input, length)
}

/// A length or count as SCALE writes it, in its one shortest form.
pub(crate) fn length<I: Input>(input: &mut I) -> Result<usize, Malformed> {
    let length = Compact::<u32>::decode(input)?.0;
    usize::try_from(length).map_err(|_| malformed("is too long"))
}

/// How many items follow, each of which takes at least `least` bytes. No more than are there, and no more than `most`.
pub(crate) fn count<I: Input>(
    input: &mut I,
    least: usize,
    most: usize,
) -> Result<usize, Malformed> {
    let count = length(input)?;
    let rest = input.remaining_len()?;
    let fits = |rest: usize| count.checked_mul(least).is_some_and(|bytes| bytes <= rest);
    match count <= most && rest.is_some_and(fits) {
        true => Ok(count),
        false => Err(malformed("has too many items")),
    }
}

/// A list of items, each of which takes at least `least` bytes, and of which there are no more than `most`.
///
/// The input has to know how long it is, as bytes in memory do.
pub fn bounded_list<T: Decode, I: Input>(
    input: &mut I,
    least: usize,
    most: usize,
) -> Result<Vec<T>, Error> {
    let count = count(input, least, most)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(T::decode(input)?);
    }
    Ok(items)
}

/// Bytes whose number stands before them. None are allocated before it is known that they are there.
pub(crate) fn bounded_bytes<I: Input>(input: &mut I) -> Result<Vec<u8>, Error> {
    let count = count(input, 1, usize::MAX)?;
    let mut bytes = alloc::vec![0; count];
    input.read(&mut bytes)?;
    Ok(bytes)
}

/// Reads so many bytes from an input that has them, and writes them behind their length.
pub(crate) fn append_counted<I: Input>(
    input: &mut I,
    length: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    // By an eighth, not to twice of what there is: what is read from a file takes little more memory than the file.
    const LENGTH: usize = 5;
    let more = LENGTH + length;
    if bytes.capacity() - bytes.len() < more {
        bytes.reserve_exact(more.max(bytes.len() / 8).max(1 << 10));
    }
    Compact(length as u32).encode_to(bytes);
    let start = bytes.len();
    bytes.resize(start + length, 0);
    input.read(&mut bytes[start..])
}

/// Byte strings, as they stand in SCALE: `Vec<Vec<u8>>`, in memory as long as it is in a file, whatever is in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blobs {
    count: u32,
    /// Each with its length before it.
    bytes: Vec<u8>,
}

impl Blobs {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes all of them take, with their lengths.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Adds one at the end.
    ///
    /// # Panics
    ///
    /// When there are 2³² of them, or when it is longer than 2³² bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.count = self.count.checked_add(1).expect("there are fewer than 2³²");
        bytes.encode_to(&mut self.bytes);
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places().map(|(_, bytes)| bytes)
    }

    /// All, each with its place, by which [`Blobs::at`] finds it.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut rest = &self.bytes[..];
        core::iter::from_fn(move || {
            let place = self.bytes.len() - rest.len();
            // Nothing gets in that is not encoded so.
            let taken = take_counted(&mut rest).ok()?;
            Some((place, taken))
        })
    }

    /// The one at a place.
    pub(crate) fn at(&self, place: usize) -> Option<&[u8]> {
        take_counted(&mut self.bytes.get(place..)?).ok()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Blobs {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut blobs = Self::default();
        for bytes in all {
            blobs.push(bytes.as_ref());
        }
        blobs
    }
}

impl core::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Blobs({} of {} bytes)", self.count, self.bytes.len())
    }
}

impl Encode for Blobs {
    fn size_hint(&self) -> usize {
        5 + self.bytes.len()
    }

    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        Compact(self.count).encode_to(output);
        output.write(&self.bytes);
    }
}

impl codec::EncodeLike for Blobs {}

impl Decode for Blobs {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let count = count(input, 1, u32::MAX as usize)?;
        let mut bytes = Vec::new();
        for _ in 0..count {
            let length = self::count(input, 1, usize::MAX)?;
            append_counted(input, length, &mut bytes)?;
        }
        bytes.shrink_to_fit();
        Ok(Blobs {
            count: count as u32,
            bytes,
        })
    }
}

/// Reads one value from all of these bytes, of which there is exactly one encoding.
pub fn decode_exactly<T: Decode + Encode>(bytes: &[u8]) -> Result<T, Error> {
    let mut rest = bytes;
    let value = T::decode(&mut rest)?;
    let mut same = Same(Some(bytes));
    value.encode_to(&mut same);
    match rest.is_empty() && same.0 == Some(&[]) {
        true => Ok(value),
        false => Err(malformed("is encoded in another way")),
    }
}

/// What is still to be written of bytes that are expected; none once others were written.
struct Same<'a>(Option<&'a [u8]>);

impl Output for Same<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.and_then(|rest| rest.strip_prefix(bytes));
    }
}
