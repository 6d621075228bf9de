// SPDX-License-Identifier: Apache-2.0

//! Benchmarks, each in its dearest case: as many validators and sessions as there may be, and the longest headers.

use alloc::{vec, vec::Vec};
use codec::{Decode, Encode};
use frame_benchmarking::v2::*;
use frame_support::{traits::Get, BoundedVec};
use frame_system::{
    pallet_prelude::{BlockNumberFor, HeaderFor},
    RawOrigin,
};
use sp_consensus_aura::{
    digests::CompatibleDigestItem,
    sr25519::{AuthorityId, AuthoritySignature},
};
use sp_runtime::{
    traits::{Header, TrailingZeroInput},
    Digest, DigestItem, RuntimeAppPublic,
};

use crate::{
    Call, Conduct, Config, LastSlot, Offences, Pallet, Rosters, SealedHeader, Seat, SessionRecord,
    Sessions, MAX_DIGEST_ITEMS, MAX_HEADER_LENGTH,
};

/// The slot of the benchmarks' headers: the last seat's.
fn slot<T: Config>() -> u64 {
    u64::from(<T as Config>::MaxValidators::get()) * 1_000_000 - 1
}

/// Fills the memory: sessions of two blocks each, all with one roster, in whose last seat is `author`.
fn remember<T: Config>(author: &AuthorityId) -> T::AccountId {
    let seats: Vec<Seat<T::AccountId>> = (0..<T as Config>::MaxValidators::get())
        .map(|index| Seat {
            validator: account("validator", index, 0),
            aura: author.clone(),
            grandpa: Decode::decode(&mut TrailingZeroInput::zeroes())
                .expect("a public key of zeros can be decoded"),
        })
        .collect();
    let validators: Vec<T::AccountId> = seats.iter().map(|seat| seat.validator.clone()).collect();
    let offender = validators[validators.len() - 1].clone();
    pallet_session::Validators::<T>::put(validators);
    let conduct = vec![Conduct::default(); seats.len()];
    let conduct = BoundedVec::truncate_from(conduct);
    Rosters::<T>::insert(0, BoundedVec::truncate_from(seats));
    for session in 0..T::RememberedSessions::get() {
        let record = SessionRecord {
            roster: 0,
            first_block: BlockNumberFor::<T>::from(session * 2),
            first_slot: 0,
            conduct: conduct.clone(),
        };
        Sessions::<T>::insert(session, record);
    }
    pallet_session::CurrentIndex::<T>::put(T::RememberedSessions::get() - 1);
    offender
}

/// A header as long as one may be, of as many digest items, sealed by `author`. The slot is found after all others.
fn sealed<T: Config>(author: &AuthorityId, mark: u8) -> SealedHeader {
    // Beside the slot and the seal.
    let items = MAX_DIGEST_ITEMS as usize - 2;
    let filling = vec![mark; (MAX_HEADER_LENGTH as usize - 400) / items];
    let mut logs = vec![DigestItem::Other(filling); items];
    let slot = slot::<T>().into();
    logs.push(CompatibleDigestItem::<AuthoritySignature>::aura_pre_digest(
        slot,
    ));
    let mut header = HeaderFor::<T>::new(
        BlockNumberFor::<T>::from(T::RememberedSessions::get() * 2),
        Default::default(),
        Default::default(),
        Default::default(),
        Digest { logs },
    );
    let signature = author
        .sign(&header.hash().as_ref())
        .expect("the key was just made");
    header.digest_mut().push(DigestItem::aura_seal(signature));
    BoundedVec::truncate_from(header.encode())
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn report_block_equivocation() {
        let author = AuthorityId::generate_pair(None);
        let offender = remember::<T>(&author);
        let (first, second) = (sealed::<T>(&author, 1), sealed::<T>(&author, 2));

        #[extrinsic_call]
        _(RawOrigin::None, first, second);

        assert_eq!(Offences::<T>::get(offender).len(), 1);
    }

    #[benchmark]
    fn count_missed_slots() {
        let author = AuthorityId::generate_pair(None);
        remember::<T>(&author);
        LastSlot::<T>::put(1);
        pallet_aura::CurrentSlot::<T>::put(sp_consensus_aura::Slot::from(slot::<T>()));
        let missed;

        #[block]
        {
            missed = Pallet::<T>::count_missed_slots();
        }

        assert_eq!(missed, slot::<T>() - 2);
    }

    impl_benchmark_test_suite! {
        Pallet,
        crate::mock::chain_with_keystore(),
        crate::mock::Test,
    }
}
