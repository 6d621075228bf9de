// SPDX-License-Identifier: Apache-2.0

//! # Finality
//!
//! What the chain knows of its own finality.
//!
//! ## Overview
//!
//! A block is **final** once more than two thirds of the voters, computers of the validators, have signed that it will never be
//! taken back. They do this beside the chain, by the protocol GRANDPA, so the chain itself does not see it. Here it is shown to
//! the chain, by a **finality proof** as every node has it: the signatures of the voters under one block.
//!
//! Three things need that:
//!
//! - **Help over a stall.** If a third of the voters are gone for ever, nothing becomes final any more. Two thirds of the
//!   consortium's members can then appoint the present authorities anew, by force, without the set before. Done while
//!   finality is alive, this would end it instead. So the chain asks for a proof of the last final block first, and refuses
//!   while that is young. Anybody with a role can hand in a younger proof, and a decision for an older block fails.
//! - **Proofs that contradict each other.** Two final blocks that are not on one chain exist only if more than a third of a
//!   set's voters signed both. Anybody with a role can hand in both proofs; the chain keeps who signed them.
//! - **Old sets.** A proof is checked with the set of its time, for the blocks that were that set's to sign, so keys of a set
//!   that was replaced prove nothing new.
//!
//! ## Interface
//!
//! - Anybody with a role calls [`report_final`](Pallet::report_final) and [`report_conflict`](Pallet::report_conflict). The
//!   validators' nodes call the first by themselves, once in [`ReportPeriod`](Config::ReportPeriod) blocks, in a transaction that
//!   nobody signs and that goes into a block of their own.
//! - Two thirds of the members call [`note_stalled`](Pallet::note_stalled), in place of `grandpa.note_stalled`, which the runtime
//!   had better refuse.
//!
//! This pallet comes after the session pallet and GRANDPA's in the runtime, because it looks at what they did in the same
//! block.
//!
//! ## Goals
//!
//! 1. No decision that rests on an old view of finality changes the authorities while finality is alive.
//! 2. The number of the set on chain is that of the nodes, also after sets were named that never came to vote.
//! 3. While finality and the authors of blocks are alive, the last final block that the chain knows of is young, whoever
//!    hands in what; when finality stands still, it is the last one.
//! 4. What one caller hands in costs a bounded time and is kept in a bounded space.
//!
//! The first and the third hold where [`LeastLag`] is more than [`ReportPeriod`](Config::ReportPeriod). A genesis may say less, for
//! trials of what happens then; a live chain had better be refused with it.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod impls;
#[cfg(test)]
mod mock;
mod reports;
#[cfg(any(test, feature = "runtime-benchmarks"))]
mod signing;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;

pub use pallet::*;
pub use types::{Conflict, FinalBlock, Signer, VoterSet};
pub use weights::WeightInfo;

/// Bytes of one signature in a finality proof: hash, number, signature, key.
pub const SIGNATURE_BYTES: u32 = 132;

/// The pallet itself: what its users configure, read and call.
#[allow(
    deprecated,
    clippy::let_unit_value,
    reason = "reports that nobody signs go the way of pallet-grandpa's: `validate_unsigned`, which a later SDK replaces"
)]
#[frame_support::pallet]
pub mod pallet {
    use frame_support::{pallet_prelude::*, traits::EstimateNextSessionRotation};
    use frame_system::pallet_prelude::*;
    use mhealth_justification::Proofs;
    use sp_consensus_grandpa::{AuthorityId, SetId};
    use sp_runtime::traits::{One, Saturating, Zero};

    use super::{Conflict, FinalBlock, VoterSet, WeightInfo, SIGNATURE_BYTES};

    /// The in-code storage version.
    pub(crate) const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// A finality proof as it is handed in: the bytes that a node answers.
    pub type ProofOf<T> = BoundedVec<u8, <T as Config>::MaxProofLength>;

    /// A recorded conflict of this runtime.
    pub type ConflictOf<T> = Conflict<
        <T as frame_system::Config>::AccountId,
        <T as frame_system::Config>::Hash,
        BlockNumberFor<T>,
        <T as pallet_grandpa::Config>::MaxAuthorities,
    >;

    /// What the chain knows of its own finality.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What a runtime decides about its finality.
    #[pallet::config]
    pub trait Config:
        frame_system::Config
        + pallet_grandpa::Config
        + pallet_session::Config<ValidatorId = <Self as frame_system::Config>::AccountId>
    {
        /// Who decides that finality has stalled: two thirds of the members.
        type DecisionOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// How finality proofs are checked: `mhealth_justification::Grandpa`, of the chain's headers.
        type Proofs: Proofs<Hash = Self::Hash, Number = BlockNumberFor<Self>>;

        /// When the next session is expected.
        type NextSession: EstimateNextSessionRotation<BlockNumberFor<Self>>;

        /// Blocks that the last final block must lie behind before authorities are changed by force, unless the chain's
        /// genesis says otherwise. The value in force is in `finality.leastLag`.
        #[pallet::constant]
        type LeastLag: Get<BlockNumberFor<Self>>;

        /// Blocks between the decision that finality has stalled and the change of authorities, so that all nodes have the block
        /// with the decision on the same chain by then.
        #[pallet::constant]
        type Delay: Get<BlockNumberFor<Self>>;

        /// How many blocks the last final block that the chain knows of lies behind before a node shows it a later one without
        /// anybody's signature. Less than `LeastLag`.
        #[pallet::constant]
        type ReportPeriod: Get<BlockNumberFor<Self>>;

        /// Most bytes of a finality proof, and of the headers beside two that contradict each other.
        #[pallet::constant]
        type MaxProofLength: Get<u32>;

        /// How many sets of voters the chain remembers, beside those that may vote on what comes after the last final block.
        /// Not zero.
        #[pallet::constant]
        type MaxSets: Get<u64>;

        /// How many contradictions are kept.
        #[pallet::constant]
        type MaxConflicts: Get<u32>;

        /// Measured weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// The last block that was proved to be final by `reportFinal`. Younger blocks may be final, too: validators' nodes show one in
    /// `reportPeriod` blocks. None until the first proof.
    #[pallet::storage]
    pub type LastFinal<T: Config> = StorageValue<_, FinalBlock<T::Hash, BlockNumberFor<T>>>;

    /// The sets of voters, by their numbers since the first block: who voted, and on which blocks. The latest are kept, and all from
    /// the one on that signed the last final block.
    #[pallet::storage]
    pub type Sets<T: Config> =
        StorageMap<_, Twox64Concat, SetId, VoterSet<BlockNumberFor<T>, T::MaxAuthorities>>;

    /// The number of the oldest set of voters that is kept.
    #[pallet::storage]
    pub type OldestSet<T: Config> = StorageValue<_, SetId, ValueQuery>;

    /// The number of the latest set of voters.
    #[pallet::storage]
    pub type LatestSet<T: Config> = StorageValue<_, SetId, ValueQuery>;

    /// The finality proofs that contradict each other, oldest first.
    #[pallet::storage]
    pub type Conflicts<T: Config> =
        StorageValue<_, BoundedVec<ConflictOf<T>, <T as Config>::MaxConflicts>, ValueQuery>;

    /// Blocks that the last final block must lie behind before `noteStalled` is taken.
    #[pallet::storage]
    pub type LeastLag<T: Config> =
        StorageValue<_, BlockNumberFor<T>, ValueQuery, <T as Config>::LeastLag>;

    /// How long finality must have stalled.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Blocks that the last final block must lie behind before authorities are changed by force. None: the runtime's own
        /// number. Less is for tests of what happens then: with no more than `reportPeriod` a decision may end finality that
        /// is alive.
        pub least_lag: Option<BlockNumberFor<T>>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            if let Some(least_lag) = self.least_lag {
                LeastLag::<T>::put(least_lag);
            }
            Pallet::<T>::remember(Zero::zero(), Zero::zero());
        }
    }

    /// What became known of finality.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A block was proved to be final, which is younger than the last one proved.
        FinalityProved {
            /// The block's number.
            number: BlockNumberFor<T>,
            /// Its hash.
            hash: T::Hash,
            /// The number of the set whose voters signed.
            set: SetId,
        },
        /// The consortium decided that finality has stalled; the present authorities are appointed anew, by force. Evidence of
        /// later blocks needs a checkpoint from this block on.
        Stalled {
            /// The last final block, on which the votes go on.
            last_final: BlockNumberFor<T>,
            /// The number of the new set.
            set: SetId,
            /// The block in which the change takes effect.
            takes_effect: BlockNumberFor<T>,
        },
        /// Two finality proofs contradict each other; who signed both is in `finality.conflicts`.
        ConflictingProofs {
            /// The number of the set whose voters signed.
            set: SetId,
            /// Hash of the one block.
            one: T::Hash,
            /// Hash of the other.
            other: T::Hash,
            /// The keys with which both were signed.
            signers: alloc::vec::Vec<AuthorityId>,
        },
    }

    /// Why a call was refused, and what its caller can do.
    #[pallet::error]
    pub enum Error<T> {
        /// No finality proof by this set; take the bytes of `finalityProof` from an answer of `hashchain_proveHead`, or all that
        /// `grandpa_proveFinality` answers, and the number of the set from `finality.latestSet`.
        NotProved,
        /// The chain does not remember a set of voters with this number; look the sets up in `finality.sets`.
        UnknownSet,
        /// The block was not the set's to sign; give the number of the set in whose time it is.
        NotOfThisSet,
        /// The proved block is not younger than the last one proved, in `finality.lastFinal`; there is nothing to do.
        NotNewer,
        /// The proved block is not on this chain; if it is final, hand both proofs in by `finality.reportConflict`.
        NotOnThisChain,
        /// No block was proved to be final yet; hand in a proof of the last final block by `finality.reportFinal` first.
        NothingProved,
        /// Another block is the last one proved to be final, so finality is alive, or the decision is an old one; look at
        /// `finality.lastFinal`, and propose again if finality has stalled.
        AnotherLastFinal,
        /// The last final block is too young, in comparison with `finality.leastLag`; wait, and see whether finality goes on.
        NotStalled,
        /// A session ends before the change would take effect, which would be lost with it; decide again after it.
        SessionEndsSoon,
        /// The proofs do not contradict each other: one block descends from the other, or the headers do not lead from the
        /// higher block down to the number of the lower one; give all headers from the higher block down to the one after
        /// the lower number.
        NoConflict,
        /// This contradiction is on record already, in `finality.conflicts`; there is nothing left to do.
        KnownConflict,
        /// There is no place for another contradiction; those in `finality.conflicts` prove enough, so there is nothing
        /// left to do.
        TooManyConflicts,
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Proves a block of this chain to be final, which is younger than the last one proved. Anybody with a role may do so; a
        /// validator's node does so by itself now and then. It stops decisions that finality has stalled when it has not.
        ///
        /// - `set`: the number of the set whose voters signed.
        /// - `proof`: the bytes of `finalityProof` from an answer of `hashchain_proveHead`, or what `grandpa_proveFinality`
        ///   answers.
        #[pallet::call_index(0)]
        #[pallet::weight(<T as Config>::WeightInfo::report_final(signatures(proof.len())))]
        pub fn report_final(origin: OriginFor<T>, set: SetId, proof: ProofOf<T>) -> DispatchResult {
            // Nobody: a node in a block of its own. Whether it may, was asked before.
            ensure_none(origin.clone()).or_else(|_| ensure_signed(origin).map(|_| ()))?;
            Self::do_report_final(set, &proof)
        }

        /// Declares that finality has stalled, and appoints the present authorities anew, by force: they go on from the last
        /// final block, without the signatures of the set before. For two thirds of the members only, and only when the last
        /// final block lies `leastLag` blocks behind. Have those who are gone removed from the validators first.
        ///
        /// - `last_final`: the number of the last final block of all validators, as proved by `reportFinal`.
        #[pallet::call_index(1)]
        #[pallet::weight(<T as Config>::WeightInfo::note_stalled())]
        pub fn note_stalled(
            origin: OriginFor<T>,
            #[pallet::compact] last_final: BlockNumberFor<T>,
        ) -> DispatchResult {
            T::DecisionOrigin::ensure_origin(origin)?;
            Self::do_note_stalled(last_final)
        }

        /// Hands in two finality proofs of one set for blocks that are not on one chain. Anybody with a role may do so. The
        /// blocks, and the keys with which both were signed, stay on record.
        ///
        /// - `set`: the number of the set whose voters signed both.
        /// - `lower`: the proof for the block with the lower number.
        /// - `higher`: the proof for the other one.
        /// - `headers`: the headers from the higher block down to the one after the lower number, encoded as a list; empty when
        ///   both blocks have the same number.
        #[pallet::call_index(2)]
        #[pallet::weight(<T as Config>::WeightInfo::report_conflict(
            signatures(lower.len() + higher.len() + headers.len())
        ))]
        pub fn report_conflict(
            origin: OriginFor<T>,
            set: SetId,
            lower: ProofOf<T>,
            higher: ProofOf<T>,
            headers: ProofOf<T>,
        ) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_report_conflict(set, [&lower, &higher], &headers)
        }
    }

    // What nobody signs goes into a block of the node that made it, or nowhere.
    #[pallet::validate_unsigned]
    impl<T: Config> ValidateUnsigned for Pallet<T> {
        type Call = Call<T>;

        fn validate_unsigned(source: TransactionSource, call: &Self::Call) -> TransactionValidity {
            match call {
                Call::report_final { set, proof } if source != TransactionSource::External => {
                    Self::pool_takes(*set, proof)
                }
                _ => InvalidTransaction::Call.into(),
            }
        }

        fn pre_dispatch(call: &Self::Call) -> Result<(), TransactionValidityError> {
            match call {
                Call::report_final { proof, .. } => Self::block_takes(proof),
                _ => Err(InvalidTransaction::Call.into()),
            }
        }
    }

    /// How many signatures so many bytes may hold.
    fn signatures(bytes: usize) -> u32 {
        u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .div_ceil(SIGNATURE_BYTES)
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            // What `on_finalize` will do: the session pallet has done its part by now.
            match pallet_grandpa::CurrentSetId::<T>::get() == LatestSet::<T>::get() {
                true => T::DbWeight::get().reads(2),
                false => T::DbWeight::get().reads_writes(5, 5),
            }
        }

        fn on_finalize(now: BlockNumberFor<T>) {
            let set = pallet_grandpa::CurrentSetId::<T>::get();
            if set != LatestSet::<T>::get() {
                Self::remember(set, now);
            }
        }

        fn integrity_test() {
            assert!(T::MaxSets::get() > 0, "MaxSets must not be zero");
            assert!(
                <T as Config>::LeastLag::get() >= One::one(),
                "LeastLag must not be zero"
            );
            assert!(
                T::ReportPeriod::get() >= One::one()
                    && T::ReportPeriod::get() < <T as Config>::LeastLag::get(),
                "ReportPeriod must not be zero, and less than LeastLag"
            );
            let most = T::NextSession::average_session_length();
            assert!(
                <T as Config>::Delay::get().saturating_add(One::one()) < most,
                "a session must be longer than Delay"
            );
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
