// SPDX-License-Identifier: Apache-2.0

//! How parts become bytes, and bytes become a hash.
//!
//! ```text
//! lp(x)          = length of x as 4 bytes big-endian ‖ x
//! enc(label, p…) = lp("mhealth-hashchain/1") ‖ lp(label) ‖ lp(p1) ‖ … ‖ lp(pn)
//! H(label, p…)   = SHA-256(enc(label, p…))
//! ```
//!
//! Every part carries its length, so no two lists of parts share an encoding; every encoding starts with the
//! domain and a label, so a hash or signature made for one purpose is never valid for another.

use alloc::vec::Vec;

/// The domain that every encoding starts with. It changes with the version of the hashchain.
pub const DOMAIN: &[u8] = b"mhealth-hashchain/1";

/// Bytes of a length prefix.
const PREFIX: usize = 4;

/// SHA-256 as the platform gives it: in pure Rust on phones and servers ([`Native`](crate::Native)), by a host
/// function in the runtime. Every implementation must give the same results.
pub trait Sha256 {
    /// SHA-256 of `data`.
    fn sha256(data: &[u8]) -> [u8; 32];

    /// SHA-256 of the parts, one after the other. Copies them together; an implementation that can hash piece by
    /// piece should replace it.
    fn sha256_of_parts(parts: &[&[u8]]) -> [u8; 32] {
        Self::sha256(&parts.concat())
    }
}

/// `enc(label, parts…)`.
///
/// # Panics
///
/// If a part is 4 GiB or longer: its length has no encoding.
pub fn encode(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let length = PREFIX + DOMAIN.len() + PREFIX + label.len();
    let length = parts
        .iter()
        .fold(length, |sum, part| sum + PREFIX + part.len());
    let mut encoding = Vec::with_capacity(length);
    for part in [DOMAIN, label.as_bytes()].iter().chain(parts) {
        encoding.extend_from_slice(&length_prefix(part));
        encoding.extend_from_slice(part);
    }
    encoding
}

/// `H(label, parts…)`, for parts of any length. See [`encode`] for when it panics.
pub fn hash<H: Sha256>(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    H::sha256(&encode(label, parts))
}

/// `lp(part)` without the part itself.
pub(crate) fn length_prefix(part: &[u8]) -> [u8; PREFIX] {
    u32::try_from(part.len())
        .expect("parts of 4 GiB have no encoding, and nothing that a peer may send comes near it")
        .to_be_bytes()
}

/// An encoding whose parts have fixed lengths: `N` bytes with the domain, the label and all length prefixes in
/// place, made at compile time, so that a link costs no allocation and one copy a part.
pub(crate) struct Frame<const N: usize, const PARTS: usize> {
    bytes: [u8; N],
    starts: [usize; PARTS],
    lengths: [usize; PARTS],
}

impl<const N: usize, const PARTS: usize> Frame<N, PARTS> {
    /// Lays out `label` and parts of the given lengths. Does not compile as a `const` if they are not `N` bytes.
    pub(crate) const fn new(label: &str, lengths: [usize; PARTS]) -> Self {
        let mut bytes = [0; N];
        let mut at = write(&mut bytes, 0, DOMAIN);
        at = write(&mut bytes, at, label.as_bytes());
        let mut starts = [0; PARTS];
        let mut part = 0;
        while part < PARTS {
            at = write_length(&mut bytes, at, lengths[part]);
            starts[part] = at;
            at += lengths[part];
            part += 1;
        }
        assert!(at == N, "the frame's length is not that of its parts");
        Self {
            bytes,
            starts,
            lengths,
        }
    }

    /// The encoding with these parts, each of the length that the frame was laid out for.
    #[inline]
    pub(crate) fn fill(&self, parts: [&[u8]; PARTS]) -> [u8; N] {
        let mut bytes = self.bytes;
        for (i, part) in parts.iter().enumerate() {
            bytes[self.starts[i]..self.starts[i] + self.lengths[i]].copy_from_slice(part);
        }
        bytes
    }
}

const fn write(bytes: &mut [u8], at: usize, part: &[u8]) -> usize {
    let at = write_length(bytes, at, part.len());
    let mut i = 0;
    while i < part.len() {
        bytes[at + i] = part[i];
        i += 1;
    }
    at + part.len()
}

const fn write_length(bytes: &mut [u8], at: usize, length: usize) -> usize {
    let prefix = (length as u32).to_be_bytes();
    let mut i = 0;
    while i < PREFIX {
        bytes[at + i] = prefix[i];
        i += 1;
    }
    at + PREFIX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_encoding_of_its_parts() {
        const FRAME: Frame<{ 23 + 9 + 12 + 4 + 7 }, 3> = Frame::new("frame", [8, 0, 3]);
        let filled = FRAME.fill([&7u64.to_be_bytes(), b"", b"abc"]);
        assert_eq!(
            filled[..],
            encode("frame", &[&7u64.to_be_bytes(), b"", b"abc"])[..]
        );
    }
}
