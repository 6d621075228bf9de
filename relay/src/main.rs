// SPDX-License-Identifier: Apache-2.0

//! The binary `mhealth-relay`.

/// A request allocates in each of the layers that it goes through.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    mhealth_server::startup::program(mhealth_relay::run).await
}
