// SPDX-License-Identifier: Apache-2.0

//! A chain of four pallets on which the tests run. Its voters' keys are in the keystore.

use frame_support::{
    derive_impl,
    traits::{ConstU32, ConstU64, OnFinalize, OnInitialize},
};
use frame_system::{pallet_prelude::HeaderFor, EnsureRoot};
use mhealth_justification::Grandpa as GrandpaProofs;
use pallet_session::PeriodicSessions;
use sp_consensus_grandpa::{AuthorityList, KEY_TYPE};
use sp_keystore::{testing::MemoryKeystore, Keystore, KeystoreExt};
use sp_runtime::{
    impl_opaque_keys,
    traits::{ConvertInto, OpaqueKeys},
    BuildStorage,
};

use crate::{self as pallet_finality, signing};

/// How many blocks a session lasts.
pub(crate) const SESSION: u64 = 50;
/// The block in which the fourth validator leaves.
pub(crate) const CHANGE: u64 = 3 * SESSION;
/// How long finality must have stalled.
pub(crate) const LEAST_LAG: u64 = 20;
/// How often nodes show a final block by themselves.
pub(crate) const REPORT_PERIOD: u64 = 6;
/// How long a change by force waits.
pub(crate) const DELAY: u64 = 4;
/// Validators of the first session.
pub(crate) const VALIDATORS: u64 = 4;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Grandpa: pallet_grandpa,
        Session: pallet_session,
        Finality: pallet_finality,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Test>;
    type BlockHashCount = ConstU64<30>;
}

impl_opaque_keys! {
    pub struct MockSessionKeys {
        pub grandpa: Grandpa,
    }
}

impl pallet_grandpa::Config for Test {
    type EquivocationReportSystem = ();
    type KeyOwnerProof = sp_core::Void;
    type MaxAuthorities = ConstU32<8>;
    type MaxNominators = ConstU32<0>;
    type MaxSetIdSessionEntries = ConstU64<0>;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
}

/// Validators 1 to 4, and from block [`CHANGE`] on without the last.
pub struct Leaving;

impl pallet_session::SessionManager<u64> for Leaving {
    fn new_session(index: u32) -> Option<Vec<u64>> {
        (index == 3).then(|| (1..VALIDATORS).collect())
    }
    fn start_session(_: u32) {}
    fn end_session(_: u32) {}
}

impl pallet_session::Config for Test {
    type RuntimeEvent = RuntimeEvent;
    type ValidatorId = u64;
    type ValidatorIdOf = ConvertInto;
    type ShouldEndSession = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type NextSessionRotation = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type SessionManager = Leaving;
    type SessionHandler = <MockSessionKeys as OpaqueKeys>::KeyTypeIdProviders;
    type Keys = MockSessionKeys;
    type DisablingStrategy = ();
    type WeightInfo = ();
    type Currency = pallet_consortium::NoCurrency;
    type KeyDeposit = ConstU32<0>;
}

impl pallet_finality::Config for Test {
    type DecisionOrigin = EnsureRoot<u64>;
    type Delay = ConstU64<DELAY>;
    type LeastLag = ConstU64<LEAST_LAG>;
    type MaxConflicts = ConstU32<2>;
    type MaxProofLength = ConstU32<4_096>;
    type MaxSets = ConstU64<4>;
    type NextSession = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type Proofs = GrandpaProofs<HeaderFor<Test>>;
    type ReportPeriod = ConstU64<REPORT_PERIOD>;
    type WeightInfo = ();
}

/// The chain of a test, before its first block.
pub(crate) fn chain() -> sp_io::TestExternalities {
    let keystore = MemoryKeystore::new();
    let keys = (1..=VALIDATORS).map(|who| {
        let key = keystore.ed25519_generate_new(KEY_TYPE, None);
        let grandpa = key.expect("it has room").into();
        (who, who, MockSessionKeys { grandpa })
    });
    let genesis = RuntimeGenesisConfig {
        session: pallet_session::GenesisConfig {
            keys: keys.collect(),
            ..Default::default()
        },
        ..Default::default()
    };
    let storage = genesis.build_storage().expect("the genesis is accepted");
    let mut chain = sp_io::TestExternalities::new(storage);
    chain.register_extension(KeystoreExt::new(keystore));
    chain
}

/// Runs a test in block 1 and checks the pallet's invariants after it.
pub(crate) fn test(test: impl FnOnce()) {
    chain().execute_with(|| {
        begin(1);
        test();
        end();
        Finality::do_try_state().expect("all invariants hold after the test");
    });
}

fn begin(number: u64) {
    let parent = System::parent_hash();
    let parent = match number {
        1 => parent,
        _ => block_hash(number - 1),
    };
    System::reset_events();
    System::initialize(&number, &parent, &Default::default());
    AllPalletsWithSystem::on_initialize(number);
}

/// Ends the present block, and returns its header's digest.
pub(crate) fn end() -> sp_runtime::Digest {
    AllPalletsWithSystem::on_finalize(System::block_number());
    System::finalize().digest
}

/// Goes on into the block of this number.
pub(crate) fn go_to(number: u64) {
    while System::block_number() < number {
        end();
        begin(System::block_number() + 1);
    }
}

/// The hash that this test's chain has for a block.
pub(crate) fn block_hash(number: u64) -> sp_core::H256 {
    signing::header::<Test>(number, Default::default(), 0).hash()
}

/// The present voters.
pub(crate) fn voters() -> AuthorityList {
    pallet_grandpa::Pallet::<Test>::grandpa_authorities()
}
