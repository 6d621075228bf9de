// SPDX-License-Identifier: Apache-2.0

//! # Admission
//!
//! Which transactions the chain takes, and in which order.
//!
//! ## For those who do not program
//!
//! Nothing costs money here, so something else must keep one account from taking all the room in the blocks. Every
//! transaction belongs to a *lane*: decisions of the consortium, decisions of a study, what devices send for themselves, what
//! relays bring. The small lanes go first and may fill only a share of a block, so neither can they push the relays out nor the relays
//! them. Within a lane, who has had least of late goes first; between equals, who came first.
//!
//! What fails or is refused costs its sender: it counts as if it had done all that it declared, and bytes that were refused
//! are a debt, which the account's good work and the passing of time pay off. An account too deep in debt waits. So are bytes that
//! were registered long before: who brings a study's entries again and again fills blocks, too.
//!
//! What waits for a block waits in the memory of every node, which has so many places and so many bytes. So an account may have so
//! many transactions waiting, and no more; and fewer of long ones.
//!
//! ## Overview
//!
//! The pallet has no calls. [`Admit`] is the transaction extension that asks the runtime's [`Rules`] who may make which call and in which lane,
//! bounds a transaction's length and declared weight and how many wait before it, puts it in its place in the pool, and keeps the
//! accounts. To clients it is `CheckNonce`, byte by byte, so that a client which knows nothing of this pallet signs correct
//! transactions.
//!
//! ## Goals
//!
//! 1. No lane can starve another: each but the last has a cap ([`Limits`]), and the last is what the others leave.
//! 2. No account can starve another of its lane: a transaction's place depends on what its account has had in the blocks
//!    before ([`Use::spent`]) and on how many of its transactions come before it.
//! 3. Refused work is not free: see [`Use::debt`].
//! 4. What a caller declares is bounded: a transaction that no block could hold is refused at once.
//! 5. Runs of entries stand at the top of an extrinsic: see [`Pallet::take_top_level`].
//! 6. No account fills the pool of a node, neither its places nor its bytes: see [`Rules::waiting`] and
//!    [`Limits::waiting_bytes`].
//!
//! ## What it does not bound
//!
//! Accounts together. Whoever may appoint 64 relays or enrol phones without end has as many shares of a lane, of turns and of
//! places. What they bring again costs them like refused work; what they register is the study's, and its allowance counts it.

#![cfg_attr(not(feature = "std"), no_std)]

mod extension;
mod lanes;
mod turns;

pub use extension::Admit;
pub use lanes::{Lane, LaneUse, Limits, Places};
pub use pallet::*;
pub use turns::{Outcome, Use};

/// The custom error of a transaction that is longer than [`Config::MaxLength`].
pub const TOO_LONG: u8 = 105;

/// The custom error of a transaction that declares more work than its lane may do in a block.
pub const TOO_HEAVY: u8 = 106;

/// The custom error of a transaction whose account has had more refused than it may. Time pays the debt off.
pub const TOO_MUCH_REFUSED: u8 = 107;

/// The custom error of a transaction before which as many of the account wait as may, or as many of its length. Send it when some of
/// them are in a block.
pub const TOO_MANY_WAITING: u8 = 109;

/// Who may make which call: the runtime's table.
pub trait Rules<AccountId, Call> {
    /// The lane in which `who` may make this call, or the custom error of the transaction.
    fn lane(who: &AccountId, call: &Call) -> Result<Lane, u8>;

    /// What a lane may take.
    fn limits(lane: Lane) -> Limits;

    /// How many transactions of an account may wait, by what it is.
    fn places() -> Places;

    /// How many transactions of the account may wait, when the last of them is of this lane: one of [`Self::places`].
    fn waiting(who: &AccountId, lane: Lane) -> u32;

    /// Whether the call itself brings runs of entries.
    fn brings_runs(call: &Call) -> bool;
}

/// The pallet itself.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// Keeps the accounts of lanes and senders.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What a runtime decides about admission.
    #[pallet::config]
    pub trait Config: frame_system::Config {
        /// Who may make which call.
        type Rules: Rules<Self::AccountId, <Self as frame_system::Config>::RuntimeCall>;

        /// Most bytes of a transaction. Not more than the memory of the node that makes a block can hold several times.
        #[pallet::constant]
        type MaxLength: Get<u32>;
    }

    #[pallet::extra_constants]
    impl<T: Config> Pallet<T> {
        /// What decisions of the consortium and the work of validators may take, which go first: a share of a block's weight and of
        /// its bytes, the longest transaction, the debt that an account may have and what a block forgives of it, in bytes, whether
        /// an account owes all of its bytes or only those of failed calls, and how many of its bytes may wait.
        #[pallet::constant_name(ConsortiumLane)]
        fn consortium_lane() -> Limits {
            T::Rules::limits(Lane::Consortium)
        }

        /// The same of what a study's sponsor and servers do, which goes second.
        #[pallet::constant_name(StudyLane)]
        fn study_lane() -> Limits {
            T::Rules::limits(Lane::Study)
        }

        /// The same of the runs that devices bring for themselves, which go third. A device owes all of its bytes: they are its share.
        #[pallet::constant_name(DeviceLane)]
        fn device_lane() -> Limits {
            T::Rules::limits(Lane::Device)
        }

        /// The same of the runs that relays bring, which go last and have what the others leave.
        #[pallet::constant_name(RelayLane)]
        fn relay_lane() -> Limits {
            T::Rules::limits(Lane::Relay)
        }

        /// How many transactions of an account may wait in a node's pool, by what the last of them is: runs of a relay, runs of a device,
        /// a relay's office behind its runs, an authentication server's office, anything else.
        #[pallet::constant_name(Places)]
        fn places() -> Places {
            T::Rules::places()
        }

        /// By how much a refused run counts more than one that is registered, when it is decided whose turn it is.
        #[pallet::constant_name(RefusedRunFactor)]
        fn refused_run_factor() -> u64 {
            crate::turns::REFUSED
        }
    }

    /// What an account has had of a lane of late. Absent: nothing yet. An account that never had a role has none.
    #[pallet::storage]
    pub type Uses<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Identity,
        Lane,
        Use<BlockNumberFor<T>>,
        ValueQuery,
    >;

    /// What each lane has taken of the current block. It never reaches the state: absent between blocks.
    #[pallet::storage]
    pub type BlockUse<T: Config> = StorageValue<_, [LaneUse; Lane::COUNT], ValueQuery>;

    /// Whether the call that is being dispatched brings runs and stands at the top of its extrinsic. It never reaches the
    /// state: absent between transactions.
    #[pallet::storage]
    pub type TopLevelRuns<T: Config> = StorageValue<_, bool, ValueQuery>;

    /// What became of the runs of the transaction that is being dispatched. It never reaches the state: absent between
    /// transactions.
    #[pallet::storage]
    pub type RunsOutcome<T: Config> = StorageValue<_, Outcome, OptionQuery>;

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_finalize(_: BlockNumberFor<T>) {
            BlockUse::<T>::kill();
        }

        fn integrity_test() {
            let longest = *T::BlockLength::get()
                .max
                .get(frame_support::dispatch::DispatchClass::Normal);
            assert!(
                T::MaxLength::get() < longest,
                "the longest transaction must fit a block"
            );
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Whether the runs that are being dispatched stand at the top of their extrinsic; says yes once a transaction.
    ///
    /// Who audits reads runs from extrinsics. A call that brings runs from within another call could hide them, so it has to
    /// ask here and refuse.
    pub fn take_top_level() -> bool {
        TopLevelRuns::<T>::take()
    }

    /// Lets an account owe what another one owed, and have had what that one had, of every lane.
    pub fn carry_on(former: &T::AccountId, successor: &T::AccountId) {
        let now = frame_system::Pallet::<T>::block_number();
        for lane in Lane::ALL {
            let limits = T::Rules::limits(lane);
            let had = Uses::<T>::get(former, lane).at(now, &limits);
            Uses::<T>::mutate(successor, lane, |own| {
                *own = own.at(now, &limits);
                own.spent = own.spent.max(had.spent);
                own.debt = own.debt.max(had.debt);
            });
        }
    }

    /// Notes what became of the runs of the transaction that is being dispatched.
    pub fn note_runs(outcome: Outcome) {
        RunsOutcome::<T>::put(outcome);
    }

    /// Checks the pallet's invariant: what counts within a block or a transaction is gone after it.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        frame_support::ensure!(
            !TopLevelRuns::<T>::exists(),
            "a mark outlived its transaction"
        );
        frame_support::ensure!(
            !RunsOutcome::<T>::exists(),
            "an outcome outlived its transaction"
        );
        Ok(())
    }
}
