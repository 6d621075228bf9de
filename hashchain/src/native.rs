// SPDX-License-Identifier: Apache-2.0

//! Hashing in pure Rust.

use sha2::Digest;

use crate::encoding::Sha256;

/// SHA-256 in pure Rust, with the processor's SHA instructions where it has them.
#[derive(Clone, Copy, Debug)]
pub struct Native;

impl Sha256 for Native {
    fn sha256(data: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(data).into()
    }

    fn sha256_of_parts(parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = sha2::Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}
