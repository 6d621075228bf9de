// SPDX-License-Identifier: Apache-2.0

//! The command line of `mhealth-auth`.

use mhealth_server::credentials::{Change, CredentialCommand};
use mhealth_server::scopes::OneOrAll;
use mhealth_server::{
    stop_on_signals, Clock, Database, Duty, Scopes, ServerOptions, StudyOption, SystemClock,
};

use crate::routes::STAFF_DUTIES;
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
    Admin(CredentialCommand<StaffOptions>),
}

/// What a credential of the staff is good for.
#[derive(Clone, Debug, clap::Args)]
struct StaffOptions {
    #[command(flatten)]
    study: StudyOption,
    /// What it is good for: codes, suspend (and resume), retire, keys, pseudonyms (whose code or device it is), log; or all. May be
    /// given several times, or separated by commas.
    #[arg(
        long,
        value_name = "DUTY|all",
        required = true,
        value_delimiter = ',',
        value_parser = staff_duty
    )]
    may: Vec<OneOrAll<Duty>>,
}

impl From<&StaffOptions> for Scopes {
    fn from(options: &StaffOptions) -> Self {
        Scopes {
            studies: options.study.studies(),
            duties: options.may.iter().copied().collect(),
        }
    }
}

/// A duty that there is at this server.
pub(crate) fn staff_duty(text: &str) -> Result<OneOrAll<Duty>, String> {
    let names: Vec<_> = STAFF_DUTIES.iter().map(|duty| duty.as_str()).collect();
    match text.parse()? {
        OneOrAll::One(duty) if !STAFF_DUTIES.contains(&duty) => Err(format!(
            "{duty} is no duty at an authentication server: {}",
            names.join(", ")
        )),
        duty => Ok(duty),
    }
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
    use mhealth_server::{read_options_from, BaseAddress};

    use super::*;
    use crate::approvals::Act;

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
    fn a_credential_says_for_what_it_is() {
        let scopes = |more: &[&str]| {
            let arguments = ["mhealth-auth", "admin", "grant", "eva"].iter().chain(more);
            match Options::try_parse_from(arguments)?.command {
                Some(Command::Admin(CredentialCommand::Grant { scopes, .. })) => {
                    Ok(Scopes::from(&scopes).to_string())
                }
                other => panic!("{other:?}"),
            }
        };
        for lacks in [&[][..], &["--study=0"], &["--may=codes"]] {
            let error: clap::Error = scopes(lacks).expect_err("nobody gets everything unasked");
            assert!(error.to_string().contains("required"), "{error}");
        }
        for (more, text) in [
            (
                ["--study=0", "--may=suspend,codes"],
                "study=0 may=codes,suspend",
            ),
            (["--study=0,3", "--may=log"], "study=0,3 may=log"),
            (["--study=all", "--may=all"], "study=all may=all"),
        ] {
            assert_eq!(scopes(&more).unwrap(), text);
        }
        for bad in ["export", "everything", "", "codes,,keys"] {
            let may = format!("--may={bad}");
            assert!(scopes(&["--study=0", &may]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_login_of_the_documents_is_understood() {
        let document = include_str!("../../docs/operating/running-an-authentication-server.md");
        let start = document.find("oidc-issuer = ").expect("it is there");
        let length = document[start..].find("```").expect("it ends");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth.toml");
        std::fs::write(&file, &document[start..start + length]).unwrap();
        let file = file.to_str().unwrap();
        let options: Options = read_options_from(["mhealth-auth", "--config", file]).unwrap();
        let AuthOptions {
            login,
            second_approval,
            ..
        } = options.auth;
        assert_eq!(second_approval, [Act::Retire, Act::Keys]);
        assert_eq!(login.oidc_issuer.as_deref(), Some("https://login.example"));
        let grants: Vec<_> = login
            .oidc_grants
            .iter()
            .map(|grant| (&*grant.value, grant.duties.to_string()))
            .collect();
        let expected = [("site-staff", "codes,suspend"), ("data-manager", "all")];
        assert_eq!(grants, expected.map(|(value, may)| (value, may.to_owned())));
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
