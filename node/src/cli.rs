// SPDX-License-Identifier: Apache-2.0

//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::builder::ArgPredicate;
use sc_service::Configuration;

use crate::{
    checkpoint::Checkpoint,
    service::{RuntimeCache, Sealing, Unfit},
};

/// The options and subcommands of the node.
#[derive(Debug, clap::Parser)]
// Options of sc-cli for what this node does not have are not shown: telemetry, offchain workers, a choice of network
// libraries.
#[command(
    mut_arg("no_telemetry", |option| option.hide(true)),
    mut_arg("telemetry_endpoints", |option| option.hide(true)),
    mut_arg("enabled", |option| option.hide(true)),
    mut_arg("indexing_enabled", |option| option.hide(true)),
    mut_arg("network_backend", |option| option.hide(true)),
    // A full block, in hexadecimal.
    mut_arg("rpc_max_response_size", |option| option.default_value("32")),
    // 256 MiB. The cache's table doubles while a block is being made; with the 1 GiB of sc-cli that alone took 0.8 s
    // once.
    mut_arg("trie_cache_size", |option| option.default_value("268435456")),
    // Any web page may open a WebSocket to a node on the machine of whoever looks at it. A validator has keys that the unsafe
    // methods change and use.
    mut_arg("rpc_methods", |option| option.default_value_if("validator", ArgPredicate::Equals("true".into()), "safe")),
    // The other pool validates all that is in it again after every block, which costs more than the block does. And it may hold a
    // transaction back until the next block, which under --sealing may never come.
    mut_arg("pool_type", |option| option.default_value("single-state")),
    // With the 8,192 of sc-cli, the small transactions of a few accounts in a higher lane would put everybody else out of the pool. How
    // many of one account wait, the runtime bounds.
    mut_arg("pool_limit", |option| option.default_value("65536")),
    // 128 MiB, where sc-cli has 20: less than what two busy relays have on their way.
    mut_arg("pool_kbytes", |option| option.default_value("131072"))
)]
pub(crate) struct Cli {
    /// What to do instead of running a node.
    #[command(subcommand)]
    pub(crate) subcommand: Option<Subcommand>,

    /// Make blocks without consensus, on a development chain: `instant` (when a transaction arrives), `manual` (when
    /// the RPC method engine_createBlock is called), or at an interval in milliseconds.
    ///
    /// Such blocks are final at once, and the chain's clock moves on by at least one slot (two seconds) with each.
    /// There is no GRANDPA then, so the chain offers no proofs of finality.
    #[arg(long, value_name = "instant|manual|MILLISECONDS")]
    pub(crate) sealing: Option<Sealing>,

    /// Milliseconds that a vote is expected to take to the other validators, for those who vote. A block becomes final two to six
    /// times as long after it was made. Give twice the slowest one-way time between two of you; with less, validators vote before
    /// they have heard of the same block, and more often agree only on the one before it. Safe whatever it is, and they need not
    /// give the same. With --dev, where one validator votes alone, 50 unless said otherwise.
    #[arg(long, value_name = "MILLISECONDS", default_value = "150", default_value_if("dev", ArgPredicate::Equals("true".into()), "50"),
        value_parser = clap::value_parser!(u64).range(20..=5_000))]
    pub(crate) grandpa_gossip: u64,

    /// Keep the compiled runtime in this folder, so that the next start does not compile it again [default: runtime-cache
    /// beside the chain's database, unless that is deleted when the node stops]. The node executes what is in the folder, so nobody
    /// but its account may write to it.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) runtime_cache: Option<PathBuf>,

    /// Compile the runtime at every start.
    #[arg(long, conflicts_with = "runtime_cache")]
    pub(crate) no_runtime_cache: bool,

    /// With --sync warp: begin at this block, which you know to be final from a source other than the network, instead of
    /// following the handovers of authorities from the first block on. Needed once the consortium has changed the
    /// authorities by force, which no handover leads over; a block after that will do.
    ///
    /// The hash alone does not have the state's root, so the header has to come with it: --checkpoint-header.
    #[arg(long, value_name = "HASH@NUMBER", requires = "checkpoint_header")]
    pub(crate) checkpoint: Option<Checkpoint>,

    /// File with the checkpoint's header, as the RPC method chain_getHeader answers for its hash. It may come from anybody: the
    /// node refuses a header that does not have the checkpoint's hash.
    #[arg(long, value_name = "FILE", requires = "checkpoint")]
    pub(crate) checkpoint_header: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) run: sc_cli::RunCmd,
}

impl Cli {
    /// How long a vote is expected to take to everybody.
    pub(crate) fn gossip(&self) -> Duration {
        Duration::from_millis(self.grandpa_gossip)
    }

    /// Where the compiled runtime is kept, if anywhere. A folder that cannot be trusted is refused if the operator named it;
    /// without the usual one the node starts slowly.
    pub(crate) fn runtime_cache(
        &self,
        config: &Configuration,
    ) -> Result<Option<RuntimeCache>, Unfit> {
        if let Some(folder) = &self.runtime_cache {
            return RuntimeCache::open(folder).map(Some);
        }
        if self.no_runtime_cache || self.is_deleted_at_the_end() {
            return Ok(None);
        }
        let chain = config.base_path.config_dir(config.chain_spec.id());
        let cache = RuntimeCache::open(&RuntimeCache::below(&chain));
        Ok(cache
            .inspect_err(|error| tracing::warn!("the runtime is compiled at every start: {error}"))
            .ok())
    }

    fn is_deleted_at_the_end(&self) -> bool {
        let shared = &self.run.shared_params;
        self.run.tmp || (shared.dev && shared.base_path.is_none())
    }
}

/// What the program can do beside running a node.
#[derive(Debug, clap::Subcommand)]
#[allow(clippy::large_enum_variant)]
pub(crate) enum Subcommand {
    /// Generate, inspect and insert keys.
    #[command(subcommand)]
    Key(sc_cli::KeySubcommand),

    /// Write the specification of a chain as JSON.
    ExportChainSpec(sc_cli::ExportChainSpecCmd),

    /// Execute a block again and check it.
    CheckBlock(sc_cli::CheckBlockCmd),

    /// Write blocks to a file.
    ExportBlocks(sc_cli::ExportBlocksCmd),

    /// Write the state of a block as the specification of a new chain.
    ExportState(sc_cli::ExportStateCmd),

    /// Read blocks from a file, execute and keep them.
    ImportBlocks(sc_cli::ImportBlocksCmd),

    /// Delete the whole chain from this node.
    PurgeChain(sc_cli::PurgeChainCmd),

    /// Go back by a number of blocks, at most to the last finalised one.
    Revert(sc_cli::RevertCmd),

    /// Print the best and the finalised block of the database.
    ChainInfo(sc_cli::ChainInfoCmd),
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use mhealth_runtime::limits::BLOCK_BYTES;
    use sc_cli::TransactionPoolType;

    use super::Cli;

    #[test]
    fn a_full_block_can_be_read_over_json_rpc() {
        let cli = Cli::parse_from(["mhealth-node"]);
        let megabytes = cli.run.rpc_params.rpc_max_response_size;
        // Two characters a byte, and a mebibyte for the rest.
        assert!(megabytes * 1024 * 1024 >= 2 * BLOCK_BYTES + 1024 * 1024);
    }

    #[test]
    fn a_validator_serves_unsafe_methods_only_when_told_to() {
        let of = |options: &[&str]| {
            let command_line = ["mhealth-node"].iter().chain(options);
            let cli = Cli::parse_from(command_line);
            format!("{:?}", cli.run.rpc_params.rpc_methods)
        };
        assert_eq!(of(&[]), "Auto");
        assert_eq!(of(&["--validator"]), "Safe");
        assert_eq!(of(&["--validator", "--rpc-methods=unsafe"]), "Unsafe");
    }

    fn pool_of(options: &[&str]) -> TransactionPoolType {
        let command_line = ["mhealth-node", "--dev"].iter().chain(options);
        Cli::parse_from(command_line).run.pool_config.pool_type
    }

    #[test]
    fn the_pool_is_the_one_that_holds_nothing_back_unless_asked_otherwise() {
        use TransactionPoolType::{ForkAware, SingleState};
        assert!(matches!(pool_of(&[]), SingleState));
        assert!(matches!(pool_of(&["--sealing=instant"]), SingleState));
        for asked in [
            &["--pool-type=fork-aware"][..],
            &["--sealing=instant", "--pool-type=fork-aware"],
        ] {
            assert!(matches!(pool_of(asked), ForkAware));
        }
    }

    #[test]
    fn a_pool_has_many_places_unless_told_otherwise() {
        let places = |options: &[&str]| {
            let command_line = ["mhealth-node"].iter().chain(options);
            Cli::parse_from(command_line).run.pool_config.pool_limit
        };
        assert_eq!(places(&[]), 65_536);
        assert_eq!(places(&["--pool-limit=100"]), 100);
    }

    #[test]
    fn a_pool_holds_what_many_busy_relays_have_on_their_way() {
        let pool = Cli::parse_from(["mhealth-node"]).run.pool_config;
        assert_eq!(pool.pool_kbytes, 128 * 1024);
    }

    #[test]
    fn votes_are_expected_to_take_some_time_and_not_for_ever() {
        let gossip = |options: &[&str]| {
            let command_line = ["mhealth-node"].iter().chain(options);
            Cli::try_parse_from(command_line).map(|cli| cli.gossip().as_millis())
        };
        assert_eq!(gossip(&[]).expect("the default is within bounds"), 150);
        let alone = gossip(&["--dev"]);
        assert_eq!(alone.expect("so is that of a chain with one"), 50);
        let slow = gossip(&["--dev", "--grandpa-gossip=1000"]);
        assert_eq!(slow.expect("a second is within bounds"), 1_000);
        for wrong in ["0", "19", "5001", "fast"] {
            assert!(gossip(&["--grandpa-gossip", wrong]).is_err(), "{wrong}");
        }
    }
}
