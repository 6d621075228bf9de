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
    let root = |mut sequence: u64| {
        // Each step goes back, so this ends.
        while let Some(target) = corrects.get(&sequence) {
            sequence = *target;
        }
        sequence
    };
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
