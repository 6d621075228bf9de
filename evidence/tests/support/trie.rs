// SPDX-License-Identifier: Apache-2.0

//! A state, made with the trie of the chain's nodes. The auditor's tests take this file, too.

use sp_core::{Blake2Hasher, H256};
use sp_trie::{MemoryDB, TrieDBMutBuilder, TrieLayout, TrieMut};

/// What is proved about this state: its root, and all nodes of its trie.
pub(crate) fn trie<L: TrieLayout<Hash = Blake2Hasher>>(
    values: &[(Vec<u8>, Vec<u8>)],
) -> (H256, Vec<Vec<u8>>) {
    let mut database = MemoryDB::<Blake2Hasher>::default();
    let mut root = H256::default();
    {
        let mut trie = TrieDBMutBuilder::<L>::new(&mut database, &mut root).build();
        for (key, value) in values {
            trie.insert(key, value).unwrap();
        }
    }
    let nodes = database
        .drain()
        .into_values()
        .filter(|(_, count)| *count > 0);
    let mut nodes: Vec<Vec<u8>> = nodes.map(|(node, _)| node).collect();
    nodes.sort();
    (root, nodes)
}
