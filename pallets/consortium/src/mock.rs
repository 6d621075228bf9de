// SPDX-License-Identifier: Apache-2.0

//! A chain of five pallets on which the tests run: a consortium as the runtime has it.

use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstU32, ConstU64, Contains, EitherOfDiverse, NeverEnsureOrigin},
    weights::Weight,
};
use frame_system::EnsureRoot;
use pallet_collective::{EnsureProportionAtLeast, EnsureProportionMoreThan, Instance1};
use pallet_session::PeriodicSessions;
use sp_runtime::{impl_opaque_keys, testing::UintAuthorityId, BuildStorage};

use crate::{
    self as pallet_consortium, AbstentionsAreNays, AdmitMembers, NoCurrency, NoteSessionKeys, Place,
};

/// The members of the mock's genesis.
pub(crate) const MEMBERS: [u64; 4] = [1, 2, 3, 4];
/// The validators of the mock's genesis: three of the members.
pub(crate) const VALIDATORS: [u64; 3] = [1, 2, 3];
/// Neither member nor validator, but with session keys.
pub(crate) const CANDIDATE: u64 = 8;
/// Neither member nor validator, without session keys.
pub(crate) const STRANGER: u64 = 9;
/// How many blocks a session lasts.
pub(crate) const SESSION: u64 = 5;
/// For how many blocks a validator that has changed its session keys keeps them.
pub(crate) const SESSION_KEY_PERIOD: u64 = 12;
/// How many blocks an urgent vote counts.
pub(crate) const URGENT: u64 = 10;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Session: pallet_session,
        Council: pallet_collective::<Instance1>,
        Members: pallet_membership::<Instance1>,
        Consortium: pallet_consortium,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Test>;
}

impl_opaque_keys! {
    pub struct MockSessionKeys {
        pub dummy: UintAuthorityId,
    }
}

impl pallet_session::Config for Test {
    type RuntimeEvent = RuntimeEvent;
    type ValidatorId = u64;
    type ValidatorIdOf = NoteSessionKeys<Test>;
    type ShouldEndSession = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type NextSessionRotation = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type SessionManager = Consortium;
    type SessionHandler = pallet_session::TestSessionHandler;
    type Keys = MockSessionKeys;
    type DisablingStrategy = ();
    type WeightInfo = ();
    type Currency = NoCurrency;
    type KeyDeposit = ConstU32<0>;
}

type TwoThirds = EitherOfDiverse<EnsureRoot<u64>, EnsureProportionAtLeast<u64, Instance1, 2, 3>>;

type MoreThanHalf =
    EitherOfDiverse<EnsureRoot<u64>, EnsureProportionMoreThan<u64, Instance1, 1, 2>>;

parameter_types! {
    pub const MaxProposalWeight: Weight = Weight::MAX;
    /// How many validators there may be.
    pub static MaxValidators: u32 = 5;
}

impl pallet_collective::Config<Instance1> for Test {
    type RuntimeOrigin = RuntimeOrigin;
    type Proposal = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type MotionDuration = ConstU64<20>;
    type MaxProposals = ConstU32<16>;
    type MaxMembers = ConstU32<8>;
    type DefaultVote = AbstentionsAreNays;
    type WeightInfo = ();
    type SetMembersOrigin = NeverEnsureOrigin<()>;
    type MaxProposalWeight = MaxProposalWeight;
    type DisapproveOrigin = MoreThanHalf;
    type KillOrigin = MoreThanHalf;
    type Consideration = Place<Test>;
}

impl pallet_membership::Config<Instance1> for Test {
    type RuntimeEvent = RuntimeEvent;
    type AddOrigin = NeverEnsureOrigin<()>;
    type RemoveOrigin = NeverEnsureOrigin<()>;
    type SwapOrigin = TwoThirds;
    type ResetOrigin = NeverEnsureOrigin<()>;
    type PrimeOrigin = NeverEnsureOrigin<()>;
    type MembershipInitialized = AdmitMembers<Test, Council>;
    type MembershipChanged = AdmitMembers<Test, Council>;
    type MaxMembers = ConstU32<8>;
    type WeightInfo = ();
}

/// Stands for what another call does with more checks.
pub struct Halting;

impl Contains<RuntimeCall> for Halting {
    fn contains(call: &RuntimeCall) -> bool {
        matches!(
            call,
            RuntimeCall::System(frame_system::Call::kill_storage { .. })
        )
    }
}

impl pallet_consortium::Config for Test {
    type RuntimeCall = RuntimeCall;
    type DecisionOrigin = TwoThirds;
    type Guarded = Halting;
    type MotionsPerMember = ConstU32<2>;
    type SessionKeyPeriod = ConstU64<SESSION_KEY_PERIOD>;
    type Succession = ();
    type UrgentPeriod = ConstU64<URGENT>;
    type UrgentVotesPerMember = ConstU32<2>;
    type MaxValidators = MaxValidators;
    type WeightInfo = ();
}

/// Builds the chain of a test, with [`MEMBERS`].
pub(crate) struct ExtBuilder;

/// Builds the chain of a test whose members are these.
pub(crate) struct WithMembers(Vec<u64>);

impl ExtBuilder {
    /// Begins with other members.
    pub(crate) fn with_members(members: &[u64]) -> WithMembers {
        WithMembers(members.to_vec())
    }

    /// The state after genesis, in block 1, so that events are kept.
    pub(crate) fn build(self) -> sp_io::TestExternalities {
        Self::with_members(&MEMBERS).build()
    }

    /// Runs a test and checks the pallet's invariants after it.
    pub(crate) fn build_and_execute(self, test: impl FnOnce()) {
        Self::with_members(&MEMBERS).build_and_execute(test);
    }
}

impl WithMembers {
    /// The state after genesis, in block 1, so that events are kept.
    pub(crate) fn build(self) -> sp_io::TestExternalities {
        let with_keys = |who: u64| (who, who, keys(who));
        let genesis = RuntimeGenesisConfig {
            session: pallet_session::GenesisConfig {
                keys: VALIDATORS.map(with_keys).to_vec(),
                non_authority_keys: vec![with_keys(CANDIDATE)],
            },
            members: pallet_membership::GenesisConfig {
                members: self.0.try_into().expect("they are few"),
                ..Default::default()
            },
            ..Default::default()
        };
        let storage = genesis.build_storage().expect("the genesis is accepted");
        let mut ext = sp_io::TestExternalities::new(storage);
        ext.execute_with(|| System::set_block_number(1));
        ext
    }

    /// Runs a test and checks the pallet's invariants after it.
    pub(crate) fn build_and_execute(self, test: impl FnOnce()) {
        self.build().execute_with(|| {
            test();
            Consortium::do_try_state().expect("all invariants hold after the test");
        });
    }
}

/// The session keys of an account.
pub(crate) fn keys(who: u64) -> MockSessionKeys {
    let dummy = UintAuthorityId(who);
    MockSessionKeys { dummy }
}
