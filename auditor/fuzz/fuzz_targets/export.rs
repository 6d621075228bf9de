// SPDX-License-Identifier: Apache-2.0

//! A relay's export, from a relay that may be at fault: read, and made into what the judge looks at. Nothing may panic, and no
//! line may get lost: each is a run, a fault, or a closing line that holds.

#![no_main]

use std::convert::Infallible;

use hashchain::StudyId;
use libfuzzer_sys::fuzz_target;
use mhealth_auditor::case::HeldRun;
use mhealth_auditor::export::{read_from, Expected, Holder, Limits, Reading, Taken};

fuzz_target!(|data: &[u8]| {
    for holder in [Holder::Relay, Holder::Phone] {
        let expected = Expected {
            chain: [0; 32],
            study: StudyId(0),
            holder,
            limits: Limits::default(),
        };
        let mut runs = 0;
        let mut take = |taken: Taken, _: &mut Reading| -> Result<(), Infallible> {
            if let Taken::Run { run, .. } = taken {
                runs += 1;
                let _ = HeldRun::from_export(&run, &[7; 32], None);
            }
            Ok(())
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        let Ok(reading) = runtime.block_on(read_from(data, &expected, &mut take));
        assert_eq!(reading.runs, runs);
        // Nobody signed what a fuzzer makes.
        assert_eq!((reading.account, reading.answers), (None, 0));
        assert!(holder == Holder::Phone || !reading.is_complete());
    }
});
