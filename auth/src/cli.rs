// SPDX-License-Identifier: Apache-2.0

//! The command line of `mhealth-auth`.

use mhealth_server::credentials::{Change, CredentialCommand};
use mhealth_server::{stop_on_signals, Clock, Database, ServerOptions, SystemClock};

use crate::server::{serve, AuthOptions};
use crate::store::Store;

/// The authentication server of mHealth Chain.
///
/// Enrols the devices of one study on the chain and issues their authentication keys. Without a command, it serves.
#[derive(Debug, clap::Parser)]
#[command(name = "mhealth-auth", version)]
pub struct Options {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    auth: AuthOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Credentials of administrators, the study's staff.
    #[command(subcommand)]
    Admin(CredentialCommand),
}

impl AsRef<ServerOptions> for Options {
    fn as_ref(&self) -> &ServerOptions {
        &self.server
    }
}

/// Does what the command line says.
pub async fn run(options: Options) -> anyhow::Result<()> {
    match &options.command {
        None => serve(&options.server, &options.auth, stop_on_signals()).await,
        Some(Command::Admin(command)) => {
            let database = Database::open(&options.server.database).await?;
            let store = Store::open(database).await?;
            let now = SystemClock.now();
            let change = async |change: Change<'_>| store.change_admin(change, now).await;
            command.run(store.database(), change).await
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use mhealth_server::BaseAddress;

    use super::*;

    #[test]
    fn lists_are_split_at_spaces() {
        let list = "https://a.example https://b.example";
        let options = Options::try_parse_from(["mhealth-auth", "--relay", list]).unwrap();
        let relays: Vec<_> = options
            .auth
            .relays
            .iter()
            .map(BaseAddress::as_str)
            .collect();
        assert_eq!(relays, ["https://a.example", "https://b.example"]);
    }

    #[test]
    fn the_commands_of_the_topologies_are_understood() {
        let document = include_str!("../../docs/operating/topologies.md");
        let commands = mhealth_testing::document::commands(document, "mhealth-auth");
        assert_eq!(commands.len(), 10);
        for command in commands {
            let options = Options::try_parse_from(&command)
                .unwrap_or_else(|error| panic!("{command:?}: {error}"));
            assert_eq!(options.command.is_none(), options.auth.study.is_some());
        }
    }
}
