// SPDX-License-Identifier: Apache-2.0

//! What a payload tells of a night.

use mhealth_device::payload::{parse_document, ExchangedNight, Night};
use serde_json::Value;
use time::Date;

/// Bytes of the longest payload that is read as a night: a data point of 64 KiB, the longest that is taken from a file, and what
/// stands around it. All nights of a device are in memory at the same time.
const LONGEST: usize = 65 << 10;

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
        let points = points.filter(|point| !point.is_null()).cloned().collect();
        Some(Told {
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

/// A payload that is not too long.
fn bounded(payload: &[u8]) -> Option<&[u8]> {
    Some(payload).filter(|payload| payload.len() <= LONGEST)
}
