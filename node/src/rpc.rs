// SPDX-License-Identifier: Apache-2.0

//! What clients may ask this node beside what every Substrate node answers.
//!
//! Nearly all that a client wants to know it reads by the runtime API, which any node answers the same way. Here is
//! only what needs the node itself: the next nonce including the pool, GRANDPA's state and proofs, [`prove_head`],
//! which puts the proof of a device's head together, and [`runs`], which finds a device's runs in a block.

mod prove_head;
mod runs;

use std::sync::Arc;

use futures::channel::mpsc;
use jsonrpsee::RpcModule;
use mhealth_runtime::{opaque::Block, BlockNumber, Hash};
use sc_consensus_grandpa::{
    FinalityProofProvider, GrandpaJustificationStream, SharedAuthoritySet, SharedVoterState,
};
use sc_consensus_grandpa_rpc::{Grandpa, GrandpaApiServer};
use sc_consensus_manual_seal::{
    rpc::{ManualSeal, ManualSealApiServer},
    EngineCommand,
};
use sc_rpc::SubscriptionTaskExecutor;
use substrate_frame_rpc_system::{System, SystemApiServer};

pub(crate) use self::prove_head::{first_authorities, FirstAuthorities};
use self::{
    prove_head::{HashchainProofsServer, HeadProver, NodeSource},
    runs::{HashchainRunsServer, RunReader},
};
use crate::service::{FullBackend, FullClient, FullPool};

/// What the RPC methods work with.
pub(crate) struct Parts {
    pub(crate) client: Arc<FullClient>,
    pub(crate) backend: Arc<FullBackend>,
    pub(crate) pool: Arc<FullPool>,
    pub(crate) authority_set: SharedAuthoritySet<Hash, BlockNumber>,
    /// What proves the first authorities; none if the chain specification does not make the first block's state.
    pub(crate) first_authorities: Option<FirstAuthorities>,
    pub(crate) voter_state: SharedVoterState,
    pub(crate) justifications: GrandpaJustificationStream<Block>,
    pub(crate) finality_proofs: Arc<FinalityProofProvider<FullBackend, Block>>,
    /// Where `engine_createBlock` sends its requests; none unless blocks are made by hand.
    pub(crate) seal_commands: Option<mpsc::Sender<EngineCommand<Hash>>>,
}

/// All RPC methods that this node adds.
pub(crate) fn extensions(
    parts: &Parts,
    executor: SubscriptionTaskExecutor,
) -> Result<RpcModule<()>, sc_service::Error> {
    let mut module = RpcModule::new(());
    let mut methods = vec![
        System::new(parts.client.clone(), parts.pool.clone())
            .into_rpc()
            .into(),
        HeadProver::new(NodeSource {
            client: parts.client.clone(),
            backend: parts.backend.clone(),
            authority_set: parts.authority_set.clone(),
            first_authorities: parts.first_authorities.clone(),
        })
        .into_rpc()
        .into(),
        RunReader::new(parts.client.clone()).into_rpc().into(),
        Grandpa::new(
            executor,
            parts.authority_set.clone(),
            parts.voter_state.clone(),
            parts.justifications.clone(),
            parts.finality_proofs.clone(),
        )
        .into_rpc()
        .into(),
    ];
    if let Some(commands) = &parts.seal_commands {
        methods.push(ManualSeal::new(commands.clone()).into_rpc().into());
    }
    for method in methods {
        merge(&mut module, method)?;
    }
    Ok(module)
}

fn merge(module: &mut RpcModule<()>, methods: jsonrpsee::Methods) -> Result<(), sc_service::Error> {
    module
        .merge(methods)
        .map_err(|error| sc_service::Error::Application(error.into()))
}
