// SPDX-License-Identifier: Apache-2.0

//! What the pallet keeps.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    pallet_prelude::ConstU32, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound,
};
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_consensus_aura::sr25519::AuthorityId as AuraId;
use sp_consensus_grandpa::AuthorityId as GrandpaId;
use sp_session::{GetSessionNumber, GetValidatorCount, ValidatorCount};
use sp_staking::SessionIndex;

use crate::Config;

/// Most bytes of a header in a report. A header that replaces sixty-four validators takes about five thousand.
pub const MAX_HEADER_LENGTH: u32 = 16 * 1_024;

/// Most digest items of a header in a report. Each is decoded and hashed by itself, and the chain's own headers have less than
/// half as many.
pub const MAX_DIGEST_ITEMS: u32 = 16;

/// An encoded block header with its seal.
pub type SealedHeader = BoundedVec<u8, ConstU32<MAX_HEADER_LENGTH>>;

/// A validator's place among the authorities, and the keys with which it acts there.
#[derive(
    Encode, Decode, DecodeWithMemTracking, TypeInfo, MaxEncodedLen, Clone, PartialEq, Eq, Debug,
)]
pub struct Seat<AccountId> {
    /// The validator's account.
    pub validator: AccountId,
    /// Seals its blocks.
    pub aura: AuraId,
    /// Signs its votes.
    pub grandpa: GrandpaId,
}

/// The validators of a session, in the order in which the slots go round.
pub type Roster<T> =
    BoundedVec<Seat<<T as frame_system::Config>::AccountId>, <T as Config>::MaxValidators>;

/// What a validator did in a session.
#[derive(Encode, Decode, TypeInfo, MaxEncodedLen, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Conduct {
    /// How many slots were the validator's and passed without a block of its on this chain.
    pub missed_slots: u32,
    /// Whether it was reported to have sealed two blocks for one slot.
    pub two_blocks: bool,
    /// Whether it was reported to have voted twice in one round.
    pub two_votes: bool,
}

/// A session: who was on, and what they did.
#[derive(
    Encode, Decode, TypeInfo, MaxEncodedLen, CloneNoBound, PartialEqNoBound, EqNoBound, DebugNoBound,
)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound())]
pub struct SessionRecord<T: Config> {
    /// The session whose roster this one has: the latest that began with other validators or keys.
    pub roster: SessionIndex,
    /// The block with which it began, which is still made and voted for by those before.
    pub first_block: BlockNumberFor<T>,
    /// The slot of that block; the slots of the session are those after it, up to that of the next session's first block.
    pub first_slot: u64,
    /// What each validator did, in the order of the roster.
    pub conduct: BoundedVec<Conduct, T::MaxValidators>,
}

/// How a validator said two things at once.
#[derive(
    Encode,
    Decode,
    DecodeWithMemTracking,
    TypeInfo,
    MaxEncodedLen,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
)]
pub enum Equivocation {
    /// It sealed two different blocks for one slot.
    TwoBlocks {
        /// The slot: milliseconds since 1970, divided by the length of a slot.
        slot: u64,
    },
    /// It signed two different votes of one kind in one round of GRANDPA.
    TwoVotes {
        /// The set of voters.
        set_id: u64,
        /// The round.
        round: u64,
    },
}

/// An equivocation as it is kept.
#[derive(Encode, Decode, TypeInfo, MaxEncodedLen, Clone, PartialEq, Eq, Debug)]
pub struct Offence<AccountId, BlockNumber, Hash> {
    /// The session in which the validator did it.
    pub session: SessionIndex,
    /// What it did.
    pub equivocation: Equivocation,
    /// BLAKE2b-256 of what proves it: of the two headers, one after the other, or of GRANDPA's proof. The proof itself
    /// is in the block that is named below.
    pub proof: Hash,
    /// Who signed the report; nobody if a validator's node made it by itself.
    pub reporter: Option<AccountId>,
    /// The block in which it was reported.
    pub reported_in: BlockNumber,
    /// Whether the validator may make no blocks for the rest of the session in which it was reported.
    pub disabled: bool,
}

/// The offence that this pallet keeps on the chain of `T`.
pub type OffenceOf<T> = Offence<
    <T as frame_system::Config>::AccountId,
    BlockNumberFor<T>,
    <T as frame_system::Config>::Hash,
>;

/// The proof that a key is a validator's: nothing, because the chain remembers the rosters. Zero bytes.
#[derive(
    Encode, Decode, DecodeWithMemTracking, TypeInfo, Clone, Copy, PartialEq, Eq, Debug, Default,
)]
pub struct KnownOwner;

/// Which session it was, the votes themselves say.
impl GetSessionNumber for KnownOwner {
    fn session(&self) -> SessionIndex {
        0
    }
}

/// Weights by this count start from a hundred validators.
impl GetValidatorCount for KnownOwner {
    fn validator_count(&self) -> ValidatorCount {
        0
    }
}
