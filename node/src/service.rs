// SPDX-License-Identifier: Apache-2.0

//! Puts a node together from its parts.
//!
//! [`components`] makes what every subcommand needs: the database, the executor, the queue that checks blocks.
//! [`start`] adds the network, JSON-RPC and the way in which blocks are made: [`authoring`] or [`sealing`].

mod authoring;
mod clock;
mod components;
mod final_report;
mod full;
mod lanes;
mod metrics;
mod reports;
mod runtime_cache;
mod sealing;
mod state_first;
mod witness;

use std::time::Duration;

use mhealth_runtime::{opaque::Block, Header, RuntimeApi};
use sc_executor::WasmExecutor;

pub(crate) use self::{
    components::{components, Components},
    full::{refuse_what_is_not_built_in, start},
    runtime_cache::{RuntimeCache, Unfit},
    sealing::Sealing,
};

/// The client: the chain as this node knows it, and the runtime that executes it.
pub(crate) type FullClient =
    sc_service::TFullClient<Block, RuntimeApi, WasmExecutor<mhealth_runtime::HostFunctions>>;

/// The database.
pub(crate) type FullBackend = sc_service::TFullBackend<Block>;

/// Which of several chains is the best: the longest that contains the finalised one.
type FullSelectChain = sc_consensus::LongestChain<FullBackend, Block>;

/// The transaction pool.
pub(crate) type FullPool = sc_transaction_pool::TransactionPoolHandle<Block, FullClient>;

/// What GRANDPA checks and keeps when a block is imported.
type GrandpaBlockImport =
    sc_consensus_grandpa::GrandpaBlockImport<FullBackend, Block, FullClient, FullSelectChain>;

/// What the GRANDPA voter needs of the block import.
type GrandpaLink = sc_consensus_grandpa::LinkHalf<Block, FullClient, FullSelectChain>;

/// The proof of a block's finality is kept in the database at least once in this many blocks.
///
/// A proof about an older block carries the headers up to the next kept one, so few are needed; each is kept for ever,
/// a few hundred bytes a validator.
const JUSTIFICATION_PERIOD: u32 = 16;

/// How blocks come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consensus {
    /// Validators make blocks in turn and vote for their finality.
    AuraGrandpa,
    /// This node alone makes blocks, which are final at once.
    Sealing(Sealing),
}

/// What the operator says of a node beside what Substrate's own options say.
pub(crate) struct Choices {
    /// How blocks come about.
    pub(crate) consensus: Consensus,
    /// Where a new node that syncs by warp begins; otherwise at the first block.
    pub(crate) begin: Option<Header>,
    /// How long a vote is expected to take to everybody.
    pub(crate) gossip: Duration,
    /// Where the compiled runtime is kept, if anywhere.
    pub(crate) runtime_cache: Option<RuntimeCache>,
}
