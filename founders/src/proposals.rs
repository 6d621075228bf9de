// SPDX-License-Identifier: Apache-2.0

//! What members propose, on the command line and in words.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use hashchain::StudyId;
use mhealth_api::Policy;
use mhealth_chain_client::{Allowance, ChainView, Proposal, UrgentDecision, H256};
use serde_json::{json, Value};
use sp_crypto_hashing::blake2_256;

use crate::accounts::Named;
use crate::auditor_key::PublicKey;
use crate::failure::Failure;
use crate::member::digits;

/// Something that a member proposes to the others.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Decision {
    /// A new study and its sponsor. More than half of the members.
    CreateStudy(NewStudy),
    /// Another sponsor for a study. More than half of the members.
    ReplaceSponsor {
        /// Number of the study.
        #[arg(long, value_name = "N")]
        study: StudyId,
        /// The account that will answer for the study: its address, or the file that its holder handed out.
        #[arg(value_name = "ACCOUNT")]
        sponsor: Named,
    },
    /// Another allowance for a study; what is not named stays as it is. More than half of the members.
    SetAllowance(NewAllowance),
    /// A new validator, which has registered its session keys (`mhealth rotate session`). Two thirds of the members.
    AddValidator {
        /// Its account.
        #[arg(value_name = "ACCOUNT")]
        validator: Named,
    },
    /// New members, all at once. Two thirds of the members.
    AddMembers {
        /// Their accounts.
        #[arg(value_name = "ACCOUNT", required = true)]
        members: Vec<Named>,
    },
    /// Finality has stalled, and has to be helped: read docs/operating/running-a-node.md first. Two thirds of the members.
    NoteStalled {
        /// Number of the last final block.
        #[arg(value_name = "BLOCK")]
        last_final: u32,
    },
    /// What can be decided within hours can be proposed as well.
    #[command(flatten)]
    EitherWay(EitherWay),
}

/// What members decide by a motion, or within hours (`mhealth urgent`).
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum EitherWay {
    /// A validator goes, within two sessions: 300 blocks. Two thirds of the members.
    RemoveValidator {
        /// Its account.
        #[arg(value_name = "ACCOUNT")]
        validator: Named,
    },
    /// A member goes. Two thirds of the members.
    RemoveMember {
        /// Its account.
        #[arg(value_name = "ACCOUNT")]
        member: Named,
    },
    /// Another account takes a member's place. Two thirds of the members.
    ReplaceMember {
        /// The member that goes.
        #[arg(value_name = "ACCOUNT")]
        member: Named,
        /// The account that comes.
        #[arg(value_name = "SUCCESSOR")]
        successor: Named,
    },
    /// An open motion is closed without effect. More than half of the members.
    CancelMotion {
        /// Hash of the motion.
        #[arg(value_name = "HASH")]
        motion: H256,
    },
    /// New rules of the chain are authorised; a member then puts them in force (`mhealth upgrade`). Two thirds of the members.
    Upgrade {
        /// The new runtime, compressed, as the release has it.
        #[arg(value_name = "FILE")]
        code: PathBuf,
    },
}

/// A study that is not there yet.
#[derive(Clone, Debug, Args)]
pub(crate) struct NewStudy {
    /// Name of the study, for people.
    #[arg(long, value_name = "TITLE")]
    title: String,
    /// The account that will answer for the study and appoint its servers: its address, or the file that its holder handed
    /// out.
    #[arg(long, value_name = "ACCOUNT")]
    sponsor: Named,
    /// X25519 key of the study's auditor, 0x and 64 digits, or the file that the auditor handed out. Phones seal their secrets
    /// to it.
    #[arg(long, value_name = "KEY")]
    auditor_key: PublicKey,
    /// What the chain demands of phones' entries. It stays for ever.
    #[arg(long, value_enum, default_value_t = PolicyName::DeviceSigned)]
    policy: PolicyName,
}

/// What the chain demands of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PolicyName {
    /// The device's signature: forged entries are refused.
    DeviceSigned,
    /// That they follow the hashchain, as in the paper: forged entries are detected.
    HashchainOnly,
}

/// What a study may use from now on.
#[derive(Clone, Debug, Args)]
pub(crate) struct NewAllowance {
    /// Number of the study.
    #[arg(long, value_name = "N")]
    study: StudyId,
    /// Devices, over the study's whole life.
    #[arg(long, value_name = "N")]
    devices: Option<u32>,
    /// Entries, over its whole life.
    #[arg(long, value_name = "N")]
    entries: Option<u64>,
    /// Bytes of runs, over its whole life.
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,
    /// New accounts of servers, over its whole life.
    #[arg(long, value_name = "N")]
    admissions: Option<u32>,
    /// Entries of one device.
    #[arg(long, value_name = "N")]
    device_entries: Option<u64>,
}

impl NewStudy {
    fn proposal(self) -> Result<Proposal, Failure> {
        Ok(Proposal::CreateStudy {
            sponsor: self.sponsor.id()?,
            policy: match self.policy {
                PolicyName::DeviceSigned => Policy::DeviceSigned,
                PolicyName::HashchainOnly => Policy::HashchainOnly,
            },
            auditor_key: self.auditor_key.bytes()?,
            title: self.title,
        })
    }
}

impl Decision {
    /// The proposal, for the chain as it stands.
    pub(crate) async fn proposal(self, view: &ChainView) -> Result<Proposal, Failure> {
        Ok(match self {
            Decision::CreateStudy(study) => study.proposal()?,
            Decision::ReplaceSponsor { study, sponsor } => Proposal::ReplaceSponsor {
                study,
                sponsor: sponsor.id()?,
            },
            Decision::SetAllowance(new) => {
                let old = view.quota(new.study).await?.allowance;
                let allowance = Allowance {
                    devices: new.devices.unwrap_or(old.devices),
                    entries: new.entries.unwrap_or(old.entries),
                    bytes: new.bytes.unwrap_or(old.bytes),
                    admissions: new.admissions.unwrap_or(old.admissions),
                    device_entries: new.device_entries.unwrap_or(old.device_entries),
                };
                if allowance == old {
                    let message = "Say what to change: --devices, --entries, --bytes, --admissions or --device-entries.";
                    return Err(Failure::input("nothing_changes", message));
                }
                Proposal::SetAllowance {
                    study: new.study,
                    allowance,
                }
            }
            Decision::AddValidator { validator } => Proposal::AddValidator {
                validator: validator.id()?,
            },
            Decision::AddMembers { members } => Proposal::AddMembers {
                members: members.iter().map(Named::id).collect::<Result<_, _>>()?,
            },
            Decision::EitherWay(decision) => decision.urgent()?.into(),
            Decision::NoteStalled { last_final } => Proposal::NoteStalled { last_final },
        })
    }
}

impl From<EitherWay> for Decision {
    fn from(decision: EitherWay) -> Self {
        Decision::EitherWay(decision)
    }
}

impl EitherWay {
    /// The same as a decision within hours.
    pub(crate) fn urgent(self) -> Result<UrgentDecision, Failure> {
        Ok(match self {
            EitherWay::RemoveValidator { validator } => UrgentDecision::RemoveValidator {
                validator: validator.id()?,
            },
            EitherWay::RemoveMember { member } => UrgentDecision::RemoveMember {
                member: member.id()?,
            },
            EitherWay::ReplaceMember { member, successor } => UrgentDecision::ReplaceMember {
                member: member.id()?,
                successor: successor.id()?,
            },
            EitherWay::CancelMotion { motion } => UrgentDecision::CancelMotion { motion },
            EitherWay::Upgrade { code } => UrgentDecision::AuthorizeUpgrade {
                code_hash: code_hash(&code)?,
            },
        })
    }
}

/// The code in a file.
pub(crate) fn code(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::file(file, &error))
}

/// The hash by which the chain knows it.
pub(crate) fn code_hash(file: &Path) -> Result<H256, Failure> {
    Ok(H256(blake2_256(&code(file)?)))
}

/// What is proposed, in words.
pub(crate) fn words(proposal: &Proposal) -> String {
    match proposal {
        Proposal::CreateStudy {
            sponsor,
            policy,
            auditor_key,
            title,
        } => format!(
            "create the study {title:?} of {sponsor}, {}, with the auditor's key {}",
            policy_name(*policy),
            digits(auditor_key)
        ),
        Proposal::ReplaceSponsor { study, sponsor } => {
            format!("let {sponsor} be the sponsor of study {study}")
        }
        Proposal::SetAllowance { study, allowance } => format!(
            "allow study {study} {} devices, {} entries, {} bytes, {} new accounts, and each device {} entries",
            allowance.devices,
            allowance.entries,
            allowance.bytes,
            allowance.admissions,
            allowance.device_entries
        ),
        Proposal::AddValidator { validator } => format!("add the validator {validator}"),
        Proposal::RemoveValidator { validator } => format!("remove the validator {validator}"),
        Proposal::AddMembers { members } => {
            let members: Vec<String> = members.iter().map(ToString::to_string).collect();
            format!("add the members {}", members.join(", "))
        }
        Proposal::RemoveMember { member } => format!("remove the member {member}"),
        Proposal::SwapMember { member, successor } => {
            format!("put {successor} in the place of the member {member}")
        }
        Proposal::CancelMotion { motion } => format!("cancel the motion {motion:#x}"),
        Proposal::AuthorizeUpgrade { code_hash } => {
            format!("authorise new rules, with code of the hash {code_hash:#x}")
        }
        Proposal::NoteStalled { last_final } => {
            format!("change the authorities by force, with block {last_final} as the last final one")
        }
    }
}

/// The same for programs.
pub(crate) fn json(proposal: &Proposal) -> Value {
    match proposal {
        Proposal::CreateStudy {
            sponsor,
            policy,
            auditor_key,
            title,
        } => json!({
            "decision": "create_study",
            "sponsor": sponsor.to_string(),
            "policy": policy_name(*policy),
            "auditor_key": digits(auditor_key),
            "title": title,
        }),
        Proposal::ReplaceSponsor { study, sponsor } => json!({
            "decision": "replace_sponsor", "study": study.0, "sponsor": sponsor.to_string(),
        }),
        Proposal::SetAllowance { study, allowance } => json!({
            "decision": "set_allowance",
            "study": study.0,
            "allowance": allowance_json(allowance),
        }),
        Proposal::AddValidator { validator } => json!({
            "decision": "add_validator", "validator": validator.to_string(),
        }),
        Proposal::RemoveValidator { validator } => json!({
            "decision": "remove_validator", "validator": validator.to_string(),
        }),
        Proposal::AddMembers { members } => {
            let members: Vec<String> = members.iter().map(ToString::to_string).collect();
            json!({ "decision": "add_members", "members": members })
        }
        Proposal::RemoveMember { member } => json!({
            "decision": "remove_member", "member": member.to_string(),
        }),
        Proposal::SwapMember { member, successor } => json!({
            "decision": "replace_member",
            "member": member.to_string(),
            "successor": successor.to_string(),
        }),
        Proposal::CancelMotion { motion } => json!({
            "decision": "cancel_motion", "motion": format!("{motion:#x}"),
        }),
        Proposal::AuthorizeUpgrade { code_hash } => json!({
            "decision": "upgrade", "code_hash": format!("{code_hash:#x}"),
        }),
        Proposal::NoteStalled { last_final } => json!({
            "decision": "note_stalled", "last_final": last_final,
        }),
    }
}

/// An allowance for programs.
pub(crate) fn allowance_json(allowance: &Allowance) -> Value {
    json!({
        "devices": allowance.devices,
        "entries": allowance.entries,
        "bytes": allowance.bytes,
        "admissions": allowance.admissions,
        "device_entries": allowance.device_entries,
    })
}

/// A policy by its name.
pub(crate) fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::DeviceSigned => "device_signed",
        Policy::HashchainOnly => "hashchain_only",
    }
}
