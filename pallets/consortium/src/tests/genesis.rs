// SPDX-License-Identifier: Apache-2.0

use frame_support::{
    assert_ok,
    traits::{GetStorageVersion, StorageVersion},
};

use crate::{mock::*, Pallet, Validators};

#[test]
fn the_first_validators_are_those_whose_keys_stand_in_the_genesis_of_sessions() {
    ExtBuilder.build_and_execute(|| {
        assert_eq!(Validators::<Test>::get().into_inner(), VALIDATORS);
        assert_eq!(Session::validators(), VALIDATORS);
        assert!(!Consortium::is_validator(&CANDIDATE));
        for validator in VALIDATORS {
            assert_eq!(System::providers(&validator), 1);
        }
    });
}

#[test]
fn keys_of_the_genesis_are_purged_like_any_other() {
    ExtBuilder.build_and_execute(|| {
        for who in [1, CANDIDATE] {
            assert_eq!(System::consumers(&who), 1);
            assert_ok!(Session::purge_keys(RuntimeOrigin::signed(who)));
            assert_eq!(System::consumers(&who), 0);
            assert_eq!(System::providers(&who), 1);
        }
    });
}

#[test]
#[should_panic(expected = "no more validators than MaxValidators")]
fn a_genesis_with_too_many_validators_does_not_build() {
    MaxValidators::set(2);
    ExtBuilder.build();
}

#[test]
fn the_storage_version_is_written_at_genesis() {
    ExtBuilder.build_and_execute(|| {
        assert_eq!(Pallet::<Test>::on_chain_storage_version(), 1);
        assert_eq!(
            Pallet::<Test>::in_code_storage_version(),
            StorageVersion::new(1)
        );
    });
}
