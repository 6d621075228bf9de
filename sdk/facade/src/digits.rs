// SPDX-License-Identifier: Apache-2.0

//! Bytes as hexadecimal digits in JSON, for `#[serde(with)]`.

use serde::{de::Error, Deserialize, Deserializer, Serializer};

/// Writes bytes as digits.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

/// Reads digits.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Bytes that may not be there.
pub mod optional {
    use serde::Serializer;

    /// Writes digits, or null.
    pub fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_some(&hex::encode(bytes)),
            None => serializer.serialize_none(),
        }
    }
}
