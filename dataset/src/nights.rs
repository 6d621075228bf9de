// SPDX-License-Identifier: Apache-2.0

//! Which row is the night. Of one night several records may count: main sleep and naps, a measure by itself beside an episode, a
//! sleep that was calculated anew, and what a new phone read once more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use time::Date;

use crate::columns::{Origin, Value, COLUMNS};
use crate::row::Row;

/// What a night may be taken from, the greatest first: whether it has a total sleep time, whether its source calls it the main
/// sleep, the seconds asleep, how many values it has, and its place in the hashchain.
type Rank = (bool, bool, u64, usize, u64);

/// The rank of a row that counts. What its source calls no main sleep is none.
fn rank(row: &Row) -> Option<Rank> {
    let (asleep, said) = (row.measures.total_sleep_time, row.measures.is_main_sleep);
    if !row.current || said == Some(false) {
        return None;
    }
    let seconds = (asleep.unwrap_or_default() * 60.0).round() as u64;
    let told = COLUMNS.iter().filter(|column| {
        column.origin == Origin::Collected && (column.value)(row) != Value::Absent
    });
    let is_said = said == Some(true);
    Some((
        asleep.is_some(),
        is_said,
        seconds,
        told.count(),
        row.sequence,
    ))
}

/// The nights that have their row.
#[derive(Default)]
pub(crate) struct Nights(HashMap<String, BTreeSet<Date>>);

impl Nights {
    /// Says which of a device's rows are nights. Devices come in the order of their numbers, and are written as they come: a night
    /// that an earlier one has is taken.
    pub(crate) fn choose(&mut self, rows: &mut [Row]) {
        let mut best: BTreeMap<(&str, Date), (Rank, usize)> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            let (Some(participant), Some(night), Some(rank)) =
                (&row.participant, row.night, rank(row))
            else {
                continue;
            };
            let chosen = best.entry((participant.as_str(), night));
            let chosen = chosen.or_insert((rank, place));
            *chosen = (*chosen).max((rank, place));
        }
        let mut nights = Vec::new();
        for ((participant, night), (_, place)) in best {
            if self
                .0
                .entry(participant.to_owned())
                .or_default()
                .insert(night)
            {
                nights.push(place);
            }
        }
        for place in nights {
            rows[place].main = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::measures::Measures;
    use crate::records::tests::row;

    fn rows(measures: &[Measures]) -> Vec<Row> {
        let numbered = measures.iter().zip(1..);
        let rows = numbered.map(|(measures, sequence)| Row {
            participant: Some("P-ada".into()),
            night: Some(date!(2026 - 03 - 01)),
            current: true,
            measures: measures.clone(),
            ..row(sequence)
        });
        rows.collect()
    }

    fn main(rows: &[Row]) -> Vec<u64> {
        let main = rows.iter().filter(|row| row.main);
        main.map(|row| row.sequence).collect()
    }

    fn asleep(minutes: f64, is_main_sleep: Option<bool>) -> Measures {
        Measures {
            total_sleep_time: Some(minutes),
            is_main_sleep,
            ..Measures::default()
        }
    }

    #[test]
    fn of_the_records_of_a_night_the_main_sleep_is_the_night() {
        let in_bed = Measures {
            time_in_bed: Some(480.0),
            is_main_sleep: Some(true),
            ..Measures::default()
        };
        let whole = Measures {
            deep_sleep: Some(60.0),
            ..asleep(400.0, None)
        };
        let (sleep, longer) = (asleep(400.0, None), asleep(410.0, None));
        let (said, nap) = (asleep(390.0, Some(true)), asleep(500.0, Some(false)));
        for (measures, expected) in [
            (vec![asleep(30.0, None), sleep.clone()], vec![2]),
            (vec![in_bed.clone(), sleep.clone()], vec![2]),
            (vec![said, longer, nap.clone()], vec![1]),
            (vec![whole, sleep.clone()], vec![1]),
            (vec![sleep.clone(), sleep], vec![2]),
            (vec![in_bed], vec![1]),
            (vec![nap], vec![]),
        ] {
            let mut rows = rows(&measures);
            Nights::default().choose(&mut rows);
            assert_eq!(main(&rows), expected, "{measures:?}");
        }
    }

    #[test]
    fn a_night_that_an_earlier_phone_has_is_taken() {
        let mut nights = Nights::default();
        let mut first = rows(&[asleep(400.0, None)]);
        nights.choose(&mut first);
        let mut second = rows(&[asleep(410.0, None), asleep(380.0, None)]);
        second[1].night = Some(date!(2026 - 03 - 02));
        nights.choose(&mut second);
        assert_eq!((main(&first), main(&second)), (vec![1], vec![2]));
        // What does not count takes nothing.
        let mut third = rows(&[asleep(400.0, None)]);
        (third[0].current, third[0].participant) = (false, Some("P-bob".into()));
        nights.choose(&mut third);
        assert!(main(&third).is_empty());
        third[0].current = true;
        nights.choose(&mut third);
        assert_eq!(main(&third), vec![1]);
    }
}
