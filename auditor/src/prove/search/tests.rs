// SPDX-License-Identifier: Apache-2.0

use hashchain::{DeviceId, LinkHash, Secret, StudyId};
use mhealth_api::DeviceStatus;
use mhealth_chain_client::H256;
use mhealth_testing::phone::{record, Phone};

use super::*;

const GENESIS: LinkHash = LinkHash([7; 32]);

/// The search for a device with so many runs of two entries each, and its runs.
fn search(device: u32, runs: usize) -> (Search, Vec<Run>) {
    let key = ed25519_dalek::SigningKey::from_bytes(&[device as u8; 32]);
    let public = key.verifying_key().to_bytes();
    let secret = Secret::from_bytes(&[12; 32]);
    let mut phone = Phone::new(key, DeviceId(device), GENESIS, &secret);
    let runs: Vec<Run> = (0..runs)
        .map(|_| record(&mut phone, 2, "a night").run())
        .collect();
    let registered: Vec<EntryView> = runs
        .iter()
        .flat_map(Run::links)
        .map(|entry| EntryView {
            index: entry.sequence,
            device: DeviceId(device),
            sequence: entry.sequence,
            digest: entry.digest,
            hash: entry.hash,
            previous: None,
        })
        .collect();
    let search = Search {
        record: DeviceView {
            device: DeviceId(device),
            study: StudyId(0),
            key: public,
            secret_commitment: H256::zero(),
            escrow: Vec::new(),
            auditor_epoch: 0,
            participant: H256::zero(),
            genesis: GENESIS,
            status: DeviceStatus::Active,
            length: registered.len() as u64,
            head: phone.head(),
            predecessor: None,
            successor: None,
            trusted_length: None,
            enrolled_at: 1,
            retires_at: None,
        },
        tags: vec![None; registered.len()],
        registered,
        signature: None,
        is_erased: false,
    };
    (search, runs)
}

/// Two devices, of the second of which the blocks lack the second run.
fn one_whole_and_one_hidden() -> Vec<Search> {
    let (mut whole, runs) = search(3, 3);
    runs.iter().for_each(|run| whole.look_at(run));
    let (mut hidden, runs) = search(5, 3);
    hidden.look_at(&runs[0]);
    hidden.look_at(&runs[2]);
    vec![whole, hidden]
}

#[test]
fn entries_that_no_extrinsic_accounts_for_are_named_with_their_device() {
    let searches = one_whole_and_one_hidden();
    let error = sort_out(searches, &Contents::default()).unwrap_err();
    assert_eq!(error.code(), "unaccounted");
    assert_eq!(
        error.to_string(),
        "no evidence can be made: device 5: no extrinsic of any block accounts for entry 3 to 4. \
         --leave-out-unaccounted makes that of the study's other devices"
    );
}

#[test]
fn the_other_devices_are_not_kept_from_their_evidence() {
    let contents = Contents {
        leave_out_unaccounted: true,
        ..Contents::default()
    };
    let (devices, left_out) = sort_out(one_whole_and_one_hidden(), &contents).unwrap();
    assert_eq!(devices.len(), 1);
    let evidence = &devices[0].evidence;
    assert_eq!((evidence.device, evidence.entries.len()), (DeviceId(3), 6));
    assert!(evidence.signature.is_some());
    let hidden = Unaccounted {
        device: DeviceId(5),
        sequences: vec![(3, 4)],
    };
    assert_eq!(left_out, [hidden]);

    // Nothing is left of a study with no other device.
    let hidden = one_whole_and_one_hidden().remove(1);
    let error = sort_out(vec![hidden], &contents).unwrap_err();
    assert_eq!(error.code(), "unaccounted");
}
