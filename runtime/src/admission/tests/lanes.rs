// SPDX-License-Identifier: Apache-2.0

//! Lanes, turns, and what refused work costs.

use frame_support::{assert_ok, dispatch::GetDispatchInfo, weights::Weight};
use pallet_admission::{
    BlockUse, Lane, Rules, Uses, TOO_HEAVY, TOO_LONG, TOO_MANY_WAITING, TOO_MUCH_REFUSED,
};
use pallet_client_hashchain::{Run, RunEntry, SuspensionReason, MAX_RUN_LENGTH};
use sp_core::H256;
use sp_keyring::Sr25519Keyring::{Alice, Bob, Charlie, Dave, Eve, Ferdie};
use sp_runtime::{
    traits::{BlakeTwo256, Dispatchable, Hash},
    transaction_validity::{InvalidTransaction, TransactionPriority},
    DispatchError,
};

use super::{
    batch, batch_of, block, enrol, length, next_block, pool, refused, run_of, HashchainCall, Sender,
};
use crate::{
    admission::Admitted,
    limits::{MaxProposalWeight, RuntimeBlockWeights, BLOCK_BYTES, MAX_TRANSACTION},
    testing::{development, DAY_ONE},
    Admission, Runtime, RuntimeCall, RuntimeOrigin, System,
};

fn priority(sender: &Sender, nonce: u32, call: impl Into<RuntimeCall>) -> TransactionPriority {
    pool(sender.signed(nonce, call)).expect("it may").priority
}

/// A motion that does not exist is closed, with a weight that the caller makes up.
fn close(weight: Weight) -> RuntimeCall {
    pallet_collective::Call::close {
        proposal_hash: H256::repeat_byte(1),
        index: 0,
        proposal_weight_bound: weight,
        length_bound: 0,
    }
    .into()
}

fn suspend() -> RuntimeCall {
    HashchainCall::suspend {
        device: 0,
        reason: SuspensionReason::Lost,
    }
    .into()
}

fn remove_relay() -> RuntimeCall {
    pallet_studies::Call::remove_relay {
        study: 0,
        account: Eve.to_account_id(),
    }
    .into()
}

/// A run of so many entries that begins too late.
fn gap(entries: u32) -> Run {
    let entry = RunEntry {
        digest: H256::zero(),
        tag: H256::zero(),
    };
    Run {
        sequence: 1_000,
        entries: vec![entry; entries as usize]
            .try_into()
            .expect("a run may be that long"),
        ..run_of(0)
    }
}

/// What an account has had of a lane.
fn had(sender: &Sender, lane: Lane) -> pallet_admission::Use<crate::BlockNumber> {
    Uses::<Runtime>::get(sender.account(), lane)
}

#[test]
fn the_consortium_goes_before_studies_studies_before_devices_and_relays_come_last() {
    development().execute_with(|| {
        let device = enrol(1);
        let lanes = [
            priority(&Dave.into(), 0, batch_of(&[])),
            priority(&device, 0, batch_of(&[])),
            priority(&Charlie.into(), 0, suspend()),
            priority(&Alice.into(), 0, close(Weight::zero())),
        ]
        .map(|priority| priority >> 32);
        assert_eq!(lanes, [0, 1, 2, 3]);
    });
}

#[test]
fn who_has_had_least_of_late_goes_first() {
    development().execute_with(|| {
        let (busy, idle) = (Sender::from(Dave), Sender::from(Eve));
        assert_ok!(block(busy.next(batch(vec![gap(64)]))));
        let spent = had(&busy, Lane::Relay).spent;
        assert!(priority(&idle, 0, batch_of(&[])) > priority(&busy, 1, batch_of(&[])));

        // The pool asks about the next block, in which it is half; two blocks later a quarter; and then it is forgotten.
        let after = |blocks: u32| {
            System::set_block_number(DAY_ONE + blocks - 1);
            TransactionPriority::from(u32::MAX) - priority(&busy, 1, batch_of(&[]))
        };
        let parts = [1, 2, 40].map(after);
        let spent = TransactionPriority::from(spent);
        assert_eq!(parts, [spent / 2, spent / 4, 0]);
    });
}

#[test]
fn an_account_s_tenth_transaction_waits_for_the_first_of_another() {
    development().execute_with(|| {
        let (flood, other) = (Sender::from(Dave), Sender::from(Eve));
        let call = || batch(vec![gap(64)]);
        let places: Vec<_> = (0..10)
            .map(|nonce| priority(&flood, nonce, call()))
            .collect();
        assert!(places.is_sorted_by(|earlier, later| earlier > later));
        assert_eq!(priority(&other, 0, call()), places[0]);
    });
}

#[test]
fn a_place_does_not_depend_on_when_it_was_asked_for() {
    development().execute_with(|| {
        let relay = Sender::from(Dave);
        let place = || {
            let validity = pool(relay.next(batch_of(&[]))).expect("Dave is a relay");
            let until = validity.longevity + u64::from(System::block_number());
            (validity.priority, until)
        };
        let first = place();
        System::set_block_number(DAY_ONE + 1);
        assert_eq!(place(), first);
    });
}

#[test]
fn no_lane_takes_more_of_a_block_than_its_share() {
    development().execute_with(|| {
        let share = Admitted::limits(Lane::Consortium).weight;
        let limit = share * RuntimeBlockWeights::get().max_block.ref_time();
        let member = Sender::from(Alice);
        // It fails, so all that it declares counts.
        let heavy = || close(Weight::from_parts(limit / 3, 0));
        let mut taken = 0;
        let refusal = loop {
            match block(member.next(heavy())) {
                Ok(outcome) => assert!(outcome.is_err(), "there is no such motion"),
                Err(refusal) => break refusal,
            }
            taken += 1;
        };
        assert_eq!(taken, 2);
        assert_eq!(refusal, InvalidTransaction::ExhaustsResources.into());
        let used = BlockUse::<Runtime>::get()[Lane::Consortium as usize];
        assert!(used.ref_time <= limit && used.ref_time > limit / 2);

        // The others have theirs.
        assert_ok!(block(Sender::from(Charlie).next(suspend())));
        assert_ok!(block(Sender::from(Dave).next(batch_of(&[]))));
    });
}

#[test]
fn no_lane_takes_more_of_a_block_s_bytes_than_its_share() {
    development().execute_with(|| {
        let device = enrol(1);
        let limits = Admitted::limits(Lane::Device);
        let others: Vec<_> = (2..60).map(enrol).collect();
        let mut bytes = 0;
        let mut refused = false;
        for (number, device) in std::iter::once(&device).chain(&others).enumerate() {
            let runs = (0..3).map(|_| Run {
                device: number as u32,
                ..gap(MAX_RUN_LENGTH)
            });
            let transaction = device.next(batch(runs.collect()));
            let length = length(&transaction);
            assert!(length < limits.longest);
            match block(transaction) {
                Ok(_) => bytes += length,
                Err(refusal) => {
                    assert_eq!(refusal, InvalidTransaction::ExhaustsResources.into());
                    refused = true;
                }
            }
        }
        assert!(refused);
        assert!(bytes <= limits.bytes * BLOCK_BYTES);
        assert_ok!(block(Sender::from(Dave).next(batch_of(&[]))));
    });
}

#[test]
fn what_a_call_did_not_do_is_given_back_to_its_lane() {
    development().execute_with(|| {
        let relay = Sender::from(Dave);
        let call = batch(vec![gap(1); 100]);
        let declared = call.get_dispatch_info().call_weight.ref_time();
        assert_ok!(block(relay.next(call)));
        let used = BlockUse::<Runtime>::get()[Lane::Relay as usize];
        assert!(used.ref_time < declared / 2, "{used:?} of {declared}");
    });
}

#[test]
fn a_failed_call_costs_all_that_it_declared_and_its_bytes_are_owed() {
    development().execute_with(|| {
        let member = Sender::from(Alice);
        let declared = Weight::from_parts(200_000_000_000, 0);
        let transaction = member.next(close(declared));
        let bytes = length(&transaction);
        assert_ok!(block(transaction).map(|outcome| assert!(outcome.is_err())));
        let had = had(&member, Lane::Consortium);
        assert!(had.spent >= 200_000, "{had:?}");
        assert_eq!(had.debt, bytes);
    });
}

#[test]
fn a_refused_run_costs_eightfold() {
    development().execute_with(|| {
        enrol(1);
        let (refused, empty) = (Sender::from(Dave), Sender::from(Eve));
        assert_ok!(block(refused.next(batch(vec![gap(8)]))));
        let charged = BlockUse::<Runtime>::get()[Lane::Relay as usize].ref_time / 1_000_000;
        let spent = u64::from(had(&refused, Lane::Relay).spent);
        assert!(
            spent / 8 >= charged - 8 && spent / 8 <= charged + 8,
            "{spent} {charged}"
        );
        assert_ok!(block(empty.next(batch_of(&[]))));
        assert_eq!(had(&empty, Lane::Relay).debt, 0);
    });
}

#[test]
fn who_brings_nothing_but_refused_runs_is_stopped_until_time_has_passed() {
    development().execute_with(|| {
        let (flood, other) = (Sender::from(Dave), Sender::from(Eve));
        let junk = || batch(vec![gap(MAX_RUN_LENGTH); 100]);
        let limits = Admitted::limits(Lane::Relay);
        let refusal = refused(TOO_MUCH_REFUSED);
        let mut blocks = 0;
        while pool(flood.next(junk())).is_ok() {
            assert_ok!(block(flood.next(junk())));
            next_block();
            blocks += 1;
            assert!(blocks < 100, "nobody stopped it");
        }
        assert_eq!(pool(flood.next(junk())), Err(refusal));
        assert_eq!(block(flood.next(batch_of(&[]))), Err(refusal));
        assert_ok!(pool(other.next(junk())));

        let owes = had(&flood, Lane::Relay);
        let waits = (owes.debt - limits.debt).div_ceil(limits.forgiven);
        System::set_block_number(owes.block + waits - 2);
        assert_eq!(pool(flood.next(junk())), Err(refusal));
        System::set_block_number(owes.block + waits);
        assert_ok!(pool(flood.next(junk())));
    });
}

#[test]
fn who_changes_its_account_owes_what_it_owed() {
    development().execute_with(|| {
        let (former, present) = (Sender::from(Dave), Sender::from(Ferdie));
        assert_ok!(block(former.next(batch(vec![gap(MAX_RUN_LENGTH); 100]))));
        let owed = had(&former, Lane::Relay);
        assert!(owed.debt > 0 && owed.spent > 0);
        let rotate = pallet_studies::Call::rotate {
            study: 0,
            successor: present.account(),
        };
        let outcome = block(former.next(rotate)).expect("Dave is a relay");
        assert_ok!(outcome);
        assert_eq!(had(&present, Lane::Relay), owed);
    });
}

#[test]
fn a_device_has_a_share_of_bytes_and_no_more() {
    development().execute_with(|| {
        let device = enrol(1);
        let limits = Admitted::limits(Lane::Device);
        let runs = || batch(vec![gap(MAX_RUN_LENGTH); 3]);
        let mut bytes = 0;
        while pool(device.next(runs())).is_ok() {
            let transaction = device.next(runs());
            bytes += length(&transaction);
            assert_ok!(block(transaction));
        }
        assert!(bytes > limits.debt && bytes < limits.debt + limits.longest);
        assert_eq!(pool(device.next(runs())), Err(refused(TOO_MUCH_REFUSED)));
    });
}

#[test]
fn a_device_has_no_more_waiting_than_it_may_send() {
    development().execute_with(|| {
        let device = enrol(1);
        let limits = Admitted::limits(Lane::Device);
        let long = || batch(vec![gap(MAX_RUN_LENGTH); 3]);
        let length = length(&device.signed(0, long()));
        let may_wait = limits.debt / length;
        assert_ok!(pool(device.signed(may_wait, long())));
        let one_more = pool(device.signed(may_wait + 1, long()));
        assert_eq!(one_more, Err(refused(TOO_MUCH_REFUSED)));
        // Short ones are not so many either.
        let short = |nonce| pool(device.signed(nonce, batch_of(&[])));
        let most = Admitted::waiting(&device.account(), Lane::Device);
        assert_ok!(short(most - 1));
        assert_eq!(short(most), Err(refused(TOO_MANY_WAITING)));
    });
}

#[test]
fn an_account_has_as_many_waiting_as_its_programs_have_on_their_way() {
    development().execute_with(|| {
        // At least what they are told to have, or can be told to.
        let rotate = pallet_studies::Call::rotate {
            study: 0,
            successor: Ferdie.to_account_id(),
        };
        let programs: [(Sender, RuntimeCall, u32); 5] = [
            (Dave.into(), batch_of(&[]), 1_024),
            // Behind its batches.
            (Dave.into(), rotate.into(), 1_024),
            (Charlie.into(), suspend(), 1_000),
            (Alice.into(), close(Weight::zero()), 64),
            (Bob.into(), remove_relay(), 64),
        ];
        for (sender, call, on_their_way) in programs {
            assert_ok!(pool(sender.signed(on_their_way, call.clone())));
            let far = pool(sender.signed(1_000_000, call));
            assert_eq!(far, Err(refused(TOO_MANY_WAITING)));
        }
    });
}

#[test]
fn a_transaction_has_a_length_that_the_author_can_hold() {
    development().execute_with(|| {
        let relay = Sender::from(Dave);
        let runs = |runs: usize| batch(vec![gap(MAX_RUN_LENGTH); runs]);
        let longest = relay.next(runs(127));
        assert!(length(&longest) <= MAX_TRANSACTION);
        assert_ok!(pool(longest));
        let longer = relay.next(runs(129));
        assert!(length(&longer) > MAX_TRANSACTION);
        assert_eq!(pool(longer.clone()), Err(refused(TOO_LONG)));
        assert_eq!(block(longer), Err(refused(TOO_LONG)));
    });
}

#[test]
fn a_weight_that_no_block_could_give_is_refused_at_once() {
    development().execute_with(|| {
        let member = Sender::from(Alice);
        assert_ok!(pool(member.next(close(MaxProposalWeight::get()))));
        let heavy = close(MaxProposalWeight::get() * 2);
        assert_eq!(pool(member.next(heavy.clone())), Err(refused(TOO_HEAVY)));
        assert_eq!(block(member.next(heavy)), Err(refused(TOO_HEAVY)));
    });
}

/// A decision as Root is the widest way to dispatch a call within another. Were it ever signed, the runs would still be refused.
#[test]
fn runs_within_another_call_are_refused() {
    development().execute_with(|| {
        enrol(1);
        let runs = batch_of(&[0]);
        let signed = RuntimeOrigin::signed(Dave.to_account_id());
        // As by any call that dispatches another: no transaction has this one at its top.
        let nested = runs
            .clone()
            .dispatch(signed)
            .map_err(|refused| refused.error);
        let reason = pallet_client_hashchain::Error::<Runtime>::RunsWithinAnotherCall;
        assert_eq!(nested.map(drop), Err(reason.into()));
        assert_ok!(block(Sender::from(Dave).next(runs.clone())).map(|outcome| outcome.map(drop)));

        // The mark of one transaction does not serve the next.
        assert_ok!(Admission::do_try_state());
        let motion: RuntimeCall = pallet_consortium::Call::dispatch_as_root {
            call: Box::new(runs),
        }
        .into();
        assert_ok!(block(Sender::from(Alice).next(
            pallet_collective::Call::propose {
                threshold: 1,
                proposal: Box::new(motion.clone()),
                length_bound: 1_000,
            }
        )));
        let executed = System::read_events_no_consensus().find_map(|record| match record.event {
            crate::RuntimeEvent::Council(pallet_collective::Event::Executed {
                proposal_hash,
                result,
            }) if proposal_hash == BlakeTwo256::hash_of(&motion) => Some(result),
            _ => None,
        });
        assert_eq!(executed, Some(Err(DispatchError::BadOrigin)));
    });
}

#[test]
fn nothing_of_a_block_is_left_after_it() {
    development().execute_with(|| {
        assert_ok!(block(Sender::from(Dave).next(batch_of(&[]))));
        assert!(BlockUse::<Runtime>::exists());
        <Admission as frame_support::traits::Hooks<_>>::on_finalize(DAY_ONE);
        assert!(!BlockUse::<Runtime>::exists());
    });
}
