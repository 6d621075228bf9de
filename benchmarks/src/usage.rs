// SPDX-License-Identifier: Apache-2.0

//! What processes use: processor time and room on disk, as Linux counts them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Units of processor time in `/proc`, a second: fixed by Linux for programs.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used, its ended children included.
pub(crate) fn processor(process: u32) -> Result<f64> {
    let fields = fields(process)?;
    let ticks: u64 = fields[11..15]
        .iter()
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    Ok(ticks as f64 / TICKS)
}

/// The same of a process and of those that it started and that still run.
pub(crate) fn processor_of_family(parent: u32) -> Result<f64> {
    let mut sum = processor(parent)?;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if parent_of(process).is_ok_and(|found| found == parent) {
            sum += processor(process).unwrap_or(0.0);
        }
    }
    Ok(sum)
}

/// The process that started this one.
pub(crate) fn parent_of(process: u32) -> Result<u32> {
    fields(process)?[1].parse().context("no parent")
}

/// Bytes that a folder takes on disk.
pub(crate) fn disk(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Files may vanish while one looks.
        let Ok(about) = entry.metadata() else {
            continue;
        };
        sum += match about.is_dir() {
            true => disk(&entry.path())?,
            false => about.blocks() * 512,
        };
    }
    Ok(sum)
}

/// The fields of `/proc/PID/stat` behind the name, which may contain spaces. The first is the state.
fn fields(process: u32) -> Result<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = line.rsplit_once(") ").context("no such line")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}
