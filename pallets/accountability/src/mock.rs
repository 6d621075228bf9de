// SPDX-License-Identifier: Apache-2.0

//! A chain of six pallets on which the tests run: Aura, GRANDPA and sessions as the runtime has them.

use codec::Encode;
use finality_grandpa::Prevote;
use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstBool, ConstU32, ConstU64, OnFinalize, OnInitialize},
    BoundedVec,
};
use frame_system::offchain::{CreateBare, CreateTransactionBase};
use pallet_session::{disabling::UpToLimitDisablingStrategy, PeriodicSessions, SessionManager};
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature};
use sp_consensus_grandpa::AuthorityPair;
use sp_core::{crypto::Pair, H256};
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};
use sp_runtime::{
    impl_opaque_keys,
    testing::TestXt,
    traits::{ConvertInto, Header as _, OpaqueKeys},
    BuildStorage, Digest, DigestItem,
};
use sp_staking::SessionIndex;

use crate::{
    self as pallet_accountability, KnownOwner, SealedHeader, TwoVotes, VoteReports, WithRosters,
};

/// A block's header.
pub(crate) type Header = sp_runtime::generic::Header<u64, sp_runtime::traits::BlakeTwo256>;
type Block = sp_runtime::generic::Block<Header, TestXt<RuntimeCall, ()>>;

/// How many blocks a session lasts.
pub(crate) const SESSION: u64 = 5;

/// The slot of the first block.
pub(crate) const FIRST_SLOT: u64 = 1_000;

frame_support::construct_runtime!(
    pub enum Test {
        System: frame_system,
        Timestamp: pallet_timestamp,
        Aura: pallet_aura,
        Grandpa: pallet_grandpa,
        Session: pallet_session,
        Accountability: pallet_accountability,
    }
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = Block;
}

impl pallet_timestamp::Config for Test {
    type MinimumPeriod = ConstU64<1>;
    type Moment = u64;
    type OnTimestampSet = ();
    type WeightInfo = ();
}

impl pallet_aura::Config for Test {
    type AllowMultipleBlocksPerSlot = ConstBool<false>;
    type AuthorityId = sp_consensus_aura::sr25519::AuthorityId;
    type DisabledValidators = Session;
    type MaxAuthorities = ConstU32<8>;
    type SlotDuration = ConstU64<2>;
}

impl pallet_grandpa::Config for Test {
    type EquivocationReportSystem = VoteReports<Test>;
    type KeyOwnerProof = KnownOwner;
    type MaxAuthorities = ConstU32<8>;
    type MaxNominators = ConstU32<0>;
    type MaxSetIdSessionEntries = ConstU64<10>;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
}

impl_opaque_keys! {
    pub struct MockSessionKeys {
        pub aura: Aura,
        pub grandpa: Grandpa,
    }
}

parameter_types! {
    /// The validators from the session after next.
    pub static Wanted: Option<Vec<u64>> = None;
}

/// Makes of [`Wanted`] what the consortium makes of its decisions.
pub struct Manager;

impl SessionManager<u64> for Manager {
    fn new_session(_: SessionIndex) -> Option<Vec<u64>> {
        Wanted::take()
    }
    fn end_session(_: SessionIndex) {}
    fn start_session(_: SessionIndex) {}
}

impl pallet_session::Config for Test {
    type Currency = pallet_consortium::NoCurrency;
    type DisablingStrategy = UpToLimitDisablingStrategy;
    type KeyDeposit = ConstU32<0>;
    type Keys = MockSessionKeys;
    type NextSessionRotation = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type RuntimeEvent = RuntimeEvent;
    type SessionHandler = WithRosters<Test, <MockSessionKeys as OpaqueKeys>::KeyTypeIdProviders>;
    type SessionManager = Manager;
    type ShouldEndSession = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type ValidatorId = u64;
    type ValidatorIdOf = ConvertInto;
    type WeightInfo = ();
}

impl pallet_accountability::Config for Test {
    type MaxOffences = ConstU32<3>;
    type MaxValidators = ConstU32<8>;
    type RememberedSessions = ConstU32<4>;
    type WeightInfo = ();
}

impl<C> CreateTransactionBase<C> for Test
where
    RuntimeCall: From<C>,
{
    type Extrinsic = TestXt<RuntimeCall, ()>;
    type RuntimeCall = RuntimeCall;
}

impl<C> CreateBare<C> for Test
where
    RuntimeCall: From<C>,
{
    fn create_bare(call: RuntimeCall) -> TestXt<RuntimeCall, ()> {
        TestXt::new_bare(call)
    }
}

/// The validators of the genesis: account 0 has Alice's keys, 1 Bob's, 2 Charlie's, 3 Dave's. Account 4 has Eve's keys and is
/// none.
pub(crate) const VALIDATORS: [u64; 4] = [0, 1, 2, 3];
pub(crate) const ALICE: u64 = 0;
pub(crate) const BOB: u64 = 1;
pub(crate) const EVE: u64 = 4;

/// What an account seals with.
pub(crate) fn author(who: u64) -> Sr25519Keyring {
    let ring: Vec<_> = Sr25519Keyring::well_known().collect();
    ring[who as usize]
}

/// What an account votes with.
pub(crate) fn voter(who: u64) -> AuthorityPair {
    let ring: Vec<_> = Ed25519Keyring::well_known().collect();
    AuthorityPair::from(ring[who as usize].pair())
}

pub(crate) fn keys(who: u64) -> MockSessionKeys {
    MockSessionKeys {
        aura: author(who).public().into(),
        grandpa: voter(who).public(),
    }
}

/// The chain of a test, after its first block.
pub(crate) fn chain() -> sp_io::TestExternalities {
    let with_keys = |who: u64| (who, who, keys(who));
    let genesis = RuntimeGenesisConfig {
        session: pallet_session::GenesisConfig {
            keys: VALIDATORS.map(with_keys).to_vec(),
            non_authority_keys: vec![with_keys(EVE)],
        },
        ..Default::default()
    };
    let storage = genesis.build_storage().expect("the genesis is accepted");
    let mut chain = sp_io::TestExternalities::new(storage);
    chain.execute_with(|| begin_block(1, FIRST_SLOT));
    chain
}

/// The chain of a benchmark, which makes keys.
#[cfg(feature = "runtime-benchmarks")]
pub(crate) fn chain_with_keystore() -> sp_io::TestExternalities {
    let keystore = sp_keystore::testing::MemoryKeystore::new();
    let mut chain = chain();
    chain.register_extension(sp_keystore::KeystoreExt::new(keystore));
    chain
}

/// Runs a test and checks the pallet's invariants after it.
pub(crate) fn on_chain(test: impl FnOnce()) {
    chain().execute_with(|| {
        test();
        Accountability::do_try_state().expect("all invariants hold after the test");
    });
}

fn slot_digest(slot: u64) -> DigestItem {
    CompatibleDigestItem::<AuthoritySignature>::aura_pre_digest(slot.into())
}

/// Begins a block as Executive does.
fn begin_block(number: u64, slot: u64) {
    let digest = Digest {
        logs: vec![slot_digest(slot)],
    };
    System::initialize(&number, &H256::zero(), &digest);
    Aura::on_initialize(number);
    Session::on_initialize(number);
    Accountability::on_initialize(number);
}

/// Ends the present block and begins the next one, so many slots later.
pub(crate) fn next_block_after(slots: u64) {
    let number = System::block_number();
    Grandpa::on_finalize(number);
    let slot: u64 = pallet_aura::CurrentSlot::<Test>::get().into();
    begin_block(number + 1, slot + slots);
}

/// Makes blocks, one in every slot, until this one has begun.
pub(crate) fn run_to(number: u64) {
    while System::block_number() < number {
        next_block_after(1);
    }
}

/// A header of this block and slot, sealed by an account. Headers with another `mark` differ.
pub(crate) fn sealed(who: u64, number: u64, slot: u64, mark: u8) -> SealedHeader {
    sealed_with(who, number, slot, mark, 0)
}

/// The same, with so many digest items beside the slot and the seal.
pub(crate) fn sealed_with(
    who: u64,
    number: u64,
    slot: u64,
    mark: u8,
    items: usize,
) -> SealedHeader {
    let mut logs = vec![slot_digest(slot)];
    logs.extend(vec![DigestItem::RuntimeEnvironmentUpdated; items]);
    let digest = Digest { logs };
    let mark = H256::repeat_byte(mark);
    let mut header = Header::new(number, mark, H256::zero(), H256::zero(), digest);
    let signature: AuthoritySignature = author(who).sign(header.hash().as_bytes()).into();
    header.digest.push(DigestItem::aura_seal(signature));
    BoundedVec::try_from(header.encode()).expect("it is short")
}

/// A proof that an account prevoted for blocks `first` and `second` in a round.
pub(crate) fn two_votes(who: u64, set: u64, round: u64, first: u64, second: u64) -> TwoVotes<Test> {
    let vote = |target_number: u64, mark: u8| {
        let prevote = Prevote {
            target_hash: H256::repeat_byte(mark),
            target_number,
        };
        let message = sp_consensus_grandpa::Message::<Header>::Prevote(prevote.clone());
        let payload = sp_consensus_grandpa::localized_payload(round, set, &message);
        (prevote, voter(who).sign(&payload))
    };
    let votes = finality_grandpa::Equivocation {
        round_number: round,
        identity: voter(who).public(),
        first: vote(first, 1),
        second: vote(second, 2),
    };
    TwoVotes::<Test>::new(set, votes.into())
}
