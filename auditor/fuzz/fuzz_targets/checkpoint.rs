// SPDX-License-Identifier: Apache-2.0

//! A checkpoint as somebody types it: nothing may panic, and what is taken is written in one way only.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mhealth_auditor::evidence::Checkpoint;

fuzz_target!(|text: &str| {
    let Ok(checkpoint) = text.parse::<Checkpoint>() else {
        return;
    };
    let again = checkpoint.to_string();
    assert_eq!(again.parse::<Checkpoint>().ok(), Some(checkpoint));
});
