// SPDX-License-Identifier: Apache-2.0

//! Nights in every form that phones seal.

use mhealth_device::payload::{
    correcting, DiaryEntry, Minutes, Modality, Night, PartOfDay, Participant, SleepEpisode,
    SleepQuality, TimeFrame, TimeInBed, TimeInterval, Uuid, DATA_POINT_MEDIA_TYPE, MEDIA_TYPE,
};
use rand::rngs::StdRng;
use serde_json::{json, Value};
use time::macros::date;
use time::{Date, Duration};

use super::World;

/// A day, counted from some first one.
pub(crate) fn day(number: i64) -> Date {
    date!(2016 - 04 - 12) + Duration::days(number)
}

/// A night of which the day is known, and that it was the night.
pub(crate) fn measured(
    who: &str,
    night: Date,
    asleep: u32,
    in_bed: u32,
    random: &mut StdRng,
) -> Night {
    let written = night.with_hms(12, 0, 0).unwrap().assume_utc();
    let frame = TimeFrame {
        time_interval: TimeInterval::PartOfDay {
            date: night,
            part_of_day: PartOfDay::Night,
        },
    };
    let episode = SleepEpisode {
        total_sleep_time: Some(Minutes::new(asleep)),
        ..SleepEpisode::within(frame.clone())
    };
    let bed = TimeInBed {
        time_in_bed: Minutes::new(in_bed),
        effective_time_frame: frame,
        is_main_sleep: Some(true),
    };
    let (sensed, sheets) = (Modality::Sensed, Vec::new());
    Night {
        participant: Participant(who.into()),
        night,
        sleep_records: Some(1),
        sleep_episode: episode.into_data_point(
            Uuid::random(random),
            written,
            sensed,
            sheets.clone(),
        ),
        time_in_bed: bed.into_data_point(Uuid::random(random), written, sensed, sheets),
        diary: None,
    }
}

/// A night of a diary: 23:00 to 07:00, awake for so many minutes.
pub(crate) fn diary(who: &str, night: Date, awake: u32, random: &mut StdRng) -> Night {
    let at = |day: Date, hour, minute| day.with_hms(hour, minute, 0).unwrap().assume_utc();
    let evening = night - Duration::DAY;
    let entry = DiaryEntry {
        into_bed: at(evening, 22, 45),
        tried_to_sleep: at(evening, 23, 0),
        sleep_latency: 20,
        awakenings: 1,
        awake_in_between: awake,
        final_awakening: at(night, 7, 0),
        out_of_bed: at(night, 7, 15),
        quality: SleepQuality::new(4).unwrap(),
        written: at(night, 7, 30),
    };
    let night = entry.into_night(Participant(who.into()), Vec::new(), random);
    night.unwrap()
}

impl World {
    /// The next entry of a phone: a measured night.
    pub(crate) fn night(
        &mut self,
        phone: usize,
        who: &str,
        number: i64,
        asleep: u32,
        in_bed: u32,
    ) -> u64 {
        let night = measured(who, day(number), asleep, in_bed, &mut self.random);
        self.entry(phone, MEDIA_TYPE, &night.to_json())
    }

    /// The same as a correction.
    pub(crate) fn correction(
        &mut self,
        phone: usize,
        who: &str,
        number: i64,
        (asleep, in_bed): (u32, u32),
        corrects: u64,
    ) -> u64 {
        let night = measured(who, day(number), asleep, in_bed, &mut self.random);
        let media_type = correcting(MEDIA_TYPE, corrects);
        self.entry(phone, &media_type, &night.to_json())
    }

    /// A nap, as its source calls it.
    pub(crate) fn nap(&mut self, phone: usize, who: &str, number: i64, asleep: u32) -> u64 {
        let mut nap = measured(who, day(number), asleep, asleep, &mut self.random);
        nap.sleep_episode.body.is_main_sleep = Some(false);
        nap.time_in_bed.body.is_main_sleep = Some(false);
        self.entry(phone, MEDIA_TYPE, &nap.to_json())
    }

    /// A diary's night.
    pub(crate) fn diary(&mut self, phone: usize, who: &str, number: i64, awake: u32) -> u64 {
        let night = diary(who, day(number), awake, &mut self.random);
        self.entry(phone, MEDIA_TYPE, &night.to_json())
    }

    /// A data point of another program, with this body of a schema of IEEE's.
    pub(crate) fn data_point(
        &mut self,
        phone: usize,
        who: &str,
        number: i64,
        schema: &str,
        body: Value,
    ) -> u64 {
        let uuid = Uuid::random(&mut self.random);
        let night = day(number).to_string();
        let point = json!({
            "participant": who, "night": night,
            "data_point": {
                "header": {
                    "uuid": uuid, "schema_id": { "namespace": "ieee", "name": schema, "version": "1.0" },
                    "source_creation_date_time": format!("{night}T08:00:00+01:00"), "modality": "sensed",
                },
                "body": body,
            },
        });
        self.entry(phone, DATA_POINT_MEDIA_TYPE, point.to_string().as_bytes())
    }

    /// Minutes asleep, a measure by itself, of another program.
    pub(crate) fn asleep(&mut self, phone: usize, who: &str, number: i64, minutes: u32) -> u64 {
        let body = json!({
            "effective_time_frame": { "time_interval": {
                "end_date_time": format!("{}T07:30:00+01:00", day(number)),
                "duration": { "value": 9, "unit": "h" }
            } },
            "total_sleep_time": { "value": minutes, "unit": "min" },
        });
        self.data_point(phone, who, number, "total-sleep-time", body)
    }

    /// A sleep episode of another program, in hours.
    pub(crate) fn exchanged(&mut self, phone: usize, who: &str, number: i64, hours: f64) -> u64 {
        let body = json!({
            "effective_time_frame": { "time_interval": {
                "end_date_time": format!("{}T07:30:00+01:00", day(number)),
                "duration": { "value": 9, "unit": "h" }
            } },
            "total_sleep_time": { "value": hours, "unit": "h" },
            "deep_sleep_duration": { "value": 5_401, "unit": "sec" },
            "number_of_awakenings": 2,
        });
        self.data_point(phone, who, number, "sleep-episode", body)
    }
}

/// A study with something of everything that is valid.
pub(crate) fn study() -> World {
    let mut world = World::new();
    for (who, phone) in ["P-ada", "P-bob", "P-cyd"].into_iter().zip(0..) {
        assert_eq!(world.phone(Some(who)), phone);
        for number in 0..12 {
            let asleep = 300 + 10 * number as u32 + phone as u32;
            world.night(phone, who, number, asleep, asleep + 40);
        }
    }
    let corrected = world.night(0, "P-ada", 12, 401, 450);
    let again = world.correction(0, "P-ada", 12, (411, 450), corrected);
    world.night(0, "P-ada", 13, 402, 452);
    world.correction(0, "P-ada", 12, (421, 450), again);
    world.diary(1, "P-bob", 12, 15);
    world.exchanged(2, "P-cyd", 12, 7.5);
    // A phone that seals to nobody.
    let plain = world.phone(None);
    world.night(plain, "P-dan", 0, 333, 366);
    world.entry(2, "application/x-ecg", &[0, 1, 2, 255]);
    world.entry(2, MEDIA_TYPE, b"{\"participant\":\"P-cyd\"}");
    // A phone that never sent anything.
    world.phone(Some("P-eve"));
    world
}

/// What counts of [`study`]: participant, night, minutes asleep, minutes in bed.
pub(crate) fn expected() -> Vec<(&'static str, String, f64, Option<f64>)> {
    let mut expected = Vec::new();
    let mut add = |who, number: i64, asleep, in_bed| {
        expected.push((who, day(number).to_string(), asleep, in_bed));
    };
    for (who, phone) in ["P-ada", "P-bob", "P-cyd"].into_iter().zip(0..) {
        for number in 0..12 {
            let asleep = f64::from(300 + 10 * number + phone);
            add(who, number.into(), asleep, Some(asleep + 40.0));
        }
    }
    add("P-ada", 12, 421.0, Some(450.0));
    add("P-ada", 13, 402.0, Some(452.0));
    // From 23:20 to 07:00, less a quarter of an hour.
    add("P-bob", 12, 445.0, Some(510.0));
    add("P-cyd", 12, 450.0, None);
    add("P-dan", 0, 333.0, Some(366.0));
    expected.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    expected
}

/// Rows of [`study`], those that do not count among them.
pub(crate) const ROWS: u64 = 3 * 12 + 4 + 1 + 1 + 1 + 2;
