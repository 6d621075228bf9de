// SPDX-License-Identifier: Apache-2.0

//! Records that are cut into parts, as phones cut them.

use std::ops::RangeInclusive;

use hashchain::{split, Content, Native, PART_MEDIA_TYPE};
use mhealth_device::payload::MEDIA_TYPE;

use super::nights::{day, measured};
use super::World;

/// Bytes of a part's payload, of tests that want several parts of a night.
pub(crate) const SHORT: usize = 400;

/// The payloads of a record's parts.
pub(crate) fn pieces(media_type: &str, payload: &[u8], most: usize) -> Vec<Vec<u8>> {
    let content = Content::new(media_type, payload).unwrap();
    let split = split::<Native>(&content, most).unwrap();
    split.parts().map(|part| part.payload()).collect()
}

impl World {
    /// The next entries of a phone: parts with these payloads.
    pub(crate) fn parts(&mut self, phone: usize, pieces: &[Vec<u8>]) -> RangeInclusive<u64> {
        let mut places = pieces
            .iter()
            .map(|piece| self.entry(phone, PART_MEDIA_TYPE, piece));
        let first = places.next().unwrap();
        let last = places.last().unwrap_or(first);
        first..=last
    }

    /// The pieces of a night.
    pub(crate) fn night_in_pieces(&mut self, who: &str, number: i64) -> Vec<Vec<u8>> {
        let night = measured(who, day(number), 310, 340, &mut self.random);
        pieces(MEDIA_TYPE, &night.to_json(), SHORT)
    }

    /// A measured night in parts: 310 minutes asleep, 340 in bed.
    pub(crate) fn night_in_parts(
        &mut self,
        phone: usize,
        who: &str,
        number: i64,
    ) -> RangeInclusive<u64> {
        let pieces = self.night_in_pieces(who, number);
        assert!(pieces.len() >= 3, "{}", pieces.len());
        self.parts(phone, &pieces)
    }
}
