// SPDX-License-Identifier: Apache-2.0

//! Reads a dataset's tables, without the crate's own reader.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::World;

/// A row, by the names of its columns.
pub(crate) type Cells = BTreeMap<String, String>;

/// The documents of a file, one a line.
pub(crate) fn lines(world: &World, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.path(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The rows of a table in text. No field of the tests' has a comma or a quote.
pub(crate) fn csv(path: &Path) -> Vec<Cells> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            assert!(!line.contains('"'), "{line}");
            let cells = head.iter().zip(line.split(','));
            let cells = cells.map(|(name, cell)| (name.to_string(), cell.to_owned()));
            cells.collect()
        })
        .collect()
}

/// The nights of a table.
pub(crate) fn counted(rows: &[Cells]) -> Vec<(String, String, f64, Option<f64>)> {
    let mut counted: Vec<_> = rows
        .iter()
        .filter(|row| ["true", "1"].contains(&row["main"].as_str()))
        .map(|row| {
            (
                row["participant"].clone(),
                row["night"].clone(),
                row["total_sleep_time_min"].parse().unwrap(),
                row["time_in_bed_min"].parse().ok(),
            )
        })
        .collect();
    counted.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    counted
}
