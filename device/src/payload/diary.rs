// SPDX-License-Identifier: Apache-2.0

//! The Consensus Sleep Diary, core version (Carney et al., SLEEP 2012;35(2):287–302), by item code.
//!
//! Items one to eight are carried as times, minutes, counts and a score; the ninth, free text, is left out,
//! because free text is where participants name themselves. The wording of the items appears nowhere.

use alloc::{string::String, vec::Vec};
use core::fmt;

use rand::RngCore;
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};
use time::{Duration, OffsetDateTime, Time};

use super::{
    DataPoint, Datasheet, Header, Minutes, Modality, Night, Participant, Percentage, SchemaId,
    SleepEpisode, TimeFrame, TimeInBed, TimeInterval, Uuid,
};

/// A time of day to the minute, `hh:mm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockTime(pub Time);

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.split_once(':').and_then(|(hour, minute)| {
            // A number may have a sign, and a time of day has none.
            let two_digits = |s: &str| {
                let digits = s.len() == 2 && s.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| s.parse().ok()).flatten()
            };
            Time::from_hms(two_digits(hour)?, two_digits(minute)?, 0).ok()
        });
        parsed
            .map(ClockTime)
            .ok_or_else(|| de::Error::custom("not a time of day, hh:mm"))
    }
}

/// Score of item eight: 1 is worst, 5 is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct SleepQuality(u8);

impl SleepQuality {
    /// The score; `None` outside 1 to 5.
    pub fn new(score: u8) -> Option<Self> {
        (1..=5).contains(&score).then_some(Self(score))
    }
}

impl TryFrom<u8> for SleepQuality {
    type Error = &'static str;

    fn try_from(score: u8) -> Result<Self, Self::Error> {
        Self::new(score).ok_or("a sleep quality score lies between 1 and 5")
    }
}

impl From<SleepQuality> for u8 {
    fn from(quality: SleepQuality) -> u8 {
        quality.0
    }
}

/// The items of one morning (`mhealth-chain:consensus-sleep-diary:1.0`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SleepDiary {
    /// Item 1: time of day of going to bed.
    #[serde(rename = "csd_core_1")]
    pub into_bed: ClockTime,
    /// Item 2: time of day of trying to sleep.
    #[serde(rename = "csd_core_2")]
    pub tried_to_sleep: ClockTime,
    /// Item 3: sleep onset latency, minutes.
    #[serde(rename = "csd_core_3")]
    pub sleep_latency: u32,
    /// Item 4: awakenings without the final one.
    #[serde(rename = "csd_core_4")]
    pub awakenings: u32,
    /// Item 5: duration of those awakenings together, minutes.
    #[serde(rename = "csd_core_5")]
    pub awake_in_between: u32,
    /// Item 6: time of day of the final awakening.
    #[serde(rename = "csd_core_6")]
    pub final_awakening: ClockTime,
    /// Item 7: time of day of getting out of bed.
    #[serde(rename = "csd_core_7")]
    pub out_of_bed: ClockTime,
    /// Item 8: quality score.
    #[serde(rename = "csd_core_8")]
    pub quality: SleepQuality,
}

impl SleepDiary {
    /// The schema of a diary.
    pub fn schema() -> SchemaId {
        SchemaId::new("mhealth-chain", "consensus-sleep-diary", "1.0")
    }
}

/// What a participant enters in the morning, with full dates; the measures are calculated from it.
#[derive(Clone, Debug, PartialEq)]
pub struct DiaryEntry {
    /// Going to bed.
    pub into_bed: OffsetDateTime,
    /// Trying to sleep.
    pub tried_to_sleep: OffsetDateTime,
    /// Sleep onset latency, minutes.
    pub sleep_latency: u32,
    /// Awakenings without the final one.
    pub awakenings: u32,
    /// Duration of those awakenings together, minutes.
    pub awake_in_between: u32,
    /// Final awakening.
    pub final_awakening: OffsetDateTime,
    /// Getting out of bed.
    pub out_of_bed: OffsetDateTime,
    /// Quality score.
    pub quality: SleepQuality,
    /// When the entry was made.
    pub written: OffsetDateTime,
}

/// The times of a diary entry contradict each other: out of order, or awake for longer than the night was; or they are of
/// no year in which a diary was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the times of this diary entry contradict each other, or are not between the years 1970 and 2100")]
pub struct UnlikelyDiary;

impl DiaryEntry {
    /// The night's data points, all self-reported.
    pub fn into_night(
        self,
        participant: Participant,
        datasheets: Vec<Datasheet>,
        rng: &mut impl RngCore,
    ) -> Result<Night, UnlikelyDiary> {
        let times = [
            self.into_bed,
            self.tried_to_sleep,
            self.final_awakening,
            self.out_of_bed,
            self.written,
        ];
        if !times
            .iter()
            .all(|time| (1970..=2100).contains(&time.year()))
        {
            return Err(UnlikelyDiary);
        }
        let in_order = self.into_bed <= self.tried_to_sleep
            && self.final_awakening <= self.out_of_bed
            && self.out_of_bed <= self.written;
        let onset = self
            .tried_to_sleep
            .checked_add(Duration::minutes(self.sleep_latency.into()))
            .ok_or(UnlikelyDiary)?;
        let episode = minutes_between(onset, self.final_awakening).ok_or(UnlikelyDiary)?;
        let asleep = episode
            .checked_sub(self.awake_in_between)
            .ok_or(UnlikelyDiary)?;
        let in_bed = minutes_between(self.into_bed, self.out_of_bed).ok_or(UnlikelyDiary)?;
        if !in_order || in_bed > 24 * 60 {
            return Err(UnlikelyDiary);
        }
        let frame = |start_date_time, end_date_time| TimeFrame {
            time_interval: TimeInterval::Bounded {
                start_date_time,
                end_date_time,
            },
        };
        let sleep_episode = SleepEpisode {
            latency_to_sleep_onset: Some(Minutes::new(self.sleep_latency)),
            latency_to_arising: minutes_between(self.final_awakening, self.out_of_bed)
                .map(Minutes::new),
            total_sleep_time: Some(Minutes::new(asleep)),
            wake_after_sleep_onset: Some(Minutes::new(self.awake_in_between)),
            number_of_awakenings: Some(self.awakenings),
            is_main_sleep: Some(true),
            sleep_efficiency_percentage: Percentage::of(asleep, episode),
            ..SleepEpisode::within(frame(onset, self.final_awakening))
        };
        let time_in_bed = TimeInBed {
            time_in_bed: Minutes::new(in_bed),
            effective_time_frame: frame(self.into_bed, self.out_of_bed),
            is_main_sleep: Some(true),
        };
        let diary = SleepDiary {
            into_bed: ClockTime(self.into_bed.time()),
            tried_to_sleep: ClockTime(self.tried_to_sleep.time()),
            sleep_latency: self.sleep_latency,
            awakenings: self.awakenings,
            awake_in_between: self.awake_in_between,
            final_awakening: ClockTime(self.final_awakening.time()),
            out_of_bed: ClockTime(self.out_of_bed.time()),
            quality: self.quality,
        };
        let modality = Modality::SelfReported;
        let (written, sheets) = (self.written, datasheets);
        Ok(Night {
            participant,
            night: self.out_of_bed.date(),
            sleep_records: None,
            sleep_episode: sleep_episode.into_data_point(
                Uuid::random(rng),
                written,
                modality,
                sheets.clone(),
            ),
            time_in_bed: time_in_bed.into_data_point(
                Uuid::random(rng),
                written,
                modality,
                sheets.clone(),
            ),
            diary: Some(DataPoint {
                header: Header {
                    uuid: Uuid::random(rng),
                    schema_id: SleepDiary::schema(),
                    source_creation_date_time: written,
                    modality,
                    external_datasheets: sheets,
                },
                body: diary,
            }),
        })
    }
}

/// Whole minutes from one to the other; `None` when they are in the wrong order.
fn minutes_between(from: OffsetDateTime, to: OffsetDateTime) -> Option<u32> {
    u32::try_from((to - from).whole_minutes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::StdRng, SeedableRng};
    use time::macros::datetime;

    fn entry() -> DiaryEntry {
        DiaryEntry {
            into_bed: datetime!(2026-01-05 22:30 UTC),
            tried_to_sleep: datetime!(2026-01-05 23:00 UTC),
            sleep_latency: 40,
            awakenings: 2,
            awake_in_between: 35,
            final_awakening: datetime!(2026-01-06 06:10 UTC),
            out_of_bed: datetime!(2026-01-06 06:45 UTC),
            quality: SleepQuality::new(2).expect("2 is a score"),
            written: datetime!(2026-01-06 07:00 UTC),
        }
    }

    fn night(entry: DiaryEntry) -> Result<Night, UnlikelyDiary> {
        entry.into_night(
            Participant("P-1".into()),
            vec![],
            &mut StdRng::seed_from_u64(3),
        )
    }

    #[test]
    fn the_measures_follow_from_the_items() {
        let night = night(entry()).expect("a plausible entry");
        let body = night.sleep_episode.body;
        assert_eq!(body.total_sleep_time, Some(Minutes::new(355)));
        assert_eq!(body.latency_to_arising, Some(Minutes::new(35)));
        assert_eq!(night.time_in_bed.body.time_in_bed, Minutes::new(495));
        assert_eq!(
            body.sleep_efficiency_percentage.map(|p| p.value),
            Some(91.0)
        );
    }

    #[test]
    fn a_diary_is_carried_by_item_code_only() {
        let night = night(entry()).expect("a plausible entry");
        let json =
            serde_json::to_value(&night.diary.expect("a diary was kept").body).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "csd_core_1": "22:30", "csd_core_2": "23:00", "csd_core_3": 40, "csd_core_4": 2,
                "csd_core_5": 35, "csd_core_6": "06:10", "csd_core_7": "06:45", "csd_core_8": 2
            })
        );
    }

    #[test]
    fn contradicting_times_are_refused() {
        let mut late = entry();
        late.tried_to_sleep = datetime!(2026-01-06 06:20 UTC);
        assert_eq!(night(late).err(), Some(UnlikelyDiary));
        let mut awake = entry();
        awake.awake_in_between = 1_000;
        assert_eq!(night(awake).err(), Some(UnlikelyDiary));
        let mut eternal = entry();
        eternal.sleep_latency = u32::MAX;
        assert_eq!(night(eternal).err(), Some(UnlikelyDiary));
    }

    #[test]
    fn times_of_no_year_in_which_diaries_were_kept_are_refused() {
        for year in [-9999, -1, 0, 1969, 2101, 9999] {
            let mut far = entry();
            for time in [
                &mut far.into_bed,
                &mut far.tried_to_sleep,
                &mut far.final_awakening,
                &mut far.out_of_bed,
                &mut far.written,
            ] {
                *time = time.replace_year(year).expect("every year has a January");
            }
            assert_eq!(night(far).err(), Some(UnlikelyDiary), "{year}");
        }
    }

    #[test]
    fn a_score_lies_between_one_and_five() {
        assert!(SleepQuality::new(0).is_none() && SleepQuality::new(6).is_none());
        assert!(serde_json::from_str::<SleepQuality>("6").is_err());
        for time in ["24:00", "+5:+5", "5:05"] {
            assert!(serde_json::from_str::<ClockTime>(&format!("{time:?}")).is_err());
        }
    }
}
