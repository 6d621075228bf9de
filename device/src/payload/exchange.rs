// SPDX-License-Identifier: Apache-2.0

//! A data point that another program made, as a participant's phone seals it: as it came, after a check by the
//! [rules](super::rules).

use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::fmt;

use serde::{
    de::{self, MapAccess, SeqAccess, Visitor},
    Deserialize, Deserializer, Serialize,
};
use serde_json::Value;
use time::Date;

use super::{
    iso_date,
    rules::{check, Checked, Fault},
    Participant,
};

/// Media type of a serialised [`ExchangedNight`].
pub const DATA_POINT_MEDIA_TYPE: &str = "application/vnd.mhealth-chain.data-point+json";

/// One data point of one participant, such as an `ieee:sleep-episode:1.0`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExchangedNight {
    /// Whose night, as a pseudonym.
    participant: Participant,
    /// The day on which the participant got up.
    #[serde(with = "iso_date")]
    night: Date,
    /// Header and body, no member left out and none added.
    data_point: Value,
}

impl ExchangedNight {
    /// Checks a data point by the rules.
    pub fn new(participant: Participant, data_point: Value) -> Result<Self, Fault> {
        let night = check(&data_point)?.night;
        Ok(Self {
            participant,
            night,
            data_point,
        })
    }

    /// Whose night.
    pub fn participant(&self) -> &Participant {
        &self.participant
    }

    /// The day on which the participant got up.
    pub fn night(&self) -> Date {
        self.night
    }

    /// The data point.
    pub fn data_point(&self) -> &Value {
        &self.data_point
    }

    /// What the rules say of the data point.
    pub fn checked(&self) -> Checked {
        check(&self.data_point).expect("it was checked when this was made; qed")
    }

    /// The bytes that go into the envelope.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("string keys and finite numbers always serialise; qed")
    }

    /// Reads what [`to_json`](Self::to_json) wrote, and checks it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            participant: Participant,
            #[serde(with = "iso_date")]
            night: Date,
            data_point: Value,
        }
        let Written {
            participant,
            night,
            data_point,
        } = serde_json::from_slice(bytes)?;
        serde_json::from_slice::<Unrepeated>(bytes)?;
        let read = Self::new(participant, data_point).map_err(de::Error::custom)?;
        match read.night == night {
            true => Ok(read),
            false => Err(de::Error::custom("the night is not the data point's")),
        }
    }
}

/// Reads a JSON document. A member that appears twice is refused: other readers would take the other one.
pub fn parse_document(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Unrepeated>(bytes)?;
    serde_json::from_slice(bytes)
}

/// Any JSON value in which no object repeats a member. Nothing of it is kept.
struct Unrepeated;

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unrepeated {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, Self)) = members.next_entry::<String, _>()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a member appears twice"));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_it_is_unless_it_repeats_a_member() {
        for text in [
            r#"{"a": [1, -2, 7.25, true, null, "x", {"a": {}}], "b": 1}"#,
            "7.25",
            "[]",
        ] {
            let expected: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(parse_document(text.as_bytes()).expect(text), expected);
        }
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"[{"b": {"a": 1, "c": 2, "a": 3}}]"#,
            "{",
            "",
        ] {
            assert!(parse_document(text.as_bytes()).is_err(), "{text}");
        }
    }
}
