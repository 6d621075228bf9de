// SPDX-License-Identifier: Apache-2.0

//! Data points of IEEE 1752.1-2021 and Open mHealth: header, sleep episode, time in bed.
//!
//! Names, units and meanings are those of IEEE's schemas `header-1.0`, `data-point-1.0`, `sleep-episode-1.0`,
//! `time-in-bed-1.0`, `time-interval-1.0` and `duration-unit-value-1.0`. An interval of IEEE has instants. Where only the
//! day and a part of it are known, a sleep episode is one of Open mHealth (`omh:sleep-episode:1.1`), whose intervals may say
//! that; where no published schema can say what is known, it is of this project (`docs/protocol/payloads.md`). Durations are
//! written in minutes, because a diary and a wearable's daily summary both speak of minutes.

use alloc::{string::String, vec::Vec};
use core::fmt;

use rand::RngCore;
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, OffsetDateTime};

use super::iso_date;

/// Header and body, the unit in which IEEE 1752.1 exchanges data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPoint<B> {
    /// What the body is, when and how it came about.
    pub header: Header,
    /// The measure; complies with `header.schema_id`.
    pub body: B,
}

/// Header of a data point (`header-1.0`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Identifier of this data point, unique in the world.
    pub uuid: Uuid,
    /// The schema of the body.
    pub schema_id: SchemaId,
    /// When the data point was created at its original source; does not change when it is passed on.
    #[serde(with = "time::serde::rfc3339")]
    pub source_creation_date_time: OffsetDateTime,
    /// Whether a sensor measured it or the participant said it.
    pub modality: Modality,
    /// Documentation of what made the data, for example a software; left out when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_datasheets: Vec<Datasheet>,
}

/// Names a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaId {
    /// Who defines it: `ieee`, `omh` or `mhealth-chain`.
    pub namespace: String,
    /// Its name, for example `sleep-episode`.
    pub name: String,
    /// Its version, `major.minor`.
    pub version: String,
}

impl SchemaId {
    /// `namespace:name:version`.
    pub fn new(namespace: &str, name: &str, version: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            version: version.into(),
        }
    }
}

/// How a value was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Modality {
    /// By a sensor, for example a wearable.
    Sensed,
    /// By asking the participant, for example in a diary.
    SelfReported,
}

/// Reference to a description of something that took part in making the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datasheet {
    /// What is described: `software`, `hardware`, `study`.
    pub datasheet_type: String,
    /// An IRI.
    pub datasheet_reference: String,
}

/// A UUID of RFC 4122, version 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// A random one.
    pub fn random(rng: &mut impl RngCore) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40; // RFC 4122, section 4.4: version 4
        bytes[8] = (bytes[8] & 0x3f) | 0x80; // and variant 10
        Self(bytes)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let dashes = [8, 13, 18, 23];
        if text.len() != 36
            || !text.is_ascii()
            || !dashes.iter().all(|&at| text.as_bytes()[at] == b'-')
        {
            return None;
        }
        let mut bytes = [0; 16];
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex::encode(self.0);
        let (a, b, c, d, e) = (
            &digits[..8],
            &digits[8..12],
            &digits[12..16],
            &digits[16..20],
            &digits[20..],
        );
        write!(f, "{a}-{b}-{c}-{d}-{e}")
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a UUID"))
    }
}

/// A duration in whole minutes (`duration-unit-value-1.0` with the unit `min`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Minutes {
    /// How many.
    pub value: u32,
    unit: MinuteUnit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum MinuteUnit {
    #[serde(rename = "min")]
    Minute,
}

impl Minutes {
    /// `value` minutes.
    pub fn new(value: u32) -> Self {
        Self {
            value,
            unit: MinuteUnit::Minute,
        }
    }
}

/// A share of a whole in per cent (`unit-value-1.0` with the unit `%`), to one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentage {
    /// 0 to 100.
    pub value: f64,
    unit: PercentUnit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PercentUnit {
    #[serde(rename = "%")]
    Percent,
}

impl Percentage {
    /// `part` of `whole`; `None` where there is no whole.
    pub fn of(part: u32, whole: u32) -> Option<Self> {
        if whole == 0 {
            return None;
        }
        let tenths = (f64::from(part) * 1000.0 / f64::from(whole)).round();
        Some(Self {
            value: tenths / 10.0,
            unit: PercentUnit::Percent,
        })
    }
}

/// The time for which a measure holds (`time-frame-1.0`, in the form that sleep measures ask for).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeFrame {
    /// From when to when.
    pub time_interval: TimeInterval,
}

/// An interval of time (`time-interval-1.0`), exact or as part of a day or as a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum TimeInterval {
    /// Both ends are known.
    Bounded {
        /// For a sleep episode: initial sleep onset.
        #[serde(with = "time::serde::rfc3339")]
        start_date_time: OffsetDateTime,
        /// For a sleep episode: final awakening.
        #[serde(with = "time::serde::rfc3339")]
        end_date_time: OffsetDateTime,
    },
    /// Only the day and the part of it are known, as in a daily summary of a wearable.
    PartOfDay {
        /// The day.
        #[serde(with = "iso_date")]
        date: Date,
        /// The part of it.
        part_of_day: PartOfDay,
    },
    /// Only the day is known, as of a nap in a daily summary.
    Day {
        /// The day.
        #[serde(with = "iso_date")]
        date: Date,
    },
}

impl TimeInterval {
    /// Who defines the sleep episodes of such intervals, and in which version.
    pub fn sleep_episode(&self) -> SchemaId {
        let (namespace, version) = match self {
            Self::Bounded { .. } => ("ieee", "1.0"),
            Self::PartOfDay { .. } => ("omh", "1.1"),
            Self::Day { .. } => ("mhealth-chain", "1.0"),
        };
        SchemaId::new(namespace, "sleep-episode", version)
    }

    /// The same for time in bed. Open mHealth has no schema for it.
    pub fn time_in_bed(&self) -> SchemaId {
        let namespace = match self {
            Self::Bounded { .. } => "ieee",
            Self::PartOfDay { .. } | Self::Day { .. } => "mhealth-chain",
        };
        SchemaId::new(namespace, "time-in-bed", "1.0")
    }
}

/// Part of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartOfDay {
    /// Before noon.
    Morning,
    /// After noon.
    Afternoon,
    /// Before night.
    Evening,
    /// When most people sleep.
    Night,
}

/// One sleep episode. Only the time frame is required, and it decides about the schema; what is unknown is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SleepEpisode {
    /// From initial sleep onset to final awakening.
    pub effective_time_frame: TimeFrame,
    /// From wanting to sleep to sleep onset, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_to_sleep_onset: Option<Minutes>,
    /// From final awakening to no longer wanting to sleep, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_to_arising: Option<Minutes>,
    /// Asleep within the time frame, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_sleep_time: Option<Minutes>,
    /// Awake between sleep onset and final awakening, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_after_sleep_onset: Option<Minutes>,
    /// Awakenings, without the final one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_of_awakenings: Option<u32>,
    /// Whether this was the day's main sleep rather than a nap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_main_sleep: Option<bool>,
    /// Total sleep time as a share of the episode, where its ends are known. Clinicians call the share of the time in bed
    /// sleep efficiency, too; IEEE's schema does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_efficiency_percentage: Option<Percentage>,
}

impl SleepEpisode {
    /// An episode of which nothing but its time frame is known yet.
    pub fn within(effective_time_frame: TimeFrame) -> Self {
        Self {
            effective_time_frame,
            latency_to_sleep_onset: None,
            latency_to_arising: None,
            total_sleep_time: None,
            wake_after_sleep_onset: None,
            number_of_awakenings: None,
            is_main_sleep: None,
            sleep_efficiency_percentage: None,
        }
    }

    /// With a header that names the schema for its time frame.
    pub fn into_data_point(
        self,
        uuid: Uuid,
        source_creation_date_time: OffsetDateTime,
        modality: Modality,
        external_datasheets: Vec<Datasheet>,
    ) -> DataPoint<Self> {
        let schema_id = self.effective_time_frame.time_interval.sleep_episode();
        let header = Header {
            uuid,
            schema_id,
            source_creation_date_time,
            modality,
            external_datasheets,
        };
        DataPoint { header, body: self }
    }
}

/// Time spent in bed, asleep or not. The time frame decides about the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeInBed {
    /// In minutes.
    pub time_in_bed: Minutes,
    /// From going to bed to leaving it.
    pub effective_time_frame: TimeFrame,
    /// Whether this was the day's main sleep rather than a nap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_main_sleep: Option<bool>,
}

impl TimeInBed {
    /// With a header that names the schema for its time frame.
    pub fn into_data_point(
        self,
        uuid: Uuid,
        source_creation_date_time: OffsetDateTime,
        modality: Modality,
        external_datasheets: Vec<Datasheet>,
    ) -> DataPoint<Self> {
        let schema_id = self.effective_time_frame.time_interval.time_in_bed();
        let header = Header {
            uuid,
            schema_id,
            source_creation_date_time,
            modality,
            external_datasheets,
        };
        DataPoint { header, body: self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, SeedableRng};

    #[test]
    fn a_random_uuid_has_version_four_and_reads_back() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            let uuid = Uuid::random(&mut rng);
            let text = uuid.to_string();
            assert_eq!((text.len(), &text[14..15]), (36, "4"));
            assert!("89ab".contains(&text[19..20]));
            assert_eq!(Uuid::parse(&text), Some(uuid));
        }
    }

    #[test]
    fn a_percentage_needs_a_whole() {
        assert_eq!(Percentage::of(1, 0), None);
        assert_eq!(Percentage::of(2, 3).map(|p| p.value), Some(66.7));
    }

    #[test]
    fn minutes_in_another_unit_are_refused() {
        assert!(serde_json::from_str::<Minutes>(r#"{"value": 3, "unit": "h"}"#).is_err());
        assert!(serde_json::from_str::<Minutes>(r#"{"value": 3, "unit": "min"}"#).is_ok());
    }
}
