// SPDX-License-Identifier: Apache-2.0

//! What a payload tells of a night. What no night can be is not read as one, whichever type its phone gave it: a data point of another
//! program is held against the rules for such data points, and a night of our own programs against what of them is about any night.

use mhealth_device::payload::rules::{self, check_datasheets, instant, Pointer, SLACK, YEARS};
use mhealth_device::payload::{
    parse_document, ExchangedNight, Minutes, Night, SleepDiary, TimeFrame, TimeInterval,
};
use serde::Deserialize;
use serde_json::Value;
use time::{Date, Duration};

/// Bytes of the longest payload that is read as a night: a data point of 64 KiB, the longest that is taken from a file, and what
/// stands around it. All nights of a device are in memory at the same time.
const LONGEST: usize = 65 << 10;
/// Minutes of a day. Nothing that is counted in a night is more.
const MOST: u32 = 24 * 60;
/// Characters of a day, as ISO 8601 writes it.
const DAY: usize = 10;

/// What a payload tells.
pub(crate) struct Told {
    pub(crate) participant: String,
    pub(crate) night: Date,
    pub(crate) sleep_records: Option<u32>,
    /// The data points as they stand, and not as this program would write them.
    pub(crate) points: Vec<Value>,
}

impl Told {
    /// Of a night that our own programs recorded; none if it is not one.
    pub(crate) fn by_night(payload: &[u8]) -> Option<Self> {
        let night = Night::from_json(bounded(payload)?).ok()?;
        let document = parse_document(payload).ok()?;
        let points = ["sleep_episode", "time_in_bed", "diary"];
        let points = points.into_iter().filter_map(|name| document.get(name));
        let points = points.filter(|point| !point.is_null());
        let points: Vec<Value> = points.cloned().collect();
        let is_one = has_own_schemas(&night) && can_be(&night);
        (is_one && points.iter().all(is_well_written)).then_some(Told {
            participant: night.participant.0,
            night: night.night,
            sleep_records: night.sleep_records,
            points,
        })
    }

    /// Of a data point of another program; none if it is not one.
    pub(crate) fn by_data_point(payload: &[u8]) -> Option<Self> {
        let night = ExchangedNight::from_json(bounded(payload)?).ok()?;
        Some(Told {
            participant: night.participant().0.clone(),
            night: night.night(),
            sleep_records: None,
            points: vec![night.data_point().clone()],
        })
    }
}

/// Whom a payload names, even if nothing else of it can be read.
pub(crate) fn named(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        participant: String,
    }
    let named: Option<Named> = serde_json::from_slice(payload).ok();
    named.map(|named| named.participant)
}

/// A payload that is not too long.
fn bounded(payload: &[u8]) -> Option<&[u8]> {
    Some(payload).filter(|payload| payload.len() <= LONGEST)
}

/// Whether each data point names the schema that it has.
fn has_own_schemas(night: &Night) -> bool {
    let (episode, bed) = (&night.sleep_episode, &night.time_in_bed);
    let (asleep, in_bed) = (
        &episode.body.effective_time_frame,
        &bed.body.effective_time_frame,
    );
    let mut diary = night.diary.iter();
    episode.header.schema_id == asleep.time_interval.sleep_episode()
        && bed.header.schema_id == in_bed.time_interval.time_in_bed()
        && diary.all(|diary| diary.header.schema_id == SleepDiary::schema())
}

/// Whether all that it says can be true of a night.
fn can_be(night: &Night) -> bool {
    let (episode, bed) = (&night.sleep_episode.body, &night.time_in_bed.body);
    let lengths = [
        Some(bed.time_in_bed),
        episode.total_sleep_time,
        episode.latency_to_sleep_onset,
        episode.latency_to_arising,
        episode.wake_after_sleep_onset,
    ];
    let items = night.diary.iter().flat_map(|diary| {
        let items = &diary.body;
        [
            items.sleep_latency,
            items.awakenings,
            items.awake_in_between,
        ]
    });
    let mut numbers = lengths
        .into_iter()
        .flatten()
        .map(|length| length.value)
        .chain(episode.number_of_awakenings)
        .chain(night.sleep_records)
        .chain(items);
    let share = episode.sleep_efficiency_percentage;
    let length = |minutes: Minutes| Duration::minutes(minutes.value.into());
    let in_bed = length(bed.time_in_bed);
    let asleep = episode.total_sleep_time.map_or(Duration::ZERO, length);
    YEARS.contains(&night.night.year())
        && numbers.all(|number| number <= MOST)
        && share.is_none_or(|share| (0.0..=100.0).contains(&share.value))
        && asleep <= in_bed + SLACK
        && fits(asleep, &episode.effective_time_frame)
        && fits(in_bed, &bed.effective_time_frame)
}

/// Whether this is not longer than a time frame that a night can have.
fn fits(length: Duration, frame: &TimeFrame) -> bool {
    match &frame.time_interval {
        TimeInterval::Bounded {
            start_date_time,
            end_date_time,
        } => {
            // Who did not sleep at all has an episode without length.
            let room = *end_date_time - *start_date_time + SLACK;
            (Duration::ZERO..=rules::LONGEST + SLACK + SLACK).contains(&room) && length <= room
        }
        TimeInterval::PartOfDay { date, .. } | TimeInterval::Day { date } => {
            YEARS.contains(&date.year())
        }
    }
}

/// Whether a data point is written as its schema has it: who reads a night takes some of it in other forms, too.
fn is_well_written(point: &Value) -> bool {
    let (header, body) = (&point["header"], &point["body"]);
    let interval = &body["effective_time_frame"]["time_interval"];
    let mut instants = [
        header.get("source_creation_date_time"),
        interval.get("start_date_time"),
        interval.get("end_date_time"),
    ]
    .into_iter()
    .flatten();
    let day = interval.get("date").and_then(Value::as_str);
    let sheets = header.get("external_datasheets");
    let place = Pointer::default();
    let mut members = body.as_object().into_iter().flat_map(|body| body.values());
    instants.all(|at| instant(at, &place).is_ok())
        && day.is_none_or(|day| day.len() == DAY)
        && sheets.is_none_or(|sheets| check_datasheets(sheets, &place).is_ok())
        && !members.any(Value::is_null)
}
