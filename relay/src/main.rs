// SPDX-License-Identifier: Apache-2.0

//! The binary `mhealth-relay`.

use std::io::Write;

use mhealth_relay::{manage_auditors, serve, Command, Options};
use mhealth_server::{read_options, stop_on_signals};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options: Options = read_options();
    options.server.start_logging();
    match options.command.clone() {
        None | Some(Command::Serve) => serve(options, stop_on_signals()).await,
        Some(Command::Auditor(command)) => {
            let text = manage_auditors(&options, &command).await?;
            writeln!(std::io::stdout(), "{text}")?;
            Ok(())
        }
    }
}
