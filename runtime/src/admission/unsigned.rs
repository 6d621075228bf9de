// SPDX-License-Identifier: Apache-2.0

//! What comes without a signature.
//!
//! The table says who may sign which call. Without a signer there is nobody to ask about, so what may come in this way is a list: the
//! time of a block, and three reports. Pallets of the SDK let more come: `frame_system` takes the runtime that was authorised from
//! anybody, before everything else in the pool and in no lane. Here a member signs it.

#![allow(
    deprecated,
    reason = "the SDK's executive asks in this way, and will ask in another one"
)]

use frame_support::{ensure, pallet_prelude::TransactionSource};
use sp_runtime::{
    traits::ValidateUnsigned,
    transaction_validity::{InvalidTransaction, TransactionValidity, TransactionValidityError},
};

use crate::{Runtime, RuntimeCall};

/// Whether the call may come without a signature; whether it is right, its pallet says.
pub(super) fn comes_unsigned(call: &RuntimeCall) -> bool {
    matches!(
        call,
        RuntimeCall::Timestamp(pallet_timestamp::Call::set { .. })
            | RuntimeCall::Grandpa(pallet_grandpa::Call::report_equivocation_unsigned { .. })
            | RuntimeCall::Accountability(
                pallet_accountability::Call::report_block_equivocation { .. }
            )
            | RuntimeCall::Finality(pallet_finality::Call::report_final { .. })
    )
}

/// Passes what may come without a signature to its pallet, and refuses everything else.
pub enum Unsigned {}

impl ValidateUnsigned for Unsigned {
    type Call = RuntimeCall;

    fn pre_dispatch(call: &RuntimeCall) -> Result<(), TransactionValidityError> {
        ensure!(comes_unsigned(call), InvalidTransaction::Call);
        <Runtime as ValidateUnsigned>::pre_dispatch(call)
    }

    fn validate_unsigned(source: TransactionSource, call: &RuntimeCall) -> TransactionValidity {
        ensure!(comes_unsigned(call), InvalidTransaction::Call);
        <Runtime as ValidateUnsigned>::validate_unsigned(source, call)
    }
}
