// SPDX-License-Identifier: Apache-2.0

//! What the node and clients may ask the runtime.

use alloc::vec::Vec;
use codec::Encode;
use frame_support::{
    genesis_builder_helper::{build_state, get_preset},
    pallet_prelude::{TransactionSource, TransactionValidity},
    view_functions::{ViewFunctionDispatchError, ViewFunctionId},
};
use pallet_accountability::KnownOwner;
use pallet_client_hashchain_runtime_api::{
    ConflictsView, DeviceView, EntriesPage, EntryView, HeadView, RotationView, RotationsPage,
    StudyView,
};
use sp_api::impl_runtime_apis;
use sp_consensus_aura::{sr25519::AuthorityId as AuraId, SlotDuration};
use sp_consensus_grandpa::{AuthorityId as GrandpaId, EquivocationProof, OpaqueKeyOwnershipProof};
use sp_core::{crypto::KeyTypeId, OpaqueMetadata};
use sp_runtime::{
    traits::{Block as BlockT, LazyBlock, NumberFor},
    ApplyExtrinsicResult, DigestItem, ExtrinsicInclusionMode,
};
use sp_session::OpaqueGeneratedSessionKeys;
use sp_version::RuntimeVersion;

use crate::{
    admission::may_send,
    genesis,
    limits::{AUTHORS_DIGEST, SLOT_MILLISECONDS},
    AccountId, Accountability, Block, ClientHashchain, Executive, Finality, Grandpa, Header,
    InherentDataExt, Nonce, Runtime, RuntimeGenesisConfig, SessionKeys, Studies, System,
    UncheckedExtrinsic, VERSION,
};

/// Panics, which makes the block invalid, if its author brought more into its header than anybody needs. What else is in the digest
/// of a header is compared with what the runtime put there.
fn check_authors_digest(header: &Header) {
    let (most_items, most_bytes) = AUTHORS_DIGEST;
    let (mut items, mut bytes) = (0, 0);
    for item in header.digest.logs() {
        if matches!(item, DigestItem::PreRuntime(..)) {
            items += 1;
            bytes += item.encoded_size();
        }
    }
    assert!(
        items <= most_items && bytes <= most_bytes,
        "the author brings too much into the header's digest"
    );
}

impl_runtime_apis! {
    impl sp_api::Core<Block> for Runtime {
        fn version() -> RuntimeVersion {
            VERSION
        }

        fn execute_block(block: <Block as BlockT>::LazyBlock) {
            check_authors_digest(block.header());
            Executive::execute_block(block);
        }

        fn initialize_block(header: &<Block as BlockT>::Header) -> ExtrinsicInclusionMode {
            check_authors_digest(header);
            Executive::initialize_block(header)
        }
    }

    impl sp_api::Metadata<Block> for Runtime {
        fn metadata() -> OpaqueMetadata {
            OpaqueMetadata::new(Runtime::metadata().into())
        }

        fn metadata_at_version(version: u32) -> Option<OpaqueMetadata> {
            Runtime::metadata_at_version(version)
        }

        fn metadata_versions() -> Vec<u32> {
            Runtime::metadata_versions()
        }
    }

    impl sp_block_builder::BlockBuilder<Block> for Runtime {
        fn apply_extrinsic(extrinsic: <Block as BlockT>::Extrinsic) -> ApplyExtrinsicResult {
            Executive::apply_extrinsic(extrinsic)
        }

        fn finalize_block() -> <Block as BlockT>::Header {
            Executive::finalize_block()
        }

        fn inherent_extrinsics(
            data: sp_inherents::InherentData,
        ) -> Vec<<Block as BlockT>::Extrinsic> {
            data.create_extrinsics()
        }

        fn check_inherents(
            block: <Block as BlockT>::LazyBlock,
            data: sp_inherents::InherentData,
        ) -> sp_inherents::CheckInherentsResult {
            data.check_extrinsics(&block)
        }
    }

    impl sp_transaction_pool::runtime_api::TaggedTransactionQueue<Block> for Runtime {
        fn validate_transaction(
            source: TransactionSource,
            transaction: <Block as BlockT>::Extrinsic,
            block_hash: <Block as BlockT>::Hash,
        ) -> TransactionValidity {
            Executive::validate_transaction(source, transaction, block_hash)
        }
    }

    impl sp_consensus_aura::AuraApi<Block, AuraId> for Runtime {
        fn slot_duration() -> SlotDuration {
            SlotDuration::from_millis(SLOT_MILLISECONDS)
        }

        fn authorities() -> Vec<AuraId> {
            pallet_aura::Authorities::<Runtime>::get().into_inner()
        }
    }

    impl sp_consensus_grandpa::GrandpaApi<Block> for Runtime {
        fn grandpa_authorities() -> sp_consensus_grandpa::AuthorityList {
            Grandpa::grandpa_authorities()
        }

        fn current_set_id() -> sp_consensus_grandpa::SetId {
            pallet_grandpa::CurrentSetId::<Runtime>::get()
        }

        fn submit_report_equivocation_unsigned_extrinsic(
            proof: EquivocationProof<<Block as BlockT>::Hash, NumberFor<Block>>,
            owner: OpaqueKeyOwnershipProof,
        ) -> Option<()> {
            Grandpa::submit_unsigned_equivocation_report(proof, owner.decode()?)
        }

        fn generate_key_ownership_proof(
            set: sp_consensus_grandpa::SetId,
            voter: GrandpaId,
        ) -> Option<OpaqueKeyOwnershipProof> {
            let owner = Accountability::is_known_voter(set, &voter).then_some(KnownOwner)?;
            Some(OpaqueKeyOwnershipProof::new(owner.encode()))
        }
    }

    impl pallet_accountability_runtime_api::AccountabilityApi<Block> for Runtime {
        fn block_equivocation_report(first: Vec<u8>, second: Vec<u8>) -> Option<Vec<u8>> {
            let call = Accountability::block_report(first, second)?;
            Some(UncheckedExtrinsic::new_bare(call.into()).encode())
        }
    }

    impl pallet_finality_runtime_api::FinalityApi<Block> for Runtime {
        fn final_report(proof: Vec<u8>) -> Option<Vec<u8>> {
            let call = Finality::final_report(proof)?;
            Some(UncheckedExtrinsic::new_bare(call.into()).encode())
        }
    }

    impl sp_session::SessionKeys<Block> for Runtime {
        fn generate_session_keys(
            owner: Vec<u8>,
            seed: Option<Vec<u8>>,
        ) -> OpaqueGeneratedSessionKeys {
            SessionKeys::generate(&owner, seed).into()
        }

        fn decode_session_keys(encoded: Vec<u8>) -> Option<Vec<(Vec<u8>, KeyTypeId)>> {
            SessionKeys::decode_into_raw_public_keys(&encoded)
        }
    }

    impl frame_system_rpc_runtime_api::AccountNonceApi<Block, AccountId, Nonce> for Runtime {
        fn account_nonce(account: AccountId) -> Nonce {
            System::account_nonce(account)
        }
    }

    impl pallet_client_hashchain_runtime_api::HashchainApi<Block, AccountId> for Runtime {
        fn device(device: u32) -> Option<DeviceView> {
            ClientHashchain::device_view(device)
        }

        fn device_by_key(key: [u8; 32]) -> Option<u32> {
            ClientHashchain::device_by_key(key)
        }

        fn head(device: u32) -> Option<HeadView> {
            ClientHashchain::head_view(device)
        }

        fn entries(device: u32, from: u64, count: u32, at: Option<u64>) -> EntriesPage {
            ClientHashchain::entries_view(device, from, count, at)
        }

        fn journal(from: u64, count: u32) -> Vec<EntryView> {
            ClientHashchain::journal_view(from, count)
        }

        fn journal_length() -> u64 {
            ClientHashchain::journal_length()
        }

        fn retirement_delay() -> u32 {
            ClientHashchain::retirement_delay()
        }

        fn conflicts(device: u32) -> ConflictsView<AccountId> {
            ClientHashchain::conflicts_view(device)
        }

        fn study(study: u32) -> Option<StudyView<AccountId>> {
            ClientHashchain::study_view(study)
        }

        fn rotations(study: u32, after: Option<AccountId>) -> RotationsPage<AccountId> {
            let (rotations, next) = Studies::rotations(study, after.as_ref());
            let view = |(former, successor)| RotationView { former, successor };
            RotationsPage {
                rotations: rotations.into_iter().map(view).collect(),
                next,
            }
        }

        fn has_role(account: AccountId) -> bool {
            may_send(&account)
        }

        fn head_proof_keys(device: u32) -> Vec<Vec<u8>> {
            ClientHashchain::head_proof_keys(device)
        }
    }

    impl frame_support::view_functions::runtime_api::RuntimeViewFunction<Block> for Runtime {
        fn execute_view_function(
            query_id: ViewFunctionId,
            input: Vec<u8>,
        ) -> Result<Vec<u8>, ViewFunctionDispatchError> {
            Runtime::execute_view_function(query_id, input)
        }
    }

    impl sp_genesis_builder::GenesisBuilder<Block> for Runtime {
        fn build_state(config: Vec<u8>) -> sp_genesis_builder::Result {
            build_state::<RuntimeGenesisConfig>(config)
        }

        fn get_preset(id: &Option<sp_genesis_builder::PresetId>) -> Option<Vec<u8>> {
            get_preset::<RuntimeGenesisConfig>(id, genesis::preset)
        }

        fn preset_names() -> Vec<sp_genesis_builder::PresetId> {
            genesis::preset_names()
        }
    }

    #[cfg(feature = "runtime-benchmarks")]
    impl frame_benchmarking::Benchmark<Block> for Runtime {
        fn benchmark_metadata(
            extra: bool,
        ) -> (Vec<frame_benchmarking::BenchmarkList>, Vec<frame_support::traits::StorageInfo>) {
            crate::benchmarks::metadata(extra)
        }

        fn dispatch_benchmark(
            config: frame_benchmarking::BenchmarkConfig,
        ) -> Result<Vec<frame_benchmarking::BenchmarkBatch>, alloc::string::String> {
            crate::benchmarks::dispatch(config)
        }
    }

    #[cfg(feature = "try-runtime")]
    impl frame_try_runtime::TryRuntime<Block> for Runtime {
        fn on_runtime_upgrade(
            checks: frame_try_runtime::UpgradeCheckSelect,
        ) -> (frame_support::weights::Weight, frame_support::weights::Weight) {
            let weight = Executive::try_runtime_upgrade(checks)
                .expect("an upgrade whose checks fail must not be enacted");
            (weight, crate::limits::RuntimeBlockWeights::get().max_block)
        }

        fn execute_block(
            block: <Block as BlockT>::LazyBlock,
            state_root_check: bool,
            signature_check: bool,
            select: frame_try_runtime::TryStateSelect,
        ) -> frame_support::weights::Weight {
            Executive::try_execute_block(block, state_root_check, signature_check, select)
                .expect("a block that the chain accepted executes again")
        }
    }
}
