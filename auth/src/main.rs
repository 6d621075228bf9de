// SPDX-License-Identifier: Apache-2.0

//! The binary `mhealth-auth`.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    mhealth_auth::cli::run(mhealth_server::read_options()).await
}
