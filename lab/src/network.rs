// SPDX-License-Identifier: Apache-2.0

//! Four validators on this machine: Alice, Bob, Charlie and Dave of the preset `local`.
//!
//! Four tolerate one that fails: GRANDPA needs the votes of three. `--check` shows it by stopping validators.

#![allow(clippy::print_stdout)] // What it prints is what it is for.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use mhealth_testing::finality::{finalise, halt, height, wait_until_final, PROGRESS};
use mhealth_testing::node::{Launch, Node, VALIDATORS};
use mhealth_testing::process;

/// Runs four validators on this machine until Ctrl-C, or until it is told to end.
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
    match run_until_told(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mhealth-network: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whichever ends first; the validators stop with it.
async fn run_until_told(options: &Options) -> Result<()> {
    let told = process::end_of_program().context("signals cannot be waited for")?;
    tokio::select! {
        outcome = run(options) => outcome,
        () = told => Ok(()),
    }
}

async fn run(options: &Options) -> Result<()> {
    let mut network = Network::start(options.base_path.as_deref()).await?;
    finalise(&network.first(VALIDATORS.len()), PROGRESS).await?;
    for (name, node) in VALIDATORS.iter().zip(&network.nodes) {
        println!("{name:8} {}", node.url());
    }
    if options.check {
        return network.check().await;
    }
    println!("They finalise. Ctrl-C stops them.");
    std::future::pending().await
}

struct Network {
    /// In the order of [`VALIDATORS`].
    nodes: Vec<Node>,
}

impl Network {
    async fn start(base: Option<&Path>) -> Result<Self> {
        let mut nodes: Vec<Node> = Vec::new();
        for (index, name) in VALIDATORS.into_iter().enumerate() {
            println!("starting {name} …");
            let mut launch = Launch::local(index);
            if let Some(base) = base {
                launch = launch.base_path(base.join(name));
            }
            // The first is where the others meet.
            if let Some(first) = nodes.first() {
                launch = launch.arg("--bootnodes").arg(first.address().await?);
            }
            nodes.push(launch.start()?);
        }
        Ok(Network { nodes })
    }

    /// Stops validators one after the other, the last started first, and says what became of finality.
    async fn check(&mut self) -> Result<()> {
        self.stop(3)?;
        finalise(&self.first(3), PROGRESS).await?;
        println!("three of four finalise");

        self.stop(2)?;
        let halted = halt(&self.first(2)).await?;
        println!("two of four go on making blocks but finalise none after {halted}");

        let goal = height(&self.nodes[0]).await?.best;
        for index in [2, 3] {
            println!("starting {} again", VALIDATORS[index]);
            self.nodes[index].start_again()?;
        }
        for node in &self.nodes {
            wait_until_final(node, goal).await?;
        }
        let finalised = height(&self.nodes[0]).await?.last_final;
        println!("four of four finalise what was left open");
        println!("validators=4 stopped_1=finalises stopped_2=halts restarted=resumes finalised={finalised}");
        Ok(())
    }

    fn stop(&mut self, index: usize) -> Result<()> {
        println!("stopping {}", VALIDATORS[index]);
        self.nodes[index].stop()
    }

    /// So many of them, from the first on.
    fn first(&self, number: usize) -> Vec<&Node> {
        self.nodes[..number].iter().collect()
    }
}
