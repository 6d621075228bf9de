// SPDX-License-Identifier: Apache-2.0

//! # Accountability
//!
//! What validators answer for: what they said twice, and when they were silent.
//!
//! ## Overview
//!
//! A validator makes a block when its slot has come, and votes on the blocks of all. It cheats when it **equivocates**:
//! when it seals two blocks for one slot, or signs two different votes in one round of voting. Below a third
//! of the validators that harms nobody, but it is how every attack on finality begins, and it happens to the careless,
//! too, who run a second node with the keys of the first. Either way the others must know. Each of the two statements
//! is signed, so together they are a proof that anybody can check.
//!
//! This pallet checks such proofs, records whose they are, and keeps the offender from making blocks **for the rest of
//! the session**. Nothing is taken from anybody, because there is nothing to take: what follows, the members decide.
//!
//! A validator that is away, or ignores what others make, leaves its slots empty. The pallet counts them, for each
//! validator and session.
//!
//! ## Interface
//!
//! - A node that validates and sees two blocks of one slot, or two votes of one round, reports it by itself, in a
//!   transaction that nobody signs and that goes into a block of its own.
//! - Whoever has a role other than a device's calls [`report_block_equivocation`](Pallet::report_block_equivocation) with two
//!   headers, or GRANDPA's `report_equivocation` with its proof.
//! - Everybody reads [`Offences`] by the validator's account, and [`Sessions`] with the [`Rosters`] beside them by the
//!   session's number.
//!
//! What the runtime puts where:
//!
//! - `pallet_session::Config::SessionHandler =` [`WithRosters`]`<Runtime, …>` around the handlers of Aura and GRANDPA, and
//!   `DisablingStrategy = UpToLimitDisablingStrategy`, which keeps two thirds of the validators at work;
//!   `pallet_aura::Config::DisabledValidators = Session`.
//! - `pallet_grandpa::Config::EquivocationReportSystem =` [`VoteReports`]`<Runtime>`, `KeyOwnerProof =` [`KnownOwner`],
//!   and `MaxSetIdSessionEntries` not below [`Config::RememberedSessions`].
//! - The pallet stands after Aura and Session, so that a block's slot is known and its session has begun.
//!
//! ## Goals
//!
//! 1. Who did not equivocate cannot be made to look like it: there is no record without two signatures of the key that the
//!    validator had in that session.
//! 2. Of a validator, a session and a kind there is one record at most, whoever reports, however often, in whatever order.
//! 3. Only what was done in this session or the one before disables, and only if the validator still has the key; at most
//!    a third of the validators is disabled.
//! 4. Every slot between two blocks of the chain is counted to the validator whose turn it was, also where a session begins;
//!    a standstill of a year costs no more work than one of a minute.
//! 5. The state is bounded: by the number of sessions remembered, of validators, and of offences a validator.
//!
//! A validator whose block the others ignore misses the slot like one that was away: a count is a reason to ask, not a proof.
//!
//! ## Example
//!
//! Alice seals two blocks for one slot:
#![doc = docify::embed!("src/tests.rs", two_blocks_of_one_slot_are_recorded_and_disable)]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod blocks;
#[cfg(test)]
mod mock;
mod offences;
mod sessions;
#[cfg(test)]
mod tests;
mod try_state;
mod types;
mod votes;
pub mod weights;

use sp_runtime::transaction_validity::TransactionLongevity;

use offences::Finding;
pub use pallet::*;
pub use sessions::WithRosters;
pub use types::{
    Conduct, Equivocation, KnownOwner, Offence, OffenceOf, Roster, SealedHeader, Seat,
    SessionRecord, MAX_DIGEST_ITEMS, MAX_HEADER_LENGTH,
};
pub use votes::{TwoVotes, VoteReports};
pub use weights::WeightInfo;

/// How many blocks a report that nobody signed may wait in the pool of the node that made it.
const REPORT_LONGEVITY: TransactionLongevity = 64;

/// The pallet itself: what its users configure, read and call.
#[allow(
    deprecated,
    clippy::let_unit_value,
    reason = "reports that nobody signs go the way of pallet-grandpa's: `validate_unsigned`, which a later SDK replaces"
)]
#[frame_support::pallet]
pub mod pallet {
    use frame_support::pallet_prelude::*;
    use frame_system::{pallet_prelude::*, RawOrigin};
    use sp_consensus_aura::sr25519::AuthorityId as AuraId;
    use sp_staking::SessionIndex;

    use crate::{
        types::{OffenceOf, Roster, SealedHeader, SessionRecord},
        Equivocation, WeightInfo, REPORT_LONGEVITY,
    };

    /// The in-code storage version.
    pub(crate) const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// What validators answer for.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What a runtime decides about its memory.
    #[pallet::config]
    pub trait Config:
        frame_system::Config
        + pallet_session::Config<ValidatorId = <Self as frame_system::Config>::AccountId>
        + pallet_aura::Config<AuthorityId = AuraId>
        + pallet_grandpa::Config
    {
        /// How many validators there may be. What Aura and GRANDPA take, too. Not zero.
        #[pallet::constant]
        type MaxValidators: Get<u32>;

        /// How many sessions are remembered, with the present one; an equivocation of an older one cannot be reported any
        /// more. Not below two.
        #[pallet::constant]
        type RememberedSessions: Get<SessionIndex>;

        /// How many offences of a validator are kept; of more, the oldest is forgotten. Not zero.
        #[pallet::constant]
        type MaxOffences: Get<u32>;

        /// Measured weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// The slot of the latest block.
    #[pallet::storage]
    pub type LastSlot<T: Config> = StorageValue<_, u64>;

    /// The sessions of about a week: when each began, and what its validators did, in the order of its roster. Missed slots
    /// are counted until the session ends.
    #[pallet::storage]
    pub type Sessions<T: Config> = StorageMap<_, Twox64Concat, SessionIndex, SessionRecord<T>>;

    /// The validators of sessions and their keys, by the session that first had them. A session's record names its roster.
    #[pallet::storage]
    pub type Rosters<T: Config> = StorageMap<_, Twox64Concat, SessionIndex, Roster<T>>;

    /// What each validator was proved to have done: the latest offences, the oldest first. It outlasts the sessions and the
    /// validator's office.
    #[pallet::storage]
    pub type Offences<T: Config> = StorageMap<
        _,
        Twox64Concat,
        T::AccountId,
        BoundedVec<OffenceOf<T>, T::MaxOffences>,
        ValueQuery,
    >;

    /// What came to light.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// It was proved that a validator made two blocks for one slot or voted twice in one round. Ask its operator: either
        /// two nodes run with the same keys, or somebody else has them, or it was on purpose.
        EquivocationRecorded {
            /// The validator's account.
            validator: T::AccountId,
            /// The session in which it was.
            session: SessionIndex,
            /// What it did.
            equivocation: Equivocation,
            /// BLAKE2b-256 of the proof, which is in the transaction of this event.
            proof: T::Hash,
            /// Who signed the report; nobody if a validator's node made it by itself.
            reporter: Option<T::AccountId>,
            /// Whether the validator may make no blocks for the rest of this session.
            disabled: bool,
        },
    }

    /// Why a report was refused, and what its sender can do.
    #[pallet::error]
    pub enum Error<T> {
        /// One of the two is not the encoded header of a block of this chain with its slot and its seal; read both from the
        /// node that has the blocks, with `chain.getHeader`.
        NotAHeader,
        /// The two headers are the same or of different slots, which every validator may seal; look for two of one slot.
        NoTwoBlocks,
        /// One of the two is not sealed by the validator whose slot it was, so it proves nothing; read both headers whole, with
        /// their seals, from the node that has the blocks.
        BadSeal,
        /// It was in a session that the chain has forgotten, so nobody can report it any more; keep the headers or votes as
        /// evidence, and report the next one sooner.
        SessionForgotten,
        /// It is recorded already that this validator did such a thing in that session; read `accountability.offences`.
        AlreadyRecorded,
        /// The set of voters does not exist, or was replaced so long ago that the chain has forgotten it; look the sets up in
        /// `grandpa.setIdSession`.
        UnknownSet,
        /// The key did not vote in that set, so its votes meant nothing; name the set in whose time both votes were given.
        NotAVoter,
        /// The two votes are the same, or one of them is not signed by the voter for this round, so they prove nothing; look
        /// for two different votes of one round and one set.
        NoTwoVotes,
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Reports that a validator made two blocks for one slot. It is recorded, and the validator makes no more blocks in
        /// this session. Whoever has a role other than a device's may report; a validator's node does so by itself when it sees it.
        ///
        /// - `first`: the encoded header of one block, with its seal.
        /// - `second`: that of the other block.
        #[pallet::call_index(0)]
        #[pallet::weight(<T as Config>::WeightInfo::report_block_equivocation())]
        pub fn report_block_equivocation(
            origin: OriginFor<T>,
            first: SealedHeader,
            second: SealedHeader,
        ) -> DispatchResult {
            let reporter = match origin.into() {
                Ok(RawOrigin::Signed(who)) => Some(who),
                Ok(RawOrigin::None) => None,
                _ => return Err(DispatchError::BadOrigin),
            };
            let found = Self::find_two_blocks(&first, &second)?;
            Self::record(found, reporter)
        }
    }

    // What nobody signs goes into a block of the node that reports it, or nowhere. GRANDPA's reports go the same way.
    #[pallet::validate_unsigned]
    impl<T: Config> ValidateUnsigned for Pallet<T> {
        type Call = Call<T>;

        fn validate_unsigned(source: TransactionSource, call: &Self::Call) -> TransactionValidity {
            let Call::report_block_equivocation { first, second } = call else {
                return InvalidTransaction::Call.into();
            };
            if source == TransactionSource::External {
                return InvalidTransaction::Call.into();
            }
            let found = Self::worth_a_place(Self::find_two_blocks(first, second))?;
            ValidTransaction::with_tag_prefix("TwoBlocks")
                .priority(TransactionPriority::MAX)
                .and_provides((found.session, found.seat as u32))
                .longevity(REPORT_LONGEVITY)
                .propagate(false)
                .build()
        }

        fn pre_dispatch(call: &Self::Call) -> Result<(), TransactionValidityError> {
            Self::validate_unsigned(TransactionSource::InBlock, call).map(|_| ())
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            match Self::count_missed_slots() {
                0 => T::DbWeight::get().reads_writes(2, 1),
                _ => <T as Config>::WeightInfo::count_missed_slots(),
            }
        }

        fn integrity_test() {
            assert!(
                <T as Config>::MaxValidators::get() > 0,
                "MaxValidators must not be zero"
            );
            assert!(
                T::RememberedSessions::get() >= 2,
                "RememberedSessions must not be below two"
            );
            assert!(
                T::MaxSetIdSessionEntries::get() >= u64::from(T::RememberedSessions::get()),
                "GRANDPA must remember the sets of all sessions that this pallet remembers"
            );
            assert!(T::MaxOffences::get() > 0, "MaxOffences must not be zero");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
