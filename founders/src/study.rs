// SPDX-License-Identifier: Apache-2.0

//! What a sponsor does, and how offices change their keys.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use hashchain::StudyId;
use mhealth_api::ErasureOrder;
use mhealth_chain_client::calls::{self, SessionKeys};
use mhealth_chain_client::{AccountId32, Call, ErasureStep};
use serde_json::json;

use crate::accounts::Named;
use crate::decide;
use crate::failure::Failure;
use crate::files;
use crate::keys;
use crate::proposals::{Decision, EitherWay, NewStudy};
use crate::report::Report;
use crate::session::Global;
use crate::status;

/// Studies.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Study {
    /// Proposes a new study to the other members, as `mhealth propose create-study`.
    Create(NewStudy),
    /// Shows a study: its people, what it may use, and what it has used.
    Show {
        /// Number of the study.
        #[arg(value_name = "N")]
        study: StudyId,
    },
    /// Closes a study: nothing is enrolled or recorded until it is reopened. For its sponsor.
    Close {
        /// Number of the study.
        #[arg(value_name = "N")]
        study: StudyId,
    },
    /// Opens a closed study again. For its sponsor.
    Reopen {
        /// Number of the study.
        #[arg(value_name = "N")]
        study: StudyId,
    },
    /// Writes down that the data of a participant's devices were erased everywhere, once all relays have erased them. Devices that
    /// may still write are suspended before, as their participant has withdrawn. Cannot be undone. For the study's sponsor.
    Erase {
        /// The holder's signed order, in a file, as `mhealth-data erase` prints it. It names the devices, and nothing is done if one
        /// of them is not of its study and participant.
        #[arg(long, value_name = "FILE")]
        order: PathBuf,
    },
}

/// An office that somebody is appointed to, or removed from.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Office {
    /// An authentication server of a study, which enrols its devices. Its sponsor says so.
    Server(InStudy),
    /// A relay of a study, which submits its devices' entries. Its sponsor says so.
    Relay(InStudy),
    /// A validator. Proposes it to the other members.
    Validator {
        /// Its account.
        #[arg(value_name = "ACCOUNT")]
        account: Named,
    },
    /// A member. Proposes it to the other members.
    Member {
        /// Its account.
        #[arg(value_name = "ACCOUNT")]
        account: Named,
    },
}

/// An account in a study.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct InStudy {
    /// Number of the study.
    #[arg(long, value_name = "N")]
    study: StudyId,
    /// The account: its address, or the file that its holder handed out.
    #[arg(value_name = "ACCOUNT")]
    account: Named,
}

/// An office whose holder changes its key.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Rotate {
    /// All roles of the account in a study (sponsor, authentication server, relay) go to another account of its own.
    Study(InStudy),
    /// The member takes another account.
    Member {
        /// The new account.
        #[arg(value_name = "ACCOUNT")]
        account: Named,
    },
    /// The validator makes blocks and votes with other keys, from the session after next on. Start the node with them before.
    Session {
        /// The folder that `mhealth keys new validator` made.
        #[arg(long, value_name = "FOLDER")]
        keys: PathBuf,
    },
}

pub(crate) async fn run(global: &Global, study: Study) -> Result<Report, Failure> {
    match study {
        Study::Create(new) => decide::propose(global, Decision::CreateStudy(new), true).await,
        Study::Show { study } => status::study(global, study, false).await,
        Study::Close { study } => {
            let done = format!("Study {study} is closed.");
            act(global, calls::close_study(study), done).await
        }
        Study::Reopen { study } => {
            let done = format!("Study {study} is open again.");
            act(global, calls::reopen_study(study), done).await
        }
        Study::Erase { order } => erase(global, &order).await,
    }
}

async fn erase(global: &Global, file: &Path) -> Result<Report, Failure> {
    let order: ErasureOrder = serde_json::from_str(&files::read(file)?).map_err(|error| {
        let message = format!("{} is no order to erase: {error}.", file.display());
        Failure::input("not_an_order", message)
    })?;
    let receipt = order.receipt();
    let office = global.office().await?;
    let (_, view) = office.view().await?;
    let account = office.account();
    let steps = office.chain.erasure_steps(&view, &order, Some(&account));
    let mut report = Report::default().with("receipt", receipt.to_string());
    let steps = steps.await?;
    let another = |step: &&ErasureStep| step.written.is_some_and(|it| it.receipt != receipt.0);
    if let Some(ErasureStep { device, .. }) = steps.iter().find(another) {
        let message = format!("The chain has the receipt of another order for device {device}.");
        return Err(Failure::wrong("another_receipt", message));
    }
    let mut devices = Vec::new();
    for step in steps {
        let device = step.device;
        let mut block = step.written.map(|it| u64::from(it.block));
        for call in step.calls {
            block = Some(office.act(call).await?.block_number);
        }
        report = report.line(format!(
            "It is on record that the data of device {device} were erased."
        ));
        devices.push(json!({ "device": device.0, "block": block }));
    }
    let report = match office.is_final() {
        true => report,
        false => report.line("That is not final: it can still be undone."),
    };
    Ok(report
        .with("devices", devices)
        .with("final", office.is_final()))
}

pub(crate) async fn appoint(global: &Global, office: Office) -> Result<Report, Failure> {
    match office {
        Office::Server(InStudy { study, account }) => {
            let account = account.id()?;
            let done = format!("{account} enrols devices in study {study}.");
            let call = calls::add_authentication_server(study, account);
            act(global, call, done).await
        }
        Office::Relay(InStudy { study, account }) => {
            let account = account.id()?;
            let done = format!("{account} submits entries of study {study}.");
            act(global, calls::add_relay(study, account), done).await
        }
        Office::Validator { account: validator } => {
            decide::propose(global, Decision::AddValidator { validator }, true).await
        }
        Office::Member { account } => {
            let members = vec![account];
            decide::propose(global, Decision::AddMembers { members }, true).await
        }
    }
}

pub(crate) async fn remove(global: &Global, office: Office) -> Result<Report, Failure> {
    match office {
        Office::Server(InStudy { study, account }) => {
            let account = account.id()?;
            let done = format!("{account} enrols no devices in study {study} any more.");
            let call = calls::remove_authentication_server(study, account);
            act(global, call, done).await
        }
        Office::Relay(InStudy { study, account }) => {
            let account = account.id()?;
            let done = format!("{account} submits no entries of study {study} any more.");
            act(global, calls::remove_relay(study, account), done).await
        }
        Office::Validator { account: validator } => {
            decide::propose(
                global,
                EitherWay::RemoveValidator { validator }.into(),
                true,
            )
            .await
        }
        Office::Member { account: member } => {
            decide::propose(global, EitherWay::RemoveMember { member }.into(), true).await
        }
    }
}

pub(crate) async fn rotate(global: &Global, rotate: Rotate) -> Result<Report, Failure> {
    match rotate {
        Rotate::Study(InStudy { study, account }) => {
            let account = account.id()?;
            let done = format!("{account} has all your roles in study {study}.");
            act(global, calls::rotate(study, account), done).await
        }
        Rotate::Member { account } => {
            let account = account.id()?;
            let done = format!(
                "{account} is the member now. Vote anew on what is open; motions of yours stay yours."
            );
            act(global, calls::change_key(account), done).await
        }
        Rotate::Session { keys } => session(global, &keys).await,
    }
}

async fn session(global: &Global, folder: &Path) -> Result<Report, Failure> {
    let (aura, grandpa) = keys::session_keys(folder)?;
    let office = global.office().await?;
    let owner: AccountId32 = office.account();
    let keys = SessionKeys {
        aura: aura.public_key(),
        grandpa: grandpa.public_key(),
    };
    let proofs = (
        aura.prove_possession(&owner),
        grandpa.prove_possession(&owner),
    );
    let outcome = office
        .act(calls::set_session_keys(keys, proofs.0, proofs.1))
        .await?;
    Ok(Report::default()
        .line("The session keys are registered. They count from the session after next on, for a validator.")
        .with("account", owner.to_string())
        .block(outcome.block_number, office.is_final()))
}

async fn act(global: &Global, call: Call, done: String) -> Result<Report, Failure> {
    let office = global.office().await?;
    let name = call.name();
    let outcome = office.act(call).await?;
    Ok(Report::default()
        .line(done)
        .with("call", name)
        .block(outcome.block_number, office.is_final())
        .with("transaction", format!("{:#x}", outcome.extrinsic_hash)))
}
