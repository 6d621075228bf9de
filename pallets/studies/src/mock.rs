// SPDX-License-Identifier: Apache-2.0

//! A chain of two pallets on which the tests run.

use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstU32, ConstU64},
    BoundedVec,
};
use frame_system::EnsureSignedBy;
use sp_core::H256;
use sp_runtime::BuildStorage;

use crate as pallet_studies;
use crate::{Allowance, Amounts, GenesisStudy, StudyId, StudyPolicy};

/// Stands for the consortium.
pub(crate) const CONSORTIUM: u64 = 1;
/// Sponsor of [`STUDY`].
pub(crate) const SPONSOR: u64 = 2;
/// Authentication server of [`STUDY`].
pub(crate) const AUTHENTICATION_SERVER: u64 = 3;
/// Relay of [`STUDY`].
pub(crate) const RELAY: u64 = 4;
/// Holds no role.
pub(crate) const STRANGER: u64 = 9;
/// The study of the mock's genesis, unless built without.
pub(crate) const STUDY: StudyId = 0;
/// A number that no study has.
pub(crate) const NO_STUDY: StudyId = 77;
/// For how many blocks the auditor key before the present one is taken.
pub(crate) const AUDITOR_KEY_GRACE: u64 = 5;
/// Stands for an auditor's public key.
pub(crate) const AUDITOR_KEY: [u8; 32] = [7; 32];

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Studies: pallet_studies,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Test>;
}

parameter_types! {
    /// How many servers of a kind a study may have.
    pub static MaxServers: u32 = 3;
    /// What a study may use until it is granted something else.
    pub const DefaultAllowance: Allowance = Allowance {
        study: Amounts {
            devices: 2,
            entries: 100,
            bytes: 10_000,
            admissions: 100,
        },
        device_entries: 80,
    };
    /// How many times an account may be changed.
    pub static MaxRotations: u32 = 4;
}

frame_support::ord_parameter_types! {
    pub const Consortium: u64 = CONSORTIUM;
}

impl pallet_studies::Config for Test {
    type AuditorKeyGrace = ConstU64<AUDITOR_KEY_GRACE>;
    type CreateStudyOrigin = EnsureSignedBy<Consortium, u64>;
    type MaxTitleLength = ConstU32<32>;
    type DefaultAllowance = DefaultAllowance;
    type MaxServers = MaxServers;
    type MaxRotations = MaxRotations;
    type OnRotate = ();
    type WeightInfo = ();
}

/// A title as `create_study` takes it.
pub(crate) fn title(text: &str) -> BoundedVec<u8, ConstU32<32>> {
    text.as_bytes()
        .to_vec()
        .try_into()
        .expect("test titles are short")
}

/// The genesis entry of [`STUDY`].
pub(crate) fn genesis_study() -> GenesisStudy<u64> {
    GenesisStudy {
        title: "Insomnia".into(),
        sponsor: SPONSOR,
        policy: StudyPolicy::DeviceSigned,
        auditor_key: H256(AUDITOR_KEY),
        authentication_servers: vec![AUTHENTICATION_SERVER],
        relays: vec![RELAY],
    }
}

/// Builds the chain of a test.
pub(crate) struct ExtBuilder {
    studies: Vec<GenesisStudy<u64>>,
}

impl Default for ExtBuilder {
    fn default() -> Self {
        Self {
            studies: vec![genesis_study()],
        }
    }
}

impl ExtBuilder {
    /// Replaces [`STUDY`] by other studies, or by none.
    pub(crate) fn studies(mut self, studies: Vec<GenesisStudy<u64>>) -> Self {
        self.studies = studies;
        self
    }

    /// The state after genesis, in block 1, so that events are kept.
    pub(crate) fn build(self) -> sp_io::TestExternalities {
        let genesis = RuntimeGenesisConfig {
            studies: pallet_studies::GenesisConfig {
                studies: self.studies,
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
            Studies::do_try_state().expect("all invariants hold after the test");
        });
    }
}

/// The pallet's last event.
pub(crate) fn last_event() -> Option<pallet_studies::Event<Test>> {
    System::read_events_for_pallet().pop()
}
