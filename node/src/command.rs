// SPDX-License-Identifier: Apache-2.0

//! Does what the command line says.

use mhealth_runtime::{opaque::Block, Header};
use sc_cli::SubstrateCli;
use sc_network::config::SyncMode;
use sc_service::{Configuration, TaskManager};

use crate::{
    chain_spec::{self, Purpose},
    cli::{Cli, Subcommand},
    service::{self, Choices, Components, Consensus},
};

impl SubstrateCli for Cli {
    fn impl_name() -> String {
        "mHealth Chain Node".into()
    }

    fn impl_version() -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn description() -> String {
        env!("CARGO_PKG_DESCRIPTION").into()
    }

    fn author() -> String {
        "the mHealth Chain developers".into()
    }

    fn support_url() -> String {
        concat!(env!("CARGO_PKG_REPOSITORY"), "/issues").into()
    }

    fn copyright_start_year() -> i32 {
        2026
    }

    fn load_spec(&self, id: &str) -> Result<Box<dyn sc_service::ChainSpec>, String> {
        let purpose = match self.subcommand {
            Some(Subcommand::ExportChainSpec(_)) => Purpose::Export,
            _ => Purpose::Run,
        };
        chain_spec::load(id, purpose)
    }
}

/// Reads the command line, does what it says, and returns when that is done or a signal asks to stop.
pub fn run() -> sc_cli::Result<()> {
    let cli = Cli::from_args();
    match &cli.subcommand {
        None => run_node(&cli),
        Some(Subcommand::Key(command)) => command.run(&cli),
        Some(Subcommand::ExportChainSpec(command)) => command.run(cli.load_spec(&command.chain)?),
        Some(Subcommand::CheckBlock(command)) => cli.create_runner(command)?.async_run(|config| {
            let parts = components(&config)?;
            Ok((
                command.run(parts.client, parts.import_queue),
                parts.task_manager,
            ))
        }),
        Some(Subcommand::ExportBlocks(command)) => {
            cli.create_runner(command)?.async_run(|config| {
                let parts = components(&config)?;
                Ok((
                    command.run(parts.client, config.database),
                    parts.task_manager,
                ))
            })
        }
        Some(Subcommand::ExportState(command)) => cli.create_runner(command)?.async_run(|config| {
            let parts = components(&config)?;
            Ok((
                command.run(parts.client, config.chain_spec),
                parts.task_manager,
            ))
        }),
        Some(Subcommand::ImportBlocks(command)) => {
            cli.create_runner(command)?.async_run(|config| {
                let parts = components(&config)?;
                Ok((
                    command.run(parts.client, parts.import_queue),
                    parts.task_manager,
                ))
            })
        }
        Some(Subcommand::PurgeChain(command)) => cli
            .create_runner(command)?
            .sync_run(|config| command.run(config.database)),
        Some(Subcommand::Revert(command)) => cli.create_runner(command)?.async_run(|config| {
            let parts = components(&config)?;
            let revert_votes = Box::new(|client, _, blocks| {
                sc_consensus_grandpa::revert(client, blocks)?;
                Ok(())
            });
            Ok((
                command.run(parts.client, parts.backend, Some(revert_votes)),
                parts.task_manager,
            ))
        }),
        Some(Subcommand::ChainInfo(command)) => cli
            .create_runner(command)?
            .sync_run(|config| command.run::<Block>(&config)),
    }
}

fn run_node(cli: &Cli) -> sc_cli::Result<()> {
    let consensus = match cli.sealing {
        Some(sealing) => Consensus::Sealing(sealing),
        None => Consensus::AuraGrandpa,
    };
    let runner = cli.create_runner(&cli.run)?;
    // Before the first line of the log, so that the operator does not have to look for it.
    service::refuse_what_is_not_built_in(runner.config(), consensus)
        .map_err(|refusal| sc_cli::Error::Input(refusal.into()))?;
    let unfit = |error: service::Unfit| sc_cli::Error::Input(error.to_string());
    let choices = Choices {
        consensus,
        begin: begin(cli, runner.config())?,
        gossip: cli.gossip(),
        runtime_cache: cli.runtime_cache(runner.config()).map_err(unfit)?,
    };
    let serves_browsers = serves_browsers(cli);
    runner.run_node_until_exit(|mut config| async move {
        if !serves_browsers {
            config.network.remove_webrtc_addresses();
        }
        start(config, choices)
    })
}

/// Whether the node listens for browsers, by WebRTC: only where it is told to.
///
/// `sc-cli` has every node listen that is no validator. But one datagram of a stranger begins a connection, and litep2p 0.15 does not
/// bound how many are beginning.
fn serves_browsers(cli: &Cli) -> bool {
    let network = &cli.run.network_params;
    let public = |address: &sc_network::Multiaddr| address.to_string().contains("/webrtc-direct");
    network.force_enable_webrtc
        || !network.listen_addr.is_empty()
        || network.public_addr.iter().any(public)
}

/// The header of the checkpoint that the node begins at, if one is given.
fn begin(cli: &Cli, config: &Configuration) -> sc_cli::Result<Option<Header>> {
    let (Some(checkpoint), Some(file)) = (cli.checkpoint, &cli.checkpoint_header) else {
        return Ok(None);
    };
    if !matches!(config.network.sync_mode, SyncMode::Warp) {
        let refusal = "--checkpoint says where warp sync begins; give --sync warp with it";
        return Err(sc_cli::Error::Input(refusal.into()));
    }
    let header = checkpoint.header(file);
    let header = header.map_err(|error| sc_cli::Error::Input(error.to_string()))?;
    Ok(Some(header))
}

fn start(config: Configuration, choices: Choices) -> sc_cli::Result<TaskManager> {
    service::start(config, choices).map_err(sc_cli::Error::Service)
}

fn components(config: &Configuration) -> sc_cli::Result<Components> {
    service::components(config, Consensus::AuraGrandpa, None).map_err(sc_cli::Error::Service)
}
