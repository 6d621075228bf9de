// SPDX-License-Identifier: Apache-2.0

//! Connects the parts of a node and starts it.

use std::sync::Arc;

use futures::channel::mpsc;
use mhealth_runtime::{opaque::Block, Hash};
use sc_client_api::HeaderBackend;
use sc_consensus_grandpa::{warp_proof::NetworkProvider, FinalityProofProvider, SharedVoterState};
use sc_network::{
    config::{FullNetworkConfiguration, NetworkBackendType},
    service::NotificationMetrics,
    Litep2pNetworkBackend, NetworkBackend,
};
use sc_service::{
    BlocksPruning, BuildNetworkParams, ChainType, Configuration, Role, SpawnTasksParams,
    TaskManager, WarpSyncConfig,
};
use sp_core::traits::CallContext;

use super::{
    authoring::{self, VoteChannel},
    components, sealing, Choices, Consensus, FullClient, FullPool, RuntimeCache, Sealing,
};
use crate::rpc;

type NetworkConfiguration = FullNetworkConfiguration<Block, Hash, Litep2pNetworkBackend>;

/// Starts a node, which runs until the returned task manager is dropped.
pub(crate) fn start(
    config: Configuration,
    choices: Choices,
) -> Result<TaskManager, sc_service::Error> {
    let Choices {
        consensus, begin, ..
    } = choices;
    let parts = components(&config, consensus, choices.runtime_cache.as_ref())?;
    let mut task_manager = parts.task_manager;
    let (client, backend) = (parts.client, parts.backend);
    if let Some(cache) = choices.runtime_cache {
        keep_compiled(cache, &client, &task_manager);
    }
    let pool = transaction_pool(&config, &client, &task_manager);
    let authority_set = parts.grandpa_link.shared_authority_set().clone();

    let (net_config, metrics, vote_channel) = network_configuration(&config, &client);
    let warp_sync = match begin {
        Some(header) => WarpSyncConfig::WithTarget(header),
        // Without hard forks: no block of these proofs is the one in which authorities are changed by force, so naming it here
        // would not lead over it. A checkpoint does.
        None => WarpSyncConfig::WithProvider(Arc::new(NetworkProvider::new(
            backend.clone(),
            authority_set.clone(),
            Vec::new(),
        ))),
    };
    let (network, system_rpc_tx, tx_handler_controller, sync_service, _) =
        sc_service::build_network(BuildNetworkParams {
            config: &config,
            net_config,
            client: client.clone(),
            transaction_pool: pool.clone(),
            spawn_handle: task_manager.spawn_handle(),
            spawn_essential_handle: task_manager.spawn_essential_handle(),
            import_queue: parts.import_queue,
            block_announce_validator_builder: None,
            warp_sync_config: Some(warp_sync),
            block_relay: None,
            metrics,
            gap_sync_body_policy: None,
        })?;

    let voter_state = SharedVoterState::empty();
    let (seal_commands, seal_requests) = mpsc::channel(64);
    let rpc_parts = rpc::Parts {
        client: client.clone(),
        backend: backend.clone(),
        pool: pool.clone(),
        authority_set: authority_set.clone(),
        first_authorities: first_authorities(&config, &client)?,
        voter_state: voter_state.clone(),
        justifications: parts.grandpa_link.justification_stream(),
        finality_proofs: FinalityProofProvider::new_for_service(
            backend.clone(),
            Some(authority_set),
        ),
        seal_commands: (consensus == Consensus::Sealing(Sealing::Manual)).then_some(seal_commands),
    };
    let settings = authoring::Settings::new(&config, choices.gossip);
    sc_service::spawn_tasks(SpawnTasksParams {
        config,
        client: client.clone(),
        backend: backend.clone(),
        task_manager: &mut task_manager,
        keystore: parts.keystore.keystore(),
        transaction_pool: pool.clone(),
        rpc_builder: Box::new(move |executor| rpc::extensions(&rpc_parts, executor)),
        network: network.clone(),
        system_rpc_tx,
        tx_handler_controller,
        sync_service: sync_service.clone(),
        telemetry: None,
        tracing_execute_block: None,
    })?;

    match consensus {
        Consensus::Sealing(sealing) => sealing::spawn(
            sealing,
            sealing::Parts {
                client,
                pool,
                select_chain: parts.select_chain,
                seal_requests,
                prometheus_registry: settings.prometheus_registry,
            },
            &task_manager,
        ),
        Consensus::AuraGrandpa => authoring::spawn(
            authoring::Parts {
                client,
                backend,
                pool,
                select_chain: parts.select_chain,
                block_import: parts.grandpa_block_import,
                grandpa_link: parts.grandpa_link,
                network,
                sync_service,
                vote_channel,
                voter_state,
                keystore: parts.keystore.keystore(),
            },
            settings,
            &task_manager,
        )?,
    }
    Ok(task_manager)
}

/// Compiles the runtime, unless it is kept compiled, and notes what was made. Before the node serves anybody: so one that answers
/// starts quickly the next time, however it ends.
fn keep_compiled(mut cache: RuntimeCache, client: &FullClient, task_manager: &TaskManager) {
    let best = client.info().best_hash;
    if let Err(error) = client.runtime_version_at(best, CallContext::Offchain) {
        // A node that is still fetching its first state has no runtime yet.
        tracing::debug!(%error, "the runtime is not compiled yet");
    }
    if let Err(error) = cache.note() {
        tracing::warn!(%error, "the compiled runtime is not kept");
    }
    let handle = task_manager.spawn_handle();
    handle.spawn_blocking("runtime-cache", None, cache.watch());
}

fn transaction_pool(
    config: &Configuration,
    client: &Arc<FullClient>,
    task_manager: &TaskManager,
) -> Arc<FullPool> {
    let pool = sc_transaction_pool::Builder::new(
        task_manager.spawn_essential_handle(),
        client.clone(),
        config.role.is_authority().into(),
    )
    .with_options(config.transaction_pool.clone())
    .with_prometheus(config.prometheus_registry())
    .build();
    Arc::new(pool)
}

/// What proves the chain's first authorities: from the specification, so that a node that has pruned the first state can
/// give it, too.
fn first_authorities(
    config: &Configuration,
    client: &FullClient,
) -> Result<Option<rpc::FirstAuthorities>, sc_service::Error> {
    let genesis = client.info().genesis_hash;
    let storage = config
        .chain_spec
        .as_storage_builder()
        .build_storage()
        .map_err(sc_service::Error::Other)?;
    let proof = client
        .header(genesis)?
        .and_then(|header| rpc::first_authorities(header, storage));
    if proof.is_none() {
        tracing::warn!(
            "the chain specification does not make the state of the first block {genesis:?}, so this node cannot prove the first \
             authorities"
        );
    }
    Ok(proof)
}

/// How the node uses the network, with the channel of GRANDPA's votes on it.
fn network_configuration(
    config: &Configuration,
    client: &FullClient,
) -> (NetworkConfiguration, NotificationMetrics, VoteChannel) {
    let registry = config.prometheus_registry();
    let mut net_config = NetworkConfiguration::new(&config.network, registry.cloned());
    let metrics =
        <Litep2pNetworkBackend as NetworkBackend<Block, Hash>>::register_notification_metrics(
            registry,
        );
    let protocol = sc_consensus_grandpa::protocol_standard_name(
        &client.info().genesis_hash,
        &config.chain_spec,
    );
    let (grandpa_config, notifications) =
        sc_consensus_grandpa::grandpa_peers_set_config::<Block, Litep2pNetworkBackend>(
            protocol.clone(),
            metrics.clone(),
            net_config.peer_store_handle(),
        );
    net_config.add_notification_protocol(grandpa_config);
    let vote_channel = VoteChannel {
        protocol,
        notifications,
    };
    (net_config, metrics, vote_channel)
}

/// Says so when the operator asks for something that this node cannot do, instead of doing something else.
pub(crate) fn refuse_what_is_not_built_in(
    config: &Configuration,
    consensus: Consensus,
) -> Result<(), &'static str> {
    if config.telemetry_endpoints.is_some() {
        return Err(
            "this node has no telemetry; leave out --telemetry-url and the specification's \
                    telemetryEndpoints",
        );
    }
    if matches!(config.network.network_backend, NetworkBackendType::Libp2p) {
        return Err("this node has no network library but litep2p; leave out --network-backend");
    }
    if consensus != Consensus::AuraGrandpa
        && config.chain_spec.chain_type() != ChainType::Development
    {
        return Err("--sealing makes blocks that no other validator accepts, so it is for development chains only \
                    (--dev)");
    }
    refuse_to_forget_bodies(config.blocks_pruning, config.role)
}

/// Bodies of blocks are all that has the tags of entries, which every audit checks. If the validators forget them, nobody may be
/// left who has them.
fn refuse_to_forget_bodies(pruning: BlocksPruning, role: Role) -> Result<(), &'static str> {
    match (pruning, role) {
        (BlocksPruning::KeepAll | BlocksPruning::KeepFinalized, _) => Ok(()),
        (BlocksPruning::Some(_), Role::Authority) => Err(
            "a validator keeps the bodies of all blocks, without which no audit can check the tags of entries; leave out \
             --blocks-pruning",
        ),
        (BlocksPruning::Some(kept), Role::Full) => {
            tracing::warn!(
                "with --blocks-pruning this node keeps the bodies of the latest {kept} blocks alone: it cannot answer \
                 hashchain_runs about older ones, and no audit can be made with it"
            );
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_forgets_no_bodies() {
        use BlocksPruning::{KeepAll, KeepFinalized};
        for role in [Role::Full, Role::Authority] {
            for pruning in [KeepAll, KeepFinalized] {
                assert_eq!(refuse_to_forget_bodies(pruning, role), Ok(()));
            }
        }
        for kept in [0, 256, u32::MAX] {
            let pruning = BlocksPruning::Some(kept);
            assert_eq!(refuse_to_forget_bodies(pruning, Role::Full), Ok(()));
            let refusal = refuse_to_forget_bodies(pruning, Role::Authority);
            assert!(refusal.is_err_and(|refusal| refusal.contains("--blocks-pruning")));
        }
    }
}
