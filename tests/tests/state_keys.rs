// SPDX-License-Identifier: Apache-2.0

//! Evidence is verified without metadata, by what the reader knows of the state.

use hashchain::{DeviceId, StudyId};
use mhealth_evidence as evidence;
use mhealth_runtime::Runtime;
use pallet_client_hashchain::{Conflicts, Devices, HeadPages, NextDeviceId, HEADS_PER_PAGE};

#[test]
fn the_reader_looks_for_authorities_where_the_chain_puts_them() {
    let expected = [
        pallet_grandpa::Authorities::<Runtime>::hashed_key().to_vec(),
        pallet_grandpa::CurrentSetId::<Runtime>::hashed_key().to_vec(),
        frame_system::BlockHash::<Runtime>::hashed_key_for(0),
    ];
    assert_eq!(evidence::checkpoint_keys(), expected);
}

#[test]
fn the_reader_knows_by_what_name_headers_say_how_long_the_journal_is() {
    assert_eq!(
        evidence::JOURNAL_ENGINE,
        pallet_client_hashchain::JOURNAL_ENGINE
    );
}

#[test]
fn the_reader_looks_for_the_runtimes_code_where_the_chain_puts_it() {
    use sp_core::storage::well_known_keys::{CODE, PENDING_CODE};

    assert_eq!(evidence::CODE_KEY, CODE);
    assert_eq!(evidence::PENDING_CODE_KEY, PENDING_CODE);
}

#[test]
fn the_reader_looks_for_devices_where_the_chain_puts_them() {
    assert_eq!(evidence::HEADS_PER_PAGE, HEADS_PER_PAGE);
    for device in [0, HEADS_PER_PAGE - 1, HEADS_PER_PAGE, 1_000_003] {
        let page = device / HEADS_PER_PAGE;
        assert_eq!(
            evidence::head_page_key(DeviceId(device)),
            HeadPages::<Runtime>::hashed_key_for(page)
        );
        assert_eq!(
            evidence::device_key(DeviceId(device)),
            Devices::<Runtime>::hashed_key_for(device)
        );
        assert_eq!(
            evidence::conflicts_key(DeviceId(device)),
            Conflicts::<Runtime>::hashed_key_for(device)
        );
    }
    for device in [0, 1_000_003_u32] {
        assert_eq!(
            evidence::erasure_receipt_key(DeviceId(device)),
            pallet_client_hashchain::Erasures::<Runtime>::hashed_key_for(device)
        );
    }
    assert_eq!(
        evidence::next_device_key(),
        NextDeviceId::<Runtime>::hashed_key()
    );
}

#[test]
fn the_reader_looks_for_studies_and_the_journal_where_the_chain_puts_them() {
    use pallet_client_hashchain::{JournalLength, JournalPages, ENTRIES_PER_PAGE};
    use pallet_studies::{Relays, Rotations, Studies};

    assert_eq!(evidence::ENTRIES_PER_PAGE, u64::from(ENTRIES_PER_PAGE));
    for number in [0, 1, 70_000] {
        let study = StudyId(number);
        let page = u64::from(number) << 20;
        let expected = JournalPages::<Runtime>::hashed_key_for(page);
        assert_eq!(evidence::journal_page_key(page), expected);
        let expected = Studies::<Runtime>::hashed_key_for(number);
        assert_eq!(evidence::study_key(study), expected);
        let account = sp_core::crypto::AccountId32::from([number as u8; 32]);
        let relay = Relays::<Runtime>::hashed_key_for(number, &account);
        assert!(relay.starts_with(&evidence::relays_prefix(study)));
        assert!(relay.ends_with(&[number as u8; 32]));
        let former = Rotations::<Runtime>::hashed_key_for(number, &account);
        assert!(former.starts_with(&evidence::rotations_prefix(study)));
    }
    let expected = JournalLength::<Runtime>::hashed_key();
    assert_eq!(evidence::journal_length_key(), expected);
    let expected = frame_system::LastRuntimeUpgrade::<Runtime>::hashed_key();
    assert_eq!(evidence::last_runtime_upgrade_key(), expected);
    let expected = pallet_timestamp::Now::<Runtime>::hashed_key();
    assert_eq!(evidence::now_key(), expected);
}

/// Every status, as the chain has it and as the reader does.
fn statuses() -> Vec<(
    pallet_client_hashchain::DeviceStatus,
    evidence::DeviceStatus,
)> {
    use evidence::{DeviceStatus as Read, SuspensionReason as Why};
    use pallet_client_hashchain::{DeviceStatus, SuspensionReason};

    let suspended = [
        (SuspensionReason::Lost, Why::Lost),
        (SuspensionReason::Compromised, Why::Compromised),
        (SuspensionReason::Withdrawn, Why::Withdrawn),
        (SuspensionReason::Administrative, Why::Administrative),
        (SuspensionReason::Fork, Why::Fork),
    ];
    suspended
        .map(|(written, read)| (DeviceStatus::Suspended(written), Read::Suspended(read)))
        .into_iter()
        .chain([
            (DeviceStatus::Active, Read::Active),
            (DeviceStatus::Retired, Read::Retired),
        ])
        .collect()
}

/// What the chain writes is what the reader reads, to the last byte.
#[test]
fn the_reader_reads_what_the_chain_writes() {
    use codec::{Decode, Encode};
    use pallet_client_hashchain as chain;

    fn same<T: Decode + Encode>(written: Vec<u8>) {
        let read = evidence::decode_exactly::<T>(&written).expect("it is read");
        assert_eq!(read.encode(), written);
    }
    let hash = sp_core::H256::repeat_byte(3);
    for (status, expected) in statuses() {
        for (length, latest) in [(0, None), (1 << 40, Some(9))] {
            let head = chain::DeviceHead {
                length,
                latest: latest.unwrap_or(0),
                hash,
                study: 7,
                status,
            };
            same::<evidence::DeviceHead>(head.encode());
            let read = evidence::DeviceHead::decode(&mut &head.encode()[..]);
            let read = read.expect("it is read");
            assert_eq!((read.length, read.latest), (length, head.latest()));
            assert_eq!((read.study, read.status), (StudyId(7), expected));
            assert_eq!(latest, head.latest());
        }
    }
    let entry = chain::JournalEntry {
        device: 1,
        sequence: 2,
        digest: hash,
        hash,
        previous: Some(3),
    };
    same::<evidence::JournalEntry>(entry.encode());
    let conflict = chain::HashchainConflict {
        sequence: 1,
        recorded: hash,
        rival: hash,
        rival_digest: Some(hash),
        signed: true,
        submitter: sp_core::crypto::AccountId32::from([5; 32]),
        block: 6u32,
    };
    same::<evidence::Conflict>(conflict.encode());
    same::<evidence::DeviceConflicts>((vec![conflict], 3u32).encode());
    let erasure = chain::ErasureReceipt {
        receipt: hash,
        submitter: sp_core::crypto::AccountId32::from([5; 32]),
        block: 6u32,
    };
    same::<evidence::ErasureReceipt>(erasure.encode());
    let record = chain::DeviceRecord::<u32, sp_core::ConstU32<81>> {
        key: [1; 32],
        secret_commitment: hash,
        escrow: vec![2; 81].try_into().expect("it has room"),
        auditor_epoch: 7,
        participant: hash,
        genesis: hash,
        predecessor: Some(1),
        successor: None,
        trusted: Some(chain::TrustedHead { length: 4, hash }),
        enrolled_at: 5,
        retires_at: Some(6),
    };
    same::<evidence::DeviceRecord>(record.encode());
    let study = pallet_studies::Study {
        sponsor: sp_core::crypto::AccountId32::from([5; 32]),
        policy: pallet_studies::StudyPolicy::HashchainOnly,
        status: pallet_studies::StudyStatus::Closed,
        auditor_key: [6; 32],
        title: b"a title".to_vec(),
        former_auditor_keys: vec![[7; 32], [8; 32]].try_into().expect("they are few"),
    };
    same::<evidence::StudyRecord>(study.encode());
}
