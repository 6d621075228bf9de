// SPDX-License-Identifier: Apache-2.0

//! How long a node takes from its start until it answers.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{ensure, Context, Result};
use mhealth_testing::node::Launch;
use mhealth_testing::rpc::JsonRpc;
use serde_json::Value;

use crate::measured::Latency;
use crate::origin::Origin;
use crate::report::replace_between;
use crate::say;

/// How often a node is started in each way.
const STARTS: usize = 5;
/// What a node logs that has compiled its runtime and put it into its cache.
const COMPILED: &str = "the compiled runtime is kept";
/// Where the table stands in the page that it is published in.
const MARKS: [&str; 2] = [
    "<!-- scripts/bench --start -->",
    "<!-- /scripts/bench --start -->",
];

/// Measures, prints the table, and puts it into the documentation.
pub(crate) async fn run(folder: &Path, publish: Option<&Path>) -> Result<()> {
    let origin = Origin::here();
    let base = folder.join("node");
    let launch = || {
        Launch::consensus()
            .base_path(base.as_path())
            .own_runtime_cache()
    };
    // It makes the chain, too, which no later one does.
    let first = start(launch()).await?;
    ensure!(first.compiled, "the node does not keep what it compiled");
    let mut cold = Vec::new();
    let mut warm = Vec::new();
    for _ in 0..STARTS {
        cold.push(start(launch().arg("--no-runtime-cache")).await?.seconds);
        let from_cache = start(launch()).await?;
        ensure!(!from_cache.compiled, "the node compiled what it has");
        warm.push(from_cache.seconds);
    }
    let both = Latency::of(cold).zip(Latency::of(warm));
    let (cold, warm) = both.context("there are some")?;
    let mut table = String::from("| | half of the starts | the slowest |\n|---|---|---|\n");
    for (name, starts) in [
        ("compiles the runtime (`--no-runtime-cache`)", cold),
        ("has it compiled in its cache", warm),
    ] {
        let (half, slowest) = (starts.p50, starts.max);
        // Writing to a string does not fail.
        let _ = writeln!(table, "| {name} | {half:.2} s | {slowest:.2} s |");
    }
    say(format_args!("\n{table}\n"));
    if let Some(docs) = publish {
        let text = format!("{origin}; {STARTS} starts of each kind:\n\n{table}");
        replace_between(&docs.join("performance/README.md"), MARKS, &text)?;
    }
    say(format_args!(
        "start_warm_s={:.2} start_cold_s={:.2}\n",
        warm.p50, cold.p50
    ));
    Ok(())
}

/// What a start took.
struct Start {
    /// Seconds until the node answered.
    seconds: f64,
    /// Whether it put a compiled runtime into its cache.
    compiled: bool,
}

/// Starts a node, waits until it answers, and stops it.
async fn start(launch: Launch) -> Result<Start> {
    let began = Instant::now();
    let mut node = launch.start()?;
    let rpc = JsonRpc::connect(&node.url()).await?;
    let version: Value = rpc.request("state_getRuntimeVersion", &[]).await?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(version["specName"].is_string(), "no version: {version}");
    let compiled = node.log().contains(COMPILED);
    node.stop()?;
    Ok(Start { seconds, compiled })
}
