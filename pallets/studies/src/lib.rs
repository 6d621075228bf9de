// SPDX-License-Identifier: Apache-2.0

//! # Studies
//!
//! Who may write: studies, their sponsors, authentication servers and relays.
//!
//! ## Overview
//!
//! A clinical study is run by a **sponsor**, for example a university hospital. The sponsor does
//! not touch the phones of the participants. It appoints **authentication servers**, which know
//! the participants and enrol their devices, and **relays**, which carry what the devices send to
//! the chain. This pallet is the register of all of them. It answers one question for the rest of
//! the chain: may this account do that in this study?
//!
//! The consortium, the body of organisations that runs the chain, creates a study and names its
//! sponsor. Everything after that is the sponsor's business, until the consortium names another
//! one, say because the sponsor lost its key.
//!
//! Each study fixes at its creation how strictly the chain looks at what is written
//! ([`StudyPolicy`]), which cannot be changed afterwards, and the public key of its auditor, to whom
//! every device entrusts its secret. The sponsor can name another key, for devices that enrol from
//! then on. What a device has sealed stays sealed to the key of its day, its **epoch**: a participant
//! who consented to one auditor is not handed to another.
//!
//! There is no currency here, so there are no accounts by deposit either. An account exists on
//! this chain because it was given a role, and an account without a role is turned away before its
//! transactions reach a block.
//!
//! ## Interface
//!
//! - The consortium calls [`create_study`](Pallet::create_study),
//!   [`replace_sponsor`](Pallet::replace_sponsor) and [`set_allowance`](Pallet::set_allowance).
//! - The sponsor calls [`close_study`](Pallet::close_study),
//!   [`reopen_study`](Pallet::reopen_study), [`set_auditor_key`](Pallet::set_auditor_key),
//!   [`add_authentication_server`](Pallet::add_authentication_server),
//!   [`remove_authentication_server`](Pallet::remove_authentication_server),
//!   [`add_relay`](Pallet::add_relay) and [`remove_relay`](Pallet::remove_relay).
//! - Each of them calls [`rotate`](Pallet::rotate) to take another account for its roles.
//! - Other pallets ask [`Pallet::study`], [`Pallet::is_sponsor`],
//!   [`Pallet::is_authentication_server`], [`Pallet::is_relay`] and [`Pallet::has_role`], and give
//!   an account of theirs a place on the chain by [`Pallet::admit`].
//!
//! ## Goals
//!
//! 1. A role can be taken away at any moment, of a closed study too.
//! 2. Which kinds of role an account holds is one storage read ([`Pallet::roles`]),
//!    because the transaction pool asks it of every transaction.
//! 3. A transaction that was once executed can never be executed again, however often its signer
//!    loses roles and gains them. This is why the account of a former role holder stays on the
//!    chain with its nonce; see [`Pallet::admit`].
//! 4. Nothing grows without a bound that the runtime names, or the consortium grants ([`Quota`]).
//! 5. Whoever changes its account stays who it was: its former accounts are on record
//!    ([`Rotations`]), it does not escape its removal, and nobody else is taken for its successor. It may
//!    have one successor in all its offices ([`Successors`]).
//! 6. No study disappears: a closed one stays readable, with its number.
//!
//! ## Example
//!
//! From the creation of a study to its first relay:
#![doc = docify::embed!("src/tests.rs", a_study_is_created_and_gets_its_servers)]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod impls;
#[cfg(test)]
mod mock;
mod quota;
mod rotation;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;

pub use pallet::*;
pub use quota::{Allowance, Amounts, Quota};
pub use rotation::{OnRotate, Rotation, RotationsPart, ROTATIONS_READ};
pub use types::{
    GenesisStudy, RoleCounts, ServerCount, Study, StudyId, StudyOf, StudyPolicy, StudyStatus,
    MAX_AUDITOR_KEYS,
};
pub use weights::WeightInfo;

/// The pallet itself: what its users configure, read and call.
#[frame_support::pallet]
pub mod pallet {
    use alloc::vec::Vec;
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;

    use super::*;

    /// The in-code storage version.
    pub(crate) const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The register of studies and of the roles in them.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What a runtime decides about studies.
    #[pallet::config]
    pub trait Config: frame_system::Config {
        /// Who creates studies and names their sponsors: the consortium. If outsiders pass it,
        /// anybody can admit accounts to the chain.
        type CreateStudyOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// How many bytes the title of a study may have. Lowering it makes stored studies with
        /// longer titles unreadable. Not zero.
        #[pallet::constant]
        type MaxTitleLength: Get<u32>;

        /// How many authentication servers, and how many relays, a study may have. It bounds what
        /// one sponsor can make the chain store. Not zero.
        #[pallet::constant]
        type MaxServers: Get<u32>;

        /// What a study may use until the consortium grants it something else.
        #[pallet::constant]
        type DefaultAllowance: Get<Allowance>;
        /// How many times the holder of a role may change its account in a study; then it must be
        /// appointed anew.
        #[pallet::constant]
        type MaxRotations: Get<u32>;

        /// For how many blocks after a change of a study's auditor key devices are still enrolled that sealed their
        /// secret to the key before it. They were on their way. Whoever changes a key that has leaked counts them in.
        #[pallet::constant]
        type AuditorKeyGrace: Get<BlockNumberFor<Self>>;

        /// Told when an account gives its roles to another, so that what is counted of it goes on.
        type OnRotate: OnRotate<Self::AccountId>;

        /// Measured weights of the calls.
        type WeightInfo: WeightInfo;
    }

    /// The studies by number. Absent: no study of that number was ever created.
    #[pallet::storage]
    pub type Studies<T: Config> = StorageMap<_, Twox64Concat, StudyId, StudyOf<T>, OptionQuery>;

    /// The number that the next study will get, and so how many there are.
    #[pallet::storage]
    pub type NextStudyId<T: Config> = StorageValue<_, StudyId, ValueQuery>;

    /// The accounts that may enrol devices in a study. Absent: the account may not. At most
    /// `MaxServers` a study.
    #[pallet::storage]
    pub type AuthenticationServers<T: Config> =
        StorageDoubleMap<_, Twox64Concat, StudyId, Blake2_128Concat, T::AccountId, (), OptionQuery>;

    /// The accounts that may submit runs of a study's devices. Absent: the account may not. At most
    /// `MaxServers` a study.
    #[pallet::storage]
    pub type Relays<T: Config> =
        StorageDoubleMap<_, Twox64Concat, StudyId, Blake2_128Concat, T::AccountId, (), OptionQuery>;

    /// What became of the accounts of a study that were given up for others, and of those that came
    /// in their place. Absent: the account was never changed. What a former account did is its
    /// successor's doing.
    #[pallet::storage]
    pub type Rotations<T: Config> = StorageDoubleMap<
        _,
        Twox64Concat,
        StudyId,
        Blake2_128Concat,
        T::AccountId,
        Rotation<T::AccountId>,
        OptionQuery,
    >;

    /// Of each account that was given up, in a study or in the consortium, the one that took its place first. No other account
    /// that the chain knows takes its place in another office. Absent: the account was never given up.
    #[pallet::storage]
    pub type Successors<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId, OptionQuery>;

    /// How many authentication servers and relays a study has. Absent: none of either.
    #[pallet::storage]
    pub type ServerCounts<T: Config> =
        StorageMap<_, Twox64Concat, StudyId, ServerCount, ValueQuery>;

    /// How many roles of each kind an account holds over all studies. Absent: none.
    #[pallet::storage]
    pub type RoleCount<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, RoleCounts, OptionQuery>;

    /// The block in which a study's auditor key was changed last. Absent: never.
    #[pallet::storage]
    pub type AuditorKeyChanges<T: Config> =
        StorageMap<_, Twox64Concat, StudyId, BlockNumberFor<T>, OptionQuery>;

    /// What each study may make the chain keep, and what it has. Absent: it has used nothing, and may use the constant
    /// `defaultAllowance`.
    #[pallet::storage]
    pub type Quotas<T: Config> = StorageMap<_, Twox64Concat, StudyId, Quota, OptionQuery>;

    /// The studies that exist from the first block on, numbered in this order from 0.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// The studies, each with its servers.
        pub studies: Vec<GenesisStudy<T::AccountId>>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            for study in &self.studies {
                Pallet::<T>::create_genesis_study(study).unwrap_or_else(|error| {
                    panic!("the genesis study {:?} is refused: {error:?}", study.title)
                });
            }
        }
    }

    #[pallet::extra_constants]
    impl<T: Config> Pallet<T> {
        /// Most auditor keys that a study may have had, the present one among them.
        #[pallet::constant_name(MaxAuditorKeys)]
        fn max_auditor_keys() -> u32 {
            MAX_AUDITOR_KEYS
        }
    }

    /// What happened to studies and roles.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// The consortium created a study.
        StudyCreated {
            /// The number it got.
            study: StudyId,
            /// The account that answers for it.
            sponsor: T::AccountId,
            /// What the chain demands of its devices' runs.
            policy: StudyPolicy,
        },
        /// The sponsor closed a study: it takes no more entries.
        StudyClosed {
            /// The study.
            study: StudyId,
        },
        /// The sponsor opened a closed study again.
        StudyReopened {
            /// The study.
            study: StudyId,
        },
        /// An account may now enrol devices in a study.
        AuthenticationServerAdded {
            /// The study.
            study: StudyId,
            /// The server's account.
            account: T::AccountId,
        },
        /// An account may no longer enrol devices in a study.
        AuthenticationServerRemoved {
            /// The study.
            study: StudyId,
            /// The former server's account.
            account: T::AccountId,
        },
        /// An account may now submit runs of a study's devices.
        RelayAdded {
            /// The study.
            study: StudyId,
            /// The relay's account.
            account: T::AccountId,
        },
        /// An account may no longer submit runs of a study's devices.
        RelayRemoved {
            /// The study.
            study: StudyId,
            /// The former relay's account.
            account: T::AccountId,
        },
        /// The consortium granted a study another allowance.
        AllowanceSet {
            /// The study.
            study: StudyId,
            /// What it may use from now on, over its whole life.
            allowance: Allowance,
        },
        /// The sponsor named another key of the study's auditor. Devices that are enrolled keep theirs.
        AuditorKeySet {
            /// The study.
            study: StudyId,
            /// The epoch that begins with it.
            epoch: u32,
            /// The X25519 key to which devices seal their secret from now on.
            auditor_key: [u8; 32],
        },
        /// The consortium named another sponsor for a study.
        SponsorReplaced {
            /// The study.
            study: StudyId,
            /// The account that answered for it until now.
            former: T::AccountId,
            /// The account that answers for it from now on.
            sponsor: T::AccountId,
        },
        /// The holder of one or several roles in a study took another account for all of them.
        AccountRotated {
            /// The study.
            study: StudyId,
            /// The account that it gave up.
            former: T::AccountId,
            /// The account that it has from now on.
            account: T::AccountId,
        },
    }

    /// Why a call was refused, and what its caller can do.
    #[pallet::error]
    pub enum Error<T> {
        /// No study has this number; look it up in `studies.studies`.
        UnknownStudy,
        /// Only the sponsor of the study may do this; sign with the sponsor's account, or ask the
        /// consortium to replace the sponsor.
        NotTheSponsor,
        /// The study is closed, so it takes no new authentication servers or relays; its sponsor
        /// can reopen it first.
        StudyIsClosed,
        /// The study is closed already, so there is nothing left to do.
        AlreadyClosed,
        /// The study is open already, so there is nothing left to do.
        AlreadyOpen,
        /// The account is an authentication server of this study already, so there is nothing left
        /// to do.
        AlreadyAuthenticationServer,
        /// The account is not an authentication server of this study; check the account and the
        /// number of the study.
        NotAnAuthenticationServer,
        /// The study has as many authentication servers as `maxServers` allows; remove one first.
        TooManyAuthenticationServers,
        /// The account is a relay of this study already, so there is nothing left to do.
        AlreadyRelay,
        /// The account is not a relay of this study; check the account and the number of the study.
        NotARelay,
        /// The study has as many relays as `maxServers` allows; remove one first.
        TooManyRelays,
        /// The account is the sponsor of this study already, so there is nothing left to do.
        AlreadySponsor,
        /// The title is empty or not UTF-8; give the study a name that people can read.
        IllegibleTitle,
        /// The auditor key is zero or another point of small order, to which no phone can seal its
        /// secret; have the study's auditor make a new X25519 key pair, and give its public half.
        WeakAuditorKey,
        /// The study's auditor has this key already, or had it before; have the auditor make a new X25519 key pair.
        AuditorKeyWasUsed,
        /// The study's auditor key was changed as often as `maxAuditorKeys` allows, so the present one stays;
        /// for another, have the consortium create a new study.
        TooManyAuditorKeys,
        /// The study has enrolled as many devices as it may; the consortium can grant more by
        /// `studies.setAllowance`.
        NoDeviceLeft,
        /// The study has had as many accounts of servers as it may, former ones and those that were
        /// changed among them; ask the consortium for a larger allowance.
        NoAdmissionLeft,
        /// All numbers for studies are used up; no further study can be created here, so begin one on
        /// another chain.
        NoStudyIdLeft,
        /// The account holds no role in this study that it could give up; sign with the account of
        /// the sponsor, the authentication server or the relay.
        NoRoleInStudy,
        /// The chain knows the new account already, as that of somebody who has or had a role, or of a phone; take a new key,
        /// which was never used on this chain, or the one that took the caller's place in another study or in the consortium.
        SuccessorIsNotNew,
        /// The account was given up for another in this study, so that what it did before belongs to
        /// that one; appoint an account of another key.
        AccountWasGivenUp,
        /// The account was changed as often as `maxRotations` allows; ask who appointed it, the
        /// sponsor or for a sponsor the consortium, to appoint the new account instead.
        TooManyRotations,
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Creates an open study without servers, names its sponsor and admits the sponsor to the
        /// chain. For the consortium only. The event `StudyCreated` has the study's number.
        ///
        /// - `sponsor`: the account that will appoint the study's servers.
        /// - `policy`: what the chain demands of a run; cannot be changed later.
        /// - `auditor_key`: X25519 public key to which devices seal their secret; not of small order.
        /// - `title`: the study's name for people, in UTF-8.
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::create_study())]
        pub fn create_study(
            origin: OriginFor<T>,
            sponsor: T::AccountId,
            policy: StudyPolicy,
            auditor_key: [u8; 32],
            title: BoundedVec<u8, T::MaxTitleLength>,
        ) -> DispatchResult {
            T::CreateStudyOrigin::ensure_origin(origin)?;
            Self::do_create_study(sponsor, policy, auditor_key, title)?;
            Ok(())
        }

        /// Closes a study: no devices are enrolled and no entries recorded until it is reopened.
        /// What is recorded stays, and roles keep their holders. For the sponsor only.
        ///
        /// - `study`: the number of the study.
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::close_study())]
        pub fn close_study(origin: OriginFor<T>, study: StudyId) -> DispatchResult {
            Self::ensure_sponsor(origin, study)?;
            Self::do_close_study(study)
        }

        /// Opens a closed study again. For the sponsor only.
        ///
        /// - `study`: the number of the study.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::reopen_study())]
        pub fn reopen_study(origin: OriginFor<T>, study: StudyId) -> DispatchResult {
            Self::ensure_sponsor(origin, study)?;
            Self::do_reopen_study(study)
        }

        /// Lets an account enrol, suspend, resume and retire the devices of a study, and admits it
        /// to the chain. For the sponsor only.
        ///
        /// - `study`: the number of the study, which must be open.
        /// - `account`: the account of the authentication server.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::add_authentication_server())]
        pub fn add_authentication_server(
            origin: OriginFor<T>,
            study: StudyId,
            account: T::AccountId,
        ) -> DispatchResult {
            Self::ensure_sponsor(origin, study)?;
            Self::do_add_authentication_server(study, account)
        }

        /// Takes the role of an authentication server away, at once. The devices that it enrolled
        /// stay as they are. For the sponsor only.
        ///
        /// - `study`: the number of the study; it may be closed.
        /// - `account`: the account of the authentication server, or one that it gave up for its
        ///   present one.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::remove_authentication_server())]
        pub fn remove_authentication_server(
            origin: OriginFor<T>,
            study: StudyId,
            account: T::AccountId,
        ) -> DispatchResult {
            Self::ensure_sponsor(origin, study)?;
            Self::do_remove_authentication_server(study, account)
        }

        /// Lets an account submit runs of a study's devices, and admits it to the chain. For the
        /// sponsor only.
        ///
        /// - `study`: the number of the study, which must be open.
        /// - `account`: the account of the relay.
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::add_relay())]
        pub fn add_relay(
            origin: OriginFor<T>,
            study: StudyId,
            account: T::AccountId,
        ) -> DispatchResult {
            Self::ensure_sponsor(origin, study)?;
            Self::do_add_relay(study, account)
        }

        /// Takes the role of a relay away, at once. What it submitted stays. For the sponsor only.
        ///
        /// - `study`: the number of the study; it may be closed.
        /// - `account`: the account of the relay, or one that it gave up for its present one.
        #[pallet::call_index(6)]
        #[pallet::weight(T::WeightInfo::remove_relay())]
        pub fn remove_relay(
            origin: OriginFor<T>,
            study: StudyId,
            account: T::AccountId,
        ) -> DispatchResult {
            Self::ensure_sponsor(origin, study)?;
            Self::do_remove_relay(study, account)
        }

        /// Names another sponsor for a study, for example because the sponsor lost its key or was
        /// bought by another company. The servers that were appointed stay. For the consortium
        /// only.
        ///
        /// - `study`: the number of the study; it may be closed.
        /// - `sponsor`: the account that answers for the study from now on.
        #[pallet::call_index(7)]
        #[pallet::weight(T::WeightInfo::replace_sponsor())]
        pub fn replace_sponsor(
            origin: OriginFor<T>,
            study: StudyId,
            sponsor: T::AccountId,
        ) -> DispatchResult {
            T::CreateStudyOrigin::ensure_origin(origin)?;
            Self::do_replace_sponsor(study, sponsor)
        }

        /// Moves all roles of the caller in a study to another account of its own, for example
        /// because its key may be known to others. The former account keeps its nonce, so nothing
        /// that it signed can be executed again, and what it did is the new account's doing. A thief
        /// of the key can call this, too; then the sponsor removes the server or relay (by its
        /// former account as well), and the consortium replaces the sponsor.
        ///
        /// - `study`: the number of the study; it may be closed.
        /// - `successor`: the new account, of a key that was never used on this chain; or the one that took the caller's place
        ///   in another study or in the consortium before.
        #[pallet::call_index(8)]
        #[pallet::weight(T::WeightInfo::rotate())]
        pub fn rotate(
            origin: OriginFor<T>,
            study: StudyId,
            successor: T::AccountId,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_rotate(study, who, successor)
        }

        /// Grants a study another allowance: of devices, entries, bytes of runs and new accounts, each
        /// over its whole life, and how many entries one device may have. What it has used stays
        /// counted. For the consortium only.
        ///
        /// - `study`: the number of the study.
        /// - `allowance`: what it may use; a smaller one than before stops what has used more.
        #[pallet::call_index(9)]
        #[pallet::weight(T::WeightInfo::set_allowance())]
        pub fn set_allowance(
            origin: OriginFor<T>,
            study: StudyId,
            allowance: Allowance,
        ) -> DispatchResult {
            T::CreateStudyOrigin::ensure_origin(origin)?;
            Self::do_set_allowance(study, allowance)
        }

        /// Names another key of the study's auditor, for example because the private half of the
        /// present one may be known to others, or because another auditor takes over. Devices that
        /// enrol from now on seal their secret to it, and a new epoch begins. Devices that are
        /// enrolled keep theirs, so the private halves of all former keys are still needed for an
        /// audit. For the sponsor only.
        ///
        /// - `study`: the number of the study; it may be closed.
        /// - `auditor_key`: X25519 public key that the study never had before; not of small order.
        #[pallet::call_index(10)]
        #[pallet::weight(T::WeightInfo::set_auditor_key())]
        pub fn set_auditor_key(
            origin: OriginFor<T>,
            study: StudyId,
            auditor_key: [u8; 32],
        ) -> DispatchResult {
            Self::ensure_sponsor(origin, study)?;
            Self::do_set_auditor_key(study, auditor_key)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn integrity_test() {
            assert!(
                T::MaxTitleLength::get() > 0,
                "MaxTitleLength must not be zero"
            );
            assert!(T::MaxServers::get() > 0, "MaxServers must not be zero");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
