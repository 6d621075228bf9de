// SPDX-License-Identifier: Apache-2.0

//! SHA-256 by the node instead of by the Wasm runtime, which has no SIMD.

/// Hashes through a host function, with the result that a phone gets natively.
pub struct HostSha256;

impl hashchain::Sha256 for HostSha256 {
    fn sha256(data: &[u8]) -> [u8; 32] {
        sp_io::hashing::sha2_256(data)
    }
}
