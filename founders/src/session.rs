// SPDX-License-Identifier: Apache-2.0

//! The chain that a command talks to, and the account that it acts for.

use std::path::PathBuf;
use std::time::Duration;

use mhealth_chain_client::{
    AccountId32, Birth, BlockId, Call, ChainClient, ChainView, ConnectOptions, Inclusion, Patience,
    Submitter, SubmitterOptions, H256,
};

use crate::accounts;
use crate::failure::Failure;

/// The chain makes a block within this time, or none at all: half a minute apart are the blocks that validators make when nothing
/// becomes final, and the slots of those who are away stay empty.
const NEXT_BLOCK: Duration = Duration::from_secs(300);

/// Options of all commands.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// WebSocket address of a node.
    #[arg(
        long = "node",
        value_name = "URL",
        env = "MHEALTH_NODE_URL",
        default_value = "ws://127.0.0.1:9944",
        global = true
    )]
    node: String,
    /// Hash of the chain's first block, 0x and 64 digits. A node of another chain is refused.
    #[arg(long, value_name = "HASH", env = "MHEALTH_GENESIS", global = true)]
    genesis: Option<H256>,
    /// File with the secret of the account that acts, which nobody else can read.
    #[arg(long, value_name = "FILE", env = "MHEALTH_ACCOUNT_FILE", global = true)]
    account_file: Option<PathBuf>,
    /// Wait so many seconds for a node that does not answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, global = true)]
    patience: u64,
    /// Look at the best block instead of the last final one, and wait only until a change is in a block. It can still be undone. For
    /// when finality has stalled.
    #[arg(long, global = true)]
    not_final: bool,
    /// Print one JSON object instead of lines; for an error with the fields error and message.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing of what is under way.
    #[arg(long, short, global = true)]
    quiet: bool,
}

impl Global {
    /// Connects, to read.
    pub(crate) async fn chain(&self) -> Result<ChainClient, Failure> {
        self.chain_of(self.genesis).await
    }

    /// Connects to a node of the chain with this first block.
    pub(crate) async fn chain_of(&self, genesis: Option<H256>) -> Result<ChainClient, Failure> {
        let patience = Duration::from_secs(self.patience);
        let options = ConnectOptions {
            genesis: genesis.or(self.genesis),
            patience: Patience {
                connect: patience,
                reconnect: patience,
                ..Patience::default()
            },
        };
        Ok(ChainClient::connect_with(&self.node, options).await?)
    }

    /// The same, at another node.
    pub(crate) fn at(&self, node: &str) -> Self {
        Self {
            node: node.to_owned(),
            ..self.clone()
        }
    }

    /// The same, with so much patience at least.
    pub(crate) fn patient(&self, seconds: u64) -> Self {
        Self {
            patience: self.patience.max(seconds),
            ..self.clone()
        }
    }

    /// Connects, to act for the account.
    pub(crate) async fn office(&self) -> Result<Office, Failure> {
        let Some(file) = &self.account_file else {
            let message = "This needs the secret of the account that acts: name its file with --account-file.";
            return Err(Failure::input("no_account", message));
        };
        let account = accounts::secret(file)?;
        let chain = self.chain().await?;
        let options = SubmitterOptions {
            // The era of a transaction that counts from the last final block is soon over when there are no later ones.
            birth: match self.not_final {
                true => Birth::Best,
                false => Birth::LastFinal,
            },
            ..SubmitterOptions::default()
        };
        Ok(Office {
            submitter: chain.submitter_with(account, options),
            chain,
            quiet: self.quiet,
            not_final: self.not_final,
        })
    }

    /// Whether what is read and done is final.
    pub(crate) fn is_final(&self) -> bool {
        !self.not_final
    }

    /// The chain at its latest final block, or at the best one if so wanted.
    pub(crate) async fn view(&self, chain: &ChainClient) -> Result<(BlockId, ChainView), Failure> {
        look(chain, self.not_final).await
    }
}

/// An account at work.
pub(crate) struct Office {
    pub(crate) chain: ChainClient,
    submitter: Submitter,
    quiet: bool,
    not_final: bool,
}

async fn look(chain: &ChainClient, not_final: bool) -> Result<(BlockId, ChainView), Failure> {
    if !not_final {
        return Ok(chain.at_finalised().await?);
    }
    let best = chain.best_block().await?;
    let view = chain.at(best.hash).await?;
    Ok((best, view))
}

impl Office {
    pub(crate) fn account(&self) -> AccountId32 {
        self.submitter.account()
    }

    /// Whether what is read and done is final.
    pub(crate) fn is_final(&self) -> bool {
        !self.not_final
    }

    /// The chain at its latest final block, or at the best one if so wanted.
    pub(crate) async fn view(&self) -> Result<(BlockId, ChainView), Failure> {
        look(&self.chain, self.not_final).await
    }

    /// Sends a call, waits until it is final, or in a block if so wanted, and fails when the chain refused it.
    pub(crate) async fn act(&self, call: Call) -> Result<Inclusion, Failure> {
        let name = call.name();
        if self.not_final {
            return self.act_for_now(call).await;
        }
        let submission = self.submitter.submit(call).await?;
        self.say(&format!("{name}: sent, waiting until it is final"));
        let outcome = submission.finalised().await?.succeeded()?;
        self.say(&format!("{name}: final in block {}", outcome.block_number));
        Ok(outcome)
    }

    async fn act_for_now(&self, call: Call) -> Result<Inclusion, Failure> {
        let name = call.name();
        let submission = self.submitter.submit(call).await?;
        self.say(&format!("{name}: sent, waiting until it is in a block"));
        let included = self.chain.included(&submission, NEXT_BLOCK).await?;
        let outcome = included.succeeded()?;
        self.say(&format!(
            "{name}: in block {}, which is not final",
            outcome.block_number
        ));
        Ok(outcome)
    }

    fn say(&self, progress: &str) {
        if !self.quiet {
            eprintln!("{progress}");
        }
    }
}
