// SPDX-License-Identifier: Apache-2.0

//! Turns away accounts without a role, and orders the transactions of those that have one.

#![warn(missing_docs)]

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::{pallet_prelude::TransactionSource, weights::Weight};
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{
        AsSystemOriginSigner, DispatchInfoOf, DispatchOriginOf, Implication, TransactionExtension,
        ValidateResult,
    },
    transaction_validity::{
        InvalidTransaction, TransactionLongevity, TransactionPriority, TransactionValidityError,
        ValidTransaction,
    },
};

use pallet_client_hashchain::{Call as HashchainCall, DeviceId};

use crate::{
    AccountId, ClientHashchain, Consortium, Runtime, RuntimeCall, RuntimeOrigin, Studies, System,
};

#[cfg(test)]
mod tests;

/// The custom error of a transaction whose account has no role on this chain.
///
/// It is not a member of the consortium, a validator, a sponsor, an authentication server, a relay, or a device.
pub const ACCOUNT_HAS_NO_ROLE: u8 = 101;

/// The custom error of a transaction by a suspended or retired device that holds no other role.
pub const DEVICE_MAY_NOT_WRITE: u8 = 102;

/// The custom error of a device that holds no other role and sends anything but runs of its own entries.
pub const DEVICE_MAY_ONLY_SUBMIT: u8 = 103;

/// For how many blocks the pool keeps a transaction: as long as the default mortal era of the usual clients lasts.
const LONGEVITY: TransactionLongevity = 64;

/// Storage reads of a check: the role count of the studies, the members, the validators, the device by its key, the page
/// with its head.
const READS: u64 = 5;

/// Checks that the signer has a role, and gives the transaction its place in the pool.
///
/// # Who passes
///
/// Sponsors, authentication servers and relays of a study, members of the consortium and validators, with whatever call.
/// Devices, with runs of their own and nothing else ([`DEVICE_MAY_ONLY_SUBMIT`]): there are a million of them, in
/// strangers' hands, and a call is free. Everybody else is refused with [`ACCOUNT_HAS_NO_ROLE`], before the transaction
/// costs the chain anything; so there is no need for fees. An account that lost its last role keeps its nonce but is
/// refused, too.
///
/// # Priority
///
/// The call decides the lane, the block in which the transaction was checked the place within it:
///
/// | lane | calls | why |
/// |---|---|---|
/// | 2 | consortium, validators, system | a decision must not wait behind data |
/// | 1 | studies; enrol, suspend, resume, retire | a stolen device is stopped before what it sends is registered |
/// | 0 | everything else, above all runs of entries | the bulk |
///
/// Because the block number counts, a transaction replaces one of the same account and nonce that was submitted in an
/// earlier block and is stuck. (With every priority zero, as without this extension, it never could.)
///
/// # On the wire
///
/// Nothing: the extension encodes to zero bytes, neither is there implicit data, so clients that do not know it sign
/// correct transactions.
#[derive(
    Encode, Decode, DecodeWithMemTracking, TypeInfo, Clone, Copy, PartialEq, Eq, Debug, Default,
)]
pub struct CheckRole;

/// Order of precedence of a call in the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lane {
    /// Runs of entries, and whatever has no other lane.
    Data = 0,
    /// Decisions of a study.
    Study = 1,
    /// Decisions of the consortium.
    Consortium = 2,
}

impl Lane {
    fn of(call: &RuntimeCall) -> Self {
        match call {
            RuntimeCall::Council(_)
            | RuntimeCall::Members(_)
            | RuntimeCall::Consortium(_)
            | RuntimeCall::Session(_)
            | RuntimeCall::System(_) => Self::Consortium,
            RuntimeCall::Studies(_)
            | RuntimeCall::ClientHashchain(
                HashchainCall::enrol { .. }
                | HashchainCall::suspend { .. }
                | HashchainCall::resume { .. }
                | HashchainCall::retire { .. },
            ) => Self::Study,
            _ => Self::Data,
        }
    }

    fn priority(self) -> TransactionPriority {
        let block = TransactionPriority::from(System::block_number());
        ((self as TransactionPriority) << 32) | block
    }
}

impl CheckRole {
    /// Refuses an account that may send no transaction at present, whatever it calls.
    pub(crate) fn check_account(who: &AccountId) -> Result<(), InvalidTransaction> {
        Sender::of(who).map(|_| ())
    }

    fn check(who: &AccountId, call: &RuntimeCall) -> Result<(), InvalidTransaction> {
        match Sender::of(who)? {
            Sender::Institution => Ok(()),
            Sender::Device(device) if submits_own_runs(device, call) => Ok(()),
            Sender::Device(_) => Err(InvalidTransaction::Custom(DEVICE_MAY_ONLY_SUBMIT)),
        }
    }
}

/// Who may send transactions.
enum Sender {
    /// Whoever answers for more than one device.
    Institution,
    /// An active device that holds no other role.
    Device(DeviceId),
}

impl Sender {
    fn of(who: &AccountId) -> Result<Self, InvalidTransaction> {
        if Studies::has_role(who) || Consortium::has_role(who) {
            return Ok(Self::Institution);
        }
        match ClientHashchain::device_by_key(*who.as_ref()) {
            Some(device) if ClientHashchain::has_role(who) => Ok(Self::Device(device)),
            Some(_) => Err(InvalidTransaction::Custom(DEVICE_MAY_NOT_WRITE)),
            None => Err(InvalidTransaction::Custom(ACCOUNT_HAS_NO_ROLE)),
        }
    }
}

fn submits_own_runs(device: DeviceId, call: &RuntimeCall) -> bool {
    match call {
        RuntimeCall::ClientHashchain(HashchainCall::submit { run }) => run.device == device,
        RuntimeCall::ClientHashchain(HashchainCall::submit_batch { runs }) => {
            runs.iter().all(|run| run.device == device)
        }
        _ => false,
    }
}

impl TransactionExtension<RuntimeCall> for CheckRole {
    const IDENTIFIER: &'static str = "CheckRole";
    type Implicit = ();
    type Val = ();
    type Pre = ();

    fn weight(&self, _: &RuntimeCall) -> Weight {
        <Runtime as frame_system::Config>::DbWeight::get().reads(READS)
    }

    fn validate(
        &self,
        origin: RuntimeOrigin,
        call: &RuntimeCall,
        _: &DispatchInfoOf<RuntimeCall>,
        _: usize,
        _: (),
        _: &impl Implication,
        _: TransactionSource,
    ) -> ValidateResult<Self::Val, RuntimeCall> {
        // No signer, no role to check: whether such a transaction is allowed at all, the runtime decides elsewhere
        // (no extension of this chain authorises one).
        let Some(who) = origin.as_system_origin_signer() else {
            return Ok((ValidTransaction::default(), (), origin));
        };
        Self::check(who, call)?;
        let validity = ValidTransaction {
            priority: Lane::of(call).priority(),
            longevity: LONGEVITY,
            ..Default::default()
        };
        Ok((validity, (), origin))
    }

    fn prepare(
        self,
        _: (),
        origin: &DispatchOriginOf<RuntimeCall>,
        call: &RuntimeCall,
        _: &DispatchInfoOf<RuntimeCall>,
        _: usize,
    ) -> Result<Self::Pre, TransactionValidityError> {
        match origin.as_system_origin_signer() {
            Some(who) => Self::check(who, call).map_err(Into::into),
            None => Ok(()),
        }
    }
}
