// SPDX-License-Identifier: Apache-2.0

//! What every node and every subcommand consists of.

use std::sync::Arc;

use mhealth_runtime::{opaque::Block, HostFunctions, RuntimeApi};
use sc_consensus::{BasicQueue, BoxBlockImport};
use sc_consensus_aura::ImportQueueParams;
use sc_consensus_grandpa::GrandpaPruningFilter;
use sc_executor::{HeapAllocStrategy, WasmExecutor, DEFAULT_HEAP_ALLOC_STRATEGY};
use sc_service::{config::ExecutorConfiguration, Configuration, KeystoreContainer, TaskManager};
use sp_consensus_aura::{sr25519::AuthorityPair, SlotDuration};

use super::{
    state_first::StateFirst, Consensus, FullBackend, FullClient, FullSelectChain,
    GrandpaBlockImport, GrandpaLink, RuntimeCache, JUSTIFICATION_PERIOD,
};

/// The parts of a node, before they are connected.
pub(crate) struct Components {
    /// The chain as this node knows it.
    pub(crate) client: Arc<FullClient>,
    /// The database under it.
    pub(crate) backend: Arc<FullBackend>,
    /// What runs in the background.
    pub(crate) task_manager: TaskManager,
    /// Checks and executes blocks that come from elsewhere.
    pub(crate) import_queue: BasicQueue<Block>,
    pub(super) keystore: KeystoreContainer,
    pub(super) select_chain: FullSelectChain,
    pub(super) grandpa_block_import: GrandpaBlockImport,
    pub(super) grandpa_link: GrandpaLink,
}

/// Opens the database and makes the parts of a node.
pub(crate) fn components(
    config: &Configuration,
    consensus: Consensus,
    runtime_cache: Option<&RuntimeCache>,
) -> Result<Components, sc_service::Error> {
    let executor = executor(&config.executor, runtime_cache);
    let (client, backend, keystore, task_manager) =
        sc_service::new_full_parts::<Block, RuntimeApi, _>(
            config,
            None,
            executor,
            vec![Arc::new(GrandpaPruningFilter)],
        )?;
    let client = Arc::new(client);
    let select_chain = sc_consensus::LongestChain::new(backend.clone());

    let (grandpa_block_import, grandpa_link) = sc_consensus_grandpa::block_import(
        client.clone(),
        JUSTIFICATION_PERIOD,
        &client,
        select_chain.clone(),
        None,
    )?;

    let import_queue = match consensus {
        Consensus::AuraGrandpa => {
            aura_queue(config, client.clone(), &grandpa_block_import, &task_manager)?
        }
        Consensus::Sealing(_) => sc_consensus_manual_seal::import_queue(
            Box::new(client.clone()) as BoxBlockImport<Block>,
            &task_manager.spawn_essential_handle(),
            config.prometheus_registry(),
        ),
    };

    Ok(Components {
        client,
        backend,
        task_manager,
        import_queue,
        keystore,
        select_chain,
        grandpa_block_import,
        grandpa_link,
    })
}

/// What executes the runtime: as `sc_service::new_wasm_executor` makes it, which keeps nothing of what it has compiled.
fn executor(
    config: &ExecutorConfiguration,
    cache: Option<&RuntimeCache>,
) -> WasmExecutor<HostFunctions> {
    let heap = match config.default_heap_pages {
        Some(pages) => HeapAllocStrategy::Static {
            extra_pages: pages as u32,
        },
        None => DEFAULT_HEAP_ALLOC_STRATEGY,
    };
    let executor = WasmExecutor::builder()
        .with_execution_method(config.wasm_method)
        .with_onchain_heap_alloc_strategy(heap)
        .with_offchain_heap_alloc_strategy(heap)
        .with_max_runtime_instances(config.max_runtime_instances)
        .with_runtime_cache_size(config.runtime_cache_size);
    match cache {
        Some(cache) => executor.with_cache_path(cache.compiled()),
        None => executor,
    }
    .build()
}

fn aura_queue(
    config: &Configuration,
    client: Arc<FullClient>,
    grandpa_block_import: &GrandpaBlockImport,
    task_manager: &TaskManager,
) -> Result<BasicQueue<Block>, sc_service::Error> {
    let slot_duration = sc_consensus_aura::slot_duration(&*client)?;
    let queue = sc_consensus_aura::import_queue::<AuthorityPair, _, _, _, _, _>(
        ImportQueueParams {
            block_import: StateFirst::new(grandpa_block_import.clone(), client.clone(), config),
            justification_import: Some(Box::new(grandpa_block_import.clone())),
            client,
            create_inherent_data_providers: move |_, ()| async move { Ok(inherent_data(slot_duration)) },
            spawner: &task_manager.spawn_essential_handle(),
            registry: config.prometheus_registry(),
            check_for_equivocation: Default::default(),
            telemetry: None,
            compatibility_mode: Default::default(),
        },
    )?;
    Ok(queue)
}

/// What a block's author puts into it beside transactions: the slot, and the time.
pub(super) fn inherent_data(
    slot_duration: SlotDuration,
) -> (
    sp_consensus_aura::inherents::InherentDataProvider,
    sp_timestamp::InherentDataProvider,
) {
    let timestamp = sp_timestamp::InherentDataProvider::from_system_time();
    let slot = sp_consensus_aura::inherents::InherentDataProvider::from_timestamp_and_slot_duration(
        *timestamp,
        slot_duration,
    );
    (slot, timestamp)
}
