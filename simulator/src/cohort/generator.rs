// SPDX-License-Identifier: Apache-2.0

//! Made-up sleep diaries of an insomnia trial.
//!
//! Each participant has a usual bedtime, a window in bed and a severity; half of them answer to the treatment.
//! A night's sleep latency and wake time come from one common cause ("a bad night") that carries over to the next
//! night, so that latency and wake time go together and total sleep time falls as they rise. Friday and Saturday
//! nights are later. Some nights are missing, more of them at the weekend, and some participants drop out.
//!
//! The same seed gives the same nights: the first of two participants is the first of a hundred, and the first week of
//! two is the first of a year.
//! Medians and spreads were set to what the literature reports of people with insomnia (sleep latency and wake
//! time of half an hour to an hour, six hours of sleep); the data prove nothing about sleep.

use mhealth_device_host::payload::{Datasheet, DiaryEntry, SleepQuality};
use rand::{rngs::StdRng, Rng, SeedableRng};
use time::{Date, Duration, OffsetDateTime, Weekday};

/// A cohort to make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Participants, each with one device.
    pub devices: u32,
    /// Nights that the trial lasts; fewer are recorded.
    pub nights: u32,
    /// The same seed makes the same nights.
    pub seed: u64,
    /// Evening of the first night.
    pub start: Date,
}

impl Trial {
    /// The participants, in order.
    pub fn participants(self) -> impl Iterator<Item = Diarist> {
        (0..self.devices).map(move |number| Diarist::new(&self, number))
    }

    /// The generator's name for a participant. The seed is part of it: another seed makes other people.
    pub fn participant_id(&self, number: u32) -> String {
        format!("generated-{}-{number}", self.seed)
    }

    /// Says in each payload that the data are made up.
    pub fn datasheet() -> Datasheet {
        Datasheet {
            datasheet_type: "software".into(),
            datasheet_reference: "urn:mhealth-chain:device:sleep-diary-generator:1".into(),
        }
    }
}

/// One participant; iterates over the diary entries that this person makes.
#[derive(Clone, Debug)]
pub struct Diarist {
    /// The generator's name for this person.
    pub id: String,
    rng: StdRng,
    start: Date,
    nights: u32,
    night: u32,
    bedtime: f64,
    window: f64,
    severity: f64,
    improvement: f64,
    misses: f64,
    dropout: u32,
    carried_over: f64,
}

impl Diarist {
    fn new(trial: &Trial, number: u32) -> Self {
        // One stream a person, so that adding people changes nobody's nights.
        let mut rng = StdRng::seed_from_u64(trial.seed);
        let personal: u64 =
            rng.random::<u64>() ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut rng = StdRng::seed_from_u64(personal);
        let drops_out = rng.random_bool(0.15);
        Self {
            id: trial.participant_id(number),
            start: trial.start,
            nights: trial.nights,
            night: 0,
            bedtime: (23.0 * 60.0 + 40.0 * normal(&mut rng)).clamp(20.5 * 60.0, 26.0 * 60.0),
            window: (8.3 * 60.0 + 40.0 * normal(&mut rng)).clamp(6.5 * 60.0, 10.0 * 60.0),
            severity: normal(&mut rng),
            improvement: if rng.random_bool(0.5) {
                rng.random_range(0.008..0.02)
            } else {
                0.0
            },
            misses: rng.random_range(0.02..0.15),
            dropout: if drops_out {
                rng.random_range(7..90)
            } else {
                u32::MAX
            },
            carried_over: 0.0,
            rng,
        }
    }

    /// The entry that this night leads to, whether or not it gets written.
    fn entry(&mut self, evening: Date) -> DiaryEntry {
        let rng = &mut self.rng;
        let late = if is_late(evening) { 45.0 } else { 0.0 };
        let bad_night = 0.4 * self.carried_over + 0.9 * normal(rng);
        self.carried_over = bad_night;
        let therapy = -self.improvement * f64::from(self.night.min(60));

        let log_scale = 0.35 * self.severity + therapy;
        let latency = 32.0 * (log_scale + 0.45 * bad_night + 0.25 * normal(rng)).exp();
        let awake = 42.0 * (log_scale + 0.50 * bad_night + 0.35 * normal(rng)).exp();
        let lingering = 14.0 * (0.5 * log_scale + 0.7 * normal(rng)).exp();
        let reading = 12.0 * (0.8 * normal(rng)).exp();
        let in_bed = self.window + 25.0 * normal(rng) + late * 0.6;
        let into_bed = self.bedtime + late + 20.0 * normal(rng);

        // People give times and durations in steps of five minutes.
        let in_bed = fives(in_bed).clamp(300, 720);
        let reading = fives(reading).min(60);
        let lingering = fives(lingering).min(90);
        let wanted = in_bed - reading - lingering;
        let latency = fives(latency).min(wanted - 90);
        let awake = fives(awake).min(wanted - latency - 60);
        let awakenings = if awake == 0 {
            0
        } else {
            1 + awake / rng.random_range(15..45)
        };
        let asleep = wanted - latency - awake;

        let share = f64::from(asleep) / f64::from(in_bed);
        let quality = 1.0 + 4.0 * ((share - 0.45) / 0.5) + 0.6 * normal(rng);
        let score = quality.round().clamp(1.0, 5.0) as u8;

        let into_bed = midnight(evening) + Duration::minutes(fives(into_bed).into());
        let out_of_bed = into_bed + Duration::minutes(in_bed.into());
        DiaryEntry {
            into_bed,
            tried_to_sleep: into_bed + Duration::minutes(reading.into()),
            sleep_latency: latency,
            awakenings,
            awake_in_between: awake,
            final_awakening: out_of_bed - Duration::minutes(lingering.into()),
            out_of_bed,
            quality: SleepQuality::new(score).expect("it was clamped to 1 to 5; qed"),
            written: out_of_bed + Duration::minutes(rng.random_range(5..240)),
        }
    }
}

impl Iterator for Diarist {
    type Item = DiaryEntry;

    /// The next entry that was written.
    fn next(&mut self) -> Option<DiaryEntry> {
        while self.night < self.nights.min(self.dropout) {
            let evening = self.start.checked_add(Duration::days(self.night.into()))?;
            evening.checked_add(Duration::days(3))?; // The diary is written within these.
            let entry = self.entry(evening);
            self.night += 1;
            let missing = if is_late(evening) {
                1.8 * self.misses
            } else {
                self.misses
            };
            if !self.rng.random_bool(missing) {
                return Some(entry);
            }
        }
        None
    }
}

/// Whether the next day is free.
fn is_late(evening: Date) -> bool {
    matches!(evening.weekday(), Weekday::Friday | Weekday::Saturday)
}

fn midnight(day: Date) -> OffsetDateTime {
    day.midnight().assume_utc()
}

fn fives(minutes: f64) -> u32 {
    (minutes.max(0.0) / 5.0).round() as u32 * 5
}

/// A standard normal variate (Box–Muller).
fn normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    fn trial(devices: u32) -> Trial {
        Trial {
            devices,
            nights: 28,
            seed: 42,
            start: date!(2026 - 01 - 05),
        }
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let values: Vec<f64> = values.collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn the_same_seed_makes_the_same_nights_however_many_devices_and_nights_there_are() {
        let nights = |devices| -> Vec<Vec<DiaryEntry>> {
            trial(devices)
                .participants()
                .map(Iterator::collect)
                .collect()
        };
        assert_eq!(nights(3), nights(3));
        assert_eq!(nights(3)[..], nights(10)[..3]);
        let longer = Trial {
            nights: 60,
            ..trial(3)
        };
        for (longer, shorter) in longer.participants().zip(trial(3).participants()) {
            assert!(longer
                .zip(shorter)
                .all(|(longer, shorter)| longer == shorter));
        }
        let other = Trial {
            seed: 43,
            ..trial(3)
        };
        assert_ne!(
            other
                .participants()
                .map(Iterator::collect::<Vec<_>>)
                .collect::<Vec<_>>(),
            nights(3)
        );
    }

    #[test]
    fn every_entry_is_plausible_and_no_day_stands_twice() {
        let mut rng = StdRng::seed_from_u64(0);
        for diarist in trial(100).participants() {
            let participant = mhealth_device_host::payload::Participant(diarist.id.clone());
            let mut last = None;
            for entry in diarist {
                let night = entry.into_night(participant.clone(), vec![], &mut rng);
                let night = night.expect("the generator contradicts itself nowhere");
                assert!(last < Some(night.night), "days go up");
                last = Some(night.night);
            }
        }
    }

    #[test]
    fn nights_are_missing_but_most_are_there() {
        let written = trial(100)
            .participants()
            .map(Iterator::count)
            .sum::<usize>();
        assert!((2_000..2_700).contains(&written), "{written} of 2800");
    }

    #[test]
    fn latency_and_wake_time_go_together_and_are_those_of_insomnia() {
        let nights: Vec<DiaryEntry> = trial(200).participants().flatten().collect();
        let latency = mean(nights.iter().map(|n| f64::from(n.sleep_latency)));
        let awake = mean(nights.iter().map(|n| f64::from(n.awake_in_between)));
        assert!(
            (25.0..60.0).contains(&latency) && (30.0..75.0).contains(&awake),
            "{latency} {awake}"
        );
        let together = mean(nights.iter().map(|n| {
            (f64::from(n.sleep_latency) - latency) * (f64::from(n.awake_in_between) - awake)
        }));
        assert!(together > 0.0, "covariance {together}");
    }

    #[test]
    fn a_trial_at_the_end_of_time_ends_there() {
        for start in [Date::MAX, Date::MIN, date!(9999 - 12 - 20)] {
            let nights = Trial { start, ..trial(3) };
            let written = nights.participants().map(Iterator::count).sum::<usize>();
            assert!(written < 3 * 28);
        }
    }

    #[test]
    fn weekends_are_later() {
        let bedtime = |late: bool| {
            mean(trial(200).participants().flatten().filter_map(|n| {
                let evening = (n.into_bed - Duration::hours(12)).date();
                let minutes = (n.into_bed - midnight(evening)).whole_minutes() as f64;
                (is_late(evening) == late).then_some(minutes)
            }))
        };
        assert!(bedtime(true) > bedtime(false) + 20.0);
    }
}
