// SPDX-License-Identifier: Apache-2.0

//! `export-queue`: what stopped devices still hold, for the auditor.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use mhealth_api::ExportedRun;
use mhealth_chain_client::new_private;
use mhealth_device_host::{fleet::export_queue, Error};

use super::{inspect::open, ExportQueue, Failure};

pub(super) fn export(options: &ExportQueue) -> Result<ExitCode, Failure> {
    let store = open(&options.state, options.device.as_ref())?;
    let mut devices = store.devices()?;
    if let Some(key) = &options.device {
        devices.retain(|device| device.key == *key);
    }
    let unwritable = |error: io::Error| {
        let file = options.out.display();
        Failure::input("unwritable_output", format!("{file}: {error}."))
    };
    let file = new_private(&options.out).map_err(unwritable)?;
    let mut out = BufWriter::new(file);
    let (mut cursor, mut entries, mut left_out) = (0, 0, 0);
    for device in &devices {
        if device.number.is_none() {
            left_out += device.queued();
        }
        let write = |run: ExportedRun| -> Result<(), Unwritten> {
            entries += run.entries.len();
            serde_json::to_writer(&mut out, &run).map_err(io::Error::from)?;
            Ok(out.write_all(b"\n")?)
        };
        cursor = export_queue(&store, device, cursor, write).map_err(|error| match error {
            Unwritten::Device(error) => error.into(),
            Unwritten::File(error) => unwritable(error),
        })?;
    }
    let file = out
        .into_inner()
        .map_err(|error| unwritable(error.into_error()))?;
    file.sync_all().map_err(unwritable)?;
    if entries > 0 {
        println!(
            "{entries} entries were taken out for the auditor. That registers none of them, and they stay in the state file."
        );
    }
    println!(
        "devices={} runs={cursor} entries={entries} left_out={left_out}",
        devices.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// Why a line was not written.
enum Unwritten {
    Device(Error),
    File(io::Error),
}

impl From<Error> for Unwritten {
    fn from(error: Error) -> Self {
        Self::Device(error)
    }
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
