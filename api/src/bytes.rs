// SPDX-License-Identifier: Apache-2.0

//! Byte strings, and how they stand in JSON.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use hashchain::hex::{parse, Hex, InvalidHex};
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not the bytes that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBytes {
    /// Not `0x` and so many hexadecimal digits.
    #[error("{0}")]
    Hex(#[from] InvalidHex),
    /// Not standard base64 with padding.
    #[error("expected standard base64 with padding")]
    Base64,
}

macro_rules! hex_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String, example = $example))]
        pub struct $name(pub [u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidBytes;

            fn from_str(text: &str) -> Result<Self, InvalidBytes> {
                Ok(Self(parse(text)?))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl From<[u8; $length]> for $name {
            fn from(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }
        }
    };
}

hex_bytes!(
    /// A hash, a link, a digest, a tag or a commitment: 32 bytes.
    Hash, 32, "0x2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"
);
hex_bytes!(
    /// A public key: Ed25519 of a device, X25519 of an auditor or a participant. 32 bytes.
    Key, 32, "0x2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"
);
hex_bytes!(
    /// An Ed25519 signature (RFC 8032): 64 bytes.
    SignatureBytes,
    64,
    "0x2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"
);
/// Bytes of any length: an envelope or an escrow.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = Byte, example = "AAECAw=="))]
pub struct Base64(pub Vec<u8>);

impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| de::Error::custom(InvalidBytes::Base64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_back_as_it_was_written() {
        let hash = Hash(core::array::from_fn(|index| index as u8 * 7));
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), hash);
        assert!(json.starts_with("\"0x00070e"));
    }

    #[test]
    fn wrong_length_wrong_digits_and_a_missing_prefix_are_refused() {
        let good = Key([1; 32]).to_string();
        for bad in [
            &good[2..],
            &good[..64],
            &format!("{good}00"),
            &good.replace("01", "0g"),
        ] {
            assert_eq!(
                bad.parse::<Key>(),
                Err(InvalidBytes::Hex(InvalidHex { digits: 64 })),
                "{bad}"
            );
        }
        // A letter of two bytes must not be cut in half.
        assert!(format!("0x{}", "é".repeat(32)).parse::<Key>().is_err());
    }

    #[test]
    fn base64_needs_its_padding_and_hides_its_bytes_in_debug() {
        let bytes: Base64 = serde_json::from_str("\"AAECAw==\"").unwrap();
        assert_eq!(bytes.0, [0, 1, 2, 3]);
        assert_eq!(format!("{bytes:?}"), "4 bytes");
        for bad in ["\"AAECAw\"", "\"AA-_\"", "\"AAECAx==\"", "\"A A=\""] {
            assert!(serde_json::from_str::<Base64>(bad).is_err(), "{bad}");
        }
    }
}
