// SPDX-License-Identifier: Apache-2.0

//! What the chain reports to have happened, in plain types of our own.

use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_api::{Policy, Refusal};
use subxt::utils::{AccountId32, H256};

use crate::error::{without_full_stop, DispatchRefusal, Error};
use crate::rpc::Config;
use crate::runtime::api::runtime_types::pallet_client_hashchain::pallet::Event as HashchainEvent;
use crate::runtime::api::runtime_types::pallet_collective::pallet::Event as CouncilEvent;
use crate::runtime::api::runtime_types::pallet_studies::pallet::Event as StudiesEvent;
use crate::runtime::{api, Runtime};
use crate::types::{Allowance, SuspensionReason};
use crate::wire::Read;

/// An event of the chain's own pallets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainEvent {
    /// A device was enrolled; its hashchain begins at `genesis`.
    DeviceEnrolled {
        /// The number that it got.
        device: DeviceId,
        /// The study that it belongs to.
        study: StudyId,
        /// Its Ed25519 public key.
        key: [u8; 32],
        /// Link 0 of its hashchain.
        genesis: LinkHash,
        /// The retired device that it goes on from.
        predecessor: Option<DeviceId>,
    },
    /// A run was registered by `submit`.
    RunRecorded {
        /// The device whose entries these are.
        device: DeviceId,
        /// Number of entries that the device now has.
        length: u64,
        /// Its new head.
        head: LinkHash,
        /// Place of the first new entry in the journal.
        first_index: u64,
        /// How many entries were new.
        entries: u32,
    },
    /// A run was registered before; nothing changed, and that is a success.
    RunAlreadyRecorded {
        /// The device whose entries these are.
        device: DeviceId,
        /// Sequence of the run's first entry.
        sequence: u64,
        /// How many entries the run has.
        entries: u32,
    },
    /// A batch was worked off. Runs that no other event of the call names were registered.
    BatchProcessed {
        /// The account that submitted it.
        submitter: AccountId32,
        /// Runs that were registered, wholly or from their first new entry on.
        recorded: u32,
        /// Runs that were registered before.
        already_recorded: u32,
        /// Runs that were refused.
        refused: u32,
        /// Place of the batch's first new entry in the journal.
        first_index: u64,
        /// How many entries were new.
        entries: u32,
    },
    /// A run of a batch was refused; the others were not affected.
    RunRefused {
        /// Place of the run in the batch, from 0.
        position: u32,
        /// The device that the run named.
        device: DeviceId,
        /// Sequence of the run's first entry.
        sequence: u64,
        /// Why it was refused.
        reason: Refusal,
    },
    /// Somebody brought a rival history of a device.
    ConflictRecorded {
        /// The device that has two histories.
        device: DeviceId,
        /// First sequence at which they were seen to differ.
        sequence: u64,
        /// The link that is registered there.
        recorded: LinkHash,
        /// The rival's link.
        rival: LinkHash,
        /// Whether the device's own key signed the rival.
        signed: bool,
        /// Whether the evidence was stored now. It is not when it was stored before, or has no place.
        stored: bool,
        /// How many rivals of the device were not stored so far, for want of a place.
        not_stored: u32,
    },
    /// A device may not register entries for now.
    DeviceSuspended {
        /// The device.
        device: DeviceId,
        /// Why.
        reason: SuspensionReason,
    },
    /// A device may register entries again.
    DeviceResumed {
        /// The device.
        device: DeviceId,
    },
    /// An authentication server asked to retire a device, which is suspended from now on.
    RetirementPending {
        /// The device.
        device: DeviceId,
        /// Block from which on it is retired, unless the sponsor vetoes it.
        retires_at: u32,
    },
    /// The sponsor does not want a device retired. It stays suspended until it is resumed.
    RetirementVetoed {
        /// The device.
        device: DeviceId,
    },
    /// A device's hashchain has ended.
    DeviceRetired {
        /// The device.
        device: DeviceId,
        /// How many of its entries the study trusts.
        trusted_length: u64,
        /// Link of the last trusted entry.
        trusted_head: LinkHash,
    },
    /// The data of a device were erased everywhere, on record.
    DeviceErased {
        /// The device.
        device: DeviceId,
        /// Digest of the holder's signed order.
        receipt: [u8; 32],
    },
    /// The consortium created a study.
    StudyCreated {
        /// The number it got.
        study: StudyId,
        /// The account that answers for it.
        sponsor: AccountId32,
        /// What the chain demands of its devices' runs.
        policy: Policy,
    },
    /// The sponsor closed a study.
    StudyClosed {
        /// The study.
        study: StudyId,
    },
    /// The sponsor opened a closed study again.
    StudyReopened {
        /// The study.
        study: StudyId,
    },
    /// An account may now enrol devices in a study.
    AuthenticationServerAdded {
        /// The study.
        study: StudyId,
        /// The server's account.
        account: AccountId32,
    },
    /// An account may no longer enrol devices in a study.
    AuthenticationServerRemoved {
        /// The study.
        study: StudyId,
        /// The former server's account.
        account: AccountId32,
    },
    /// An account may now submit runs of a study's devices.
    RelayAdded {
        /// The study.
        study: StudyId,
        /// The relay's account.
        account: AccountId32,
    },
    /// An account may no longer submit runs of a study's devices.
    RelayRemoved {
        /// The study.
        study: StudyId,
        /// The former relay's account.
        account: AccountId32,
    },
    /// The consortium granted a study another allowance.
    AllowanceSet {
        /// The study.
        study: StudyId,
        /// What it may use from now on.
        allowance: Allowance,
    },
    /// The sponsor named another key of the study's auditor, for devices that enrol from now on.
    AuditorKeySet {
        /// The study.
        study: StudyId,
        /// The epoch that begins with it.
        epoch: u32,
        /// The X25519 key.
        auditor_key: [u8; 32],
    },
    /// The consortium named another sponsor for a study.
    SponsorReplaced {
        /// The study.
        study: StudyId,
        /// The account that answered for it until now.
        former: AccountId32,
        /// The account that answers for it from now on.
        sponsor: AccountId32,
    },
    /// The holder of roles in a study took another account for all of them.
    AccountRotated {
        /// The study.
        study: StudyId,
        /// The account that it gave up.
        former: AccountId32,
        /// The account that it has from now on.
        account: AccountId32,
    },
    /// A member proposed a motion to the council, which is open from now on.
    MotionProposed {
        /// Hash of the proposed call.
        motion: H256,
        /// Its number.
        index: u32,
        /// The member.
        proposer: AccountId32,
        /// How many members have to approve it.
        threshold: u32,
    },
    /// A member voted on an open motion.
    MotionVoted {
        /// The motion.
        motion: H256,
        /// How many members approve it now.
        ayes: u32,
        /// How many reject it now.
        nays: u32,
    },
    /// A motion was closed because it cannot get enough votes any more, or its time was over.
    MotionDisapproved {
        /// The motion.
        motion: H256,
    },
    /// Enough members approved a motion, and its call was made.
    MotionExecuted {
        /// The motion.
        motion: H256,
        /// Whether the call succeeded, or why the chain refused it.
        result: Result<(), DispatchRefusal>,
    },
    /// An event of another pallet, such as `Consortium.ValidatorAdded`, by its name alone.
    Other {
        /// Pallet and event.
        name: String,
    },
}

/// The system's own events that say more than that an extrinsic was executed: a new runtime is in force, or was not taken.
const OF_THE_SYSTEM: [&str; 2] = ["CodeUpdated", "RejectedInvalidAuthorizedUpgrade"];

/// Reads one event; none for those of the system itself that every extrinsic has.
pub(crate) fn decode(
    event: &subxt::events::Event<'_, Config>,
    runtime: &Runtime,
) -> Result<Option<ChainEvent>, Error> {
    let pallet = event.pallet_name();
    let name = || format!("{pallet}.{}", event.event_name());
    match pallet {
        "System" => Ok(OF_THE_SYSTEM
            .contains(&event.event_name())
            .then(|| ChainEvent::Other { name: name() })),
        "ClientHashchain" | "Council" | "Studies" => match event.decode_as::<api::Event>() {
            Ok(api::Event::ClientHashchain(event)) => Ok(Some(event.into())),
            Ok(api::Event::Studies(event)) => Ok(Some(event.into())),
            Ok(api::Event::Council(decoded)) => {
                let refusal = |error: &[u8]| runtime.refusal(error);
                Ok(Some(of_council(
                    decoded,
                    event.field_bytes(),
                    refusal,
                    name(),
                )))
            }
            Ok(_) => Err(Error::protocol(
                name(),
                "the event belongs to another pallet",
            )),
            Err(error) => Err(Error::IncompatibleRuntime {
                what: without_full_stop(format!("event {}: {error}", name())),
            }),
        },
        _ => Ok(Some(ChainEvent::Other { name: name() })),
    }
}

/// An event of the council. Those that say no more than another of the same call keep their name alone.
fn of_council(
    event: CouncilEvent,
    fields: &[u8],
    refusal: impl Fn(&[u8]) -> DispatchRefusal,
    name: String,
) -> ChainEvent {
    match event {
        CouncilEvent::Proposed {
            account,
            proposal_index,
            proposal_hash,
            threshold,
        } => ChainEvent::MotionProposed {
            motion: proposal_hash,
            index: proposal_index,
            proposer: account,
            threshold,
        },
        CouncilEvent::Voted {
            proposal_hash,
            yes,
            no,
            ..
        } => ChainEvent::MotionVoted {
            motion: proposal_hash,
            ayes: yes,
            nays: no,
        },
        CouncilEvent::Disapproved { proposal_hash } => ChainEvent::MotionDisapproved {
            motion: proposal_hash,
        },
        CouncilEvent::Executed {
            proposal_hash,
            result,
        } => ChainEvent::MotionExecuted {
            motion: proposal_hash,
            // The fields are the hash, and a result whose first byte says which it is. The error's own bytes name it best.
            result: match result {
                Ok(()) => Ok(()),
                Err(_) => Err(refusal(fields.get(33..).unwrap_or_default())),
            },
        },
        _ => ChainEvent::Other { name },
    }
}

/// Events that have the same names and fields on chain and here.
macro_rules! same {
    ($on_chain:ident { $($name:ident { $($field:ident),+ })+ }) => {
        impl From<$on_chain> for ChainEvent {
            fn from(event: $on_chain) -> Self {
                match event {
                    $($on_chain::$name { $($field),+ } => ChainEvent::$name { $($field: $field.read()),+ },)+
                }
            }
        }
    };
}

same!(HashchainEvent {
    DeviceEnrolled { device, study, key, genesis, predecessor }
    RunRecorded { device, length, head, first_index, entries }
    RunAlreadyRecorded { device, sequence, entries }
    BatchProcessed { submitter, recorded, already_recorded, refused, first_index, entries }
    RunRefused { position, device, sequence, reason }
    ConflictRecorded { device, sequence, recorded, rival, signed, stored, not_stored }
    DeviceSuspended { device, reason }
    DeviceResumed { device }
    RetirementPending { device, retires_at }
    RetirementVetoed { device }
    DeviceRetired { device, trusted_length, trusted_head }
    DeviceErased { device, receipt }
});

same!(StudiesEvent {
    StudyCreated { study, sponsor, policy }
    StudyClosed { study }
    StudyReopened { study }
    AuthenticationServerAdded { study, account }
    AuthenticationServerRemoved { study, account }
    RelayAdded { study, account }
    RelayRemoved { study, account }
    AllowanceSet { study, allowance }
    AuditorKeySet { study, epoch, auditor_key }
    SponsorReplaced { study, former, sponsor }
    AccountRotated { study, former, account }
});
