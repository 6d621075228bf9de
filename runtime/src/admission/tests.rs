// SPDX-License-Identifier: Apache-2.0

use codec::Encode;
use frame_support::{
    assert_ok, pallet_prelude::TransactionSource, storage::with_transaction, traits::Hooks,
};
use pallet_client_hashchain::{Call as HashchainCall, DeviceId, HostSha256, Run};
use sp_core::{ed25519, Pair, H256};
use sp_keyring::Sr25519Keyring::{self, Charlie};
use sp_runtime::{
    traits::Dispatchable,
    transaction_validity::{InvalidTransaction, TransactionValidityError, ValidTransaction},
    ApplyExtrinsicResult, DispatchError, TransactionOutcome,
};

use crate::{
    testing::signed_by, AccountId, Admission, Executive, RuntimeCall, RuntimeOrigin, System,
    UncheckedExtrinsic,
};

mod accounts;
mod floors;
mod lanes;
mod motions;
mod replays;
mod session_keys;
mod shares;
mod starvation;
mod table;
mod unsigned;

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender {
    Office(Sr25519Keyring),
    /// By the seed of its key.
    Device(u8),
}

impl Sender {
    fn account(&self) -> AccountId {
        match self {
            Self::Office(who) => who.to_account_id(),
            Self::Device(seed) => pair(*seed).public().into(),
        }
    }

    /// The sender's next transaction.
    fn next(&self, call: impl Into<RuntimeCall>) -> UncheckedExtrinsic {
        self.signed(System::account_nonce(self.account()), call)
    }

    fn signed(&self, nonce: u32, call: impl Into<RuntimeCall>) -> UncheckedExtrinsic {
        let account = self.account();
        signed_by(account, nonce, call.into(), |payload| match self {
            Self::Office(who) => who.sign(payload).into(),
            Self::Device(seed) => pair(*seed).sign(payload).into(),
        })
    }
}

impl From<Sr25519Keyring> for Sender {
    fn from(who: Sr25519Keyring) -> Self {
        Self::Office(who)
    }
}

fn pair(seed: u8) -> ed25519::Pair {
    ed25519::Pair::from_seed(&[seed; 32])
}

/// What the pool says of a transaction.
fn pool(transaction: UncheckedExtrinsic) -> Result<ValidTransaction, TransactionValidityError> {
    Executive::validate_transaction(
        TransactionSource::External,
        transaction,
        System::block_hash(0),
    )
}

/// What comes of something of which nothing stays.
fn undone<T>(done: impl FnOnce() -> T) -> T {
    let outcome = with_transaction(|| TransactionOutcome::Rollback(Ok::<_, DispatchError>(done())));
    outcome.expect("it is rolled back")
}

/// What a block says of it.
fn block(transaction: UncheckedExtrinsic) -> ApplyExtrinsicResult {
    Executive::apply_extrinsic(transaction)
}

fn refused(code: u8) -> TransactionValidityError {
    InvalidTransaction::Custom(code).into()
}

fn run_of(device: DeviceId) -> Run {
    Run {
        device,
        sequence: 1,
        previous: H256::zero(),
        entries: Default::default(),
        signature: None,
    }
}

/// One empty run of each of these devices.
fn batch_of(devices: &[DeviceId]) -> RuntimeCall {
    let runs: Vec<_> = devices.iter().map(|device| run_of(*device)).collect();
    batch(runs)
}

fn batch(runs: Vec<Run>) -> RuntimeCall {
    HashchainCall::submit_batch {
        runs: runs.try_into().expect("they are few"),
    }
    .into()
}

/// Enrols the device of this seed in study 0; numbers are given from 0.
pub(crate) fn enrol(seed: u8) -> Sender {
    let server = RuntimeOrigin::signed(Charlie.to_account_id());
    assert_ok!(enrolment(&pair(seed)).dispatch(server));
    Sender::Device(seed)
}

/// The call by which the authentication server enrols the device with this key in study 0.
fn enrolment(pair: &ed25519::Pair) -> RuntimeCall {
    let (commitment, escrow) = ([1; 32], vec![2; 81]);
    let key = pair.public().0;
    let message = hashchain::key_proof_message(&hashchain::KeyProof {
        chain: &System::block_hash(0).0,
        study: hashchain::StudyId(0),
        server: Charlie.to_account_id().as_ref(),
        device_key: &key,
        predecessor: None,
        secret_commitment: &commitment,
        escrow_commitment: &hashchain::escrow_commitment::<HostSha256>(&escrow),
        auditor_epoch: 0,
        auditor_key: &crate::genesis::DEVELOPMENT_AUDITOR_KEY,
        participant: &[6; 32],
    });
    HashchainCall::enrol {
        study: 0,
        key,
        secret_commitment: H256(commitment),
        escrow: escrow.try_into().expect("it is short"),
        auditor_epoch: 0,
        participant: H256([6; 32]),
        predecessor: None,
        key_proof: pair.sign(&message).0,
    }
    .into()
}

/// Bytes of a transaction, as the runtime counts them.
fn length(transaction: &UncheckedExtrinsic) -> u32 {
    transaction.encoded_size() as u32
}

/// Ends the block and begins the next.
fn next_block() {
    let number = System::block_number();
    <Admission as Hooks<_>>::on_finalize(number);
    System::initialize(&(number + 1), &Default::default(), &Default::default());
}
