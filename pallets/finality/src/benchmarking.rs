// SPDX-License-Identifier: Apache-2.0

//! Benchmarks of the calls, each in its dearest case that succeeds.

use alloc::vec::Vec;

use codec::Encode;
use frame_benchmarking::v2::*;
use frame_support::{
    traits::{EnsureOrigin, Get},
    BoundedVec,
};
use frame_system::{pallet_prelude::BlockNumberFor, RawOrigin};
use pallet_grandpa::BoundedAuthorityList;
use sp_consensus_grandpa::{AuthorityId, SetId};
use sp_runtime::traits::{Header, Saturating, Zero};

use crate::{
    pallet::ProofOf, signing, Call, Config, Conflicts, LastFinal, LatestSet, LeastLag, Pallet,
};

/// Makes the voters of the present set so many new ones, and the block a late one.
fn voters<T: Config>(count: u32) -> (SetId, Vec<(AuthorityId, u64)>) {
    let voters = signing::generate(count);
    let list = BoundedAuthorityList::<T::MaxAuthorities>::force_from(voters.clone(), None);
    pallet_grandpa::Authorities::<T>::put(list);
    let set = LatestSet::<T>::get();
    Pallet::<T>::remember(set, Zero::zero());
    frame_system::Pallet::<T>::set_block_number(late::<T>());
    (set, voters)
}

/// A block after which a change by force is taken, in the middle of a session.
fn late<T: Config>() -> BlockNumberFor<T> {
    LeastLag::<T>::get()
        .saturating_mul(4u32.into())
        .saturating_add(20u32.into())
}

/// How many bytes longer lists may have before themselves.
const LENGTHS: usize = 8;

/// A proof as long as one may be: the room that signatures leave has headers, which are walked for most of the votes.
fn proof<T: Config>(
    voters: &[(AuthorityId, u64)],
    set: SetId,
    (hash, number): (T::Hash, BlockNumberFor<T>),
) -> ProofOf<T> {
    let signatures = signing::proof::<T>(voters, set, hash, number).len();
    let room = (T::MaxProofLength::get() as usize).saturating_sub(signatures + LENGTHS);
    let ancestry = signing::headers::<T>(hash, number, room);
    let bytes = signing::proof_from_above::<T>(voters, set, hash, number, &ancestry);
    BoundedVec::try_from(bytes).expect("signatures of all voters fit; qed")
}

/// A block of the number that the proofs are about.
fn block<T: Config>(seed: u8) -> (T::Hash, BlockNumberFor<T>) {
    (hash::<T>(seed), number::<T>())
}

fn number<T: Config>() -> BlockNumberFor<T> {
    3u32.into()
}

fn hash<T: Config>(seed: u8) -> T::Hash {
    signing::header::<T>(number::<T>(), Default::default(), seed).hash()
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn report_final(v: Linear<1, { T::MaxAuthorities::get() }>) {
        let (set, voters) = voters::<T>(v);
        let proof = proof::<T>(&voters, set, block::<T>(1));
        let hash = hash::<T>(1);
        frame_system::BlockHash::<T>::insert(number::<T>(), hash);

        #[extrinsic_call]
        _(RawOrigin::Signed(account("caller", 0, 0)), set, proof);

        assert!(LastFinal::<T>::get().is_some());
    }

    #[benchmark]
    fn note_stalled() -> Result<(), BenchmarkError> {
        let origin =
            T::DecisionOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        let (set, voters) = voters::<T>(T::MaxAuthorities::get());
        let proof = proof::<T>(&voters, set, block::<T>(1));
        frame_system::BlockHash::<T>::insert(number::<T>(), hash::<T>(1));
        let caller = RawOrigin::Signed(account("caller", 0, 0));
        Pallet::<T>::report_final(caller.into(), set, proof)?;
        // As many as are kept were named after the last final block, and are taken out.
        let never_voted = 1..SetId::from(T::MaxSets::get());
        never_voted.for_each(|number| Pallet::<T>::remember(set + number, late::<T>()));

        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, number::<T>());

        assert_eq!(LatestSet::<T>::get(), set + 1);
        Ok(())
    }

    #[benchmark]
    fn report_conflict(v: Linear<2, { 2 * T::MaxAuthorities::get() }>) {
        let (set, voters) = voters::<T>(v / 2);
        let lower = proof::<T>(&voters, set, block::<T>(1));
        // They lead down to another block of the lower one's number.
        let room = (T::MaxProofLength::get() as usize).saturating_sub(LENGTHS);
        let (aside, number) = block::<T>(2);
        let mut headers = signing::headers::<T>(aside, number, room);
        headers.reverse();
        let highest = (headers[0].hash(), *headers[0].number());
        let higher = proof::<T>(&voters, set, highest);
        let headers = BoundedVec::truncate_from(headers.encode());

        #[extrinsic_call]
        _(
            RawOrigin::Signed(account("caller", 0, 0)),
            set,
            lower,
            higher,
            headers,
        );

        assert_eq!(Conflicts::<T>::get().len(), 1);
    }

    impl_benchmark_test_suite! {
        Pallet,
        crate::mock::chain(),
        crate::mock::Test,
    }
}
