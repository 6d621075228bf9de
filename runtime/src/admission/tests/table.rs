// SPDX-License-Identifier: Apache-2.0

//! The table is complete, it is what the documents say, and pool and blocks keep to it.

use codec::Decode;
use frame_support::{assert_ok, traits::GetCallMetadata};
use pallet_admission::Lane;
use pallet_client_hashchain::SuspensionReason;
use sp_keyring::Sr25519Keyring::{AliceStash, Bob, Charlie, Dave, Ferdie, One, Two};
use sp_runtime::{
    traits::TrailingZeroInput,
    transaction_validity::{InvalidTransaction, TransactionValidityError},
};

use super::{block, enrol, pool, refused, undone, Sender};
use crate::{
    admission::{
        roles::Roles,
        table::{self, row, Row},
    },
    testing::development,
    ClientHashchain, Consortium, Runtime, RuntimeCall, RuntimeOrigin, ACCOUNT_HAS_NO_ROLE,
    DEVICE_MAY_NOT_WRITE, DEVICE_MAY_ONLY_SUBMIT, MOTION_NEEDS_ANOTHER_THRESHOLD,
    ROLE_MAY_NOT_CALL,
};

/// The rows of the table by pallet.
fn rows() -> Vec<(&'static str, &'static [(&'static str, Row)])> {
    vec![
        ("System", table::system::ROWS),
        ("Timestamp", table::timestamp::ROWS),
        ("Grandpa", table::grandpa::ROWS),
        ("Session", table::session::ROWS),
        ("Council", table::council::ROWS),
        ("Members", table::members::ROWS),
        ("Consortium", table::consortium::ROWS),
        ("Finality", table::finality::ROWS),
        ("Studies", table::studies::ROWS),
        ("ClientHashchain", table::client_hashchain::ROWS),
        ("Accountability", table::accountability::ROWS),
    ]
}

#[test]
fn every_call_in_the_metadata_has_a_row() {
    let mut known: Vec<_> = rows()
        .into_iter()
        .flat_map(|(pallet, rows)| rows.iter().map(move |(call, _)| format!("{pallet}.{call}")))
        .collect();
    let mut there: Vec<_> = RuntimeCall::get_module_names()
        .iter()
        .flat_map(|pallet| {
            let calls = RuntimeCall::get_call_names(pallet);
            calls.iter().map(move |call| format!("{pallet}.{call}"))
        })
        .collect();
    known.sort();
    there.sort();
    assert_eq!(known, there);
    assert_eq!(calls().len(), there.len());
}

fn who(row: Row) -> String {
    match row {
        Row::Runs => "relay; device, its own runs".into(),
        Row::Nobody => "nobody".into(),
        Row::Office(may, _) => Roles::EACH
            .iter()
            .filter(|(role, _)| may.any(*role))
            .map(|(_, name)| *name)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn lane(row: Row) -> &'static str {
    match row {
        Row::Runs => "relays; devices",
        Row::Nobody => "",
        Row::Office(_, Lane::Consortium) => "consortium",
        Row::Office(_, _) => "study",
    }
}

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/explained/admission.md"
);
const BEGIN: &str = "<!-- table of calls -->\n";
const END: &str = "<!-- end of the table -->\n";

/// `UPDATE_DOCS=1` writes the table.
#[test]
fn the_documents_have_the_table() {
    let mut table = String::from("\n| call | who may sign it | lane |\n|---|---|---|\n");
    for (pallet, rows) in rows() {
        for (call, row) in rows {
            let (who, lane) = (who(*row), lane(*row));
            table += &format!("| `{pallet}.{call}` | {who} | {lane} |\n");
        }
    }
    table += "\n";
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the table begins");
    let (there, after) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(PAGE, page).expect("the page can be written");
    } else {
        assert_eq!(there, table, "UPDATE_DOCS=1 writes it anew");
    }
}

/// All calls, with arguments of zeros.
pub(super) fn calls() -> Vec<RuntimeCall> {
    let numbers = (0..=u8::MAX).flat_map(|pallet| (0..=u8::MAX).map(move |call| [pallet, call]));
    numbers
        .filter_map(|numbers| RuntimeCall::decode(&mut TrailingZeroInput::new(&numbers)).ok())
        .collect()
}

/// Whether what came is a refusal of the transaction with this code; any other outcome is that of the call itself.
fn code<T>(outcome: Result<T, TransactionValidityError>) -> Option<u8> {
    (100..120).find(|code| outcome.as_ref().err() == Some(&refused(*code)))
}

/// A sender with one role each, and the refusal that it reads where it may not call.
fn senders() -> Vec<(Roles, Sender, u8)> {
    // With one more the member would be one of two.
    let members = [One, AliceStash].map(|who| who.to_account_id());
    let members = members.to_vec().try_into().expect("they are few");
    assert_ok!(Consortium::add_members(RuntimeOrigin::root(), members));
    pallet_consortium::Validators::<Runtime>::mutate(|validators| {
        validators
            .try_push(Two.to_account_id())
            .expect("there is room");
    });
    Consortium::admit(&Two.to_account_id());
    let device = enrol(1);
    let suspended = enrol(2);
    assert_ok!(ClientHashchain::suspend(
        RuntimeOrigin::signed(Charlie.to_account_id()),
        1,
        SuspensionReason::Lost
    ));
    vec![
        (Roles::MEMBER, One.into(), ROLE_MAY_NOT_CALL),
        (Roles::VALIDATOR, Two.into(), ROLE_MAY_NOT_CALL),
        (Roles::SPONSOR, Bob.into(), ROLE_MAY_NOT_CALL),
        (Roles::SERVER, Charlie.into(), ROLE_MAY_NOT_CALL),
        (Roles::RELAY, Dave.into(), ROLE_MAY_NOT_CALL),
        (Roles::NONE, device, DEVICE_MAY_ONLY_SUBMIT),
        (Roles::NONE, suspended, DEVICE_MAY_NOT_WRITE),
        (Roles::NONE, Ferdie.into(), ACCOUNT_HAS_NO_ROLE),
    ]
}

#[test]
fn pool_and_block_refuse_every_call_to_every_role_that_has_no_row_for_it() {
    development().execute_with(|| {
        let senders = senders();
        let mut tried = 0;
        for call in calls() {
            for (role, sender, refusal) in &senders {
                let may = match row(&call) {
                    Row::Runs => *role == Roles::RELAY || *refusal == DEVICE_MAY_ONLY_SUBMIT,
                    Row::Office(may, _) => may.any(*role),
                    Row::Nobody => false,
                };
                let is_motion = matches!(
                    call,
                    RuntimeCall::Council(pallet_collective::Call::propose { .. })
                );
                let expected = match may {
                    // Of zeros, it asks for no ayes at all.
                    true => is_motion.then_some(MOTION_NEEDS_ANOTHER_THRESHOLD),
                    false => Some(*refusal),
                };
                let transaction = sender.next(call.clone());
                let answer = pool(transaction.clone());
                // The time of a block is its author's; the pool refuses it before it asks who signed.
                if answer != Err(InvalidTransaction::MandatoryValidation.into()) {
                    assert_eq!(code(answer), expected, "{call:?}");
                }
                // A block that took a call would change who may do what.
                let taken = undone(|| code(block(transaction)));
                assert_eq!(taken, expected, "{call:?}");
                tried += 1;
            }
        }
        assert!(tried > 300, "{tried} pairs of role and call");
    });
}
