// SPDX-License-Identifier: Apache-2.0

//! Programs off chain know the chain by its metadata. The file that they are built with must be the runtime's own.

use std::path::Path;

use mhealth_runtime::Runtime;

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
         UPDATE_METADATA=1 cargo test --release --workspace --test metadata, \
         and look whether the runtime's versions have to rise."
    );
}
