// SPDX-License-Identifier: Apache-2.0

//! What the pallet stores.

use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::pallet_prelude::*;
use pallet_grandpa::BoundedAuthorityList;
use scale_info::TypeInfo;
use sp_consensus_grandpa::{AuthorityId, SetId};

/// A block that was proved to be final.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct FinalBlock<Hash, Number> {
    /// Its number.
    pub number: Number,
    /// Its hash.
    pub hash: Hash,
    /// The number of the set whose voters signed.
    pub set: SetId,
}

/// A set of voters.
#[derive(Clone, Encode, Decode, MaxEncodedLen, TypeInfo)]
#[codec(mel_bound(Number: MaxEncodedLen))]
#[scale_info(skip_type_params(MaxAuthorities))]
pub struct VoterSet<Number, MaxAuthorities: Get<u32>> {
    /// The block after which it votes. It votes until the block after which the next set does, that block included.
    pub after: Number,
    /// The keys that vote, each with its weight.
    pub voters: BoundedAuthorityList<MaxAuthorities>,
}

/// Who signed two blocks that are not on one chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Signer<AccountId> {
    /// The key.
    pub key: AuthorityId,
    /// The account of the validator that had this key when the proofs were handed in. None when it was replaced by then.
    pub validator: Option<AccountId>,
}

/// Two finality proofs that contradict each other.
///
/// Signing two blocks in one round is a fault whatever the reasons. In two rounds the higher is the fault, unless the voter had seen
/// that the lower could not become final; its operator has to answer that.
#[derive(Clone, Encode, Decode, MaxEncodedLen, TypeInfo)]
#[codec(mel_bound(AccountId: MaxEncodedLen, Hash: MaxEncodedLen, Number: MaxEncodedLen))]
#[scale_info(skip_type_params(MaxAuthorities))]
pub struct Conflict<AccountId, Hash, Number, MaxAuthorities: Get<u32>> {
    /// The number of the set whose voters signed.
    pub set: SetId,
    /// The two blocks, the lower first.
    pub blocks: [(Number, Hash); 2],
    /// The rounds in which they were signed.
    pub rounds: [u64; 2],
    /// Who signed both.
    pub signers: BoundedVec<Signer<AccountId>, MaxAuthorities>,
    /// The block in which the proofs were handed in.
    pub reported: Number,
}
