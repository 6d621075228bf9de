// SPDX-License-Identifier: Apache-2.0

//! Each lane has its share of a block's weight and of its bytes, however much the others have taken, and not more.

use frame_support::{
    assert_ok,
    dispatch::{DispatchClass, GetDispatchInfo},
    weights::Weight,
};
use frame_system::BlockSize;
use pallet_admission::{BlockUse, Lane, LaneUse, Rules};
use pallet_client_hashchain::{Run, RunEntry, SuspensionReason, MAX_RUN_LENGTH};
use sp_keyring::Sr25519Keyring::{Alice, Charlie, Dave};
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError};

use super::{batch, batch_of, block, enrol, length, run_of, undone, HashchainCall, Sender};
use crate::{
    admission::Admitted,
    limits::{RuntimeBlockWeights, BLOCK_BYTES, MAX_TRANSACTION},
    testing::development,
    Runtime, RuntimeCall, System, UncheckedExtrinsic,
};

/// Runs of the longest batch.
const LONGEST: usize = 120;

/// All that a lane may take of a block.
fn full(lane: Lane) -> LaneUse {
    let limits = Admitted::limits(lane);
    LaneUse {
        ref_time: limits.weight * RuntimeBlockWeights::get().max_block.ref_time(),
        bytes: limits.bytes * BLOCK_BYTES,
    }
}

/// Somebody's next transaction in a lane. A device is enrolled, which has the number 0.
fn transaction(lane: Lane, device: &Sender) -> UncheckedExtrinsic {
    match lane {
        Lane::Relay => Sender::from(Dave).next(batch_of(&[])),
        Lane::Device => device.next(batch_of(&[0])),
        Lane::Study => Sender::from(Charlie).next(HashchainCall::suspend {
            device: 0,
            reason: SuspensionReason::Lost,
        }),
        Lane::Consortium => {
            let close: RuntimeCall = pallet_collective::Call::close {
                proposal_hash: Default::default(),
                index: 0,
                proposal_weight_bound: Weight::from_parts(1_000, 0),
                length_bound: 0,
            }
            .into();
            Sender::from(Alice).next(close)
        }
    }
}

/// What a block says of a transaction, when its lanes have taken so much. Nothing of it stays.
fn when(
    used: [LaneUse; Lane::COUNT],
    transaction: UncheckedExtrinsic,
) -> Result<(), TransactionValidityError> {
    undone(|| {
        BlockUse::<Runtime>::put(used);
        block(transaction).map(drop)
    })
}

#[test]
fn every_lane_has_its_share_of_weight_and_bytes_when_the_others_are_full_and_no_more() {
    development().execute_with(|| {
        let device = enrol(1);
        let exhausted = TransactionValidityError::from(InvalidTransaction::ExhaustsResources);
        for lane in Lane::ALL {
            let transaction = transaction(lane, &device);
            let declared = transaction.get_dispatch_info().total_weight().ref_time();
            let mut used = Lane::ALL.map(full);
            let own = &mut used[lane as usize];
            own.ref_time -= declared;
            own.bytes -= length(&transaction);
            assert_eq!(when(used, transaction.clone()), Ok(()), "{lane:?}");

            let mut heavier = used;
            heavier[lane as usize].ref_time += 1;
            let refused = when(heavier, transaction.clone());
            assert_eq!(refused, Err(exhausted), "{lane:?}, weight");
            let mut longer = used;
            longer[lane as usize].bytes += 1;
            let refused = when(longer, transaction);
            assert_eq!(refused, Err(exhausted), "{lane:?}, bytes");
        }
    });
}

#[test]
fn when_the_others_are_full_a_relays_longest_batch_fits_what_they_leave() {
    development().execute_with(|| {
        let entry = RunEntry {
            digest: Default::default(),
            tag: Default::default(),
        };
        let run = Run {
            entries: vec![entry; MAX_RUN_LENGTH as usize]
                .try_into()
                .expect("a run may be that long"),
            ..run_of(0)
        };
        let longest = Sender::from(Dave).next(batch(vec![run; LONGEST]));
        let bytes = length(&longest);
        assert!(bytes > MAX_TRANSACTION / 10 * 9 && bytes <= MAX_TRANSACTION);
        let used = Lane::ALL.map(|lane| match lane {
            Lane::Relay => LaneUse::default(),
            other => full(other),
        });
        let ref_time: u64 = used.iter().map(|lane| lane.ref_time).sum();
        let taken: u32 = used.iter().map(|lane| lane.bytes).sum();
        BlockUse::<Runtime>::put(used);
        System::register_extra_weight_unchecked(
            Weight::from_parts(ref_time, 0),
            DispatchClass::Normal,
        );
        BlockSize::<Runtime>::put(System::block_size() + taken);
        assert_ok!(block(longest));
    });
}
