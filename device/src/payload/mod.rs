// SPDX-License-Identifier: Apache-2.0

//! What a participant's phone records of one night: the plaintext inside an envelope.
//!
//! The shapes follow IEEE 1752.1-2021 and the Open mHealth schemas before it: a *data point* is a
//! `header` and a `body`, and the header names the schema that the body complies with. One [`Night`] carries up
//! to three data points: a sleep episode, the time in bed and, where the participant kept a diary, this project's
//! `mhealth-chain:consensus-sleep-diary:1.0`. A data point that another program made goes as it came, as an
//! [`ExchangedNight`]. `docs/protocol/payloads.md` specifies both.
//!
//! A field that the source does not know is absent; nothing is made up to fill a schema. A participant appears
//! only as a [`Participant`] pseudonym, and questionnaire items only by code and score, never by wording.

use alloc::vec::Vec;
mod diary;
mod exchange;
mod ieee;
pub mod rules;

use serde::{Deserialize, Serialize};
use time::Date;

pub use crate::{
    book::Participant,
    seal::{corrected, correcting},
};
pub use diary::{ClockTime, DiaryEntry, SleepDiary, SleepQuality, UnlikelyDiary};
pub use exchange::{parse_document, ExchangedNight, DATA_POINT_MEDIA_TYPE};
pub use ieee::{
    DataPoint, Datasheet, Header, Minutes, Modality, PartOfDay, Percentage, SchemaId, SleepEpisode,
    TimeFrame, TimeInBed, TimeInterval, Uuid,
};

/// Media type of a serialised [`Night`]; it is inside the envelope, before the payload.
pub const MEDIA_TYPE: &str = "application/vnd.mhealth-chain.night+json";

time::serde::format_description!(iso_date, Date, "[year]-[month]-[day]");

/// One night of one participant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Night {
    /// Whose night, as a pseudonym.
    pub participant: Participant,
    /// The day on which the participant got up.
    #[serde(with = "iso_date")]
    pub night: Date,
    /// How many separate sleep records the source added up to this night; absent when it says nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_records: Option<u32>,
    /// `ieee:sleep-episode:1.0`, or another by its time frame.
    pub sleep_episode: DataPoint<SleepEpisode>,
    /// `ieee:time-in-bed:1.0`, or another by its time frame.
    pub time_in_bed: DataPoint<TimeInBed>,
    /// `mhealth-chain:consensus-sleep-diary:1.0`; absent when the night was measured by a wearable only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diary: Option<DataPoint<SleepDiary>>,
}

impl Night {
    /// The bytes that go into the envelope.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("string keys and finite numbers always serialise; qed")
    }

    /// Reads what [`to_json`](Self::to_json) wrote; unknown fields are refused.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, SeedableRng};
    use time::macros::{date, datetime};

    fn measured_night() -> Night {
        let mut rng = StdRng::seed_from_u64(7);
        let written = datetime!(2016-04-12 12:00 UTC);
        let frame = TimeFrame {
            time_interval: TimeInterval::PartOfDay {
                date: date!(2016 - 04 - 12),
                part_of_day: PartOfDay::Night,
            },
        };
        Night {
            participant: Participant("P-0011223344556677".into()),
            night: date!(2016 - 04 - 12),
            sleep_records: Some(1),
            sleep_episode: SleepEpisode {
                total_sleep_time: Some(Minutes::new(327)),
                ..SleepEpisode::within(frame.clone())
            }
            .into_data_point(Uuid::random(&mut rng), written, Modality::Sensed, vec![]),
            time_in_bed: TimeInBed {
                time_in_bed: Minutes::new(346),
                effective_time_frame: frame,
                is_main_sleep: None,
            }
            .into_data_point(Uuid::random(&mut rng), written, Modality::Sensed, vec![]),
            diary: None,
        }
    }

    #[test]
    fn a_night_survives_json_and_back() {
        let night = measured_night();
        assert_eq!(
            Night::from_json(&night.to_json()).expect("it was just written"),
            night
        );
    }

    #[test]
    fn the_json_has_the_names_and_units_of_open_mhealth() {
        let json: serde_json::Value =
            serde_json::from_slice(&measured_night().to_json()).expect("valid JSON");
        let episode = &json["sleep_episode"];
        assert_eq!(
            episode["header"]["schema_id"],
            serde_json::json!({"namespace": "omh", "name": "sleep-episode", "version": "1.1"})
        );
        assert_eq!(
            json["time_in_bed"]["header"]["schema_id"]["namespace"],
            "mhealth-chain"
        );
        assert_eq!(episode["header"]["modality"], "sensed");
        assert_eq!(
            episode["header"]["source_creation_date_time"],
            "2016-04-12T12:00:00Z"
        );
        assert_eq!(
            episode["body"],
            serde_json::json!({
                "effective_time_frame": {
                    "time_interval": {"date": "2016-04-12", "part_of_day": "night"}
                },
                "total_sleep_time": {"value": 327, "unit": "min"}
            })
        );
        assert_eq!(json["time_in_bed"]["body"]["time_in_bed"]["value"], 346);
    }

    #[test]
    fn a_media_type_names_the_entry_that_is_corrected() {
        for (plain, sequence) in [(MEDIA_TYPE, 1), ("application/json", u64::MAX)] {
            let written = correcting(plain, sequence);
            assert_eq!(corrected(&written), (plain, Some(sequence)));
        }
        for other in [
            "application/json",
            "a/b;corrects=",
            "a/b;corrects=01",
            "a/b;corrects=0",
            "a/b;corrects=x",
            "a/b;corrects=+1",
        ] {
            assert_eq!(corrected(other), (other, None));
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let mut json: serde_json::Value =
            serde_json::from_slice(&measured_night().to_json()).expect("valid JSON");
        json["name"] = "a real name".into();
        assert!(Night::from_json(json.to_string().as_bytes()).is_err());
    }
}
