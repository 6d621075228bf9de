// SPDX-License-Identifier: Apache-2.0

//! Measures what the calls of a runtime cost, and writes the result as Rust code.
//!
//! This is the `pallet` command of frame-benchmarking-cli on its own. It takes the runtime as a Wasm file, so the node
//! need not carry it. Without the features of the usual program it builds in minutes and without RocksDB.

use clap::Parser;
use frame_benchmarking_cli::PalletCmd;
use sp_runtime::traits::BlakeTwo256;
use tracing_subscriber::EnvFilter;

/// As in the node.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> sc_cli::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    PalletCmd::parse()
        .run_with_spec::<BlakeTwo256, pallet_client_hashchain::run_checks::HostFunctions>(None)
}
