// SPDX-License-Identifier: Apache-2.0

//! # Client hashchain pallet
//!
//! Registers what phones measured, and refuses whatever does not follow a phone's own hashchain.
//!
//! ## For those who do not program
//!
//! A phone in a trial numbers its entries and binds each one to the entry before it, with a secret that leaves the
//! phone only sealed to the auditor. This pallet remembers, for every phone, how far its chain has come: its *head*. An
//! entry that names another predecessor than the head is turned away, whoever brings it: a relay server that altered an
//! entry on the way, or a stranger who writes in a patient's name. What is registered can neither be changed nor taken
//! back. The data itself never comes here: only its digest does.
//!
//! ## Overview
//!
//! * An authentication server of a study enrols devices ([`Pallet::enrol`]); the chain computes link 0.
//! * A relay of the study, or the device itself, submits runs of entries: [`Pallet::submit`] for one run, which fails
//!   as a whole when the run is refused, and [`Pallet::submit_batch`], in which every run stands or falls alone and the
//!   evidence of a fork is kept.
//! * The study's sponsor or authentication server suspends, resumes and retires devices. What a server asks for and
//!   cannot be undone waits for the sponsor's veto.
//!
//! ## Goals
//!
//! 1. A run whose `previous` is not the stored head is refused, and nothing changes:
#![doc = docify::embed!("src/tests/submit.rs", a_run_that_does_not_follow_the_head_is_refused)]
//! 2. A retry is harmless: a run that is registered already succeeds without a change:
#![doc = docify::embed!("src/tests/submit.rs", a_run_that_is_registered_already_succeeds_without_a_change)]
//! 3. In a study with the policy `DeviceSigned`, nobody but the device can register anything, and a signed fork
//!    suspends the device:
#![doc = docify::embed!("src/tests/batch.rs", a_signed_fork_is_kept_as_evidence_and_suspends_the_device)]
//!    What a device's key signed against its own history is evidence whatever has become of device or study since, and
//!    the study cannot lift the suspension:
#![doc = docify::embed!("src/tests/forks.rs", a_signed_fork_of_a_suspended_device_is_kept_and_nobody_resumes_it)]
//! 4. What an entry costs does not grow with the number of devices or entries: heads are paged, the journal is written
//!    once, and whoever makes the chain walk back pays a step from a fixed budget for every page of the journal, whether its
//!    entries stood there before or came with the same call.
//! 5. Evidence has a place: rivals that nobody signed cannot take those of signed ones, an account has one of them a device,
//!    and what has no place is counted:
#![doc = docify::embed!("src/tests/forks.rs", unsigned_rivals_leave_the_signed_ones_their_places)]
//! 6. An authentication server cannot end a hashchain against the sponsor's will:
#![doc = docify::embed!("src/tests/retirement.rs", the_sponsor_vetoes_a_retirement_and_the_device_goes_on)]
//! 7. Whoever brings entries again costs nothing to be told so, as far as a study's relays may together; beyond it the sender owes
//!    the bytes, because blocks keep them all the same: see `again`.
//! 8. Nothing is ever deleted, but for journal pages that are older than [`Config::JournalRetention`], which stay
//!    provable from the blocks. That a participant's data were erased elsewhere is written down here, once for each device,
//!    and the device ends with it:
#![doc = docify::embed!("src/tests/erasures.rs", the_sponsor_writes_down_that_a_devices_data_were_erased_and_the_device_ends_with_it)]
//!
//! Source: Motohashi et al., J Med Internet Res 2019;21(5):e13385, Figures 1 to 6.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod again;
mod batch;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod compare;
mod conflicts;
mod devices;
mod erasures;
mod gate;
mod hashing;
mod journal;
#[cfg(test)]
mod mock;
mod own;
mod pages;
mod queries;
mod refusal;
pub mod run_checks;
mod runs;
mod size;
mod status;
#[cfg(test)]
mod tests;
mod try_state;
mod types;
mod walk;
pub mod weights;

pub use gate::{Brought, Gate};
pub use hashing::HostSha256;
pub use pallet::*;
pub use runs::{Entries, RunView, Runs};
use size::BatchSize;
pub use types::*;
pub use weights::WeightInfo;

#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::{dispatch::DispatchResultWithPostInfo, pallet_prelude::*};
    use frame_system::pallet_prelude::*;
    use pallet_client_hashchain_runtime_api::{DeviceView, HeadView, StudyView};
    use pallet_studies::StudyId;
    use sp_core::H256;
    use sp_runtime::{AccountId32, DigestItem};

    /// A [`DeviceRecord`] with this chain's types.
    pub type DeviceRecordOf<T> = DeviceRecord<BlockNumberFor<T>, <T as Config>::MaxEscrowLength>;

    /// A [`HashchainConflict`] with this chain's types.
    pub type ConflictOf<T> =
        HashchainConflict<<T as frame_system::Config>::AccountId, BlockNumberFor<T>>;

    /// [`DeviceConflicts`] with this chain's types.
    pub type DeviceConflictsOf<T> = DeviceConflicts<
        <T as frame_system::Config>::AccountId,
        BlockNumberFor<T>,
        <T as Config>::MaxConflicts,
    >;

    /// An [`ErasureReceipt`] with this chain's types.
    pub type ErasureReceiptOf<T> =
        ErasureReceipt<<T as frame_system::Config>::AccountId, BlockNumberFor<T>>;

    /// Blocks of a day, with one every two seconds.
    const A_DAY: u32 = 43_200;

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of the runtime.
    ///
    /// A device's account is its Ed25519 key, so accounts must be 32 bytes.
    #[pallet::config]
    pub trait Config:
        frame_system::Config<AccountId = AccountId32, RuntimeEvent: From<Event<Self>>>
        + pallet_studies::Config
    {
        /// Most bytes of an escrow. An HPKE sealing of 32 bytes with X25519 takes 81; too small a value keeps every
        /// device from enrolling.
        #[pallet::constant]
        type MaxEscrowLength: Get<u32>;

        /// Most conflicts stored for one device. More are refused all the same, but are only counted.
        #[pallet::constant]
        type MaxConflicts: Get<u32>;

        /// How many of them may be rivals that the device's key did not sign; each account may bring one. The other places
        /// are for signed rivals.
        #[pallet::constant]
        type MaxUnsignedConflicts: Get<u32>;

        /// How many times in a window an authentication server may suspend, resume and retire devices of a study. The
        /// sponsor is not bound.
        #[pallet::constant]
        type MaxStatusChanges: Get<u32>;

        /// Blocks of that window; windows follow each other from the first block on.
        #[pallet::constant]
        type StatusWindow: Get<u32>;

        /// How many pages of the journal one call may walk back over to compare old runs or to locate forks. Pages that the
        /// call itself fills count, too. The whole budget is part of every call's weight, and what is unused is given back.
        #[pallet::constant]
        type WalkBudget: Get<u32>;

        /// How many journal entries stay in state, rounded up to whole pages; none keeps them for ever. Older ones stay
        /// provable from the blocks.
        #[pallet::constant]
        type JournalRetention: Get<Option<u64>>;

        /// What a byte of a run costs the node around the call: it is copied, hashed and kept with the block.
        #[pallet::constant]
        type ByteWeight: Get<Weight>;

        /// What a byte of a page of heads costs the first time that a block changes the page: it is looked up in the
        /// trie, hashed with its node, and written anew.
        #[pallet::constant]
        type PageByteWeight: Get<Weight>;

        /// The transaction around a call: whether it may bring runs here, and who keeps the account of refused ones.
        type Gate: Gate;

        /// Measured weights.
        type WeightInfo: WeightInfo;
    }

    #[pallet::extra_constants]
    impl<T: Config> Pallet<T> {
        /// Most entries in one run.
        #[pallet::constant_name(MaxRunLength)]
        fn max_run_length() -> u32 {
            MAX_RUN_LENGTH
        }

        /// Most runs in one batch.
        #[pallet::constant_name(MaxBatchLength)]
        fn max_batch_length() -> u32 {
            MAX_BATCH_LENGTH
        }

        /// Heads that share one storage value.
        #[pallet::constant_name(HeadsPerPage)]
        fn heads_per_page() -> u32 {
            HEADS_PER_PAGE
        }

        /// Journal entries that share one storage value.
        #[pallet::constant_name(EntriesPerPage)]
        fn entries_per_page() -> u32 {
            ENTRIES_PER_PAGE
        }

        /// How many times as many entries as a study registers all of its relays together may bring again, for nothing.
        #[pallet::constant_name(FreeCopies)]
        fn free_copies() -> u64 {
            crate::again::COPIES
        }

        /// How many entries behind the study a relay may be and still bring them again, for nothing.
        #[pallet::constant_name(FreeReach)]
        fn free_reach() -> u64 {
            crate::again::BEHIND
        }
    }

    /// The number that the next device will get; also how many devices there are.
    #[pallet::storage]
    pub type NextDeviceId<T: Config> = StorageValue<_, DeviceId, ValueQuery>;

    /// What the chain knows about a device beside its head. Absent: the number was never given out.
    #[pallet::storage]
    pub type Devices<T: Config> =
        StorageMap<_, Twox64Concat, DeviceId, DeviceRecordOf<T>, OptionQuery>;

    /// The device that enrolled with an Ed25519 key. Absent: no device ever did. A key serves for one enrolment only.
    #[pallet::storage]
    pub type DeviceByKey<T: Config> =
        StorageMap<_, Blake2_128Concat, [u8; 32], DeviceId, OptionQuery>;

    /// Heads of `HeadsPerPage` devices with neighbouring numbers: page 0 holds the first of them, page 1 those after, and so on.
    /// Absent: none of those numbers was given out.
    #[pallet::storage]
    pub type HeadPages<T: Config> = StorageMap<_, Identity, u32, HeadPage, OptionQuery>;

    /// The Ed25519 keys of the devices whose heads are on the page of the same number. Absent: none of those numbers was given
    /// out.
    #[pallet::storage]
    pub type KeyPages<T: Config> = StorageMap<_, Identity, u32, KeyPage, OptionQuery>;

    /// 64 neighbouring entries of the journal: page `n` holds those from index `64 n` on. Absent: not reached yet, or
    /// older than `JournalRetention`.
    #[pallet::storage]
    pub type JournalPages<T: Config> = StorageMap<_, Identity, u64, JournalPage, OptionQuery>;

    /// Number of entries ever registered, which is the index of the next.
    #[pallet::storage]
    pub type JournalLength<T: Config> = StorageValue<_, EntryIndex, ValueQuery>;

    /// Index of the first entry that the current block adds. It never reaches the state: absent between blocks.
    #[pallet::storage]
    pub type FirstIndexOfBlock<T: Config> = StorageValue<_, EntryIndex, ValueQuery>;

    /// First page of the journal that is still in state.
    #[pallet::storage]
    pub type FirstJournalPage<T: Config> = StorageValue<_, u64, ValueQuery>;

    /// How many blocks pass from when an authentication server asks for the retirement of a device until it holds. The
    /// sponsor can veto it meanwhile. Set at genesis: a day unless told otherwise.
    #[pallet::storage]
    pub type RetirementDelay<T: Config> = StorageValue<_, BlockNumberFor<T>, ValueQuery>;

    /// How many times an authentication server has changed the status of a study's devices in the latest window in which it
    /// did. Absent: never.
    #[pallet::storage]
    pub type StatusChanges<T: Config> = StorageDoubleMap<
        _,
        Twox64Concat,
        StudyId,
        Blake2_128Concat,
        T::AccountId,
        StatusChangeCount<BlockNumberFor<T>>,
        ValueQuery,
    >;

    /// Rival histories brought for a device, and how many of them had no place. Absent: nobody ever contradicted the
    /// device's history.
    #[pallet::storage]
    pub type Conflicts<T: Config> =
        StorageMap<_, Twox64Concat, DeviceId, DeviceConflictsOf<T>, ValueQuery>;

    /// That the data of a device were erased everywhere, on record. Absent: they were not. There is one for a device and it is
    /// never changed; a device that has one registers nothing any more.
    #[pallet::storage]
    pub type Erasures<T: Config> =
        StorageMap<_, Twox64Concat, DeviceId, ErasureReceiptOf<T>, OptionQuery>;

    /// How many entries of a study an account has brought: registered by it, or registered before and brought again for nothing. It
    /// is raised to what the study had some million entries ago. Absent: the account never brought any as a relay of the study.
    #[pallet::storage]
    pub type EntriesBrought<T: Config> =
        StorageDoubleMap<_, Twox64Concat, StudyId, Blake2_128Concat, T::AccountId, u64, ValueQuery>;

    /// How many entries of a study all its relays have brought again for nothing, after they were registered. Absent: none.
    #[pallet::storage]
    pub type EntriesBroughtAgain<T: Config> = StorageMap<_, Twox64Concat, StudyId, u64, ValueQuery>;

    /// What the pallet begins with.
    #[pallet::genesis_config]
    pub struct GenesisConfig<T: Config> {
        /// Blocks until a retirement holds that an authentication server asked for.
        pub retirement_delay: BlockNumberFor<T>,
    }

    impl<T: Config> Default for GenesisConfig<T> {
        fn default() -> Self {
            Self {
                retirement_delay: A_DAY.into(),
            }
        }
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            RetirementDelay::<T>::put(self.retirement_delay);
        }
    }

    /// What has happened to a device or to its entries.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A device was enrolled; its hashchain begins at `genesis`.
        DeviceEnrolled {
            /// The number that it got.
            device: DeviceId,
            /// The study that it belongs to.
            study: StudyId,
            /// Its Ed25519 public key.
            key: [u8; 32],
            /// Link 0 of its hashchain.
            genesis: H256,
            /// The retired device that it goes on from.
            predecessor: Option<DeviceId>,
        },
        /// A run was registered by `submit`.
        RunRecorded {
            /// The device whose entries these are.
            device: DeviceId,
            /// Number of entries that the device now has.
            length: u64,
            /// Its new head.
            head: H256,
            /// Place of the first new entry in the journal.
            first_index: EntryIndex,
            /// How many entries were new.
            entries: u32,
        },
        /// A run was registered before; nothing changed. Retries and second relays see this, and it is a success.
        RunAlreadyRecorded {
            /// The device whose entries these are.
            device: DeviceId,
            /// Sequence of the run's first entry.
            sequence: u64,
            /// How many entries the run has.
            entries: u32,
        },
        /// A batch was processed. Runs that no other event of this call names were registered.
        BatchProcessed {
            /// The account that submitted it.
            submitter: T::AccountId,
            /// Runs that were registered, wholly or from their first new entry on.
            recorded: u32,
            /// Runs that were registered before.
            already_recorded: u32,
            /// Runs that were refused.
            refused: u32,
            /// Place of the batch's first new entry in the journal.
            first_index: EntryIndex,
            /// How many entries were new.
            entries: u32,
        },
        /// A run of a batch was refused; the others were not affected.
        RunRefused {
            /// Place of the run in the batch, from 0.
            position: u32,
            /// The device that the run named.
            device: DeviceId,
            /// Sequence of the run's first entry.
            sequence: u64,
            /// Why it was refused.
            reason: RefusalReason,
        },
        /// Somebody brought a rival history of a device. The evidence is stored once and while it has a place.
        ConflictRecorded {
            /// The device that has two histories.
            device: DeviceId,
            /// First sequence at which they were seen to differ.
            sequence: u64,
            /// The link that is registered there.
            recorded: H256,
            /// The rival's link.
            rival: H256,
            /// Whether the device's own key signed the rival.
            signed: bool,
            /// Whether the evidence was stored now. It is not when it was stored before, or when it has no place and is
            /// only counted.
            stored: bool,
            /// How many rivals of the device were not stored so far, for want of a place.
            not_stored: u32,
        },
        /// A device may not register entries for now.
        DeviceSuspended {
            /// The device.
            device: DeviceId,
            /// Why.
            reason: SuspensionReason,
        },
        /// A device may register entries again.
        DeviceResumed {
            /// The device.
            device: DeviceId,
        },
        /// An authentication server asked to retire a device, which is suspended from now on. The sponsor can veto it.
        RetirementPending {
            /// The device.
            device: DeviceId,
            /// Block from which on it is retired, with its latest entry trusted.
            retires_at: BlockNumberFor<T>,
        },
        /// The sponsor does not want a device retired. It stays suspended until somebody resumes it.
        RetirementVetoed {
            /// The device.
            device: DeviceId,
        },
        /// A device's hashchain has ended. A retirement that an authentication server asked for is reported when it is
        /// written down, which may be later than it holds.
        DeviceRetired {
            /// The device.
            device: DeviceId,
            /// How many of its entries the study trusts.
            trusted_length: u64,
            /// Link of the last trusted entry, to which a successor commits.
            trusted_head: H256,
        },
        /// The data of a device were erased everywhere, on record. Its entries stay registered.
        DeviceErased {
            /// The device.
            device: DeviceId,
            /// Digest of the order to erase them, signed by the holder of the participants' keys, who keeps it on file.
            receipt: H256,
        },
    }

    /// Why a call was refused.
    #[pallet::error]
    pub enum Error<T> {
        /// The run has no entry. Send at least one.
        EmptyRun,
        /// Sequences start at 1 and end at 2⁶⁴ − 1. Correct the run's sequence.
        InvalidSequence,
        /// No device has this number. Enrol the device first, or check that this is the right chain.
        UnknownDevice,
        /// The account is neither a relay of the device's study nor the device itself. The sponsor can add relays.
        NotARelayOfThisStudy,
        /// The study takes no entries any more. Its sponsor can reopen it.
        StudyClosed,
        /// The device is suspended. The study's sponsor or authentication server can resume it.
        DeviceSuspended,
        /// The device is retired. Enrol its successor.
        DeviceRetired,
        /// Entries before this run are missing. Send them first.
        Gap,
        /// The run names a previous link that is not the stored head. Read the device's head: something between the
        /// device and the chain altered or invented entries, or the device was restored from a backup.
        PreviousIsNotHead,
        /// The run differs from what is registered at the same sequence. Submit it in a batch to keep the evidence.
        Fork,
        /// The study asks for the device's signature over the last link of every run. Bring the run with the
        /// signature that the device made.
        SignatureMissing,
        /// The signature is not the device's over this run's last link. The run was altered on its way or comes from
        /// another device. Bring it as the device signed it, under this device's number.
        BadSignature,
        /// The run ends too far before the head to be compared within this call. If it should be registered already,
        /// look its entries up instead; otherwise submit fewer old runs at a time.
        BeyondReach,
        /// The study has registered as many entries, or bytes of runs, as it may (`studies.quotas`). Keep the entries;
        /// the consortium can grant more by `studies.setAllowance`.
        StudyAllowanceUsed,
        /// The device has as many entries as one may have in its study (`studies.quotas`). Keep the entries; the
        /// consortium can grant more by `studies.setAllowance`.
        DeviceAllowanceUsed,
        /// No study has this number. Look it up in `studies.studies`, or check that this is the right chain.
        UnknownStudy,
        /// Only an authentication server of the study enrols devices. The sponsor can add one.
        NotAnAuthenticationServer,
        /// Only the study's sponsor or one of its authentication servers may do this. Sign with the account of one of them.
        NotTheStudysOffice,
        /// A device was enrolled with this key before. Every enrolment takes a new key pair.
        KeyInUse,
        /// The key is one of the few for which anybody can make signatures. Generate a new key pair.
        WeakKey,
        /// The proof is not a signature by the device's key for this chain, study, server, predecessor, secret, escrow, auditor key
        /// and participant. Have the device sign again for the account that enrols it; a proof that was made
        /// for another server is of no use.
        KeyProofFails,
        /// A device without escrow could never be audited. Seal the secure string to the study's auditor key.
        EscrowMissing,
        /// The escrow is for a former key of the study's auditor, or for one that was never there. Read the study again and have
        /// the device seal its secret to the present key; the key before it is taken for `auditorKeyGrace` blocks.
        OtherAuditorEpoch,
        /// The predecessor must be a retired device of the same study. Retire it first, and wait until that holds.
        PredecessorNotRetired,
        /// The predecessor has a successor already. Name that one, once it is retired, or enrol without a predecessor.
        PredecessorHasSuccessor,
        /// The chain has given out all 2³² device numbers. Go on with a study on another chain.
        TooManyDevices,
        /// The device is not active, so it cannot be suspended. A suspended or retired one registers nothing anyway, so
        /// there is nothing left to do.
        NotActive,
        /// The device is not suspended, so it cannot be resumed. An active one needs nothing; for a retired one enrol a
        /// successor.
        NotSuspended,
        /// The device's key signed two histories; nobody can say which the next entry would follow. Retire it and enrol
        /// a successor.
        ForkedDeviceCannotResume,
        /// Only the chain itself suspends for a fork, on proof. Give another reason.
        ForkNeedsProof,
        /// The journal entry is not this device's, or has left the state. Name another.
        NotAnEntryOfThisDevice,
        /// The authentication server has suspended, resumed and retired as many devices as one may within an hour. Wait
        /// for the next, or let the study's sponsor do it, whom this does not bind.
        TooManyStatusChanges,
        /// Only the study's sponsor may do this: distrust entries, veto a retirement, or write down an erasure. Ask the
        /// sponsor, or retire the device with its latest entry trusted.
        OnlyTheSponsor,
        /// The device is to retire at the block that its record names. Wait for that block; or ask the sponsor, who can
        /// veto the retirement and then resume the device, or retire it at once.
        RetirementPending,
        /// No retirement of this device is pending, so there is nothing to veto. One that holds already cannot be undone:
        /// enrol a successor.
        NoRetirementPending,
        /// Runs stand at the top of an extrinsic, where auditors find them, and never within another call. Send
        /// `submit` or `submitBatch` as a transaction of its own.
        RunsWithinAnotherCall,
        /// The device may still register entries, which nobody has erased. Suspend or retire it first.
        StillActive,
        /// It is written down already that this device's data were erased. Look the receipt up in `erasures`.
        AlreadyErased,
        /// The device's data were erased on record, so it cannot be resumed. A participant who comes back enrols another
        /// device.
        DeviceErased,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            FirstIndexOfBlock::<T>::put(JournalLength::<T>::get());
            // At the end, too, for the header.
            T::DbWeight::get().reads(2)
        }

        fn on_finalize(_: BlockNumberFor<T>) {
            FirstIndexOfBlock::<T>::kill();
            let length = JournalLength::<T>::get().encode();
            let item = DigestItem::Consensus(JOURNAL_ENGINE, length);
            frame_system::Pallet::<T>::deposit_log(item);
        }

        fn integrity_test() {
            assert!(
                T::MaxEscrowLength::get() >= ESCROW_LENGTH,
                "a device could not enrol, because its escrow would not fit"
            );
            assert!(
                T::MaxUnsignedConflicts::get() > 0
                    && T::MaxConflicts::get() > T::MaxUnsignedConflicts::get(),
                "unsigned rivals and signed ones both need a place, or there is no evidence"
            );
            assert!(
                T::StatusWindow::get() > 0,
                "changes of a status are counted in windows of at least a block"
            );
            assert!(
                T::WalkBudget::get() >= MAX_RUN_LENGTH,
                "the longest run must be comparable within one call"
            );
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }

    /// What people ask first. The runtime API `HashchainApi` answers the same and more.
    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// The head that the device's next run must follow; none if the number was never given out.
        pub fn head(device: DeviceId) -> Option<HeadView> {
            Self::head_view(device)
        }

        /// All that the chain knows about a device; none if the number was never given out.
        pub fn device(device: DeviceId) -> Option<DeviceView> {
            Self::device_view(device)
        }

        /// A study and its rules; none if there is no such study.
        pub fn study(study: StudyId) -> Option<StudyView<AccountId32>> {
            Self::study_view(study)
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Enrols a device: gives it a number and computes link 0 of its hashchain.
        ///
        /// Called by an authentication server of the study.
        ///
        /// - `study`: the number of the study.
        /// - `key`: the device's Ed25519 public key, which is also its account.
        /// - `secret_commitment`: hash of the device's secret.
        /// - `escrow`: the secret, sealed to the study's auditor.
        /// - `auditor_epoch`: which of the study's auditor keys that was, counted from 0; the present one.
        /// - `participant`: digest of the participant's key, to which the device seals its data.
        /// - `predecessor`: the retired device that this one replaces, if any.
        /// - `key_proof`: signature by the device's key over this chain, the study, the server's account and all of the above.
        ///   Without it nobody can enrol a key that is not theirs to enrol.
        #[pallet::call_index(0)]
        #[pallet::weight(devices::enrolment_weight::<T>())]
        #[allow(
            clippy::too_many_arguments,
            reason = "a call is read by people, argument by argument"
        )]
        pub fn enrol(
            origin: OriginFor<T>,
            study: StudyId,
            key: [u8; 32],
            secret_commitment: H256,
            escrow: BoundedVec<u8, T::MaxEscrowLength>,
            auditor_epoch: u32,
            participant: H256,
            predecessor: Option<DeviceId>,
            key_proof: [u8; 64],
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            let device = devices::NewDevice {
                key,
                secret_commitment,
                escrow,
                auditor_epoch,
                participant,
                predecessor,
            };
            Self::do_enrol(&who, study, device, &key_proof)
        }

        /// Registers one run, or fails with the reason why not.
        ///
        /// A run that is registered already succeeds without a change; one that overlaps the head is registered from
        /// its first new entry on. Because a failed call leaves no trace, not even of a fork, relays use `submit_batch`,
        /// which keeps the evidence.
        #[pallet::call_index(1)]
        #[pallet::weight(BatchSize::from(run).declared::<T>())]
        pub fn submit(origin: OriginFor<T>, run: Run) -> DispatchResultWithPostInfo {
            let who = Self::ensure_brings_runs(origin)?;
            Self::do_submit(who, run)
        }

        /// Registers many runs, each of which stands or falls alone.
        ///
        /// The call itself succeeds. A refused run leaves an event with its place in the batch and its reason, and the
        /// evidence of a fork is stored, a signed one even when the device is suspended or retired or the study closed.
        #[pallet::call_index(2)]
        #[pallet::weight(BatchSize::from(runs).declared::<T>())]
        pub fn submit_batch(origin: OriginFor<T>, runs: Runs) -> DispatchResultWithPostInfo {
            let who = Self::ensure_brings_runs(origin)?;
            Ok(Self::do_submit_batch(who, runs))
        }

        /// Keeps a device from registering entries until it is resumed. Called by the study's sponsor or one of its
        /// authentication servers.
        #[pallet::call_index(3)]
        #[pallet::weight(<T as Config>::WeightInfo::suspend())]
        pub fn suspend(
            origin: OriginFor<T>,
            device: DeviceId,
            reason: SuspensionReason,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_suspend(&who, device, reason)
        }

        /// Lets a suspended device register entries again. Called by the study's sponsor or one of its authentication
        /// servers. A device that signed a fork cannot be resumed, and one that is to retire only after the sponsor's veto.
        #[pallet::call_index(4)]
        #[pallet::weight(<T as Config>::WeightInfo::resume())]
        pub fn resume(origin: OriginFor<T>, device: DeviceId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_resume(&who, device)
        }

        /// Ends a device's hashchain and names the last entry that the study trusts; a successor commits to it. Cannot be
        /// undone.
        ///
        /// Called by the study's sponsor, it holds at once. Called by an authentication server, which can only name the
        /// latest entry, the device is suspended at once and retired after `RetirementDelay` blocks, unless the sponsor
        /// vetoes it.
        #[pallet::call_index(5)]
        #[pallet::weight(<T as Config>::WeightInfo::retire().max(<T as Config>::WeightInfo::retire_later()))]
        pub fn retire(
            origin: OriginFor<T>,
            device: DeviceId,
            last_trusted: LastTrusted,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_retire(&who, device, last_trusted)
        }

        /// Ends a retirement that an authentication server asked for and that does not hold yet. Called by the study's
        /// sponsor. The device stays suspended until it is resumed.
        #[pallet::call_index(6)]
        #[pallet::weight(<T as Config>::WeightInfo::veto_retirement())]
        pub fn veto_retirement(origin: OriginFor<T>, device: DeviceId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_veto_retirement(&who, device)
        }

        /// Writes down that the data of a device were erased everywhere. Called by the study's sponsor, when the device is
        /// suspended or retired and the relays have erased what they kept. Cannot be undone: audits call its entries erased
        /// from then on, and the device is never resumed.
        ///
        /// - `device`: the device.
        /// - `receipt`: digest of the order to erase, signed by the holder of the participants' keys, as
        ///   `mhealth-data erase` prints it.
        #[pallet::call_index(7)]
        #[pallet::weight(<T as Config>::WeightInfo::erase())]
        pub fn erase(origin: OriginFor<T>, device: DeviceId, receipt: H256) -> DispatchResult {
            let who = ensure_signed(origin)?;
            Self::do_erase(&who, device, receipt)
        }
    }
}
