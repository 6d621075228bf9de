// SPDX-License-Identifier: Apache-2.0

//! # Consortium
//!
//! Who runs the chain: its validators, and what two thirds of its members decide.
//!
//! ## Overview
//!
//! The chain belongs to no company. Several organisations, such as hospitals, universities and
//! regulators, run it together as a **consortium**. Each of them is a **member** with one vote, and
//! some or all of them run a **validator**, a computer that makes blocks and confirms the blocks of
//! the others. This pallet keeps the list of validators and gives the consortium the one power that
//! a chain cannot do without: to do, when two thirds of its members agree, anything at all, for
//! example to install a new version of the chain's rules.
//!
//! Nobody else has such a power. There is no administrator's key that could be stolen, and no
//! currency by which votes could be bought.
//!
//! Members discuss and vote by the collective pallet of FRAME. A change of the validators takes
//! effect at the session after next, so that whoever follows the chain hears of it before it
//! happens.
//!
//! One member, absent or hostile, does not keep the others from deciding. Each has places of its
//! own in the list of motions; more than half of the members cancel a motion. And what cannot wait,
//! the removal of a member or validator and the authorisation of an upgrade, has a way of its own
//! ([`vote_urgent`](Pallet::vote_urgent)) without motions: members say what they want, and it is
//! done when two thirds of them want the same within hours. Nobody can make such a decision in the
//! others' stead with a threshold that spoils it, and nobody escapes by changing its key.
//!
//! A consortium has **one member, or three and more**. Two would need each other for everything, so
//! that one lost key would end it. With three or more, one may be away or lose its key: of three,
//! two are two thirds; of four and five, all others together; of six, four.
//!
//! ## Interface
//!
//! - Two thirds of the members call [`add_validator`](Pallet::add_validator),
//!   [`remove_validator`](Pallet::remove_validator), [`add_members`](Pallet::add_members),
//!   [`remove_member`](Pallet::remove_member) and
//!   [`dispatch_as_root`](Pallet::dispatch_as_root), and `members.swapMember`.
//! - A member calls [`change_key`](Pallet::change_key), [`vote_urgent`](Pallet::vote_urgent) and
//!   [`withdraw_urgent_vote`](Pallet::withdraw_urgent_vote).
//! - An organisation that is to validate becomes a member first, registers the keys of its computer
//!   by `session.set_keys`, and is then added as a validator under its member's account.
//! - The runtime asks [`Pallet::has_role`], [`Pallet::is_member`] and [`Pallet::is_validator`], and
//!   before it takes a `session.set_keys` or `session.purge_keys`, [`Pallet::may_change_session_keys`]
//!   and [`Pallet::has_last_session_keys`].
//!
//! What the runtime puts where:
//!
//! - `pallet_session::Config::SessionManager = Consortium`, `Currency =` [`NoCurrency`],
//!   `ValidatorIdOf =` [`NoteSessionKeys`]`<Runtime>` and `WeightInfo =` [`SessionWeight`]; the
//!   first validators are the accounts of the `keys` in the session pallet's genesis, which
//!   therefore comes before this pallet.
//! - `pallet_membership::Config::MembershipInitialized` and `MembershipChanged =`
//!   [`AdmitMembers`]`<Runtime, Collective>`, and `WeightInfo =` [`MembershipWeight`]. Its origins
//!   but `SwapOrigin` are `NeverEnsureOrigin`: its own calls leave none or two members,
//!   `reset_members` takes an account several times over, and a prime member would vote for those
//!   who are silent. Its `change_key` must be refused to everybody; here is one that does not let
//!   a member escape.
//! - `pallet_collective::Config::Consideration =` [`Place`], and `MaxProposals` with
//!   [`MotionsPerMember`](Config::MotionsPerMember) places for every member that there may be.
//! - `pallet_collective::Config::DefaultVote =` [`AbstentionsAreNays`], because the other default
//!   votes of that pallet count the silent as ayes and so make two thirds out of less.
//!
//! ## Goals
//!
//! 1. Nothing but the decision of two thirds of the members changes who runs the chain.
//! 2. The chain never decides itself to death: the last member and the last validator that has keys
//!    stay, and there are never two members.
//! 3. A validator without keys is never appointed, because the others would wait for it.
//! 4. As long as the validators do not change, neither does the set of authorities, so that whoever
//!    checks finality offline need not follow a change in every session; and none of them changes it
//!    by keys of its own more than twice in [`SessionKeyPeriod`](Config::SessionKeyPeriod) blocks.
//! 5. No single member keeps two thirds of the members, all of them others, from removing it or from
//!    authorising an upgrade within hours.
//! 6. A decision that fails says so: the error of the root call is the error of the decision.
//!
//! ## Example
//!
//! Three of four members write a value into the state, which only root may do:
#![doc = docify::embed!("src/tests.rs", two_thirds_of_the_members_act_as_root)]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod impls;
mod membership;
#[cfg(test)]
mod mock;
mod motions;
mod no_currency;
mod session;
#[cfg(test)]
mod tests;
mod urgent;
pub mod weights;

pub use membership::{AbstentionsAreNays, AdmitMembers, MembershipWeight};
pub use motions::{Motion, Place};
pub use no_currency::NoCurrency;
pub use pallet::*;
pub use session::{NoteSessionKeys, SessionWeight};
pub use urgent::{UrgentDecision, UrgentDecisionOf, UrgentVote, UrgentVoteOf};
pub use weights::WeightInfo;

/// Who took whose place in other offices than the consortium. One organisation may have several offices with one account, and
/// one successor in all of them.
pub trait Succession<AccountId> {
    /// Whether `account` took the place of `former` before.
    fn is_successor(former: &AccountId, account: &AccountId) -> bool;

    /// `successor` takes the place of `former` in the consortium.
    fn note(former: &AccountId, successor: &AccountId);
}

/// For mocks: nobody has another office.
impl<AccountId> Succession<AccountId> for () {
    fn is_successor(_: &AccountId, _: &AccountId) -> bool {
        false
    }

    fn note(_: &AccountId, _: &AccountId) {}
}

/// The instance of the collective pallet, and of the membership pallet beside it, that is the consortium.
pub type Collective = frame_support::instances::Instance1;

/// How many motions may be open at a time, over all members.
pub(crate) type MaxMotions<T> = <T as pallet_collective::Config<Collective>>::MaxProposals;

/// How many members there may be.
pub(crate) type MaxMembers<T> = <T as pallet_membership::Config<Collective>>::MaxMembers;

/// The pallet itself: what its users configure, read and call.
#[frame_support::pallet]
pub mod pallet {
    use alloc::{boxed::Box, string::String};
    use core::marker::PhantomData;
    use frame_support::{
        dispatch::GetDispatchInfo,
        pallet_prelude::*,
        traits::{Contains, GetCallMetadata, UnfilteredDispatchable},
    };
    use frame_system::pallet_prelude::*;
    use sp_runtime::traits::Zero;
    use sp_staking::SessionIndex;

    use super::{
        Collective, MaxMembers, MaxMotions, Motion, Succession, UrgentDecisionOf, UrgentVoteOf,
        WeightInfo,
    };

    /// The in-code storage version.
    pub(crate) const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The validators and the power of two thirds of the members.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What a runtime decides about its consortium.
    #[pallet::config]
    pub trait Config:
        frame_system::Config
        + pallet_session::Config<ValidatorId = <Self as frame_system::Config>::AccountId>
        + pallet_collective::Config<Collective>
        + pallet_membership::Config<Collective>
    {
        /// The calls that can be dispatched as root: those of the whole runtime.
        type RuntimeCall: Parameter
            + UnfilteredDispatchable<RuntimeOrigin = <Self as frame_system::Config>::RuntimeOrigin>
            + GetCallMetadata
            + GetDispatchInfo;

        /// Who decides: two thirds of the members. Whoever passes it is master of the chain.
        type DecisionOrigin: EnsureOrigin<<Self as frame_system::Config>::RuntimeOrigin>;

        /// Calls that are not even dispatched as root, because another call with more checks stands in their place.
        type Guarded: Contains<<Self as Config>::RuntimeCall>;

        /// How many motions a member may have open at a time. Not zero, and the collective's
        /// `MaxProposals` must have that many places for every member.
        #[pallet::constant]
        type MotionsPerMember: Get<u32>;

        /// For how many blocks an urgent vote counts, and how long a member must wait before it
        /// changes its key again. Not zero.
        #[pallet::constant]
        type UrgentPeriod: Get<BlockNumberFor<Self>>;

        /// For how many urgent decisions a member may vote at a time. Not zero.
        #[pallet::constant]
        type UrgentVotesPerMember: Get<u32>;

        /// Who took whose place in other offices, which a member's successor may have, too.
        type Succession: Succession<<Self as frame_system::Config>::AccountId>;

        /// For how many blocks a validator that has changed its session keys may neither change nor purge them again, but within
        /// the same session.
        #[pallet::constant]
        type SessionKeyPeriod: Get<BlockNumberFor<Self>>;

        /// How many validators there may be. Not above what the consensus pallets take, or the
        /// validators beyond their limit are ignored. Not zero.
        #[pallet::constant]
        type MaxValidators: Get<u32>;

        /// Measured weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// The validators that the consortium wants, in the order of their appointment. A change takes
    /// effect at the session after next; those who make blocks now are in `session.validators`.
    #[pallet::storage]
    pub type Validators<T: Config> =
        StorageValue<_, BoundedVec<T::AccountId, T::MaxValidators>, ValueQuery>;

    /// Who proposed each motion that is open, oldest first. A motion that was closed stays here
    /// until the next one is proposed; what is open is in `council.proposals`.
    #[pallet::storage]
    pub type Motions<T: Config> =
        StorageValue<_, BoundedVec<Motion<T::Hash, T::AccountId>, MaxMotions<T>>, ValueQuery>;

    /// The urgent decisions that a member votes for, each until a block. Absent: none. A vote whose
    /// time is over does not count, and is forgotten with the member's next one.
    #[pallet::storage]
    pub type UrgentVotes<T: Config> = StorageMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        BoundedVec<UrgentVoteOf<T>, T::UrgentVotesPerMember>,
        ValueQuery,
    >;

    /// The block in which a member took its present account. Absent: it has had no other.
    #[pallet::storage]
    pub type KeyChanges<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, BlockNumberFor<T>, OptionQuery>;

    /// The block and the session in which a validator set or purged its session keys last, since it was appointed. Absent: not
    /// since then.
    #[pallet::storage]
    pub type SessionKeyChanges<T: Config> = StorageMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        (BlockNumberFor<T>, SessionIndex),
        OptionQuery,
    >;

    /// Nothing to choose: the first validators are those of the session pallet's genesis.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Names the runtime.
        #[serde(skip)]
        pub runtime: PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            // The session pallet registers the keys of the genesis before anybody has a place on the
            // chain, and then leaves out the reference that it takes back when keys are purged.
            for who in pallet_session::NextKeys::<T>::iter_keys() {
                Pallet::<T>::admit(&who);
                if frame_system::Pallet::<T>::consumers(&who) == 0 {
                    frame_system::Pallet::<T>::inc_consumers_without_limit(&who)
                        .expect("the account was just admitted; qed");
                }
            }
            let validators = pallet_session::Pallet::<T>::validators();
            let validators = BoundedVec::try_from(validators)
                .expect("the genesis has no more validators than MaxValidators");
            Validators::<T>::put(validators);
        }
    }

    /// What the consortium decided.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// The consortium appointed a validator; it makes blocks from the session after next on.
        ValidatorAdded {
            /// The validator's account.
            validator: T::AccountId,
        },
        /// The consortium dismissed a validator; it makes blocks until the session after next.
        ValidatorRemoved {
            /// The former validator's account.
            validator: T::AccountId,
        },
        /// The consortium has new members; each has a vote from now on.
        MembersAdded {
            /// The new members' accounts.
            members: BoundedVec<T::AccountId, MaxMembers<T>>,
        },
        /// The consortium removed a member: its votes do not count any more, and its motions are
        /// closed. If it is a validator, it stays one until it is removed as such.
        MemberRemoved {
            /// The former member's account.
            member: T::AccountId,
        },
        /// Another account took a member's place by urgent decision.
        MemberReplaced {
            /// The former member's account.
            former: T::AccountId,
            /// The new member's account.
            member: T::AccountId,
        },
        /// A member took another account. Its open motions are its own still; its votes in the
        /// council have to be cast again.
        MemberKeyChanged {
            /// The account that it had.
            former: T::AccountId,
            /// The account that it has.
            member: T::AccountId,
        },
        /// A member voted for an urgent decision, which is made as soon as enough members did.
        UrgentVoteCast {
            /// The member.
            member: T::AccountId,
            /// What it voted for.
            decision: UrgentDecisionOf<T>,
            /// How many members vote for it now.
            ayes: u32,
            /// How many members there are.
            members: u32,
        },
        /// A member took its vote for an urgent decision back.
        UrgentVoteWithdrawn {
            /// The member.
            member: T::AccountId,
            /// What it had voted for.
            decision: UrgentDecisionOf<T>,
        },
        /// Enough members voted for an urgent decision, and it was carried out.
        UrgentlyDecided {
            /// What was done.
            decision: UrgentDecisionOf<T>,
        },
        /// The consortium dispatched a call as root, and the call succeeded.
        DispatchedAsRoot {
            /// The name of the pallet whose call it was, as the runtime names it.
            pallet: String,
            /// The name of the call.
            call: String,
        },
    }

    /// Why a call was refused, and what its caller can do.
    #[pallet::error]
    pub enum Error<T> {
        /// The account has registered no session keys, so it could not make blocks; let it call
        /// `session.setKeys` first, for which it must be a member.
        NoSessionKeys,
        /// The account is a validator already, so there is nothing left to do.
        AlreadyValidator,
        /// The account is not a validator; look the validators up in `consortium.validators`.
        NotAValidator,
        /// No other validator has session keys, so nobody would make blocks; appoint another
        /// validator first.
        LastValidator,
        /// There are as many validators as `maxValidators` allows; remove one first.
        TooManyValidators,
        /// The member has as many open motions as `motionsPerMember` allows; let one of them be
        /// voted on and closed first, or vote against it and close it.
        TooManyMotions,
        /// The account is a member already; leave it out.
        AlreadyMember,
        /// The account is not a member; look the members up in `members.members`.
        NotAMember,
        /// There would be more members than there may be; remove one first.
        TooManyMembers,
        /// Nobody would be left to decide anything, and nobody could undo that; add other members
        /// first.
        LastMember,
        /// There would be two members, who need each other for every decision, so that one lost key
        /// would end the consortium. Add two or more at once to one member, and of three replace
        /// one by another organisation (`members.swapMember`) instead of removing it.
        TwoMembers,
        /// The member changed its key less than `urgentPeriod` blocks ago; wait, or let the other
        /// members put the new account in its place (`members.swapMember`).
        KeyChangedRecently,
        /// The member votes for as many urgent decisions as `urgentVotesPerMember` allows; take one
        /// of those votes back by `withdrawUrgentVote` first, or wait until it is over.
        TooManyUrgentVotes,
        /// The member does not vote for this urgent decision at present; look its votes up in
        /// `consortium.urgentVotes`.
        NoSuchUrgentVote,
        /// The council has no such open motion; look its motions up in `council.proposals`.
        NoSuchMotion,
        /// This call is not dispatched as root, because another with more checks stands in its place: `finality.noteStalled`
        /// for `grandpa.noteStalled`. Propose that one.
        Guarded,
        /// The chain knows the new account already, as that of somebody who has or had a role, or of a phone; take a new key,
        /// which was never used on this chain, or the one that took the member's place in a study.
        SuccessorIsNotNew,
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Appoints a validator. It makes blocks from the session after next on. For two thirds of
        /// the members only.
        ///
        /// - `validator`: its account, which must have registered its session keys.
        #[pallet::call_index(0)]
        #[pallet::weight(<T as Config>::WeightInfo::add_validator())]
        pub fn add_validator(origin: OriginFor<T>, validator: T::AccountId) -> DispatchResult {
            T::DecisionOrigin::ensure_origin(origin)?;
            Self::do_add_validator(validator)
        }

        /// Dismisses a validator. It makes blocks until the session after next. For two thirds of
        /// the members only, and not for the last validator.
        ///
        /// - `validator`: its account.
        #[pallet::call_index(1)]
        #[pallet::weight(<T as Config>::WeightInfo::remove_validator())]
        pub fn remove_validator(origin: OriginFor<T>, validator: T::AccountId) -> DispatchResult {
            T::DecisionOrigin::ensure_origin(origin)?;
            Self::do_remove_validator(&validator)
        }

        /// Dispatches a call as root, past every filter but one. It fails if the call fails, and with the
        /// call's own error. For two thirds of the members only.
        ///
        /// - `call`: the call, for example `system.authorizeUpgrade`. `grandpa.noteStalled` is refused; `finality.noteStalled`
        ///   stands in its place.
        #[pallet::call_index(2)]
        #[pallet::weight({
            let inner = call.get_dispatch_info();
            let weight = <T as Config>::WeightInfo::dispatch_as_root()
                .saturating_add(inner.call_weight);
            (weight, inner.class)
        })]
        pub fn dispatch_as_root(
            origin: OriginFor<T>,
            call: Box<<T as Config>::RuntimeCall>,
        ) -> DispatchResultWithPostInfo {
            T::DecisionOrigin::ensure_origin(origin)?;
            Self::do_dispatch_as_root(*call)
        }

        /// Adds one or several members by one decision. For two thirds of the members only.
        ///
        /// - `members`: their accounts, none of which is a member yet. There may not be two members
        ///   afterwards, so a member that is alone adds at least two.
        #[pallet::call_index(3)]
        #[pallet::weight(<T as Config>::WeightInfo::add_members(members.len() as u32))]
        pub fn add_members(
            origin: OriginFor<T>,
            members: BoundedVec<T::AccountId, MaxMembers<T>>,
        ) -> DispatchResult {
            T::DecisionOrigin::ensure_origin(origin)?;
            Self::do_add_members(members)
        }

        /// Removes a member and closes its motions; as a validator it is removed by
        /// `removeValidator`. For two thirds of the members only, and neither the last member nor
        /// one of three.
        ///
        /// - `member`: its account.
        #[pallet::call_index(4)]
        #[pallet::weight(<T as Config>::WeightInfo::remove_member())]
        pub fn remove_member(origin: OriginFor<T>, member: T::AccountId) -> DispatchResult {
            T::DecisionOrigin::ensure_origin(origin)?;
            Self::do_remove_member(member)
        }

        /// Takes another account as the caller's own in the consortium. The former account keeps
        /// its nonce, so nothing that it signed can be executed again. For a member only, and once
        /// in `urgentPeriod` blocks, so that nobody escapes its removal by changing its key.
        ///
        /// - `successor`: the new account, of a key that was never used on this chain; or the one that took the caller's place
        ///   in a study before.
        #[pallet::call_index(5)]
        #[pallet::weight(<T as Config>::WeightInfo::change_key())]
        pub fn change_key(origin: OriginFor<T>, successor: T::AccountId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_change_key(who, successor)
        }

        /// Votes for an urgent decision, which is made at once when two thirds of the members vote
        /// for it (for `CancelMotion` more than half). The vote counts for `urgentPeriod` blocks; to
        /// vote again extends it. It is refused if what it asks for cannot be done. For a member
        /// only.
        ///
        /// - `decision`: what is to be done.
        #[pallet::call_index(6)]
        #[pallet::weight((
            <T as Config>::WeightInfo::vote_urgent(),
            DispatchClass::Operational,
        ))]
        pub fn vote_urgent(origin: OriginFor<T>, decision: UrgentDecisionOf<T>) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_vote_urgent(who, decision)
        }

        /// Takes a vote for an urgent decision back. For the member that cast it.
        ///
        /// - `decision`: what the member had voted for.
        #[pallet::call_index(7)]
        #[pallet::weight((
            <T as Config>::WeightInfo::withdraw_urgent_vote(),
            DispatchClass::Operational,
        ))]
        pub fn withdraw_urgent_vote(
            origin: OriginFor<T>,
            decision: UrgentDecisionOf<T>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_withdraw_urgent_vote(who, decision)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(
                T::MaxValidators::get() > 0,
                "MaxValidators must not be zero"
            );
            assert!(
                T::MotionsPerMember::get() > 0,
                "MotionsPerMember must not be zero"
            );
            assert!(
                T::UrgentVotesPerMember::get() > 0 && !T::UrgentPeriod::get().is_zero(),
                "members must have urgent votes, and time for them"
            );
            let places = T::MotionsPerMember::get()
                .saturating_mul(<T as pallet_membership::Config<Collective>>::MaxMembers::get());
            assert!(
                <MaxMotions<T> as Get<u32>>::get() >= places,
                "MaxProposals must have every member's places"
            );
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
