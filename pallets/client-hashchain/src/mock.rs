// SPDX-License-Identifier: Apache-2.0

//! A chain of three pallets on which the tests run, and phones that make real entries for it.

use crate::{
    self as pallet_client_hashchain, types::*, Brought, Event, Gate, HostSha256, LastTrusted,
    Pallet, Runs,
};
use codec::Encode;
use frame_support::{
    assert_ok, derive_impl, parameter_types,
    traits::{ConstU32, ConstU64},
    weights::{RuntimeDbWeight, Weight},
};
use frame_system::EnsureRoot;
use hashchain::LinkHash;
use pallet_studies::{Allowance, Amounts, GenesisStudy, StudyId, StudyPolicy};
use sp_core::{ed25519, Pair, H256};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage};

pub(crate) type HashchainPallet = Pallet<Test>;

/// Blocks until a server's retirement holds.
pub(crate) const RETIREMENT_DELAY: u64 = 10;

/// For how many blocks the auditor key before the present one is taken.
pub(crate) const AUDITOR_KEY_GRACE: u64 = 5;

/// Changes of a status that the servers of a study may make in a window, and the window's blocks.
pub(crate) const MAX_STATUS_CHANGES: u32 = 6;
pub(crate) const STATUS_WINDOW: u32 = 100;

/// Study 0: `HashchainOnly`.
pub(crate) const PAPER: StudyId = 0;
/// Study 1: `DeviceSigned`.
pub(crate) const SIGNED: StudyId = 1;

pub(crate) const SPONSOR: AccountId32 = AccountId32::new([1; 32]);
pub(crate) const AUTHENTICATION_SERVER: AccountId32 = AccountId32::new([2; 32]);
pub(crate) const RELAY: AccountId32 = AccountId32::new([3; 32]);
pub(crate) const SECOND_RELAY: AccountId32 = AccountId32::new([4; 32]);
pub(crate) const THIRD_RELAY: AccountId32 = AccountId32::new([6; 32]);
/// Study 2: `DeviceSigned`, with servers of its own.
pub(crate) const FOREIGN: StudyId = 2;
/// Relay of the third study.
pub(crate) const FOREIGN_RELAY: AccountId32 = AccountId32::new([5; 32]);

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Studies: pallet_studies,
        ClientHashchain: pallet_client_hashchain,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type AccountId = AccountId32;
    type DbWeight = DatabaseWeight;
    type Block = frame_system::mocking::MockBlock<Test>;
    type Lookup = IdentityLookup<AccountId32>;
}

parameter_types! {
    /// What a study of these tests may use.
    pub static DefaultAllowance: Allowance = Allowance {
        study: Amounts {
            devices: 10_000,
            entries: u64::MAX,
            bytes: u64::MAX,
            admissions: 100,
        },
        device_entries: u64::MAX,
    };
}

impl pallet_studies::Config for Test {
    type AuditorKeyGrace = ConstU64<AUDITOR_KEY_GRACE>;
    type CreateStudyOrigin = EnsureRoot<AccountId32>;
    type MaxTitleLength = ConstU32<32>;
    type MaxServers = ConstU32<4>;
    type DefaultAllowance = DefaultAllowance;
    type MaxRotations = ConstU32<4>;
    type OnRotate = ();
    type WeightInfo = ();
}

parameter_types! {
    pub static JournalRetention: Option<u64> = None;
    pub static WalkBudget: u32 = 256;
    pub static DatabaseWeight: RuntimeDbWeight = RuntimeDbWeight { read: 0, write: 0 };
    pub static ByteWeight: Weight = Weight::from_parts(1_000, 0);
    pub static PageByteWeight: Weight = Weight::from_parts(100, 0);
    /// What the last call told of its runs.
    pub static Told: Brought = Brought::default();
}

/// Every call stands at the top.
impl Gate for Told {
    fn at_top_level() -> bool {
        true
    }

    fn note(brought: Brought) {
        Self::set(brought);
    }
}

impl pallet_client_hashchain::Config for Test {
    type ByteWeight = ByteWeight;
    type PageByteWeight = PageByteWeight;
    type MaxEscrowLength = ConstU32<128>;
    type MaxConflicts = ConstU32<4>;
    type MaxUnsignedConflicts = ConstU32<2>;
    type Gate = Told;
    type MaxStatusChanges = ConstU32<MAX_STATUS_CHANGES>;
    type StatusWindow = ConstU32<STATUS_WINDOW>;
    type WalkBudget = WalkBudget;
    type JournalRetention = JournalRetention;
    type WeightInfo = ();
}

/// A fresh chain with three studies.
pub(crate) fn new_test_ext() -> sp_io::TestExternalities {
    let study = |policy, relays| GenesisStudy {
        title: "Insomnia".into(),
        sponsor: SPONSOR,
        policy,
        auditor_key: H256(AUDITOR_KEY),
        authentication_servers: vec![AUTHENTICATION_SERVER],
        relays,
    };
    RuntimeGenesisConfig {
        studies: pallet_studies::GenesisConfig {
            studies: vec![
                study(
                    StudyPolicy::HashchainOnly,
                    vec![RELAY, SECOND_RELAY, THIRD_RELAY],
                ),
                study(StudyPolicy::DeviceSigned, vec![RELAY, SECOND_RELAY]),
                study(StudyPolicy::DeviceSigned, vec![FOREIGN_RELAY]),
            ],
        },
        client_hashchain: pallet_client_hashchain::GenesisConfig {
            retirement_delay: RETIREMENT_DELAY,
        },
        ..Default::default()
    }
    .build_storage()
    .expect("the genesis of the tests is sound")
    .into()
}

/// A fresh chain whose node keeps keys, for the benchmarks.
#[cfg(feature = "runtime-benchmarks")]
pub(crate) fn with_keystore() -> sp_io::TestExternalities {
    use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
    let mut ext = new_test_ext();
    ext.register_extension(KeystoreExt::new(MemoryKeystore::new()));
    ext
}

/// Brings a batch, of which bytes cost nothing, and returns what it is charged.
pub(crate) fn charged(who: AccountId32, runs: Runs) -> u64 {
    ByteWeight::set(Weight::zero());
    PageByteWeight::set(Weight::zero());
    ClientHashchain::submit_batch(RuntimeOrigin::signed(who), runs)
        .expect("a batch succeeds")
        .actual_weight
        .expect("the weight is measured")
        .ref_time()
}

/// Runs a test on a fresh chain and checks the pallet's invariants after it.
pub(crate) fn run(test: impl FnOnce()) {
    new_test_ext().execute_with(|| {
        System::set_block_number(1);
        test();
        assert_ok!(HashchainPallet::do_try_state());
    });
}

/// What devices of the tests commit to, what they escrow, and the digest of their participants' key. The chain looks into none.
pub(crate) const COMMITMENT: [u8; 32] = [8; 32];
/// The auditor's key of all studies.
pub(crate) const AUDITOR_KEY: [u8; 32] = [7; 32];
pub(crate) const PARTICIPANT: H256 = H256([6; 32]);
pub(crate) const ESCROW: [u8; ESCROW_LENGTH as usize] = [9; ESCROW_LENGTH as usize];

/// A phone that keeps its own hashchain. The chain does not check tags, so a hash of the sequence serves as one.
#[derive(Clone)]
pub(crate) struct Phone {
    pub(crate) pair: ed25519::Pair,
    pub(crate) id: DeviceId,
    pub(crate) length: u64,
    pub(crate) head: H256,
}

impl Phone {
    /// A phone that is enrolled in `study`; `seed` makes its key.
    pub(crate) fn enrolled(study: StudyId, seed: u8) -> Self {
        Self::succeeding(study, seed, None)
    }

    /// A phone that goes on from a retired one.
    pub(crate) fn succeeding(study: StudyId, seed: u8, predecessor: Option<DeviceId>) -> Self {
        let pair = ed25519::Pair::from_seed(&[seed; 32]);
        assert_ok!(enrol(study, &pair, predecessor));
        let id = crate::NextDeviceId::<Test>::get() - 1;
        let head = HashchainPallet::head_of(id).expect("just enrolled").hash;
        Self {
            pair,
            id,
            length: 0,
            head,
        }
    }

    pub(crate) fn pair_key(&self) -> [u8; 32] {
        self.pair.public().0
    }

    pub(crate) fn account(&self) -> AccountId32 {
        AccountId32::new(self.pair.public().0)
    }

    /// The next `entries` entries, signed. `salt` tells different data apart.
    pub(crate) fn run(&mut self, entries: u32, salt: u8) -> Run {
        let (sequence, previous) = (self.length + 1, self.head);
        let entry = |sequence| RunEntry {
            digest: hash((sequence, salt, "digest")),
            tag: hash((sequence, salt, "tag")),
        };
        let entries: Vec<_> = (sequence..).take(entries as usize).map(entry).collect();
        let mut run = Run {
            device: self.id,
            sequence,
            previous,
            entries: entries.try_into().expect("runs of the tests are short"),
            signature: None,
        };
        self.length = sequence - 1 + run.entries.len() as u64;
        self.head = run.last_link();
        run.signature = Some(self.sign());
        run
    }

    pub(crate) fn sign(&self) -> [u8; 64] {
        self.pair
            .sign(&hashchain::head_message(&LinkHash(self.head.0)))
            .0
    }

    /// Makes `entries` entries and has them registered.
    pub(crate) fn registered(&mut self, entries: u32) -> Run {
        let run = self.run(entries, 0);
        assert_ok!(submit(RELAY, run.clone()));
        run
    }
}

fn hash(of: impl Encode) -> H256 {
    H256(sp_io::hashing::sha2_256(&of.encode()))
}

pub(crate) fn enrol(
    study: StudyId,
    pair: &ed25519::Pair,
    predecessor: Option<DeviceId>,
) -> sp_runtime::DispatchResult {
    let proof = key_proof(pair, &AUTHENTICATION_SERVER, study, predecessor);
    enrol_with(
        AUTHENTICATION_SERVER,
        study,
        pair.public().0,
        predecessor,
        proof,
    )
}

/// An enrolment by any account, with any proof.
pub(crate) fn enrol_with(
    who: AccountId32,
    study: StudyId,
    key: [u8; 32],
    predecessor: Option<DeviceId>,
    key_proof: [u8; 64],
) -> sp_runtime::DispatchResult {
    ClientHashchain::enrol(
        RuntimeOrigin::signed(who),
        study,
        key,
        H256(COMMITMENT),
        ESCROW.to_vec().try_into().expect("fits"),
        0,
        PARTICIPANT,
        predecessor,
        key_proof,
    )
}

/// What [`enrol_with`] takes for a proof of this key.
pub(crate) fn key_proof(
    pair: &ed25519::Pair,
    server: &AccountId32,
    study: StudyId,
    predecessor: Option<DeviceId>,
) -> [u8; 64] {
    let message = hashchain::key_proof_message(&hashchain::KeyProof {
        chain: &System::block_hash(0).0,
        study: hashchain::StudyId(study),
        server: server.as_ref(),
        device_key: &pair.public().0,
        predecessor: predecessor.map(hashchain::DeviceId),
        secret_commitment: &COMMITMENT,
        escrow_commitment: &hashchain::escrow_commitment::<HostSha256>(&ESCROW),
        auditor_epoch: 0,
        auditor_key: &AUDITOR_KEY,
        participant: &PARTICIPANT.0,
    });
    pair.sign(&message).0
}

pub(crate) fn submit(
    who: AccountId32,
    run: Run,
) -> frame_support::dispatch::DispatchResultWithPostInfo {
    ClientHashchain::submit(RuntimeOrigin::signed(who), run)
}

/// Submits a batch and returns what the pallet reported.
pub(crate) fn submit_batch(who: AccountId32, runs: Vec<Run>) -> Vec<Event<Test>> {
    System::reset_events();
    assert_ok!(ClientHashchain::submit_batch(
        RuntimeOrigin::signed(who),
        runs.try_into().expect("batches of the tests are short"),
    ));
    events()
}

pub(crate) fn retire(device: DeviceId, last_trusted: LastTrusted) -> sp_runtime::DispatchResult {
    ClientHashchain::retire(RuntimeOrigin::signed(SPONSOR), device, last_trusted)
}

pub(crate) fn suspend(device: DeviceId) -> sp_runtime::DispatchResult {
    ClientHashchain::suspend(
        RuntimeOrigin::signed(SPONSOR),
        device,
        SuspensionReason::Lost,
    )
}

/// What the pallet has reported since the last reset.
pub(crate) fn events() -> Vec<Event<Test>> {
    System::events()
        .into_iter()
        .filter_map(|record| match record.event {
            RuntimeEvent::ClientHashchain(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// The reasons of the runs that a batch refused.
pub(crate) fn refusals(events: &[Event<Test>]) -> Vec<(u32, RefusalReason)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::RunRefused {
                position, reason, ..
            } => Some((*position, *reason)),
            _ => None,
        })
        .collect()
}
