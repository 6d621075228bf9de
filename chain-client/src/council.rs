// SPDX-License-Identifier: Apache-2.0

//! What the consortium decides: by motions of its council, and urgently.

use hashchain::StudyId;
use mhealth_api::Policy;
use subxt::utils::{AccountId32, MultiAddress, H256};

use crate::runtime::api::runtime_types::bounded_collections::bounded_vec::BoundedVec;
use crate::runtime::api::runtime_types::frame_system::pallet::Call as SystemCall;
use crate::runtime::api::runtime_types::mhealth_runtime::RuntimeCall;
use crate::runtime::api::runtime_types::pallet_collective::pallet::Call as CouncilCall;
use crate::runtime::api::runtime_types::pallet_consortium::pallet::Call as ConsortiumCall;
use crate::runtime::api::runtime_types::pallet_consortium::urgent::UrgentDecision as WireDecision;
use crate::runtime::api::runtime_types::pallet_finality::pallet::Call as FinalityCall;
use crate::runtime::api::runtime_types::pallet_membership::pallet::Call as MembersCall;
use crate::runtime::api::runtime_types::pallet_studies::pallet::Call as StudiesCall;
use crate::runtime::api::runtime_types::pallet_studies::quota;
use crate::runtime::api::runtime_types::pallet_studies::types::StudyPolicy as WirePolicy;
use crate::types::Allowance;
use crate::wire::Read;

/// What a member can propose to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// A new study and its sponsor.
    CreateStudy {
        /// The account that will answer for the study.
        sponsor: AccountId32,
        /// What the chain demands of its devices' runs.
        policy: Policy,
        /// X25519 key to which devices seal their secrets.
        auditor_key: [u8; 32],
        /// Its name for people.
        title: String,
    },
    /// Another sponsor for a study.
    ReplaceSponsor {
        /// The study.
        study: StudyId,
        /// The account that will answer for it.
        sponsor: AccountId32,
    },
    /// Another allowance for a study.
    SetAllowance {
        /// The study.
        study: StudyId,
        /// What it may use over its whole life.
        allowance: Allowance,
    },
    /// A new validator, which has registered its session keys.
    AddValidator {
        /// Its account.
        validator: AccountId32,
    },
    /// A validator goes.
    RemoveValidator {
        /// Its account.
        validator: AccountId32,
    },
    /// New members, all at once.
    AddMembers {
        /// Their accounts.
        members: Vec<AccountId32>,
    },
    /// A member goes.
    RemoveMember {
        /// Its account.
        member: AccountId32,
    },
    /// Another account takes a member's place.
    SwapMember {
        /// The member that goes.
        member: AccountId32,
        /// The account that comes.
        successor: AccountId32,
    },
    /// An open motion is closed without effect.
    CancelMotion {
        /// Hash of its call.
        motion: H256,
    },
    /// New rules of the chain are authorised, by the hash of their code.
    AuthorizeUpgrade {
        /// BLAKE2b-256 of the code.
        code_hash: H256,
    },
    /// The authorities are changed by force, because finality has stalled.
    NoteStalled {
        /// Number of the last final block.
        last_final: u32,
    },
}

impl Proposal {
    /// How many of so many members have to approve it.
    pub fn needs(&self, members: u32) -> u32 {
        match self {
            Proposal::CreateStudy { .. }
            | Proposal::ReplaceSponsor { .. }
            | Proposal::SetAllowance { .. }
            | Proposal::CancelMotion { .. } => more_than_half(members),
            Proposal::AddValidator { .. }
            | Proposal::RemoveValidator { .. }
            | Proposal::AddMembers { .. }
            | Proposal::RemoveMember { .. }
            | Proposal::SwapMember { .. }
            | Proposal::AuthorizeUpgrade { .. }
            | Proposal::NoteStalled { .. } => two_thirds(members),
        }
    }

    /// The call that the council makes.
    pub(crate) fn call(&self) -> RuntimeCall {
        match self.clone() {
            Proposal::CreateStudy {
                sponsor,
                policy,
                auditor_key,
                title,
            } => RuntimeCall::Studies(StudiesCall::create_study {
                sponsor,
                policy: match policy {
                    Policy::HashchainOnly => WirePolicy::HashchainOnly,
                    Policy::DeviceSigned => WirePolicy::DeviceSigned,
                },
                auditor_key,
                title: BoundedVec(title.into_bytes()),
            }),
            Proposal::ReplaceSponsor { study, sponsor } => {
                RuntimeCall::Studies(StudiesCall::replace_sponsor {
                    study: study.0,
                    sponsor,
                })
            }
            Proposal::SetAllowance { study, allowance } => {
                RuntimeCall::Studies(StudiesCall::set_allowance {
                    study: study.0,
                    allowance: allowance.into(),
                })
            }
            Proposal::AddValidator { validator } => {
                RuntimeCall::Consortium(ConsortiumCall::add_validator { validator })
            }
            Proposal::RemoveValidator { validator } => {
                RuntimeCall::Consortium(ConsortiumCall::remove_validator { validator })
            }
            Proposal::AddMembers { members } => {
                RuntimeCall::Consortium(ConsortiumCall::add_members {
                    members: BoundedVec(members),
                })
            }
            Proposal::RemoveMember { member } => {
                RuntimeCall::Consortium(ConsortiumCall::remove_member { member })
            }
            Proposal::SwapMember { member, successor } => {
                RuntimeCall::Members(MembersCall::swap_member {
                    remove: MultiAddress::Id(member),
                    add: MultiAddress::Id(successor),
                })
            }
            Proposal::CancelMotion { motion } => RuntimeCall::Council(CouncilCall::kill {
                proposal_hash: motion,
            }),
            Proposal::AuthorizeUpgrade { code_hash } => {
                let call = RuntimeCall::System(SystemCall::authorize_upgrade { code_hash });
                RuntimeCall::Consortium(ConsortiumCall::dispatch_as_root {
                    call: Box::new(call),
                })
            }
            Proposal::NoteStalled { last_final } => {
                RuntimeCall::Finality(FinalityCall::note_stalled { last_final })
            }
        }
    }

    /// What a call of the council is; none if it is another.
    pub(crate) fn of(call: RuntimeCall) -> Option<Self> {
        Some(match call {
            RuntimeCall::Studies(StudiesCall::create_study {
                sponsor,
                policy,
                auditor_key,
                title,
            }) => Proposal::CreateStudy {
                sponsor,
                policy: policy.read(),
                auditor_key,
                title: String::from_utf8_lossy(&title.0).into_owned(),
            },
            RuntimeCall::Studies(StudiesCall::replace_sponsor { study, sponsor }) => {
                Proposal::ReplaceSponsor {
                    study: StudyId(study),
                    sponsor,
                }
            }
            RuntimeCall::Studies(StudiesCall::set_allowance { study, allowance }) => {
                Proposal::SetAllowance {
                    study: StudyId(study),
                    allowance: allowance.read(),
                }
            }
            RuntimeCall::Consortium(ConsortiumCall::add_validator { validator }) => {
                Proposal::AddValidator { validator }
            }
            RuntimeCall::Consortium(ConsortiumCall::remove_validator { validator }) => {
                Proposal::RemoveValidator { validator }
            }
            RuntimeCall::Consortium(ConsortiumCall::add_members { members }) => {
                Proposal::AddMembers { members: members.0 }
            }
            RuntimeCall::Consortium(ConsortiumCall::remove_member { member }) => {
                Proposal::RemoveMember { member }
            }
            RuntimeCall::Members(MembersCall::swap_member {
                remove: MultiAddress::Id(member),
                add: MultiAddress::Id(successor),
            }) => Proposal::SwapMember { member, successor },
            RuntimeCall::Council(CouncilCall::kill { proposal_hash }) => Proposal::CancelMotion {
                motion: proposal_hash,
            },
            RuntimeCall::Consortium(ConsortiumCall::dispatch_as_root { call }) => match *call {
                RuntimeCall::System(SystemCall::authorize_upgrade { code_hash }) => {
                    Proposal::AuthorizeUpgrade { code_hash }
                }
                _ => return None,
            },
            RuntimeCall::Finality(FinalityCall::note_stalled { last_final }) => {
                Proposal::NoteStalled { last_final }
            }
            _ => return None,
        })
    }
}

/// What can be decided within hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrgentDecision {
    /// A member goes.
    RemoveMember {
        /// Its account.
        member: AccountId32,
    },
    /// Another account takes a member's place.
    ReplaceMember {
        /// The member that goes.
        member: AccountId32,
        /// The account that comes.
        successor: AccountId32,
    },
    /// A validator goes.
    RemoveValidator {
        /// Its account.
        validator: AccountId32,
    },
    /// New rules of the chain are authorised, by the hash of their code.
    AuthorizeUpgrade {
        /// BLAKE2b-256 of the code.
        code_hash: H256,
    },
    /// An open motion is closed without effect.
    CancelMotion {
        /// Hash of its call.
        motion: H256,
    },
}

/// The same as a motion.
impl From<UrgentDecision> for Proposal {
    fn from(decision: UrgentDecision) -> Self {
        match decision {
            UrgentDecision::RemoveMember { member } => Proposal::RemoveMember { member },
            UrgentDecision::ReplaceMember { member, successor } => {
                Proposal::SwapMember { member, successor }
            }
            UrgentDecision::RemoveValidator { validator } => {
                Proposal::RemoveValidator { validator }
            }
            UrgentDecision::AuthorizeUpgrade { code_hash } => {
                Proposal::AuthorizeUpgrade { code_hash }
            }
            UrgentDecision::CancelMotion { motion } => Proposal::CancelMotion { motion },
        }
    }
}

impl UrgentDecision {
    /// How many of so many members have to vote for it.
    pub fn needs(&self, members: u32) -> u32 {
        Proposal::from(self.clone()).needs(members)
    }

    pub(crate) fn wire(self) -> WireDecision<AccountId32, H256> {
        match self {
            UrgentDecision::RemoveMember { member } => WireDecision::RemoveMember { member },
            UrgentDecision::ReplaceMember { member, successor } => {
                WireDecision::ReplaceMember { member, successor }
            }
            UrgentDecision::RemoveValidator { validator } => {
                WireDecision::RemoveValidator { validator }
            }
            UrgentDecision::AuthorizeUpgrade { code_hash } => {
                WireDecision::AuthorizeUpgrade { code_hash }
            }
            UrgentDecision::CancelMotion { motion } => WireDecision::CancelMotion { motion },
        }
    }

    pub(crate) fn of(decision: WireDecision<AccountId32, H256>) -> Self {
        match decision {
            WireDecision::RemoveMember { member } => UrgentDecision::RemoveMember { member },
            WireDecision::ReplaceMember { member, successor } => {
                UrgentDecision::ReplaceMember { member, successor }
            }
            WireDecision::RemoveValidator { validator } => {
                UrgentDecision::RemoveValidator { validator }
            }
            WireDecision::AuthorizeUpgrade { code_hash } => {
                UrgentDecision::AuthorizeUpgrade { code_hash }
            }
            WireDecision::CancelMotion { motion } => UrgentDecision::CancelMotion { motion },
        }
    }
}

fn more_than_half(members: u32) -> u32 {
    members / 2 + 1
}

fn two_thirds(members: u32) -> u32 {
    members.saturating_mul(2).div_ceil(3)
}

impl From<Allowance> for quota::Allowance {
    fn from(allowance: Allowance) -> Self {
        quota::Allowance {
            study: quota::Amounts {
                devices: allowance.devices,
                entries: allowance.entries,
                bytes: allowance.bytes,
                admissions: allowance.admissions,
            },
            device_entries: allowance.device_entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(byte: u8) -> AccountId32 {
        AccountId32([byte; 32])
    }

    fn each() -> Vec<Proposal> {
        let allowance = Allowance {
            devices: 1,
            entries: 2,
            bytes: 3,
            admissions: 4,
            device_entries: 5,
        };
        vec![
            Proposal::CreateStudy {
                sponsor: account(1),
                policy: Policy::DeviceSigned,
                auditor_key: [2; 32],
                title: "Sleep".into(),
            },
            Proposal::ReplaceSponsor {
                study: StudyId(7),
                sponsor: account(1),
            },
            Proposal::SetAllowance {
                study: StudyId(7),
                allowance,
            },
            Proposal::AddValidator {
                validator: account(1),
            },
            Proposal::RemoveValidator {
                validator: account(1),
            },
            Proposal::AddMembers {
                members: vec![account(1), account(2)],
            },
            Proposal::RemoveMember { member: account(1) },
            Proposal::SwapMember {
                member: account(1),
                successor: account(2),
            },
            Proposal::CancelMotion {
                motion: H256([3; 32]),
            },
            Proposal::AuthorizeUpgrade {
                code_hash: H256([3; 32]),
            },
            Proposal::NoteStalled { last_final: 9 },
        ]
    }

    #[test]
    fn what_a_member_reads_of_a_motion_is_what_was_proposed() {
        for proposal in each() {
            assert_eq!(Proposal::of(proposal.call()), Some(proposal));
        }
    }

    #[test]
    fn a_call_that_members_do_not_propose_is_no_proposal() {
        let call = RuntimeCall::System(SystemCall::remark { remark: vec![1] });
        assert_eq!(Proposal::of(call), None);
        let call = RuntimeCall::System(SystemCall::set_code { code: vec![1] });
        let call = ConsortiumCall::dispatch_as_root {
            call: Box::new(call),
        };
        assert_eq!(Proposal::of(RuntimeCall::Consortium(call)), None);
    }

    #[test]
    fn decisions_need_two_thirds_and_those_on_studies_more_than_half() {
        let needed =
            |proposal: &Proposal| [1, 3, 4, 5, 6, 64].map(|members| proposal.needs(members));
        let proposals = each();
        assert_eq!(needed(&proposals[0]), [1, 2, 3, 3, 4, 33]);
        assert_eq!(needed(&proposals[3]), [1, 2, 3, 4, 4, 43]);
    }

    #[test]
    fn what_is_decided_urgently_needs_as_many_as_by_a_motion() {
        let (member, motion) = (account(1), H256([3; 32]));
        let remove = UrgentDecision::RemoveMember { member };
        assert_eq!(remove.needs(64), 43);
        assert_eq!(UrgentDecision::CancelMotion { motion }.needs(64), 33);
        let upgrade = UrgentDecision::AuthorizeUpgrade { code_hash: motion };
        assert_eq!(upgrade.needs(64), 43);
    }
}
