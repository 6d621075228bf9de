// SPDX-License-Identifier: Apache-2.0

//! The transaction extension.

use codec::{Decode, DecodeWithMemTracking, Encode};
use core::fmt;
use frame_support::{
    dispatch::{DispatchClass, DispatchInfo, PostDispatchInfo},
    pallet_prelude::TransactionSource,
    traits::Get,
    weights::Weight,
};
use frame_system::CheckNonce;
use scale_info::{Type, TypeInfo};
use sp_runtime::{
    traits::{
        AsSystemOriginSigner, DispatchInfoOf, DispatchOriginOf, Dispatchable, Implication,
        PostDispatchInfoOf, Saturating, TransactionExtension, UniqueSaturatedInto, ValidateResult,
    },
    transaction_validity::{
        InvalidTransaction, TransactionPriority, TransactionValidityError, ValidTransaction,
    },
    DispatchResult,
};

use crate::{
    turns::priority, BlockUse, Config, Lane, LaneUse, Limits, Pallet, Rules, RunsOutcome,
    TopLevelRuns, Uses, TOO_HEAVY, TOO_LONG, TOO_MANY_WAITING, TOO_MUCH_REFUSED,
};

/// Storage reads of a check: the roles in studies, the members, the validators, the device by its key, the page with its
/// head, and what the account has had.
const READS: u64 = 6;

/// Storage writes: what the account has had.
const WRITES: u64 = 1;

/// Picoseconds in a microsecond.
const MICROSECOND: u64 = 1_000_000;

/// Admits a transaction, or says why not.
///
/// # Who passes
///
/// Who may make the call by the runtime's [`Rules`], with a transaction that is neither longer nor heavier than a block could
/// hold in its lane, unless too much was refused of late, or too many of the account's transactions wait before this one.
/// Everybody else is refused in the pool and in a block, before the transaction costs the chain anything; so there is no need for
/// fees.
///
/// # Priority
///
/// The lane; within it, the account that has had least of late; between equals, first in first out. How many transactions
/// of the account come before counts as if they had been included, so a hundred sent at once do not go before the first of
/// somebody else. A place once given is kept: a transaction does not replace another one of the same account and nonce, which
/// ends with its era.
///
/// # On the wire
///
/// What [`CheckNonce`] is, which it wraps: its name, type and bytes. Clients know how to make that one.
#[derive(Encode, Decode, DecodeWithMemTracking, Clone, PartialEq, Eq)]
pub struct Admit<T: Config>(CheckNonce<T>);

impl<T: Config> Admit<T> {
    /// For the transaction with this number of its account.
    pub fn with_nonce(nonce: T::Nonce) -> Self {
        Self(CheckNonce::from(nonce))
    }
}

impl<T: Config> fmt::Debug for Admit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Config + 'static> TypeInfo for Admit<T> {
    type Identity = <CheckNonce<T> as TypeInfo>::Identity;

    fn type_info() -> Type {
        CheckNonce::<T>::type_info()
    }
}

/// A signed transaction that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted<AccountId> {
    who: AccountId,
    lane: Lane,
}

/// What a transaction counts as, in microseconds of a block: its weight, or the time that its bytes stand for.
fn cost<T: Config>(weight: Weight, length: u32) -> u32 {
    let block = T::BlockWeights::get().max_block.ref_time();
    let of_bytes = u64::from(length).saturating_mul(block / u64::from(block_length::<T>()).max(1));
    let cost = weight.ref_time().max(of_bytes) / MICROSECOND;
    u32::try_from(cost).unwrap_or(u32::MAX)
}

/// Bytes of a block.
fn block_length<T: Config>() -> u32 {
    *T::BlockLength::get().max.get(DispatchClass::Operational)
}

impl<T: Config> Admit<T> {
    /// The lane of a transaction that may go to the pool or into a block, and its place there.
    fn check(
        &self,
        who: &T::AccountId,
        call: &T::RuntimeCall,
        declared: Weight,
        length: u32,
    ) -> Result<(Lane, TransactionPriority), InvalidTransaction> {
        let lane = T::Rules::lane(who, call).map_err(InvalidTransaction::Custom)?;
        let limits = T::Rules::limits(lane);
        if length > limits.longest.min(T::MaxLength::get()) {
            return Err(InvalidTransaction::Custom(TOO_LONG));
        }
        Pallet::<T>::room(LaneUse::default(), declared, length, &limits)
            .ok_or(InvalidTransaction::Custom(TOO_HEAVY))?;
        // How many of the account's transactions come before; none in a block. A node's pool has a place for so many, and gives it
        // to those of higher lanes.
        let before: u32 = self
            .0
             .0
            .saturating_sub(frame_system::Pallet::<T>::account_nonce(who))
            .unique_saturated_into();
        // How long those before it are is not known here. Whoever sends the longest first has eight times these bytes waiting at most.
        let bytes = length.saturating_mul(before.saturating_add(1));
        if before >= T::Rules::waiting(who, lane) || bytes > limits.waiting_bytes {
            return Err(InvalidTransaction::Custom(TOO_MANY_WAITING));
        }
        let now = frame_system::Pallet::<T>::block_number();
        let had = Uses::<T>::get(who, lane).at(now, &limits);
        // Those that wait are as long as this one, as far as anybody knows here.
        let waiting = length.saturating_mul(before);
        if had.is_in_debt(waiting, &limits) {
            return Err(InvalidTransaction::Custom(TOO_MUCH_REFUSED));
        }
        let cost = cost::<T>(declared, length);
        Ok((lane, priority(lane, had.spent, cost, before)))
    }
}

impl<T: Config> Pallet<T> {
    /// What a lane has taken with one transaction more; none if it may not take that.
    fn room(used: LaneUse, declared: Weight, length: u32, limits: &Limits) -> Option<LaneUse> {
        let block = T::BlockWeights::get().max_block;
        used.with(declared, length, limits, block, block_length::<T>())
    }
}

impl<T: Config + Send + Sync> TransactionExtension<T::RuntimeCall> for Admit<T>
where
    T::RuntimeCall: Dispatchable<Info = DispatchInfo, PostInfo = PostDispatchInfo>,
    DispatchOriginOf<T::RuntimeCall>: AsSystemOriginSigner<T::AccountId> + Clone,
{
    const IDENTIFIER: &'static str =
        <CheckNonce<T> as TransactionExtension<T::RuntimeCall>>::IDENTIFIER;
    type Implicit = ();
    type Val = (
        Option<Admitted<T::AccountId>>,
        <CheckNonce<T> as TransactionExtension<T::RuntimeCall>>::Val,
    );
    type Pre = (
        Option<Admitted<T::AccountId>>,
        <CheckNonce<T> as TransactionExtension<T::RuntimeCall>>::Pre,
    );

    fn weight(&self, call: &T::RuntimeCall) -> Weight {
        self.0
            .weight(call)
            .saturating_add(T::DbWeight::get().reads_writes(READS, WRITES))
    }

    fn validate(
        &self,
        origin: DispatchOriginOf<T::RuntimeCall>,
        call: &T::RuntimeCall,
        info: &DispatchInfoOf<T::RuntimeCall>,
        length: usize,
        implicit: (),
        implication: &impl Implication,
        source: TransactionSource,
    ) -> ValidateResult<Self::Val, T::RuntimeCall> {
        // No signer, no role to check: whether such a transaction is allowed at all, the runtime decides elsewhere
        // (no extension of this chain authorises one).
        let admitted = match origin.as_system_origin_signer() {
            Some(who) => {
                let declared = info.total_weight();
                let (lane, priority) = self.check(who, call, declared, in_bytes(length))?;
                let who = who.clone();
                Some((Admitted { who, lane }, priority))
            }
            None => None,
        };
        let (validity, nonce, origin) =
            self.0
                .validate(origin, call, info, length, implicit, implication, source)?;
        let (admitted, priority) = admitted.unzip();
        let validity = ValidTransaction {
            priority: priority.unwrap_or_default(),
            ..validity
        };
        Ok((validity, (admitted, nonce), origin))
    }

    fn prepare(
        self,
        (admitted, nonce): Self::Val,
        origin: &DispatchOriginOf<T::RuntimeCall>,
        call: &T::RuntimeCall,
        info: &DispatchInfoOf<T::RuntimeCall>,
        length: usize,
    ) -> Result<Self::Pre, TransactionValidityError> {
        let nonce = self.0.prepare(nonce, origin, call, info, length)?;
        if let Some(Admitted { lane, .. }) = admitted {
            let limits = T::Rules::limits(lane);
            let mut used = BlockUse::<T>::get();
            let of_lane = &mut used[lane as usize];
            *of_lane = Pallet::<T>::room(*of_lane, info.total_weight(), in_bytes(length), &limits)
                .ok_or(InvalidTransaction::ExhaustsResources)?;
            BlockUse::<T>::put(used);
            if T::Rules::brings_runs(call) {
                TopLevelRuns::<T>::put(true);
            }
        }
        Ok((admitted, nonce))
    }

    fn post_dispatch_details(
        (admitted, nonce): Self::Pre,
        info: &DispatchInfoOf<T::RuntimeCall>,
        post_info: &PostDispatchInfoOf<T::RuntimeCall>,
        length: usize,
        result: &DispatchResult,
    ) -> Result<Weight, TransactionValidityError> {
        if let Some(Admitted { who, lane }) = admitted {
            let limits = T::Rules::limits(lane);
            let runs = RunsOutcome::<T>::take();
            TopLevelRuns::<T>::kill();
            let declared = info.total_weight();
            let charged = match result {
                Ok(()) => post_info.calc_actual_weight(info),
                Err(_) => declared,
            };
            BlockUse::<T>::mutate(|used| used[lane as usize].correct(declared, charged));
            let now = frame_system::Pallet::<T>::block_number();
            let length = in_bytes(length);
            Uses::<T>::mutate(who, lane, |had| {
                *had = had.at(now, &limits);
                had.add(
                    cost::<T>(charged, length),
                    length,
                    result.is_err(),
                    runs,
                    &limits,
                );
            });
        }
        CheckNonce::<T>::post_dispatch_details(nonce, info, post_info, length, result)
    }
}

fn in_bytes(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
