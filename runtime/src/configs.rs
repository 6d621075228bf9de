// SPDX-License-Identifier: Apache-2.0

//! How the pallets of this runtime are set up.

use frame_support::{
    derive_impl,
    traits::{ConstBool, ConstU32, ConstU64, Contains, EitherOfDiverse, NeverEnsureOrigin},
};
use frame_system::{
    offchain::{CreateBare, CreateTransactionBase},
    EnsureRoot,
};
use pallet_collective::{EnsureProportionAtLeast, EnsureProportionMoreThan};
use pallet_consortium::Collective;
use pallet_session::disabling::UpToLimitDisablingStrategy;
use pallet_studies::{Allowance, Amounts};
use sp_consensus_aura::sr25519::AuthorityId as AuraId;
use sp_runtime::traits::OpaqueKeys;

use crate::{
    admission::Admitted,
    limits::{
        ByteWeight, DatabaseWeight, MaxProposalWeight, PageByteWeight, RuntimeBlockLength,
        RuntimeBlockWeights, DAYS, FINALITY_PROOF_BYTES, FINAL_REPORT, FORCED_DELAY, HOURS,
        LEAST_LAG, MAX_AUTHORITIES, MAX_TRANSACTION, MOTION, MOTIONS_PER_MEMBER,
        REMEMBERED_SESSIONS, SESSION, SLOT_MILLISECONDS, URGENT, URGENT_VOTES_PER_MEMBER,
    },
    AccountId, Aura, Block, BlockNumber, Consortium, Council, Hash, Header, Nonce, PalletInfo,
    Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, RuntimeTask, Session, SessionKeys,
    UncheckedExtrinsic, VERSION,
};

frame_support::parameter_types! {
    /// The version, as a constant of the metadata.
    pub const Version: sp_version::RuntimeVersion = VERSION;
}

/// For how many blocks the chain remembers block hashes: 80 minutes, and thereby how long a mortal transaction may live.
const BLOCK_HASHES: BlockNumber = 2_400;

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type AccountId = AccountId;
    type Block = Block;
    type BlockHashCount = ConstU32<BLOCK_HASHES>;
    type BlockLength = RuntimeBlockLength;
    type BlockWeights = RuntimeBlockWeights;
    type DbWeight = DatabaseWeight;
    type ExtensionsWeightInfo = frame_system::SubstrateExtensionsWeight<Runtime>;
    type Hash = Hash;
    type Nonce = Nonce;
    type SS58Prefix = frame_support::traits::ConstU16<42>;
    type SystemWeightInfo = frame_system::weights::SubstrateWeight<Runtime>;
    type Version = Version;
}

impl pallet_timestamp::Config for Runtime {
    type MinimumPeriod = ConstU64<{ SLOT_MILLISECONDS / 2 }>;
    type Moment = u64;
    type OnTimestampSet = Aura;
    type WeightInfo = pallet_timestamp::weights::SubstrateWeight<Runtime>;
}

impl pallet_aura::Config for Runtime {
    type AllowMultipleBlocksPerSlot = ConstBool<false>;
    type AuthorityId = AuraId;
    type DisabledValidators = Session;
    type MaxAuthorities = ConstU32<MAX_AUTHORITIES>;
    type SlotDuration = ConstU64<SLOT_MILLISECONDS>;
}

/// Who votes twice is recorded, and makes no blocks for the rest of the session. What else follows, the consortium decides:
/// it knows its members by contract, and there is no stake to take.
impl pallet_grandpa::Config for Runtime {
    type EquivocationReportSystem = pallet_accountability::VoteReports<Runtime>;
    type KeyOwnerProof = pallet_accountability::KnownOwner;
    type MaxAuthorities = ConstU32<MAX_AUTHORITIES>;
    type MaxNominators = ConstU32<0>;
    // A session may have a set of its own.
    type MaxSetIdSessionEntries = ConstU64<{ REMEMBERED_SESSIONS as u64 }>;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
}

/// Sessions of a fixed length from the first block on.
type Sessions = pallet_session::PeriodicSessions<ConstU32<SESSION>, ConstU32<0>>;

impl pallet_session::Config for Runtime {
    type Currency = pallet_consortium::NoCurrency;
    type DisablingStrategy = UpToLimitDisablingStrategy;
    type KeyDeposit = ConstU32<0>;
    type Keys = SessionKeys;
    type NextSessionRotation = Sessions;
    type RuntimeEvent = RuntimeEvent;
    type SessionHandler = pallet_accountability::WithRosters<
        Runtime,
        <SessionKeys as OpaqueKeys>::KeyTypeIdProviders,
    >;
    type SessionManager = Consortium;
    type ShouldEndSession = Sessions;
    type ValidatorId = AccountId;
    type ValidatorIdOf = pallet_consortium::NoteSessionKeys<Runtime>;
    type WeightInfo = pallet_consortium::SessionWeight<Runtime>;
}

impl pallet_accountability::Config for Runtime {
    type MaxOffences = ConstU32<64>;
    type MaxValidators = ConstU32<MAX_AUTHORITIES>;
    type RememberedSessions = ConstU32<REMEMBERED_SESSIONS>;
    type WeightInfo = pallet_accountability::weights::SubstrateWeight<Runtime>;
}

/// Transactions that the runtime makes in a node: reports, which nobody signs.
impl<C> CreateTransactionBase<C> for Runtime
where
    RuntimeCall: From<C>,
{
    type Extrinsic = UncheckedExtrinsic;
    type RuntimeCall = RuntimeCall;
}

impl<C> CreateBare<C> for Runtime
where
    RuntimeCall: From<C>,
{
    fn create_bare(call: RuntimeCall) -> UncheckedExtrinsic {
        UncheckedExtrinsic::new_bare(call)
    }
}

/// Two thirds of the member organisations, or Root, as which nobody but two thirds of them can act.
type TwoThirds =
    EitherOfDiverse<EnsureRoot<AccountId>, EnsureProportionAtLeast<AccountId, Collective, 2, 3>>;

/// More than half of the member organisations: what a study needs, which binds nobody but its sponsor, and what cancels a
/// motion, which they could vote down in any case.
type MoreThanHalf =
    EitherOfDiverse<EnsureRoot<AccountId>, EnsureProportionMoreThan<AccountId, Collective, 1, 2>>;

impl pallet_collective::Config<Collective> for Runtime {
    // Its reads and writes are within the weight of `propose`, which was measured with a currency.
    type Consideration = pallet_consortium::Place<Runtime>;
    type DefaultVote = pallet_consortium::AbstentionsAreNays;
    type DisapproveOrigin = MoreThanHalf;
    type KillOrigin = MoreThanHalf;
    type MaxMembers = ConstU32<MAX_AUTHORITIES>;
    // Every member's places, so that none ever waits for another's.
    type MaxProposals = ConstU32<{ MOTIONS_PER_MEMBER * MAX_AUTHORITIES }>;
    type MaxProposalWeight = MaxProposalWeight;
    type MotionDuration = ConstU32<MOTION>;
    type Proposal = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type RuntimeOrigin = RuntimeOrigin;
    // The members come from pallet-membership alone.
    type SetMembersOrigin = NeverEnsureOrigin<()>;
    type WeightInfo = pallet_collective::weights::SubstrateWeight<Runtime>;
}

impl pallet_membership::Config<Collective> for Runtime {
    // Members come and go by the calls of pallet-consortium, which never leave none or two; ...
    type AddOrigin = NeverEnsureOrigin<()>;
    type MaxMembers = ConstU32<MAX_AUTHORITIES>;
    type MembershipChanged = pallet_consortium::AdmitMembers<Runtime, Council>;
    type MembershipInitialized = pallet_consortium::AdmitMembers<Runtime, Council>;
    // ... there is no member whose voice counts for those who are silent; ...
    type PrimeOrigin = NeverEnsureOrigin<()>;
    type RemoveOrigin = NeverEnsureOrigin<()>;
    // ... and what is left here is to put one member in another's place.
    type ResetOrigin = NeverEnsureOrigin<()>;
    type RuntimeEvent = RuntimeEvent;
    type SwapOrigin = TwoThirds;
    type WeightInfo = pallet_consortium::MembershipWeight<Runtime>;
}

impl pallet_consortium::Config for Runtime {
    type DecisionOrigin = TwoThirds;
    type Guarded = Guarded;
    type MaxValidators = ConstU32<MAX_AUTHORITIES>;
    type MotionsPerMember = ConstU32<MOTIONS_PER_MEMBER>;
    type RuntimeCall = RuntimeCall;
    type SessionKeyPeriod = ConstU32<DAYS>;
    type Succession = Admitted;
    type UrgentPeriod = ConstU32<URGENT>;
    type UrgentVotesPerMember = ConstU32<URGENT_VOTES_PER_MEMBER>;
    type WeightInfo = pallet_consortium::weights::SubstrateWeight<Runtime>;
}

/// What not even root does: this would end finality when it is done while finality is alive, so `finality.noteStalled`, which asks
/// for proofs, stands in its place. Whoever installs another runtime can do without it; it is a rail, not a wall.
pub struct Guarded;

impl Contains<RuntimeCall> for Guarded {
    fn contains(call: &RuntimeCall) -> bool {
        matches!(
            call,
            RuntimeCall::Grandpa(pallet_grandpa::Call::note_stalled { .. })
        )
    }
}

impl pallet_finality::Config for Runtime {
    type DecisionOrigin = TwoThirds;
    type Delay = ConstU32<FORCED_DELAY>;
    type LeastLag = ConstU32<LEAST_LAG>;
    type MaxConflicts = ConstU32<32>;
    type MaxProofLength = ConstU32<FINALITY_PROOF_BYTES>;
    type MaxSets = ConstU64<32>;
    type NextSession = Sessions;
    type Proofs = mhealth_justification::Grandpa<Header>;
    type ReportPeriod = ConstU32<FINAL_REPORT>;
    type WeightInfo = pallet_finality::weights::SubstrateWeight<Runtime>;
}

frame_support::parameter_types! {
    /// More than a large study needs: ten million phones, an entry a second of each of a hundred thousand for two years.
    /// The consortium grants less or more.
    pub const DefaultAllowance: Allowance = Allowance {
        study: Amounts {
            devices: 10_000_000,
            entries: 6_000_000_000_000,
            bytes: 1_000_000_000_000_000,
            admissions: 4_096,
        },
        device_entries: 1_000_000_000,
    };
}

impl pallet_studies::Config for Runtime {
    // An hour: for enrolments that were on their way.
    type AuditorKeyGrace = ConstU32<HOURS>;
    type CreateStudyOrigin = MoreThanHalf;
    type DefaultAllowance = DefaultAllowance;
    type MaxRotations = ConstU32<8>;
    type OnRotate = Admitted;
    type MaxServers = ConstU32<64>;
    type MaxTitleLength = ConstU32<128>;
    type WeightInfo = pallet_studies::weights::SubstrateWeight<Runtime>;
}

frame_support::parameter_types! {
    /// For ever.
    pub const JournalRetention: Option<u64> = None;
}

impl pallet_client_hashchain::Config for Runtime {
    type ByteWeight = ByteWeight;
    type Gate = Admitted;
    type PageByteWeight = PageByteWeight;
    type JournalRetention = JournalRetention;
    type MaxConflicts = ConstU32<16>;
    type MaxUnsignedConflicts = ConstU32<12>;
    type MaxEscrowLength = ConstU32<128>;
    type MaxStatusChanges = ConstU32<256>;
    type StatusWindow = ConstU32<HOURS>;
    type WalkBudget = ConstU32<512>;
    type WeightInfo = pallet_client_hashchain::weights::SubstrateWeight<Runtime>;
}

impl pallet_admission::Config for Runtime {
    type MaxLength = ConstU32<MAX_TRANSACTION>;
    type Rules = Admitted;
}
