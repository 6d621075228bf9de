// SPDX-License-Identifier: Apache-2.0

//! The command line of `mhealth-auth`.

use mhealth_server::backup::{self, CopyCommand};
use mhealth_server::credentials::{Change, CredentialCommand};
use mhealth_server::doctor::{Condition, Doctor, DoctorOptions};
use mhealth_server::startup::say;
use mhealth_server::{
    install_crypto, stop_on_signals, Clock, Database, ServerOptions, SystemClock,
};

use crate::keys::KeyRing;
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
    /// Looks at everything that the server needs, and says a line of each. Changes nothing; fails when something is bad.
    Doctor(DoctorOptions),
    /// Copies of the database.
    #[command(flatten)]
    Copy(CopyCommand),
    /// Keys that sign tokens.
    #[command(subcommand)]
    Keys(KeyCommand),
}

/// What the command line does to signing keys. Works on the database, whether or not a server runs.
#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    /// Makes a new key, which signs from now on. The others stay good until their last tokens have expired.
    Rotate {
        /// Why, for the log.
        #[arg(long)]
        why: String,
    },
    /// Makes a new key, and withdraws all others at once with every token that they signed: for when one may be in other
    /// hands.
    Revoke {
        /// Why, for the log.
        #[arg(long)]
        why: String,
    },
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
            let database = Database::open(&options.server.database_url()?).await?;
            let store = Store::open(database).await?;
            let now = SystemClock.now();
            let change = async |change: Change<'_>| store.change_admin(change, now).await;
            command.run(store.database(), change).await
        }
        Some(Command::Doctor(how)) => doctor(&options, *how).await,
        Some(Command::Copy(CopyCommand::Backup { file })) => {
            let url = options.server.database_url()?;
            backup::backup(&url, file).await?;
            say(format_args!("copied {url} to {}", file.display()))?;
            Ok(())
        }
        Some(Command::Copy(CopyCommand::Restore { file })) => {
            let url = options.server.database_url()?;
            let made = backup::restore(&url, file, Store::mend_copy).await?;
            let made = made.map_or("an unknown time".to_owned(), |at| {
                format!("{at} seconds after 1970")
            });
            say(format_args!(
                "restored {url} from a copy of {made}. Codes that were open then may have been redeemed or taken back since, and \
                 are revoked: issue new ones. Signing keys may have been withdrawn since, and are withdrawn: the server makes a \
                 new one when it starts. Credentials of staff that were made or taken back later have to be made or taken back \
                 again. Devices that were enrolled later are on the chain, and their participants are not here."
            ))?;
            Ok(())
        }
        Some(Command::Keys(command)) => {
            let secret = options.auth.key_secret()?;
            let database = Database::open(&options.server.database_url()?).await?;
            let store = Store::open(database.clone()).await?;
            let keys = KeyRing::new(store, &secret);
            let now = SystemClock.now();
            let made = match command {
                KeyCommand::Rotate { why } => keys.make(why, "operator", now).await,
                KeyCommand::Revoke { why } => keys.revoke(why, "operator", now).await,
            };
            let kid = made.map_err(|error| anyhow::anyhow!("{}", error.problem()))?;
            say(format_args!("{kid}"))?;
            database.close().await;
            Ok(())
        }
    }
}

async fn doctor(options: &Options, how: DoctorOptions) -> anyhow::Result<()> {
    install_crypto();
    let mut doctor = Doctor::default();
    let chain = doctor.examine(&options.server, &options.auth.chain).await;
    doctor.take("key secret", options.auth.key_secret(), |_| {
        "Signing keys are encrypted with it.".to_owned()
    });
    match (options.auth.study, chain) {
        (None, _) => doctor.note("study", Condition::Bad, "None is given: --study."),
        (Some(study), Some(chain)) => match chain.study(study).await {
            Ok(Some(found)) if found.open => {
                let detail = format!("Study {study} is open: {}", found.title);
                doctor.note("study", Condition::Good, detail);
            }
            Ok(Some(_)) => {
                let detail = format!("Study {study} is closed.");
                doctor.note("study", Condition::Doubtful, detail);
            }
            Ok(None) => {
                let detail = format!("The chain has no study {study}.");
                doctor.note("study", Condition::Bad, detail);
            }
            Err(error) => doctor.note("study", Condition::Bad, error.to_string()),
        },
        (Some(_), None) => {}
    }
    if options.auth.relays.is_empty() {
        let detail = "None is named, so tokens are good nowhere: give --relay.";
        doctor.note("relays", Condition::Doubtful, detail);
    }
    doctor.print(how)
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
