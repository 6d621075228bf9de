// SPDX-License-Identifier: Apache-2.0
//! The secret of a device, and the keys that are ratcheted from it.

use core::fmt;

use zeroize::ZeroizeOnDrop;

/// `S`, the paper's "secure string": 32 random bytes that the device makes and that leave it only as an escrow
/// sealed to the study's auditor. Erased from memory when dropped; never printed.
#[derive(ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes 32 bytes from a cryptographic random number generator, or from the device's store.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    /// The bytes, for the device's store and for sealing the escrow. Never send them, never log them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
