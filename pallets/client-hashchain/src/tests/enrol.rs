// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::*, DeviceByKey, Devices, Error, Event, HeadPages, HostSha256, KeyPages, LastTrusted,
    HEADS_PER_PAGE,
};
use frame_support::{assert_noop, assert_ok};
use hashchain::{Enrolment, LinkHash};
use sp_core::{ed25519, Pair, H256};
use sp_runtime::AccountId32;

/// The key pair of a device that is not enrolled yet.
fn pair() -> ed25519::Pair {
    ed25519::Pair::from_seed(&[40; 32])
}

fn link_zero(study: u32, key: &[u8; 32], predecessor: Option<LinkHash>) -> H256 {
    H256(
        hashchain::genesis::<HostSha256>(&Enrolment {
            chain: &System::block_hash(0).0,
            study: hashchain::StudyId(study),
            device_key: key,
            predecessor,
            secret_commitment: &COMMITMENT,
            escrow_commitment: &hashchain::escrow_commitment::<HostSha256>(&ESCROW),
        })
        .0,
    )
}

#[test]
fn link_zero_binds_chain_study_key_secret_and_escrow() {
    run(|| {
        assert_ok!(enrol(SIGNED, &pair(), None));
        let key = pair().public().0;
        let genesis = link_zero(SIGNED, &key, None);
        let record = Devices::<Test>::get(0).expect("enrolled");
        assert_eq!(record.genesis, genesis);
        assert_eq!(HashchainPallet::head_of(0).expect("enrolled").hash, genesis);
        assert_eq!(DeviceByKey::<Test>::get(key), Some(0));
        assert_eq!(
            events(),
            [Event::DeviceEnrolled {
                device: 0,
                study: SIGNED,
                key,
                genesis,
                predecessor: None,
            }]
        );
    });
}

#[test]
fn an_escrow_is_as_long_as_a_phone_seals_it() {
    assert_eq!(ESCROW.len(), hashchain::ESCROW_LENGTH);
}

#[test]
fn an_enrolled_device_may_send_transactions_of_its_own() {
    run(|| {
        let phone = Phone::enrolled(SIGNED, 1);
        assert!(HashchainPallet::has_role(&phone.account()));
        assert_eq!(System::providers(&phone.account()), 1);
    });
}

#[test]
fn neighbouring_devices_share_a_page_until_it_is_full() {
    run(|| {
        for seed in 0..=HEADS_PER_PAGE as u8 {
            Phone::enrolled(PAPER, seed);
        }
        for (page, devices) in [(0, HEADS_PER_PAGE as usize), (1, 1)] {
            let heads = HeadPages::<Test>::get(page).expect("devices are on it");
            let keys = KeyPages::<Test>::get(page).expect("devices are on it");
            assert_eq!((heads.len(), keys.len()), (devices, devices));
        }
    });
}

#[test]
fn a_successor_commits_to_the_last_trusted_head_of_its_predecessor() {
    run(|| {
        let mut old = Phone::enrolled(SIGNED, 1);
        old.registered(3);
        assert_ok!(retire(old.id, LastTrusted::Latest));
        let new = Phone::succeeding(SIGNED, 2, Some(old.id));
        assert_eq!(
            new.head,
            link_zero(SIGNED, &new.pair_key(), Some(LinkHash(old.head.0)))
        );
        let record = |device| Devices::<Test>::get(device).expect("enrolled");
        assert_eq!(record(new.id).predecessor, Some(old.id));
        assert_eq!(record(old.id).successor, Some(new.id));
    });
}

#[test]
fn every_bad_enrolment_is_refused_for_its_own_reason() {
    run(|| {
        let by = |who, study, key, escrow: Vec<u8>, predecessor| {
            let key_proof = match key == pair().public().0 {
                true => key_proof(&pair(), &AUTHENTICATION_SERVER, study, predecessor),
                false => [0; 64],
            };
            ClientHashchain::enrol(
                RuntimeOrigin::signed(who),
                study,
                key,
                H256(COMMITMENT),
                escrow.try_into().expect("fits"),
                0,
                PARTICIPANT,
                predecessor,
                key_proof,
            )
        };
        let whole = ESCROW.to_vec();
        let new = pair().public().0;
        let phone = Phone::enrolled(SIGNED, 1);
        let taken = phone.pair_key();
        assert_noop!(
            by(AUTHENTICATION_SERVER, 77, new, vec![1], None),
            Error::<Test>::UnknownStudy
        );
        assert_noop!(
            by(RELAY, SIGNED, new, vec![1], None),
            Error::<Test>::NotAnAuthenticationServer
        );
        assert_noop!(
            by(AUTHENTICATION_SERVER, SIGNED, new, vec![], None),
            Error::<Test>::EscrowMissing
        );
        assert_noop!(
            by(AUTHENTICATION_SERVER, SIGNED, [0; 32], vec![1], None),
            Error::<Test>::WeakKey
        );
        assert_noop!(
            by(AUTHENTICATION_SERVER, SIGNED, taken, vec![1], None),
            Error::<Test>::KeyInUse
        );
        assert_noop!(
            by(AUTHENTICATION_SERVER, SIGNED, new, whole.clone(), Some(9)),
            Error::<Test>::UnknownDevice
        );
        assert_noop!(
            by(
                AUTHENTICATION_SERVER,
                SIGNED,
                new,
                whole.clone(),
                Some(phone.id)
            ),
            Error::<Test>::PredecessorNotRetired
        );
        assert_ok!(retire(phone.id, LastTrusted::Latest));
        assert_noop!(
            by(
                AUTHENTICATION_SERVER,
                PAPER,
                new,
                whole.clone(),
                Some(phone.id)
            ),
            Error::<Test>::PredecessorNotRetired
        );
        Phone::succeeding(SIGNED, 2, Some(phone.id));
        assert_noop!(
            by(
                AUTHENTICATION_SERVER,
                SIGNED,
                new,
                whole.clone(),
                Some(phone.id)
            ),
            Error::<Test>::PredecessorHasSuccessor
        );
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), SIGNED));
        assert_noop!(enrol(SIGNED, &pair(), None), Error::<Test>::StudyClosed);
    });
}

#[test]
fn the_chain_ends_enrolment_when_its_numbers_are_used_up() {
    run(|| {
        crate::NextDeviceId::<Test>::put(u32::MAX);
        assert_noop!(enrol(SIGNED, &pair(), None), Error::<Test>::TooManyDevices);
        crate::NextDeviceId::<Test>::put(0);
    });
}

#[test]
fn nobody_enrols_a_key_but_the_server_that_its_holder_named() {
    run(|| {
        let key = pair().public().0;
        let proof = key_proof(&pair(), &AUTHENTICATION_SERVER, SIGNED, None);
        let refuse = |who, study, key, proof| {
            let refused = enrol_with(who, study, key, None, proof);
            assert_noop!(refused, Error::<Test>::KeyProofFails);
        };
        // A server of another study sees key and proof in the pool, and is faster.
        let other = AccountId32::new([77; 32]);
        assert_ok!(Studies::do_add_authentication_server(
            FOREIGN,
            other.clone()
        ));
        refuse(other.clone(), FOREIGN, key, proof);
        let own = key_proof(&ed25519::Pair::from_seed(&[41; 32]), &other, FOREIGN, None);
        refuse(other.clone(), FOREIGN, key, own);
        // Another server of the same study, and the same server for another study.
        assert_ok!(Studies::do_add_authentication_server(SIGNED, other.clone()));
        refuse(other, SIGNED, key, proof);
        refuse(AUTHENTICATION_SERVER, FOREIGN, key, proof);
        // Another key, and none.
        refuse(AUTHENTICATION_SERVER, SIGNED, [42; 32], proof);
        refuse(AUTHENTICATION_SERVER, SIGNED, key, [0; 64]);
        assert_ok!(enrol_with(AUTHENTICATION_SERVER, SIGNED, key, None, proof));
    });
}

#[test]
fn a_key_proof_is_for_one_chain_predecessor_secret_escrow_epoch_and_participant() {
    run(|| {
        let mut old = Phone::enrolled(SIGNED, 1);
        old.registered(1);
        assert_ok!(retire(old.id, LastTrusted::Latest));
        let key = pair().public().0;
        let server = || RuntimeOrigin::signed(AUTHENTICATION_SERVER);
        let proof = key_proof(&pair(), &AUTHENTICATION_SERVER, SIGNED, None);
        assert_ok!(Studies::do_set_auditor_key(SIGNED, [70; 32]));
        let epoch = |epoch, participant, proof| {
            let escrow = ESCROW.to_vec().try_into().expect("fits");
            ClientHashchain::enrol(
                server(),
                SIGNED,
                key,
                H256(COMMITMENT),
                escrow,
                epoch,
                participant,
                None,
                proof,
            )
        };
        // Both epochs are taken for the moment, and the proof is for the first.
        assert_noop!(epoch(1, PARTICIPANT, proof), Error::<Test>::KeyProofFails);
        assert_noop!(
            epoch(0, H256([60; 32]), proof),
            Error::<Test>::KeyProofFails
        );
        let with = |commitment, escrow: Vec<u8>, predecessor, proof| {
            let escrow = escrow.try_into().expect("fits");
            ClientHashchain::enrol(
                server(),
                SIGNED,
                key,
                H256(commitment),
                escrow,
                0,
                PARTICIPANT,
                predecessor,
                proof,
            )
        };
        let mut other_escrow = ESCROW.to_vec();
        other_escrow[80] ^= 1;
        for refused in [
            with([7; 32], ESCROW.to_vec(), None, proof),
            with(COMMITMENT, other_escrow, None, proof),
            with(COMMITMENT, ESCROW.to_vec(), Some(old.id), proof),
        ] {
            assert_noop!(refused, Error::<Test>::KeyProofFails);
        }
        // The same on another chain.
        let elsewhere = hashchain::key_proof_message(&hashchain::KeyProof {
            chain: &[1; 32],
            study: hashchain::StudyId(SIGNED),
            server: AUTHENTICATION_SERVER.as_ref(),
            device_key: &key,
            predecessor: None,
            secret_commitment: &COMMITMENT,
            escrow_commitment: &hashchain::escrow_commitment::<HostSha256>(&ESCROW),
            auditor_epoch: 0,
            auditor_key: &AUDITOR_KEY,
            participant: &PARTICIPANT.0,
        });
        let elsewhere = pair().sign(&elsewhere).0;
        let refused = with(COMMITMENT, ESCROW.to_vec(), None, elsewhere);
        assert_noop!(refused, Error::<Test>::KeyProofFails);
        assert_ok!(with(COMMITMENT, ESCROW.to_vec(), None, proof));
    });
}

#[test]
fn the_record_says_to_whom_data_and_secret_are_sealed() {
    run(|| {
        assert_ok!(enrol(SIGNED, &pair(), None));
        let record = Devices::<Test>::get(0).expect("enrolled");
        assert_eq!((record.auditor_epoch, record.participant), (0, PARTICIPANT));
    });
}

#[test]
fn a_device_is_enrolled_under_the_present_auditor_key_or_for_a_while_the_one_before() {
    run(|| {
        let with_key = |seed: u8, epoch, auditor_key: &[u8; 32]| {
            let pair = ed25519::Pair::from_seed(&[seed; 32]);
            let message = hashchain::key_proof_message(&hashchain::KeyProof {
                chain: &System::block_hash(0).0,
                study: hashchain::StudyId(SIGNED),
                server: AUTHENTICATION_SERVER.as_ref(),
                device_key: &pair.public().0,
                predecessor: None,
                secret_commitment: &COMMITMENT,
                escrow_commitment: &hashchain::escrow_commitment::<HostSha256>(&ESCROW),
                auditor_epoch: epoch,
                auditor_key,
                participant: &PARTICIPANT.0,
            });
            ClientHashchain::enrol(
                RuntimeOrigin::signed(AUTHENTICATION_SERVER),
                SIGNED,
                pair.public().0,
                H256(COMMITMENT),
                ESCROW.to_vec().try_into().expect("fits"),
                epoch,
                PARTICIPANT,
                None,
                pair.sign(&message).0,
            )
        };
        let with = |seed, epoch| match epoch {
            0 => with_key(seed, 0, &AUDITOR_KEY),
            _ => with_key(seed, epoch, &[70; 32]),
        };
        assert_noop!(with(50, 1), Error::<Test>::OtherAuditorEpoch);
        // Somebody told the device another key than the study's auditor has.
        assert_noop!(with_key(50, 0, &[70; 32]), Error::<Test>::KeyProofFails);
        assert_ok!(with(50, 0));
        assert_ok!(Studies::do_set_auditor_key(SIGNED, [70; 32]));
        assert_ok!(with(51, 0));
        assert_ok!(with(52, 1));
        System::set_block_number(2 + AUDITOR_KEY_GRACE);
        assert_noop!(with(53, 0), Error::<Test>::OtherAuditorEpoch);
        assert_ok!(with(53, 1));
        let epochs: Vec<u32> = (0..4)
            .filter_map(|device| Some(Devices::<Test>::get(device)?.auditor_epoch))
            .collect();
        assert_eq!(epochs, [0, 0, 1, 1]);
    });
}
