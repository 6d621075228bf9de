// SPDX-License-Identifier: Apache-2.0

//! What a study has registered is brought again: by a phone's second relay, or for ever.

use codec::Encode;
use frame_support::assert_ok;
use hashchain::{DataDigest, LinkHash, Tag};
use pallet_admission::{Lane, Rules, Uses, TOO_MUCH_REFUSED};
use pallet_client_hashchain::{DeviceId, HostSha256, Run, RunEntry, MAX_RUN_LENGTH};
use sp_core::{Pair, H256};
use sp_keyring::Sr25519Keyring::{Bob, Dave, Eve, Ferdie};

use super::{batch, block, enrol, length, next_block, pair, pool, refused, Sender};
use crate::{
    admission::Admitted, testing::development, ClientHashchain, Runtime, RuntimeOrigin, Studies,
};

/// The run of a phone that has so many entries after this link, which is that of this sequence; signed. The phone of this seed is
/// the device before, and each of its entries is like the others.
fn run_after(seed: u8, sequence: u64, previous: H256, entries: u32) -> Run {
    let entry = RunEntry {
        digest: H256::repeat_byte(seed),
        tag: H256::repeat_byte(1),
    };
    let entries = vec![entry; entries as usize];
    let (digest, tag) = (DataDigest(entry.digest.0), Tag(entry.tag.0));
    let last = (sequence + 1..)
        .take(entries.len())
        .fold(LinkHash(previous.0), |previous, sequence| {
            hashchain::link::<HostSha256>(sequence, &previous, &digest, &tag)
        });
    let signature = pair(seed).sign(&hashchain::head_message(&last));
    Run {
        device: DeviceId::from(seed - 1),
        sequence: sequence + 1,
        previous,
        entries: entries.try_into().expect("a run may be that long"),
        signature: Some(signature.0),
    }
}

/// The run of the same length that begins an entry later than this one.
fn one_entry_on(run: &Run) -> Run {
    let first = run.entries[0];
    let (digest, tag) = (DataDigest(first.digest.0), Tag(first.tag.0));
    let previous = LinkHash(run.previous.0);
    let link = hashchain::link::<HostSha256>(run.sequence, &previous, &digest, &tag);
    let seed = u8::try_from(run.device + 1).expect("phones of the tests are few");
    run_after(seed, run.sequence, H256(link.0), run.entries.len() as u32)
}

fn enrol_all(phones: u8) {
    for seed in 1..=phones {
        enrol(seed);
    }
}

/// The next run of each of so many phones, with so many entries.
fn short_runs_of(phones: u8, entries: u32) -> Vec<Run> {
    let next = |seed: u8| {
        let head = ClientHashchain::head_of(DeviceId::from(seed - 1)).expect("it is enrolled");
        run_after(seed, head.length, head.hash, entries)
    };
    (1..=phones).map(next).collect()
}

/// The next run of each of so many phones, as long as one can be.
fn runs_of(phones: u8) -> Vec<Run> {
    short_runs_of(phones, MAX_RUN_LENGTH)
}

/// Brings these runs in the next transaction.
fn bring(relay: &Sender, runs: &[Run]) {
    let outcome = block(relay.next(batch(runs.to_vec())));
    assert_ok!(outcome.expect("the pool takes it"));
}

fn debt(relay: &Sender) -> u32 {
    Uses::<Runtime>::get(relay.account(), Lane::Relay).debt
}

#[test]
fn a_second_relay_that_is_late_for_many_blocks_owes_nothing() {
    development().execute_with(|| {
        const PHONES: u8 = 20;
        enrol_all(PHONES);
        let (first, second) = (Sender::from(Dave), Sender::from(Eve));
        for _ in 0..30 {
            let runs = runs_of(PHONES);
            bring(&first, &runs);
            bring(&second, &runs);
            next_block();
        }
        assert_eq!(debt(&second), 0);
    });
}

#[test]
fn a_relay_that_replays_is_stopped_and_others_of_its_study_are_not() {
    development().execute_with(|| {
        const PHONES: u8 = 100;
        enrol_all(PHONES);
        let (honest, replays) = (Sender::from(Dave), Sender::from(Eve));
        let old = runs_of(PHONES);
        bring(&honest, &old);
        // Once for nothing.
        bring(&replays, &old);
        assert_eq!(debt(&replays), 0);

        let limits = Admitted::limits(Lane::Relay);
        let again = |relay: &Sender| relay.next(batch(old.clone()));
        let bytes = length(&again(&replays));
        let mut blocks = 0;
        while pool(again(&replays)).is_ok() {
            bring(&replays, &old);
            next_block();
            blocks += 1;
            assert!(blocks < 100, "nobody stopped it");
        }
        assert_eq!(pool(again(&replays)), Err(refused(TOO_MUCH_REFUSED)));
        // Its debt was its bytes: no part of them is free.
        assert!(
            blocks <= limits.debt / bytes + 2,
            "{blocks} of {bytes} bytes"
        );

        bring(&honest, &runs_of(PHONES));
        assert_eq!(debt(&honest), 0);
    });
}

#[test]
fn a_relay_that_replays_before_a_new_entry_is_stopped() {
    development().execute_with(|| {
        const PHONES: u8 = 100;
        enrol_all(PHONES);
        let relay = Sender::from(Dave);
        let mut runs = runs_of(PHONES);
        bring(&relay, &runs);
        assert_eq!(debt(&relay), 0);

        // 255 entries of each are known, and one is new: it pays off what itself is.
        runs = runs.iter().map(one_entry_on).collect();
        bring(&relay, &runs);
        let bytes = runs[0].encoded_size() as u32;
        let known = bytes * (MAX_RUN_LENGTH - 1) / MAX_RUN_LENGTH;
        let owed = u32::from(PHONES) * (known - (bytes - known));
        assert_eq!(debt(&relay), owed);

        let limits = Admitted::limits(Lane::Relay);
        let mut blocks = 0;
        loop {
            next_block();
            runs = runs.iter().map(one_entry_on).collect();
            if pool(relay.next(batch(runs.clone()))).is_err() {
                break;
            }
            bring(&relay, &runs);
            blocks += 1;
            assert!(blocks < 100, "nobody stopped it");
        }
        let next = relay.next(batch(runs));
        assert_eq!(pool(next), Err(refused(TOO_MUCH_REFUSED)));
        assert!(
            blocks <= limits.debt / owed + 2,
            "{blocks} blocks of {owed} bytes"
        );
    });
}

#[test]
fn relays_of_phones_that_come_again_with_more_owe_nothing() {
    development().execute_with(|| {
        const PHONES: u8 = 20;
        enrol_all(PHONES);
        let (first, second) = (Sender::from(Dave), Sender::from(Eve));
        for _ in 0..30 {
            // Ten entries came to the first one, and the second one gets five more with them.
            let (some, more) = (short_runs_of(PHONES, 10), short_runs_of(PHONES, 15));
            bring(&first, &some);
            bring(&second, &more);
            assert_eq!((debt(&first), debt(&second)), (0, 0));
            next_block();

            // What was not answered comes to the same one, and more with it.
            let (some, more) = (short_runs_of(PHONES, 4), short_runs_of(PHONES, 12));
            bring(&first, &some);
            bring(&first, &more);
            assert_eq!(debt(&first), 0);
            next_block();
        }
    });
}

#[test]
fn sixty_four_relays_that_bring_again_what_was_brought_share_what_is_free() {
    development().execute_with(|| {
        const PHONES: u8 = 4;
        enrol_all(PHONES);
        let old = runs_of(PHONES);
        bring(&Sender::from(Dave), &old);
        let mut owing = 0;
        for seed in 101..=162 {
            let relay = Sender::Device(seed);
            let sponsor = RuntimeOrigin::signed(Bob.to_account_id());
            assert_ok!(Studies::add_relay(sponsor, 0, relay.account()));
            bring(&relay, &old);
            owing += u32::from(debt(&relay) > 0);
        }
        // Eight of them bring it for nothing.
        assert_eq!(owing, 62 - 8);
    });
}

#[test]
fn who_changes_its_account_has_brought_what_it_brought() {
    development().execute_with(|| {
        enrol(1);
        let (former, present) = (Sender::from(Dave), Sender::from(Ferdie));
        let old = runs_of(1);
        bring(&former, &old);
        let rotate = pallet_studies::Call::rotate {
            study: 0,
            successor: present.account(),
        };
        let outcome = block(former.next(rotate));
        assert_ok!(outcome.expect("Dave is a relay"));
        bring(&present, &old);
        assert!(debt(&present) > 0);
    });
}
