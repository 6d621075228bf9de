// SPDX-License-Identifier: Apache-2.0

//! The command line of `mhealth-auth`.

use std::io::Write;

use anyhow::bail;
use mhealth_server::{stop_on_signals, Clock, Database, ServerOptions, SystemClock};

use crate::server::{serve, AuthOptions};
use crate::{admins, schema};

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
    /// Who may administer. Works on the database, whether or not a server runs.
    #[command(subcommand)]
    Admin(AdminCommand),
}

#[derive(Debug, clap::Subcommand)]
enum AdminCommand {
    /// Names an administrator and prints the credential, this once. The same name again gets a new credential.
    Add {
        /// 1 to 64 letters, digits, dots, hyphens or underscores; it stands in the log.
        name: String,
    },
    /// Takes the role away.
    Remove {
        /// The name.
        name: String,
    },
    /// Prints the names.
    List,
}

/// Does what the command line says.
pub async fn run(options: Options) -> anyhow::Result<()> {
    options.server.start_logging();
    match options.command {
        None => serve(&options.server, &options.auth, stop_on_signals()).await,
        Some(Command::Admin(command)) => administer(&options.server, command).await,
    }
}

async fn administer(server: &ServerOptions, command: AdminCommand) -> anyhow::Result<()> {
    let database = Database::open_with(&server.database, 1).await?;
    schema::migrate(&database).await?;
    let now = SystemClock.now();
    let mut out = std::io::stdout().lock();
    match command {
        AdminCommand::Add { name } => {
            let credential = admins::add(&database, &name, now).await?;
            writeln!(out, "{}", credential.expose())?;
        }
        AdminCommand::Remove { name } => {
            if !admins::remove(&database, &name, now).await? {
                bail!("nobody is named {name}");
            }
        }
        AdminCommand::List => {
            for name in admins::list(&database).await? {
                writeln!(out, "{name}")?;
            }
        }
    }
    database.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

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
