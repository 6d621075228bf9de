// SPDX-License-Identifier: Apache-2.0

//! The chain's first authorities, which the first block's state names.
//!
//! A node that prunes does not have that state any more. It is made once more from the chain specification, in memory.

use mhealth_evidence::AUTHORITIES_KEY;
use mhealth_runtime::Header;
use sp_core::storage::{StateVersion, Storage};
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{new_in_mem, prove_read};

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
