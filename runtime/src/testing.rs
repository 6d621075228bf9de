// SPDX-License-Identifier: Apache-2.0

//! What the tests of this crate start from.

use codec::Encode;
use frame_support::genesis_builder_helper::{build_state, get_preset};
use serde_json::Value;
use sp_genesis_builder::{DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_io::TestExternalities;
use sp_keyring::Sr25519Keyring;
use sp_runtime::generic::{Era, SignedPayload};

use crate::{
    genesis, AccountId, BlockNumber, Nonce, Runtime, RuntimeCall, RuntimeGenesisConfig, Signature,
    System, TxExtension, UncheckedExtrinsic,
};

/// The block in which tests begin.
pub(crate) const DAY_ONE: BlockNumber = 1;

/// The chain of the development preset.
pub(crate) fn development() -> TestExternalities {
    chain(DEV_RUNTIME_PRESET)
}

/// The chain of the preset with four validators.
pub(crate) fn local() -> TestExternalities {
    chain(LOCAL_TESTNET_RUNTIME_PRESET)
}

fn chain(preset: &str) -> TestExternalities {
    let mut config = json(None);
    merge(&mut config, json(Some(preset)));
    let mut chain = TestExternalities::default();
    chain.execute_with(|| {
        build_state::<RuntimeGenesisConfig>(config.to_string().into())
            .expect("the preset builds a genesis");
        System::initialize(&DAY_ONE, &Default::default(), &Default::default());
    });
    chain
}

fn json(preset: Option<&str>) -> Value {
    let json = get_preset::<RuntimeGenesisConfig>(&preset.map(Into::into), genesis::preset);
    serde_json::from_slice(&json.expect("the preset exists")).expect("the preset is JSON")
}

/// Lays `patch` over `base`, as chain specifications do (RFC 7396).
fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, patch) => *base = patch,
    }
}

/// An immortal transaction, signed.
pub(crate) fn signed(who: Sr25519Keyring, nonce: Nonce, call: RuntimeCall) -> UncheckedExtrinsic {
    signed_by(who.to_account_id(), nonce, call, |payload| {
        who.sign(payload).into()
    })
}

/// An immortal transaction that `sign` signs.
pub(crate) fn signed_by(
    who: AccountId,
    nonce: Nonce,
    call: RuntimeCall,
    sign: impl FnOnce(&[u8]) -> Signature,
) -> UncheckedExtrinsic {
    let extension = extension(nonce);
    let payload =
        SignedPayload::new(call.clone(), extension.clone()).expect("nothing implicit is missing");
    let signature = payload.using_encoded(sign);
    UncheckedExtrinsic::new_signed(call, who.into(), signature, extension)
}

/// What an immortal transaction with this nonce says beside its call.
pub(crate) fn extension(nonce: Nonce) -> TxExtension {
    (
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckMortality::from(Era::Immortal),
        pallet_admission::Admit::<Runtime>::with_nonce(nonce),
        frame_system::CheckWeight::new(),
        frame_metadata_hash_extension::CheckMetadataHash::new(false),
    )
}
