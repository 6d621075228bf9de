// SPDX-License-Identifier: Apache-2.0

//! The command line.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use hashchain::StudyId;

use crate::decide::{self, Ballot};
use crate::failure::{Failure, EXIT_CODES};
use crate::finality::{self, ReportConflict};
use crate::proposals::{Decision, NewAllowance};
use crate::report::Report;
use crate::session::Global;
use crate::{auditor_key, found, keys, passport, status, study, urgent, wait};

/// What the organisations of an mHealth Chain do with it: keys, the first block, decisions, studies and their servers.
///
/// Secrets stay in files that only their owner can read; nothing is overwritten. Commands that change the chain wait until
/// the change is final.
#[derive(Debug, Parser)]
#[command(name = "mhealth", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

impl Arguments {
    pub(crate) fn json(&self) -> bool {
        self.global.json
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Keys(keys::Keys),
    Found(found::Found),
    /// Proposes something to the other members, and votes for it.
    ///
    /// `mhealth study create`, `mhealth allowance`, and `mhealth appoint` and `mhealth remove` for validators and members are other
    /// names for the same.
    Propose {
        /// Propose only, without a vote of your own.
        #[arg(long)]
        no_vote: bool,
        #[command(subcommand)]
        decision: Decision,
    },
    /// Votes on an open motion.
    Vote {
        /// Close the motion, too, if it is decided with this vote. An approved one is carried out then.
        #[arg(long)]
        close: bool,
        /// Number of the motion, or its hash.
        #[arg(value_name = "MOTION")]
        motion: decide::Named,
        /// For it or against it.
        #[arg(value_enum)]
        ballot: Ballot,
    },
    /// Closes a motion that is decided, or whose three days are over. An approved one is carried out.
    Close {
        /// Number of the motion, or its hash.
        #[arg(value_name = "MOTION")]
        motion: decide::Named,
    },
    /// Lists the open motions, in words.
    Motions,
    /// Decisions within hours: members vote, and the last vote that it takes carries them out.
    #[command(subcommand)]
    Urgent(urgent::Urgent),
    /// Creates, shows, closes and reopens studies.
    #[command(subcommand)]
    Study(study::Study),
    /// Appoints somebody to an office.
    #[command(subcommand)]
    Appoint(study::Office),
    /// Removes somebody from an office.
    #[command(subcommand)]
    Remove(study::Office),
    /// Proposes another allowance for a study to the other members, as `mhealth propose set-allowance`.
    Allowance(NewAllowance),
    /// Puts another key in the place of an office's present one.
    #[command(subcommand)]
    Rotate(study::Rotate),
    #[command(subcommand)]
    AuditorKey(auditor_key::AuditorKey),
    /// Puts new rules in force that the consortium has authorised. For a member.
    Upgrade {
        /// The new runtime, as the release has it.
        #[arg(value_name = "FILE")]
        code: PathBuf,
    },
    /// Shows the chain the last final block that this node can prove, before the members help over a stall of finality
    /// (`mhealth propose note-stalled`). For anybody with a role.
    ReportFinal {
        /// The number of the set of authorities that signed it, if that is another than the chain says.
        #[arg(long, value_name = "N")]
        set: Option<u64>,
    },
    ReportConflict(ReportConflict),
    /// Shows the node and the chain; with --study a study, with --devices its devices, too.
    Status {
        /// Number of a study.
        #[arg(long, value_name = "N")]
        study: Option<StudyId>,
        /// Show the study's devices. Asks for every device of the chain.
        #[arg(long, requires = "study")]
        devices: bool,
    },
    /// Waits until a block is final, and prints the number of the last final one.
    Wait {
        /// The number of the block; with a plus before it, how many more than now.
        #[arg(long = "final", value_name = "BLOCK|+N")]
        goal: wait::Goal,
        /// Wait so many seconds at most. By default it waits for as long as the node answers.
        #[arg(long, value_name = "SECONDS")]
        within: Option<u64>,
    },
    #[command(subcommand)]
    Passport(passport::Passport),
    /// Prints what a shell needs to complete this program's command line.
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Writes the manual pages of this program and all its commands.
    Man {
        /// The folder for them.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

/// Does what the command line says.
pub(crate) async fn run(arguments: Arguments) -> Result<Report, Failure> {
    let global = &arguments.global;
    match arguments.command {
        Command::Keys(keys) => keys::run(&keys),
        Command::Found(found) => found::run(&found),
        Command::Propose { no_vote, decision } => decide::propose(global, decision, !no_vote).await,
        Command::Vote {
            close,
            motion,
            ballot,
        } => decide::vote(global, motion, ballot, close).await,
        Command::Close { motion } => decide::close(global, motion).await,
        Command::Motions => decide::motions(global).await,
        Command::Urgent(urgent) => urgent::run(global, urgent).await,
        Command::Study(study) => study::run(global, study).await,
        Command::Appoint(office) => study::appoint(global, office).await,
        Command::Remove(office) => study::remove(global, office).await,
        Command::Allowance(new) => decide::propose(global, Decision::SetAllowance(new), true).await,
        Command::Rotate(rotate) => study::rotate(global, rotate).await,
        Command::AuditorKey(command) => auditor_key::run(global, command).await,
        Command::Upgrade { code } => decide::upgrade(global, &code).await,
        Command::ReportFinal { set } => finality::report_final(global, set).await,
        Command::ReportConflict(command) => finality::report_conflict(global, &command).await,
        Command::Status { study: None, .. } => status::chain(global).await,
        Command::Status {
            study: Some(study),
            devices,
        } => status::study(global, study, devices).await,
        Command::Wait { goal, within } => wait::until_final(global, goal, within).await,
        Command::Passport(passport) => passport::run(global, passport).await,
        Command::Completion { shell } => completion(shell),
        Command::Man { folder } => man(&folder),
    }
}

fn completion(shell: Shell) -> Result<Report, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "mhealth", &mut script);
    let written = std::io::stdout().write_all(&script);
    written.map_err(|error| Failure::file(Path::new("standard output"), &error))?;
    Ok(Report::default())
}

fn man(folder: &Path) -> Result<Report, Failure> {
    let mut command = Arguments::command();
    // Names of commands become those of their pages: mhealth-found(1).
    command.build();
    clap_mangen::generate_to(command, folder).map_err(|error| Failure::file(folder, &error))?;
    Ok(Report::default()
        .line(format!("The manual pages are in {}.", folder.display()))
        .with("folder", folder.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_all_commands_may_stand_behind_the_command() {
        let line = "mhealth vote 3 aye --close --json --account-file a --node ws://[::1]:1";
        let arguments = Arguments::try_parse_from(line.split(' ')).expect("it is understood");
        assert!(arguments.json());
        assert!(matches!(
            arguments.command,
            Command::Vote { close: true, .. }
        ));
    }

    #[test]
    fn the_commands_of_the_documents_are_understood() {
        for (document, number) in [
            (include_str!("../../docs/operating/founding.md"), 36),
            (include_str!("../../docs/operating/story.md"), 36),
            (include_str!("../../docs/operating/runbooks.md"), 68),
        ] {
            // Numbers of a motion and of a block, which the shell puts in.
            let document = document.replace("$motion", "0").replace("$last", "0");
            let commands = mhealth_testing::document::commands(&document, "mhealth");
            assert_eq!(commands.len(), number);
            for command in commands {
                let arguments = Arguments::try_parse_from(&command);
                arguments.unwrap_or_else(|error| panic!("{command:?}: {error}"));
            }
        }
    }

    #[test]
    fn every_command_has_a_manual_page_and_completes() {
        let folder = tempfile::tempdir().expect("a folder");
        man(folder.path()).expect("written");
        for page in [
            "mhealth",
            "mhealth-found",
            "mhealth-keys-new-member",
            "mhealth-urgent-vote",
        ] {
            let page = folder.path().join(format!("{page}.1"));
            let text = std::fs::read_to_string(&page);
            assert!(
                text.is_ok_and(|text| text.contains(".TH")),
                "{}",
                page.display()
            );
        }
        let mut script = Vec::new();
        let mut command = Arguments::command();
        clap_complete::generate(Shell::Bash, &mut command, "mhealth", &mut script);
        let script = String::from_utf8(script).expect("text");
        assert!(script.contains("mhealth__subcmd__passport") || script.contains("passport"));
    }
}
