// SPDX-License-Identifier: Apache-2.0

//! The currency of a chain that has none.

use frame_support::traits::{
    fungible::{hold, Dust, Inspect, Mutate, Unbalanced},
    tokens::{DepositConsequence, Fortitude, Preservation, Provenance, WithdrawConsequence},
};
use sp_runtime::{DispatchError, DispatchResult, TokenError};

/// A currency of which there is nothing: every balance is zero and stays zero.
///
/// The session pallet wants a currency to hold a deposit while session keys are registered. This
/// chain has none: nothing can be owned, paid or bought, and a validator's place is given by the
/// consortium. Moving zero succeeds, so that a deposit of zero can be held and released; moving
/// anything else fails. FRAME has such an implementation for `()`, but in `std` only.
pub struct NoCurrency;

/// The only amount there is.
const NOTHING: u32 = 0;

fn only_nothing(amount: u32) -> DispatchResult {
    match amount {
        NOTHING => Ok(()),
        _ => Err(TokenError::Unsupported.into()),
    }
}

impl<AccountId> Inspect<AccountId> for NoCurrency {
    type Balance = u32;

    fn total_issuance() -> u32 {
        NOTHING
    }

    fn minimum_balance() -> u32 {
        NOTHING
    }

    fn total_balance(_: &AccountId) -> u32 {
        NOTHING
    }

    fn balance(_: &AccountId) -> u32 {
        NOTHING
    }

    fn reducible_balance(_: &AccountId, _: Preservation, _: Fortitude) -> u32 {
        NOTHING
    }

    fn can_deposit(_: &AccountId, amount: u32, _: Provenance) -> DepositConsequence {
        match amount {
            NOTHING => DepositConsequence::Success,
            _ => DepositConsequence::Blocked,
        }
    }

    fn can_withdraw(_: &AccountId, amount: u32) -> WithdrawConsequence<u32> {
        match amount {
            NOTHING => WithdrawConsequence::Success,
            _ => WithdrawConsequence::BalanceLow,
        }
    }
}

impl<AccountId> Unbalanced<AccountId> for NoCurrency {
    fn handle_dust(_: Dust<AccountId, Self>) {}

    fn write_balance(_: &AccountId, amount: u32) -> Result<Option<u32>, DispatchError> {
        only_nothing(amount).map(|()| None)
    }

    fn set_total_issuance(_: u32) {}
}

impl<AccountId: Eq> Mutate<AccountId> for NoCurrency {}

impl<AccountId> hold::Inspect<AccountId> for NoCurrency {
    type Reason = pallet_session::HoldReason;

    fn total_balance_on_hold(_: &AccountId) -> u32 {
        NOTHING
    }

    fn balance_on_hold(_: &Self::Reason, _: &AccountId) -> u32 {
        NOTHING
    }
}

impl<AccountId> hold::Unbalanced<AccountId> for NoCurrency {
    fn set_balance_on_hold(_: &Self::Reason, _: &AccountId, amount: u32) -> DispatchResult {
        only_nothing(amount)
    }
}

impl<AccountId> hold::Mutate<AccountId> for NoCurrency {}
