// SPDX-License-Identifier: Apache-2.0

//! Who may make which call, and how much of a block each may take.

#![warn(missing_docs)]

use pallet_admission::{Lane, Limits, Outcome, Places, Rules};
use pallet_client_hashchain::{Brought, Call as HashchainCall, DeviceId, Gate};
use pallet_consortium::Succession;
use pallet_studies::{OnRotate, StudyId};
use sp_runtime::Perbill;

use crate::{AccountId, Admission, ClientHashchain, RuntimeCall, Studies};
use roles::Roles;
use table::{row, Row};

pub use session_keys::{LAST_SESSION_KEYS, SESSION_KEYS_CHANGED_TODAY};
pub(crate) use unsigned::Unsigned;

mod motions;
mod roles;
mod session_keys;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod unsigned;

/// The custom error of a transaction whose account has no role on this chain.
///
/// It is not a member of the consortium, a validator, a sponsor, an authentication server, a relay, or a device.
pub const ACCOUNT_HAS_NO_ROLE: u8 = 101;

/// The custom error of a transaction by a suspended or retired device that holds no other role.
pub const DEVICE_MAY_NOT_WRITE: u8 = 102;

/// The custom error of a device that holds no other role and sends anything but runs of its own entries.
pub const DEVICE_MAY_ONLY_SUBMIT: u8 = 103;

/// The custom error of an account whose roles may not make this call.
pub const ROLE_MAY_NOT_CALL: u8 = 104;

/// The custom error of a motion that asks for another number of ayes than its call needs. The codes from 105 to 107, and 109, are
/// those of `pallet_admission`.
pub const MOTION_NEEDS_ANOTHER_THRESHOLD: u8 = 108;

/// How many transactions of an account may wait.
const PLACES: Places = Places {
    // Twice the most that a relay has on its way (`--in-flight`).
    of_a_relay: 2_048,
    // Twice what a phone without a relay sends at a time.
    of_a_device: 32,
    // A relay changes its account while its batches are on their way.
    behind_runs: 2_048,
    // Twice what the desk of an authentication server has on its way.
    of_a_server: 1_024,
    // Twice what any other program has.
    of_others: 128,
};

/// This chain's rules of admission.
pub enum Admitted {}

impl Rules<AccountId, RuntimeCall> for Admitted {
    fn lane(who: &AccountId, call: &RuntimeCall) -> Result<Lane, u8> {
        let roles = Roles::of(who);
        match row(call) {
            Row::Runs if roles.any(Roles::RELAY) => Ok(Lane::Relay),
            Row::Runs => own_runs(who, roles, call).map(|()| Lane::Device),
            Row::Office(may, lane) if roles.any(may) => {
                motions::ensure_threshold(call)?;
                session_keys::ensure_may_change(who, call).map(|()| lane)
            }
            Row::Office(..) | Row::Nobody if roles == Roles::NONE => {
                Err(device_alone(who).map_or_else(|code| code, |_| DEVICE_MAY_ONLY_SUBMIT))
            }
            Row::Office(..) | Row::Nobody => Err(ROLE_MAY_NOT_CALL),
        }
    }

    fn limits(lane: Lane) -> Limits {
        const KIB: u32 = 1024;
        const MIB: u32 = 1024 * KIB;
        let share = Perbill::from_percent;
        match lane {
            // As large as an upgrade needs, which brings the code of a runtime.
            Lane::Consortium => Limits {
                weight: share(20),
                bytes: share(20),
                longest: 2 * MIB,
                debt: 8 * MIB,
                forgiven: 64 * KIB,
                all_owed: false,
                // The code of a runtime, and another one behind it.
                waiting_bytes: 4 * MIB,
            },
            Lane::Study => Limits {
                weight: share(25),
                bytes: share(10),
                longest: 64 * KIB,
                debt: MIB,
                forgiven: 4 * KIB,
                all_owed: false,
                // A thousand small calls, or sixteen of the longest.
                waiting_bytes: MIB,
            },
            // A share and no more: 256 KiB at once, 44 MB a day. Devices are in strangers' hands; most of what
            // they write goes by relays.
            Lane::Device => Limits {
                weight: share(15),
                bytes: share(15),
                longest: 64 * KIB,
                debt: 256 * KIB,
                forgiven: KIB,
                all_owed: true,
                // What it owes bounds it.
                waiting_bytes: u32::MAX,
            },
            // A study may have 64 of them. Together they are forgiven a fiftieth of a block.
            Lane::Relay => Limits {
                weight: share(100),
                bytes: share(100),
                longest: 2 * MIB,
                debt: 16 * MIB,
                forgiven: 4 * KIB,
                all_owed: false,
                // Nobody is behind relays.
                waiting_bytes: u32::MAX,
            },
        }
    }

    fn places() -> Places {
        PLACES
    }

    fn waiting(who: &AccountId, lane: Lane) -> u32 {
        let has = |role| Roles::of(who).any(role);
        match lane {
            Lane::Relay => PLACES.of_a_relay,
            Lane::Device => PLACES.of_a_device,
            Lane::Study if has(Roles::RELAY) => PLACES.behind_runs,
            Lane::Study if has(Roles::SERVER) => PLACES.of_a_server,
            Lane::Study | Lane::Consortium => PLACES.of_others,
        }
    }

    fn brings_runs(call: &RuntimeCall) -> bool {
        matches!(row(call), Row::Runs)
    }
}

/// Whether the account may send transactions at present, whatever they call.
pub(crate) fn may_send(who: &AccountId) -> bool {
    Roles::of(who) != Roles::NONE || device_alone(who).is_ok()
}

/// The active device whose account this is; the code of the refusal if there is none.
fn device_alone(who: &AccountId) -> Result<DeviceId, u8> {
    match ClientHashchain::device_by_key(*who.as_ref()) {
        Some(device) if ClientHashchain::has_role(who) => Ok(device),
        Some(_) => Err(DEVICE_MAY_NOT_WRITE),
        None => Err(ACCOUNT_HAS_NO_ROLE),
    }
}

/// Passes an active device that brings runs of its own and nothing else.
fn own_runs(who: &AccountId, roles: Roles, call: &RuntimeCall) -> Result<(), u8> {
    let device = match device_alone(who) {
        Ok(device) => device,
        Err(ACCOUNT_HAS_NO_ROLE) if roles != Roles::NONE => return Err(ROLE_MAY_NOT_CALL),
        Err(code) => return Err(code),
    };
    let own = match call {
        RuntimeCall::ClientHashchain(HashchainCall::submit { run }) => run.device == device,
        RuntimeCall::ClientHashchain(HashchainCall::submit_batch { runs }) => {
            runs.iter().all(|run| run.device == device)
        }
        _ => false,
    };
    if own {
        Ok(())
    } else {
        Err(DEVICE_MAY_ONLY_SUBMIT)
    }
}

/// Whoever changes its account changes neither what it owes, nor what it did within the hour, nor what it has brought.
impl OnRotate<AccountId> for Admitted {
    fn on_rotate(study: StudyId, former: &AccountId, successor: &AccountId) {
        Admission::carry_on(former, successor);
        ClientHashchain::carry_on(study, former, successor);
    }
}

/// Whoever is a member and has a role in a study may have one successor in both.
impl Succession<AccountId> for Admitted {
    fn is_successor(former: &AccountId, account: &AccountId) -> bool {
        Studies::is_successor(former, account)
    }

    fn note(former: &AccountId, successor: &AccountId) {
        Studies::note_successor(former, successor);
    }
}

impl Gate for Admitted {
    fn at_top_level() -> bool {
        Admission::take_top_level()
    }

    fn note(brought: Brought) {
        Admission::note_runs(Outcome {
            recorded: brought.recorded,
            known: brought.known,
            replayed: brought.replayed,
            refused: brought.refused,
        });
    }
}
