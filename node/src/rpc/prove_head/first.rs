// SPDX-License-Identifier: Apache-2.0

//! The chain's first authorities, which the first block's state names.
//!
//! A node that prunes does not have that state any more. It is made once more from the chain specification, in memory.

use mhealth_runtime::Header;
use sp_core::storage::{StateVersion, Storage};
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{new_in_mem, prove_read};

/// `twox128("Grandpa") ‖ twox128("Authorities")`.
pub(super) const AUTHORITIES_KEY: [u8; 32] = [
    0x5f, 0x9c, 0xc4, 0x5b, 0x7a, 0x00, 0xc5, 0x89, 0x93, 0x61, 0xe1, 0xc6, 0x09, 0x96, 0x78, 0xdc,
    0x5e, 0x06, 0x21, 0xc4, 0x86, 0x9a, 0xa6, 0x0c, 0x02, 0xbe, 0x9a, 0xdc, 0xc9, 0x8a, 0x0d, 0x1d,
];

/// What proves the first authorities to somebody who knows the first block's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirstAuthorities {
    /// The first block's header.
    pub(crate) header: Header,
    /// The nodes of its state trie that lead to them.
    pub(crate) proof: Vec<Vec<u8>>,
}

/// Proves the first authorities from the first block's header and the storage that the chain begins with. None when these two
/// do not fit together, or the storage names no authorities.
pub(crate) fn first_authorities(header: Header, genesis: Storage) -> Option<FirstAuthorities> {
    if !genesis.top.contains_key(&AUTHORITIES_KEY[..]) || !genesis.children_default.is_empty() {
        return None;
    }
    let values: Vec<_> = genesis
        .top
        .into_iter()
        .map(|(key, value)| (key, Some(value)))
        .collect();
    // The state's version is one of the runtime, which would have to be compiled to be asked for it.
    [StateVersion::V0, StateVersion::V1]
        .into_iter()
        .find_map(|version| {
            let mut state = new_in_mem::<BlakeTwo256>();
            state.insert([(None, values.clone())], version);
            if *state.root() != header.state_root {
                return None;
            }
            let proof = prove_read(state, [AUTHORITIES_KEY]).ok()?;
            Some(FirstAuthorities {
                header: header.clone(),
                proof: proof.into_iter_nodes().collect(),
            })
        })
}
