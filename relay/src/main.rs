// SPDX-License-Identifier: Apache-2.0

//! The binary `mhealth-relay`.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    mhealth_server::startup::program(mhealth_relay::run).await
}
