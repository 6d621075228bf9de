// SPDX-License-Identifier: Apache-2.0

//! The table of role × call.
//!
//! Every call has a row. There is no wildcard, so a new call does not compile without one.

use pallet_admission::Lane;

use super::roles::Roles;
use crate::RuntimeCall;

/// Who may make a call by a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Row {
    /// Relays, and devices for their own runs.
    Runs,
    /// Whoever has one of these roles. Whether for this study and this device, the call itself asks.
    Office(Roles, Lane),
    /// Nobody: it is done by a decision of the consortium, or by the author of a block.
    Nobody,
}

const MEMBERS: Row = Row::Office(Roles::MEMBER, Lane::Consortium);
const VALIDATORS: Row = Row::Office(Roles::MEMBER.or(Roles::VALIDATOR), Lane::Consortium);
const SPONSORS: Row = Row::Office(Roles::SPONSOR, Lane::Study);
const SERVERS: Row = Row::Office(Roles::SERVER, Lane::Study);
const STUDY_OFFICES: Row = Row::Office(Roles::SPONSOR.or(Roles::SERVER), Lane::Study);

/// Whoever has an office may report a validator, or show what is final, in a lane where nobody's reports can keep the consortium waiting.
const REPORTERS: Row = Row::Office(
    Roles::MEMBER
        .or(Roles::VALIDATOR)
        .or(Roles::SPONSOR)
        .or(Roles::SERVER)
        .or(Roles::RELAY),
    Lane::Study,
);

/// The row of a call.
pub(super) fn row(call: &RuntimeCall) -> Row {
    match call {
        RuntimeCall::System(call) => system(call),
        RuntimeCall::Timestamp(call) => timestamp(call),
        RuntimeCall::Grandpa(call) => grandpa(call),
        RuntimeCall::Session(call) => session(call),
        RuntimeCall::Council(call) => council(call),
        RuntimeCall::Members(call) => members(call),
        RuntimeCall::Consortium(call) => consortium(call),
        RuntimeCall::Finality(call) => finality(call),
        RuntimeCall::Studies(call) => studies(call),
        RuntimeCall::ClientHashchain(call) => client_hashchain(call),
        RuntimeCall::Accountability(call) => accountability(call),
    }
}

/// The `match` over the calls of a pallet, each with its row, and for tests the same as a list.
macro_rules! rows {
    ($name:ident, $call:ty, $($($variant:ident)|+ => $row:expr),+ $(,)?) => {
        fn $name(call: &$call) -> Row {
            type Call = $call;
            match call {
                $($(Call::$variant { .. })|+ => $row,)+
                // What the macro of pallets adds, and nobody can make.
                Call::__Ignore(_, never) => match *never {},
            }
        }

        #[cfg(test)]
        pub(super) mod $name {
            use super::*;

            /// The name of each call, and its row.
            pub(in super::super) const ROWS: &[(&str, Row)] = &[$($((stringify!($variant), $row)),+),+];
        }
    };
}

type OfRuntime = crate::Runtime;

rows!(system, frame_system::Call<OfRuntime>,
    remark | remark_with_event => Row::Nobody,
    set_heap_pages | set_code | set_code_without_checks => Row::Nobody,
    set_storage | kill_storage | kill_prefix => Row::Nobody,
    authorize_upgrade | authorize_upgrade_without_checks => Row::Nobody,
    // The code that the consortium has authorised by its hash.
    apply_authorized_upgrade => MEMBERS,
);

rows!(timestamp, pallet_timestamp::Call<OfRuntime>,
    set => Row::Nobody,
);

rows!(grandpa, pallet_grandpa::Call<OfRuntime>,
    report_equivocation => REPORTERS,
    report_equivocation_unsigned | note_stalled => Row::Nobody,
);

rows!(accountability, pallet_accountability::Call<OfRuntime>,
    report_block_equivocation => REPORTERS,
);

rows!(session, pallet_session::Call<OfRuntime>,
    // A member registers its keys before it is made a validator.
    set_keys | purge_keys => VALIDATORS,
);

rows!(council, pallet_collective::Call<OfRuntime, pallet_collective::Instance1>,
    propose | vote | close => MEMBERS,
    execute | set_members | disapprove_proposal | kill | release_proposal_cost => Row::Nobody,
);

rows!(members, pallet_membership::Call<OfRuntime, pallet_collective::Instance1>,
    // Its `change_key` would let a member escape its removal; the consortium's own does not.
    change_key => Row::Nobody,
    add_member | remove_member | swap_member | reset_members | set_prime | clear_prime => Row::Nobody,
);

rows!(consortium, pallet_consortium::Call<OfRuntime>,
    add_validator | remove_validator | dispatch_as_root => Row::Nobody,
    add_members | remove_member => Row::Nobody,
    change_key | vote_urgent | withdraw_urgent_vote => MEMBERS,
);

rows!(finality, pallet_finality::Call<OfRuntime>,
    // Whoever has a proof.
    report_final | report_conflict => REPORTERS,
    note_stalled => Row::Nobody,
);

rows!(studies, pallet_studies::Call<OfRuntime>,
    create_study | replace_sponsor | set_allowance => Row::Nobody,
    close_study | reopen_study | set_auditor_key => SPONSORS,
    add_authentication_server | remove_authentication_server => SPONSORS,
    add_relay | remove_relay => SPONSORS,
    rotate => Row::Office(Roles::SPONSOR.or(Roles::SERVER).or(Roles::RELAY), Lane::Study),
);

rows!(client_hashchain, pallet_client_hashchain::Call<OfRuntime>,
    enrol => SERVERS,
    submit | submit_batch => Row::Runs,
    suspend | resume | retire => STUDY_OFFICES,
    veto_retirement => SPONSORS,
    // A receipt excuses relays that hold nothing any more: the word of nobody's server.
    erase => SPONSORS,
);
