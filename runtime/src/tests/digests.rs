// SPDX-License-Identifier: Apache-2.0

//! What an author may bring into the header of its block.

use std::panic::{catch_unwind, AssertUnwindSafe};

use sp_api::runtime_decl_for_core::Core;
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature};
use sp_core::H256;
use sp_runtime::{Digest, DigestItem};

use crate::{testing::local, Block, Header, Runtime};

/// Whether the runtime begins a block with these items beside the author's slot, as an author or a validator has it do.
fn begins(more: Vec<DigestItem>) -> bool {
    let slot = CompatibleDigestItem::<AuthoritySignature>::aura_pre_digest(9.into());
    let mut digest = Digest { logs: vec![slot] };
    more.into_iter().for_each(|item| digest.push(item));
    let header = Header {
        parent_hash: H256::zero(),
        number: 2,
        state_root: H256::zero(),
        extrinsics_root: H256::zero(),
        digest,
    };
    local().execute_with(|| {
        let begin = || <Runtime as Core<Block>>::initialize_block(&header);
        catch_unwind(AssertUnwindSafe(begin)).is_ok()
    })
}

fn item(bytes: usize) -> DigestItem {
    DigestItem::PreRuntime(*b"xxxx", vec![0; bytes])
}

/// Else two blocks of one slot are too long, or have too many items, for anybody to report them.
#[test]
fn no_author_fills_its_header_until_nobody_can_report_it() {
    assert!(begins(Vec::new()));
    assert!(begins(vec![item(0); 3]));
    assert!(begins(vec![item(900)]));
    assert!(!begins(vec![item(0); 4]));
    assert!(!begins(vec![item(1_024)]));
}
