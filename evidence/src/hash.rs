// SPDX-License-Identifier: Apache-2.0

//! The chain's hashes.

use alloc::vec::Vec;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use twox_hash::XxHash64;

/// BLAKE2b-256: names blocks and nodes of tries.
pub fn blake2_256(bytes: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(bytes).into()
}

/// XXH64 with the seed 0, little-endian. Not a cryptographic hash: it spreads keys.
pub(crate) fn twox_64(bytes: &[u8]) -> [u8; 8] {
    XxHash64::oneshot(0, bytes).to_le_bytes()
}

/// XXH64 with the seeds 0 and 1: the name of a pallet or of what it stores.
pub(crate) fn twox_128(bytes: &[u8]) -> Vec<u8> {
    [twox_64(bytes), XxHash64::oneshot(1, bytes).to_le_bytes()].concat()
}
