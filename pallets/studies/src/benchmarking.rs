// SPDX-License-Identifier: Apache-2.0

//! Benchmarks of the calls, each in its dearest case that succeeds: every account is new to the
//! chain when a role is given, and the title is as long as it may be.

use alloc::vec;
use frame_benchmarking::v2::*;
use frame_support::{
    assert_ok,
    traits::{EnsureOrigin, Get},
    BoundedVec,
};
use frame_system::RawOrigin;

use crate::{Call, Config, Pallet, StudyId, StudyPolicy, StudyStatus, MAX_AUDITOR_KEYS};

fn longest_title<T: Config>() -> BoundedVec<u8, T::MaxTitleLength> {
    let length = T::MaxTitleLength::get() as usize;
    BoundedVec::truncate_from(vec![b't'; length])
}

fn create_study<T: Config>(sponsor: &T::AccountId) -> StudyId {
    Pallet::<T>::do_create_study(
        sponsor.clone(),
        StudyPolicy::DeviceSigned,
        [1; 32],
        longest_title::<T>(),
    )
    .expect("the benchmark's study is well-formed")
}

/// Changes an account as often as may be, as whoever names the first one has to be led to the last; that one.
fn rotate_often<T: Config>(study: StudyId, first: T::AccountId) -> T::AccountId {
    let mut present = first;
    for number in 0..T::MaxRotations::get() {
        let next: T::AccountId = account("rotated", number, 0);
        assert_ok!(Pallet::<T>::do_rotate(study, present, next.clone()));
        present = next;
    }
    present
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn create_study() -> Result<(), BenchmarkError> {
        let origin = T::CreateStudyOrigin::try_successful_origin()
            .map_err(|()| BenchmarkError::Weightless)?;
        let sponsor: T::AccountId = account("sponsor", 0, 0);
        let study = crate::NextStudyId::<T>::get();

        #[extrinsic_call]
        _(
            origin as T::RuntimeOrigin,
            sponsor.clone(),
            StudyPolicy::DeviceSigned,
            [1; 32],
            longest_title::<T>(),
        );

        assert!(Pallet::<T>::is_sponsor(study, &sponsor));
        Ok(())
    }

    #[benchmark]
    fn close_study() {
        let sponsor: T::AccountId = whitelisted_caller();
        let study = super::create_study::<T>(&sponsor);

        #[extrinsic_call]
        _(RawOrigin::Signed(sponsor), study);

        assert!(Pallet::<T>::study(study).is_some_and(|s| s.status == StudyStatus::Closed));
    }

    #[benchmark]
    fn reopen_study() {
        let sponsor: T::AccountId = whitelisted_caller();
        let study = super::create_study::<T>(&sponsor);
        assert_ok!(Pallet::<T>::do_close_study(study));

        #[extrinsic_call]
        _(RawOrigin::Signed(sponsor), study);

        assert!(Pallet::<T>::study(study).is_some_and(|s| s.status == StudyStatus::Open));
    }

    #[benchmark]
    fn add_authentication_server() {
        let sponsor: T::AccountId = whitelisted_caller();
        let study = super::create_study::<T>(&sponsor);
        let server: T::AccountId = account("authentication-server", 0, 0);

        #[extrinsic_call]
        _(RawOrigin::Signed(sponsor), study, server.clone());

        assert!(Pallet::<T>::is_authentication_server(study, &server));
    }

    #[benchmark]
    fn remove_authentication_server() {
        let sponsor: T::AccountId = whitelisted_caller();
        let study = super::create_study::<T>(&sponsor);
        let server: T::AccountId = account("authentication-server", 0, 0);
        assert_ok!(Pallet::<T>::do_add_authentication_server(
            study,
            server.clone()
        ));
        let present = super::rotate_often::<T>(study, server.clone());

        #[extrinsic_call]
        _(RawOrigin::Signed(sponsor), study, server.clone());

        assert!(!Pallet::<T>::is_authentication_server(study, &present));
    }

    #[benchmark]
    fn add_relay() {
        let sponsor: T::AccountId = whitelisted_caller();
        let study = super::create_study::<T>(&sponsor);
        let relay: T::AccountId = account("relay", 0, 0);

        #[extrinsic_call]
        _(RawOrigin::Signed(sponsor), study, relay.clone());

        assert!(Pallet::<T>::is_relay(study, &relay));
    }

    #[benchmark]
    fn remove_relay() {
        let sponsor: T::AccountId = whitelisted_caller();
        let study = super::create_study::<T>(&sponsor);
        let relay: T::AccountId = account("relay", 0, 0);
        assert_ok!(Pallet::<T>::do_add_relay(study, relay.clone()));
        let present = super::rotate_often::<T>(study, relay.clone());

        #[extrinsic_call]
        _(RawOrigin::Signed(sponsor), study, relay.clone());

        assert!(!Pallet::<T>::is_relay(study, &present));
    }

    #[benchmark]
    fn replace_sponsor() -> Result<(), BenchmarkError> {
        let origin = T::CreateStudyOrigin::try_successful_origin()
            .map_err(|()| BenchmarkError::Weightless)?;
        let study = super::create_study::<T>(&account("sponsor", 0, 0));
        let sponsor: T::AccountId = account("sponsor", 1, 0);

        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, study, sponsor.clone());

        assert!(Pallet::<T>::is_sponsor(study, &sponsor));
        Ok(())
    }

    #[benchmark]
    fn set_allowance() -> Result<(), BenchmarkError> {
        let origin = T::CreateStudyOrigin::try_successful_origin()
            .map_err(|()| BenchmarkError::Weightless)?;
        let study = super::create_study::<T>(&account("sponsor", 0, 0));
        let mut allowance = T::DefaultAllowance::get();
        allowance.device_entries += 1;

        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, study, allowance);

        assert_eq!(Pallet::<T>::quota(study).allowance, allowance);
        Ok(())
    }

    #[benchmark]
    fn rotate() {
        let holder: T::AccountId = whitelisted_caller();
        let study = super::create_study::<T>(&holder);
        assert_ok!(Pallet::<T>::do_add_relay(study, holder.clone()));
        assert_ok!(Pallet::<T>::do_add_authentication_server(
            study,
            holder.clone()
        ));
        let successor: T::AccountId = account("successor", 0, 0);

        #[extrinsic_call]
        _(RawOrigin::Signed(holder), study, successor.clone());

        assert!(Pallet::<T>::is_sponsor(study, &successor));
    }

    #[benchmark]
    fn set_auditor_key() {
        let sponsor: T::AccountId = whitelisted_caller();
        let study = super::create_study::<T>(&sponsor);
        let last = MAX_AUDITOR_KEYS as u8;
        for key in 2..last {
            assert_ok!(Pallet::<T>::do_set_auditor_key(study, [key; 32]));
        }

        #[extrinsic_call]
        _(RawOrigin::Signed(sponsor), study, [last; 32]);

        assert!(Pallet::<T>::study(study).is_some_and(|s| s.auditor_key == [last; 32]));
    }

    #[benchmark]
    fn has_role() {
        let sponsor: T::AccountId = account("sponsor", 0, 0);
        super::create_study::<T>(&sponsor);
        let found;

        #[block]
        {
            found = Pallet::<T>::has_role(&sponsor);
        }

        assert!(found);
    }

    impl_benchmark_test_suite! {
        Pallet,
        crate::mock::ExtBuilder::default().build(),
        crate::mock::Test,
    }
}
