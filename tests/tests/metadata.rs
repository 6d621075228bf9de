// SPDX-License-Identifier: Apache-2.0

//! Programs off chain know the chain by its metadata. The file that they are built with must be the runtime's own.
//! Evidence is verified without metadata, by what the auditor knows of the state.

use std::path::Path;

use hashchain::DeviceId;
use mhealth_auditor::evidence;
use mhealth_runtime::Runtime;
use pallet_client_hashchain::{Conflicts, Devices, HeadPages, NextDeviceId, HEADS_PER_PAGE};

/// What the chain client asks a node for.
const METADATA_VERSION: u32 = 16;

#[test]
fn the_chain_client_is_built_with_the_metadata_of_this_runtime() {
    let metadata =
        Runtime::metadata_at_version(METADATA_VERSION).expect("the runtime offers this version");
    let file = Path::new("../chain-client/metadata/mhealth.scale");
    if std::env::var_os("UPDATE_METADATA").is_some() {
        std::fs::write(file, &*metadata).expect("the checked-in metadata can be written");
        return;
    }
    let checked_in = std::fs::read(file).unwrap_or_default();
    assert!(
        checked_in == *metadata,
        "chain-client/metadata/mhealth.scale is not the runtime's metadata any more. Bring it up to date with \
         UPDATE_METADATA=1 cargo test --release -p mhealth-tests --test metadata, \
         and look whether the runtime's versions have to rise."
    );
}

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
