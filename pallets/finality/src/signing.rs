// SPDX-License-Identifier: Apache-2.0

//! Makes finality proofs with keys of the keystore, for tests and benchmarks.

use alloc::{vec, vec::Vec};

use codec::{Decode, Encode};
use frame_system::pallet_prelude::{BlockNumberFor, HeaderFor};
use sp_consensus_grandpa::{AuthorityId, AuthorityList, SetId};
use sp_runtime::{
    traits::{Header, TrailingZeroInput},
    RuntimeAppPublic,
};

use crate::Config;

/// The round in which all of it is signed.
pub(crate) const ROUND: u64 = 9;

/// New keys in the keystore, each with one vote.
pub(crate) fn generate(count: u32) -> AuthorityList {
    (0..count)
        .map(|_| (AuthorityId::generate_pair(None), 1))
        .collect()
}

/// A header of this number whose other contents follow from a seed.
pub(crate) fn header<T: Config>(
    number: BlockNumberFor<T>,
    parent: T::Hash,
    seed: u8,
) -> HeaderFor<T> {
    let root = T::Hash::decode(&mut TrailingZeroInput::new(&[seed]));
    let root = root.expect("zeros fill it up; qed");
    Header::new(number, root, root, parent, Default::default())
}

/// What these voters sign, as voters of this set, to make a block final: a finality proof as a node answers it.
///
/// Its parts are encoded one after the other, because the types of GRANDPA's crate ask more of a block's number than a runtime
/// does.
pub(crate) fn proof<T: Config>(
    voters: &[(AuthorityId, u64)],
    set: SetId,
    hash: T::Hash,
    number: BlockNumberFor<T>,
) -> Vec<u8> {
    let target = (hash, number);
    // A precommit is the second kind of message.
    let message = (1u8, target);
    let payload = (message, ROUND, set).encode();
    let signed: Vec<_> = voters
        .iter()
        .map(|(key, _)| {
            let signature = key.sign(&payload).expect("the keystore has the key; qed");
            (target, signature, key.clone())
        })
        .collect();
    let no_ancestry: Vec<HeaderFor<T>> = vec![];
    let justification = (ROUND, target, signed, no_ancestry.clone()).encode();
    (hash, justification, no_ancestry).encode()
}
