// SPDX-License-Identifier: Apache-2.0

//! Of the currency that there is not, there is nothing to be had.

use frame_support::{
    assert_noop, assert_ok,
    traits::{
        fungible::{Inspect, InspectHold, Mutate, MutateHold, Unbalanced},
        tokens::{
            DepositConsequence, Fortitude, Precision, Preservation, Provenance, WithdrawConsequence,
        },
    },
};
use pallet_session::HoldReason;
use sp_runtime::TokenError;

use crate::{mock::*, NoCurrency};

#[test]
fn every_balance_is_zero() {
    ExtBuilder.build_and_execute(|| {
        assert_eq!(<NoCurrency as Inspect<u64>>::total_issuance(), 0);
        assert_eq!(<NoCurrency as Inspect<u64>>::minimum_balance(), 0);
        assert_eq!(NoCurrency::total_balance(&1u64), 0);
        assert_eq!(NoCurrency::balance(&1u64), 0);
        assert_eq!(NoCurrency::total_balance_on_hold(&1u64), 0);
        assert_eq!(NoCurrency::balance_on_hold(&HoldReason::Keys, &1u64), 0);
    });
}

#[test]
fn nothing_can_be_moved() {
    ExtBuilder.build_and_execute(|| {
        assert_ok!(NoCurrency::mint_into(&1u64, 0));
        assert_ok!(NoCurrency::transfer(&1u64, &2, 0, Preservation::Expendable));
        assert_ok!(NoCurrency::hold(&HoldReason::Keys, &1u64, 0));
        assert_ok!(NoCurrency::release_all(
            &HoldReason::Keys,
            &1u64,
            Precision::BestEffort
        ));
        assert_eq!(
            NoCurrency::can_deposit(&1u64, 0, Provenance::Minted),
            DepositConsequence::Success
        );
    });
}

#[test]
fn anything_more_than_nothing_cannot_be_moved() {
    ExtBuilder.build_and_execute(|| {
        assert_noop!(NoCurrency::mint_into(&1u64, 1), TokenError::Unsupported);
        assert_noop!(
            NoCurrency::transfer(&1u64, &2, 1, Preservation::Expendable),
            TokenError::FundsUnavailable
        );
        assert_noop!(
            NoCurrency::hold(&HoldReason::Keys, &1u64, 1),
            TokenError::FundsUnavailable
        );
        assert_noop!(
            NoCurrency::release(&HoldReason::Keys, &1u64, 1, Precision::Exact),
            TokenError::CannotCreate
        );
        assert_noop!(
            NoCurrency::increase_balance(&1u64, 1, Precision::Exact),
            TokenError::Unsupported
        );
        assert_eq!(
            NoCurrency::can_withdraw(&1u64, 1),
            WithdrawConsequence::BalanceLow
        );
        assert_eq!(
            NoCurrency::reducible_balance(&1u64, Preservation::Expendable, Fortitude::Force),
            0
        );
    });
}
