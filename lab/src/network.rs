// SPDX-License-Identifier: Apache-2.0

//! Four validators on this machine: Alice, Bob, Charlie and Dave of the preset `local`.
//!
//! Four tolerate one that fails: GRANDPA needs the votes of three. `--check` shows it by stopping validators.

#![allow(clippy::print_stdout)] // What it prints is what it is for.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use clap::Parser;
use mhealth_chain_client::ChainClient;
use mhealth_testing::node::{Launch, Node, VALIDATORS};
use tokio::time::{sleep, timeout};

/// Finality is a matter of seconds; what takes longer than this does not work.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at the chain.
const PAUSE: Duration = Duration::from_millis(500);
/// How much further a chain must finalise to be believed that it goes on finalising.
const PROGRESS: u64 = 4;
/// How many blocks a halted chain must make without finalising any to be believed that it halted. Two validators of four
/// make one every four seconds.
const HALT: u64 = 6;

/// Runs four validators on this machine until Ctrl-C.
#[derive(Parser)]
#[command(name = "mhealth-network", version)]
struct Options {
    /// Stop one validator, then a second, and look whether the others still finalise; restart both; then end.
    #[arg(long)]
    check: bool,
    /// Keep the chain in this directory, to go on with it another time. Otherwise it is thrown away at the end.
    #[arg(long, value_name = "DIRECTORY")]
    base_path: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    // Whichever ends first; the validators stop with it.
    let outcome = tokio::select! {
        outcome = run(&options) => outcome,
        interrupt = tokio::signal::ctrl_c() => interrupt.context("Ctrl-C cannot be waited for"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mhealth-network: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    let mut network = Network::start(options.base_path.as_deref()).await?;
    network.wait_until_all_finalise().await?;
    for validator in &network.validators {
        println!("{:8} {}", validator.name, validator.node.url());
    }
    if options.check {
        return network.check().await;
    }
    println!("They finalise. Ctrl-C stops them.");
    std::future::pending().await
}

struct Network {
    validators: Vec<Validator>,
}

struct Validator {
    name: &'static str,
    node: Node,
    chain: ChainClient,
}

impl Network {
    async fn start(base: Option<&Path>) -> Result<Self> {
        let mut validators: Vec<Validator> = Vec::new();
        for (index, name) in VALIDATORS.into_iter().enumerate() {
            println!("starting {name} …");
            let mut launch = Launch::local(index);
            if let Some(base) = base {
                launch = launch.base_path(base.join(name));
            }
            // The first is where the others meet.
            if let Some(first) = validators.first() {
                launch = launch.arg("--bootnodes").arg(first.node.address().await?);
            }
            let node = launch.start()?;
            let chain = ChainClient::connect(&node.url()).await?;
            validators.push(Validator { name, node, chain });
        }
        Ok(Network { validators })
    }

    async fn wait_until_all_finalise(&self) -> Result<()> {
        let goal = self.first().finalised().await? + PROGRESS;
        self.wait_until_all_finalised(goal).await
    }

    async fn wait_until_all_finalised(&self, goal: u64) -> Result<()> {
        for validator in &self.validators {
            validator.wait_until_finalised(goal).await?;
        }
        Ok(())
    }

    /// Stops validators one after the other, the last started first, and says what became of finality.
    async fn check(&mut self) -> Result<()> {
        self.stop(3)?;
        let goal = self.first().finalised().await? + PROGRESS;
        self.first().wait_until_finalised(goal).await?;
        println!("three of four finalise");

        self.stop(2)?;
        let halted = self.first().wait_until_halted().await?;
        println!("two of four go on making blocks but finalise none after {halted}");

        let goal = self.first().best().await?;
        for index in [2, 3] {
            println!("starting {} again", VALIDATORS[index]);
            self.validators[index].node.start_again()?;
        }
        self.wait_until_all_finalised(goal).await?;
        let finalised = self.first().finalised().await?;
        println!("four of four finalise what was left open");
        println!("validators=4 stopped_1=finalises stopped_2=halts restarted=resumes finalised={finalised}");
        Ok(())
    }

    fn stop(&mut self, index: usize) -> Result<()> {
        println!("stopping {}", VALIDATORS[index]);
        self.validators[index].node.stop()
    }

    fn first(&self) -> &Validator {
        &self.validators[0]
    }
}

impl Validator {
    async fn finalised(&self) -> Result<u64> {
        Ok(self.chain.finalised().await?.number)
    }

    /// Number of the best block, final or not.
    async fn best(&self) -> Result<u64> {
        Ok(self.chain.best_block().await?.number)
    }

    async fn wait_until_finalised(&self, goal: u64) -> Result<()> {
        let reached = async {
            while self.finalised().await? < goal {
                sleep(PAUSE).await;
            }
            Ok(())
        };
        let outcome = timeout(PATIENCE, reached).await;
        outcome.with_context(|| {
            format!(
                "{} did not finalise block {goal} within {PATIENCE:?}:\n{}",
                self.name,
                self.node.log()
            )
        })?
    }

    /// Waits until enough blocks were made on top of one finalised block; returns its number. What was being voted on
    /// when a validator stopped may still become final.
    async fn wait_until_halted(&self) -> Result<u64> {
        let first = self.finalised().await?;
        let halted = async {
            loop {
                let finalised = self.finalised().await?;
                if finalised > first + PROGRESS {
                    bail!("the chain still finalises: {first}, and now {finalised}");
                }
                if self.best().await? >= finalised + HALT {
                    return Ok(finalised);
                }
                sleep(PAUSE).await;
            }
        };
        timeout(PATIENCE, halted)
            .await
            .context("the chain makes no blocks any more")?
    }
}
