// SPDX-License-Identifier: Apache-2.0

//! A table of nights, as any program may have written it: read in every dialect, surveyed, and made into payloads. Nothing may
//! panic, what is taken is possible, and what is made of it can be read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mhealth_device::payload::{Night, Participant};
use mhealth_simulator::cohort::{
    csv::{DateFormat, Dialect, NightRows, Rows},
    source::Nights,
    survey::Survey,
};
use rand::{rngs::StdRng, SeedableRng};
use time::macros::datetime;

fuzz_target!(|data: &[u8]| {
    for dates in [None, Some(DateFormat::MonthDayYear), Some(DateFormat::DayMonthYear)] {
        for rows in [Rows::Day, Rows::Sleep] {
            let nights = || NightRows::new(data, Dialect { dates, rows }).map(Nights::Csv);
            let Ok(first) = nights() else {
                return;
            };
            let survey = Survey::of(first);
            let Ok(again) = nights() else {
                panic!("the same file is read otherwise");
            };
            let mut rng = StdRng::seed_from_u64(0);
            for (_, night) in survey.placed(again).flatten() {
                let participant = Participant("P".into());
                let payload = night.payload(participant, datetime!(2026-03-01 9:00 UTC), &mut rng);
                let read = Night::from_json(&payload).expect("it was made by this program");
                let in_bed = read.time_in_bed.body.time_in_bed.value;
                assert!((1..=1440).contains(&in_bed));
            }
        }
    }
});
