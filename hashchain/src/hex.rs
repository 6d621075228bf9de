// SPDX-License-Identifier: Apache-2.0

//! Bytes as text, in the one form that this chain uses: `0x` and lower-case hexadecimal digits. Capital digits are read, too.

use core::fmt;

/// Prints bytes with `0x` before them.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is not `0x` and so many hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHex {
    /// How many digits were expected.
    pub digits: usize,
}

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected 0x and {} hexadecimal digits", self.digits)
    }
}

impl core::error::Error for InvalidHex {}

/// Reads `N` bytes.
pub fn parse<const N: usize>(text: &str) -> Result<[u8; N], InvalidHex> {
    let invalid = InvalidHex { digits: 2 * N };
    let digits = text.strip_prefix("0x").ok_or(invalid)?.as_bytes();
    if digits.len() != 2 * N {
        return Err(invalid);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(invalid);
        // Two digits make at most 255.
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Ok(bytes)
}
