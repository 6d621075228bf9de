// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::*, DeviceByKey, Devices, Error, Event, HeadPages, HostSha256, LastTrusted, ESCROW_LENGTH,
};
use frame_support::{assert_noop, assert_ok};
use hashchain::{Enrolment, LinkHash};
use sp_core::H256;

const KEY: [u8; 32] = [40; 32];
const ESCROW: [u8; ESCROW_LENGTH as usize] = [9; ESCROW_LENGTH as usize];

fn link_zero(study: u32, key: &[u8; 32], predecessor: Option<LinkHash>) -> H256 {
    H256(
        hashchain::genesis::<HostSha256>(&Enrolment {
            chain: &System::block_hash(0).0,
            study: hashchain::StudyId(study),
            device_key: key,
            predecessor,
            secret_commitment: &[8; 32],
            escrow_commitment: &hashchain::escrow_commitment::<HostSha256>(&ESCROW),
        })
        .0,
    )
}

#[test]
fn link_zero_binds_chain_study_key_secret_and_escrow() {
    run(|| {
        assert_ok!(enrol(SIGNED, KEY, None));
        let genesis = link_zero(SIGNED, &KEY, None);
        let record = Devices::<Test>::get(0).expect("enrolled");
        assert_eq!(record.genesis, genesis);
        assert_eq!(HashchainPallet::head_of(0).expect("enrolled").hash, genesis);
        assert_eq!(DeviceByKey::<Test>::get(KEY), Some(0));
        assert_eq!(
            events(),
            [Event::DeviceEnrolled {
                device: 0,
                study: SIGNED,
                key: KEY,
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
fn neighbouring_devices_share_a_page_and_the_33rd_begins_another() {
    run(|| {
        for seed in 0..33 {
            Phone::enrolled(PAPER, seed);
        }
        assert_eq!(HeadPages::<Test>::get(0).map(|page| page.len()), Some(32));
        assert_eq!(HeadPages::<Test>::get(1).map(|page| page.len()), Some(1));
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
            ClientHashchain::enrol(
                RuntimeOrigin::signed(who),
                study,
                key,
                H256::zero(),
                escrow.try_into().expect("fits"),
                predecessor,
            )
        };
        let phone = Phone::enrolled(SIGNED, 1);
        let taken = phone.pair_key();
        assert_noop!(
            by(AUTHENTICATION_SERVER, 77, KEY, vec![1], None),
            Error::<Test>::UnknownStudy
        );
        assert_noop!(
            by(RELAY, SIGNED, KEY, vec![1], None),
            Error::<Test>::NotAnAuthenticationServer
        );
        assert_noop!(
            by(AUTHENTICATION_SERVER, SIGNED, KEY, vec![], None),
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
            by(AUTHENTICATION_SERVER, SIGNED, KEY, vec![1], Some(9)),
            Error::<Test>::UnknownDevice
        );
        assert_noop!(
            by(AUTHENTICATION_SERVER, SIGNED, KEY, vec![1], Some(phone.id)),
            Error::<Test>::PredecessorNotRetired
        );
        assert_ok!(retire(phone.id, LastTrusted::Latest));
        assert_noop!(
            by(AUTHENTICATION_SERVER, PAPER, KEY, vec![1], Some(phone.id)),
            Error::<Test>::PredecessorNotRetired
        );
        Phone::succeeding(SIGNED, 2, Some(phone.id));
        assert_noop!(
            by(AUTHENTICATION_SERVER, SIGNED, KEY, vec![1], Some(phone.id)),
            Error::<Test>::PredecessorHasSuccessor
        );
        assert_ok!(Studies::close_study(RuntimeOrigin::signed(SPONSOR), SIGNED));
        assert_noop!(enrol(SIGNED, KEY, None), Error::<Test>::StudyClosed);
    });
}

#[test]
fn the_chain_ends_enrolment_when_its_numbers_are_used_up() {
    run(|| {
        crate::NextDeviceId::<Test>::put(u32::MAX);
        assert_noop!(enrol(SIGNED, KEY, None), Error::<Test>::TooManyDevices);
        crate::NextDeviceId::<Test>::put(0);
    });
}
