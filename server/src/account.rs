// SPDX-License-Identifier: Apache-2.0

//! The chain, and the account that a server has there.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, Context};
use mhealth_api::Hash;
use mhealth_chain_client::{
    check_node_address, Account, ChainClient, ConnectOptions, Patience, H256,
};

use crate::SecretText;

/// How long a node may take to come up with the server.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// Requests wait so long for a lost node before they are answered with `chain_unavailable`.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Which chain, and as whom.
#[derive(Clone, Debug, clap::Args)]
pub struct ChainOptions {
    /// WebSocket address of a node: wss://, or ws:// on this machine.
    #[arg(
        long,
        value_name = "URL",
        env = "MHEALTH_NODE_URL",
        default_value = "ws://127.0.0.1:9944"
    )]
    pub node: String,

    /// Genesis hash of the chain, 0x and 64 digits. The server refuses to work with a node of another one.
    #[arg(long, value_name = "HASH", env = "MHEALTH_GENESIS")]
    pub genesis: Option<H256>,

    /// Secret of the server's account: a mnemonic phrase or 0x and a seed, with derivation (`phrase//path`). Give it by
    /// the environment, not on the command line, where others on the machine see it.
    #[arg(
        long,
        value_name = "SECRET",
        env = "MHEALTH_ACCOUNT",
        hide_env_values = true,
        conflicts_with = "account_file"
    )]
    pub account: Option<SecretText>,

    /// File that holds the secret of the server's account. Nobody but its owner may be able to read it.
    #[arg(long, value_name = "FILE", env = "MHEALTH_ACCOUNT_FILE")]
    pub account_file: Option<PathBuf>,
}

impl ChainOptions {
    /// Whether the node may be spoken to at this address.
    pub fn check(&self) -> anyhow::Result<()> {
        let checked = check_node_address(&self.node);
        checked.map_err(|error| anyhow::anyhow!("{error} ({})", error.code()))
    }

    /// The same, of the chain that a database belongs to. Fails if the server was started for another one.
    pub fn of_chain(&self, genesis: Hash) -> anyhow::Result<Self> {
        let mut options = self.clone();
        let expected = *options.genesis.get_or_insert(H256(genesis.0));
        anyhow::ensure!(
            expected.0 == genesis.0,
            "this database belongs to chain {genesis}, and the server was started for chain {expected:?}"
        );
        Ok(options)
    }

    /// Connects to the node, which may still be starting.
    pub async fn connect(&self) -> anyhow::Result<ChainClient> {
        let options = ConnectOptions {
            genesis: self.genesis,
            patience: Patience {
                connect: START_PATIENCE,
                reconnect: RECONNECT_PATIENCE,
                ..Patience::default()
            },
        };
        Ok(ChainClient::connect_with(&self.node, options).await?)
    }

    /// The server's account.
    pub fn account(&self) -> anyhow::Result<Account> {
        let secret = self.account_secret()?;
        Account::from_secret_uri(secret.expose()).context("MHEALTH_ACCOUNT or --account-file")
    }

    /// The secret of the server's account.
    pub fn account_secret(&self) -> anyhow::Result<SecretText> {
        match (&self.account, &self.account_file) {
            (Some(secret), _) => Ok(secret.clone()),
            (None, Some(path)) => Ok(SecretText::from_file(path)?),
            (None, None) => bail!(
                "the server needs its account's secret: set MHEALTH_ACCOUNT, or --account-file"
            ),
        }
    }
}
