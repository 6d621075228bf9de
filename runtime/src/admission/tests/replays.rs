// SPDX-License-Identifier: Apache-2.0

//! What a study has registered is brought again: by a phone's second relay, or for ever.

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

/// The next run of a phone, signed: as long as one can be. The phone of this seed is the device before.
fn run_of_phone(seed: u8) -> Run {
    let device = DeviceId::from(seed - 1);
    let head = ClientHashchain::head_of(device).expect("it is enrolled");
    let entry = RunEntry {
        digest: H256::repeat_byte(seed),
        tag: H256::repeat_byte(1),
    };
    let entries = vec![entry; MAX_RUN_LENGTH as usize];
    let (digest, tag) = (DataDigest(entry.digest.0), Tag(entry.tag.0));
    let last = (head.length + 1..)
        .take(entries.len())
        .fold(LinkHash(head.hash.0), |previous, sequence| {
            hashchain::link::<HostSha256>(sequence, &previous, &digest, &tag)
        });
    let signature = pair(seed).sign(&hashchain::head_message(&last));
    Run {
        device,
        sequence: head.length + 1,
        previous: head.hash,
        entries: entries.try_into().expect("a run may be that long"),
        signature: Some(signature.0),
    }
}

fn enrol_all(phones: u8) {
    for seed in 1..=phones {
        enrol(seed);
    }
}

/// The next run of each of so many phones.
fn runs_of(phones: u8) -> Vec<Run> {
    (1..=phones).map(run_of_phone).collect()
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
