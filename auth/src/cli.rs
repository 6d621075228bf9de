// SPDX-License-Identifier: Apache-2.0

//! The command line of `mhealth-auth`.

use mhealth_server::backup::{self, CopyCommand};
use mhealth_server::credentials::{Change, CredentialCommand};
use mhealth_server::doctor::DoctorOptions;
use mhealth_server::scopes::OneOrAll;
use mhealth_server::startup::say;
use mhealth_server::{
    stop_on_signals, Clock, Database, Duty, Scopes, ServerOptions, StudyOption, SystemClock,
};

use crate::doctor;
use crate::keys::KeyRing;
use crate::paper::{self, PaperOptions};
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
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) auth: AuthOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Credentials of administrators, the study's staff.
    #[command(subcommand)]
    Admin(CredentialCommand<StaffOptions>),
    /// Looks at everything that the server needs, and says a line of each. Changes nothing; fails when something is bad.
    Doctor(DoctorOptions),
    /// Copies of the database.
    #[command(flatten)]
    Copy(CopyCommand),
    /// Keys that sign tokens.
    #[command(subcommand)]
    Keys(KeyCommand),
    /// Writes a sheet for a participant: an enrolment code as letters and as a QR code. Reads the code from standard input, as the
    /// answer of `POST /v1/admin/codes` has it, and needs neither database nor node.
    Paper(PaperOptions),
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

/// What a credential of the staff is good for.
#[derive(Clone, Debug, clap::Args)]
struct StaffOptions {
    #[command(flatten)]
    study: StudyOption,
    /// What it is good for: codes, suspend (and resume), retire, keys, pseudonyms (whose code or device it is), log,
    /// sessions (who is logged in); or all. May be given several times, or separated by commas.
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
            let database = Database::open(&options.server.database_url()?).await?;
            let store = Store::open(database).await?;
            let now = SystemClock.now();
            let change = async |change: Change<'_>| store.change_admin(change, now).await;
            command.run(store.database(), change).await
        }
        Some(Command::Paper(paper)) => {
            paper::write(paper, options.auth.issuer.as_ref(), std::io::stdin().lock())?;
            say(format_args!("wrote {}", paper.out.display()))?;
            Ok(())
        }
        Some(Command::Doctor(how)) => doctor::run(&options, *how).await,
        Some(Command::Copy(CopyCommand::Backup { file })) => {
            let url = options.server.database_url()?;
            backup::backup(&url, file).await?;
            say(format_args!("copied {url} to {}", file.display()))?;
            Ok(())
        }
        Some(Command::Copy(CopyCommand::Restore { file, raw })) => {
            let url = options.server.database_url()?;
            let made = backup::restore(&url, file, (*raw).into(), Store::mend_copy).await?;
            let made = made.map_or("an unknown time".to_owned(), |at| {
                format!("{at} seconds after 1970")
            });
            say(format_args!(
                "restored {url} from a copy of {made}. Codes that were open then may have been redeemed or taken back since, and \
                 are revoked: issue new ones. Signing keys may have been withdrawn since, and are withdrawn: the server makes a \
                 new one when it starts. Sessions of staff and requests for approval may have been ended since, and are ended; \
                 phones that were about to be resumed have to be resumed again. Credentials of staff that were made or taken back \
                 later have to be made or taken back again. Devices that were enrolled later are on the chain, and their \
                 participants are not here."
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
                KeyCommand::Rotate { why } => keys.make(why, "operator", now, None).await,
                KeyCommand::Revoke { why } => keys.revoke(why, "operator", now).await.map(Some),
            };
            let kid = made.map_err(|error| anyhow::anyhow!("{}", error.problem()))?;
            let kid = kid.expect("no decision was asked for; qed");
            say(format_args!("{kid}"))?;
            database.close().await;
            Ok(())
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
    #[test]
    fn the_commands_of_story_and_runbooks_are_understood() {
        for (document, expected) in [
            (include_str!("../../docs/operating/story.md"), 1),
            (include_str!("../../docs/operating/runbooks.md"), 3),
        ] {
            let commands = mhealth_testing::document::commands(document, "mhealth-auth");
            assert_eq!(commands.len(), expected);
            for command in commands {
                let options = Options::try_parse_from(&command);
                options.unwrap_or_else(|error| panic!("{command:?}: {error}"));
            }
        }
    }
}
