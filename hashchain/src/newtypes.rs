// SPDX-License-Identifier: Apache-2.0

//! What the chain is made of, each with a type of its own, so that a digest cannot pass for a link, nor a study for a device.

use core::fmt;
use core::str::FromStr;

use crate::hex::{parse, Hex, InvalidHex};

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(
            feature = "scale",
            derive(
                codec::Encode, codec::Decode, codec::DecodeWithMemTracking, codec::MaxEncodedLen,
                scale_info::TypeInfo
            )
        )]
        pub struct $name(pub [u8; 32]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), Hex(&self.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidHex;

            fn from_str(text: &str) -> Result<Self, InvalidHex> {
                parse(text).map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hash_type! {
    /// `h_i`, the hash of entry *i*, or `h_0`, the hash that a chain starts from. The newest one is the **head**.
    LinkHash
}
hash_type! {
    /// `d_i`, the digest of an entry's envelope: all that the chain keeps of the data.
    DataDigest
}
hash_type! {
    /// `H("record", media type, payload)`: what binds the [parts](crate::parts) of a record that is longer than an envelope.
    RecordDigest
}
hash_type! {
    /// `t_i`, the tag of an entry. Only a holder of the secret can make or check it. Public once made; compare it
    /// with what it should be by [`Tag::matches`], whose time tells nothing about the right one.
    Tag
}

impl Tag {
    /// Whether the two tags are equal, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }
}

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
        #[cfg_attr(
            feature = "scale",
            derive(
                codec::Encode, codec::Decode, codec::DecodeWithMemTracking, codec::MaxEncodedLen,
                scale_info::TypeInfo
            )
        )]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = core::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<u32> for $name {
            fn from(number: u32) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u32 {
            fn from(number: $name) -> u32 {
                number.0
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> i64 {
                number.0.into()
            }
        }

        impl TryFrom<i64> for $name {
            type Error = core::num::TryFromIntError;

            fn try_from(number: i64) -> Result<Self, Self::Error> {
                number.try_into().map(Self)
            }
        }
    };
}

number_type! {
    /// A device's number on the chain, which gives them out in order from 0.
    DeviceId
}
number_type! {
    /// A study's number on the chain, which gives them out in order from 0.
    StudyId
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;

    #[test]
    fn a_link_is_read_back_as_it_was_written() {
        let link = LinkHash(core::array::from_fn(|index| index as u8 * 7));
        assert_eq!(link.to_string().parse(), Ok(link));
        assert!(link.to_string().starts_with("0x00070e"));
        assert!(format!("{link:?}").starts_with("LinkHash(0x00070e"));
    }

    #[test]
    fn wrong_length_wrong_digits_and_a_missing_prefix_are_refused() {
        let good = Tag([1; 32]).to_string();
        for bad in [
            &good[2..],
            &good[..64],
            &format!("{good}00"),
            &good.replace("01", "0g"),
            "0xé",
        ] {
            assert_eq!(bad.parse::<Tag>(), Err(InvalidHex { digits: 64 }), "{bad}");
        }
    }
}
