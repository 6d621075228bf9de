// SPDX-License-Identifier: Apache-2.0

//! Data points of another program: nothing may panic, and what is taken keeps the rules when it is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mhealth_device::payload::{ExchangedNight, Participant};
use mhealth_simulator::cohort::omh::DataPoints;

fuzz_target!(|data: &[u8]| {
    for (_, point) in DataPoints::new(data, Some("ada".into())).flatten() {
        let night = ExchangedNight::new(Participant("P".into()), point.data_point);
        let night = night.expect("it was checked");
        assert_eq!(night.checked(), point.checked);
        let again = ExchangedNight::from_json(&night.to_json()).expect("it was made by this program");
        assert_eq!(again.night(), night.night());
    }
});
