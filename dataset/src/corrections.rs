// SPDX-License-Identifier: Apache-2.0

//! Which rows of a device count, and in which order they stand: a correction follows what it corrects.

use std::collections::BTreeMap;

use crate::row::{Problem, Row};

/// Puts a device's rows in order, and says of each whether it counts for its night.
///
/// Only what is valid and readable corrects anything: a forged correction takes no night away.
pub(crate) fn arrange(rows: &mut [Row]) {
    let usable = |rows: &[Row]| -> BTreeMap<u64, usize> {
        let places = rows.iter().enumerate();
        let usable = places.filter(|(_, row)| row.is_usable());
        usable.map(|(place, row)| (row.sequence, place)).collect()
    };
    let known = usable(rows);
    for place in 0..rows.len() {
        let row = &rows[place];
        let Some(target) = row.corrects.filter(|_| row.problem.is_none()) else {
            continue;
        };
        let other = known.get(&target).map(|place| &rows[*place]);
        let of_another =
            |other: &Row| (&other.participant, other.night) != (&row.participant, row.night);
        if target >= row.sequence || other.is_some_and(of_another) {
            rows[place].problem = Some(Problem::BadCorrection);
        }
    }
    let known = usable(rows);
    let corrects: BTreeMap<u64, u64> = known
        .iter()
        .filter_map(|(sequence, place)| Some((*sequence, rows[*place].corrects?)))
        .collect();
    // What is corrected comes before what corrects it, so its own root is known by then. A phone may correct itself as often as
    // it likes.
    let mut roots: BTreeMap<u64, u64> = BTreeMap::new();
    for (sequence, target) in &corrects {
        let first = roots.get(target).copied().unwrap_or(*target);
        roots.insert(*sequence, first);
    }
    let root = |sequence: u64| roots.get(&sequence).copied().unwrap_or(sequence);
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for sequence in known.keys() {
        // In order, so the latest remains.
        last.insert(root(*sequence), *sequence);
    }
    let by: BTreeMap<u64, u64> = corrects.iter().map(|(by, what)| (*what, *by)).collect();
    for row in rows.iter_mut() {
        let counts = row.is_usable() && last.get(&root(row.sequence)) == Some(&row.sequence);
        row.current = counts;
        row.corrected_by = match row.is_usable() {
            true => by.get(&row.sequence).copied(),
            false => None,
        };
    }
    rows.sort_by_cached_key(|row| {
        let back = row.corrects.filter(|target| *target < row.sequence);
        let first = root(back.unwrap_or(row.sequence));
        (first, row.sequence, !row.registered, row.link)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::row;

    /// Entries 1 to so many, each of which corrects the one before.
    fn chain(entries: u32) -> Vec<Row> {
        let (first, sequences) = (row(1), 1..=u64::from(entries));
        let rows = sequences.map(|sequence| Row {
            sequence,
            corrects: (sequence > 1).then(|| sequence - 1),
            ..first.clone()
        });
        rows.collect()
    }

    #[test]
    fn a_phone_that_corrects_itself_all_the_time_keeps_nobody_waiting() {
        let entries = 100_000;
        let mut rows = chain(entries);
        arrange(&mut rows);
        let sequences = rows.iter().map(|row| row.sequence);
        assert!(sequences.eq(1..=u64::from(entries)));
        let current = rows.iter().filter(|row| row.current);
        assert!(current.map(|row| row.sequence).eq([u64::from(entries)]));
        assert_eq!(rows[0].corrected_by, Some(2));
    }

    #[test]
    fn corrections_of_one_night_stand_together_behind_it() {
        let mut rows = chain(6);
        // 1 and 2 are nights; 3 and 5 correct 1, 4 corrects 2, and 6 an entry that is not there.
        let corrects = [None, None, Some(1), Some(2), Some(3), Some(9)];
        for (row, corrects) in rows.iter_mut().zip(corrects) {
            row.corrects = corrects;
        }
        arrange(&mut rows);
        let stands: Vec<_> = rows.iter().map(|row| (row.sequence, row.current)).collect();
        assert_eq!(
            stands,
            [
                (1, false),
                (3, false),
                (5, true),
                (2, false),
                (4, true),
                (6, false)
            ]
        );
        assert_eq!(rows[5].problem, Some(Problem::BadCorrection));
    }
}
