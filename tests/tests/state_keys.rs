// SPDX-License-Identifier: Apache-2.0

//! Evidence is verified without metadata, by what the auditor knows of the state.

use hashchain::DeviceId;
use mhealth_auditor::evidence;
use mhealth_runtime::Runtime;
use pallet_client_hashchain::{Conflicts, Devices, HeadPages, NextDeviceId, HEADS_PER_PAGE};

#[test]
fn the_auditor_looks_for_authorities_where_the_chain_puts_them() {
    let expected = [
        pallet_grandpa::Authorities::<Runtime>::hashed_key().to_vec(),
        pallet_grandpa::CurrentSetId::<Runtime>::hashed_key().to_vec(),
        frame_system::BlockHash::<Runtime>::hashed_key_for(0),
    ];
    assert_eq!(evidence::checkpoint_keys(), expected);
}

#[test]
fn the_auditor_looks_for_devices_where_the_chain_puts_them() {
    assert_eq!(evidence::HEADS_PER_PAGE, HEADS_PER_PAGE);
    for device in [0, HEADS_PER_PAGE - 1, HEADS_PER_PAGE, 1_000_003] {
        let page = device / HEADS_PER_PAGE;
        assert_eq!(
            evidence::head_page_key(DeviceId(device)),
            HeadPages::<Runtime>::hashed_key_for(page)
        );
        assert_eq!(
            evidence::device_key(DeviceId(device)),
            Devices::<Runtime>::hashed_key_for(device)
        );
        assert_eq!(
            evidence::conflicts_key(DeviceId(device)),
            Conflicts::<Runtime>::hashed_key_for(device)
        );
    }
    assert_eq!(
        evidence::next_device_key(),
        NextDeviceId::<Runtime>::hashed_key()
    );
}
