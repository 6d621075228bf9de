// SPDX-License-Identifier: Apache-2.0

//! A relay's export, from a relay that may be at fault: read, and made into what the judge looks at. Nothing may panic, and no
//! line may get lost: each is a run, a fault, or blank.

#![no_main]

use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use mhealth_api::ExportedRun;
use mhealth_auditor::case::HeldRun;
use mhealth_auditor::export::{read_from, Reading};

fuzz_target!(|data: &[u8]| {
    let mut runs = 0;
    let mut take = |_, run: ExportedRun, _: &mut Reading| -> Result<(), Infallible> {
        runs += 1;
        let _ = HeldRun::from_export(&run, &[7; 32], None);
        Ok(())
    };
    let Ok(reading) = futures::executor::block_on(read_from(data, &mut take));
    assert_eq!(reading.runs, runs);
    let lines = data.split(|byte| *byte == b'\n');
    let written = lines.filter(|line| !line.iter().all(u8::is_ascii_whitespace));
    // A run out of order is a run and a fault.
    assert!(reading.runs + reading.faults >= written.count() as u64);
});
