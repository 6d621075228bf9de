// SPDX-License-Identifier: Apache-2.0

//! Makes finality proofs with keys of the keystore, for tests and benchmarks.

use alloc::{vec, vec::Vec};
use core::iter::{repeat, repeat_n};

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
pub(crate) fn proof<T: Config>(
    voters: &[(AuthorityId, u64)],
    set: SetId,
    hash: T::Hash,
    number: BlockNumberFor<T>,
) -> Vec<u8> {
    proof_from_above::<T>(voters, set, hash, number, &[])
}

/// The same, when as many as may have voted for the last of these headers, which descends from the block by all of them. With
/// more of them that one would be final.
///
/// Its parts are encoded one after the other, because the types of GRANDPA's crate ask more of a block's number than a runtime
/// does.
pub(crate) fn proof_from_above<T: Config>(
    voters: &[(AuthorityId, u64)],
    set: SetId,
    hash: T::Hash,
    number: BlockNumberFor<T>,
    ancestry: &[HeaderFor<T>],
) -> Vec<u8> {
    let target = (hash, number);
    let above = ancestry.last();
    let above = above.map_or(target, |header| (header.hash(), *header.number()));
    // A third of them, rounded up so that fewer than two thirds are left.
    let below = voters.len().saturating_sub(1) / 3 + 1;
    let votes = repeat_n(target, below).chain(repeat(above));
    let signed: Vec<_> = voters
        .iter()
        .zip(votes)
        .map(|((key, _), vote)| {
            // A precommit is the second kind of message.
            let payload = ((1u8, vote), ROUND, set).encode();
            let signature = key.sign(&payload).expect("the keystore has the key; qed");
            (vote, signature, key.clone())
        })
        .collect();
    let justification = (ROUND, target, signed, ancestry).encode();
    let unknown: Vec<HeaderFor<T>> = vec![];
    (hash, justification, unknown).encode()
}

/// Headers from the block after this one on, each the parent of the next, as many as so many bytes hold.
#[cfg(feature = "runtime-benchmarks")]
pub(crate) fn headers<T: Config>(
    hash: T::Hash,
    number: BlockNumberFor<T>,
    bytes: usize,
) -> Vec<HeaderFor<T>> {
    use sp_runtime::traits::{One, Saturating};

    let mut headers: Vec<HeaderFor<T>> = vec![];
    let mut left = bytes;
    let (mut parent, mut number) = (hash, number);
    loop {
        number = number.saturating_add(One::one());
        let header = header::<T>(number, parent, 0);
        parent = header.hash();
        let Some(after) = left.checked_sub(header.encoded_size()) else {
            return headers;
        };
        left = after;
        headers.push(header);
    }
}
