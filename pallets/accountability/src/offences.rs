// SPDX-License-Identifier: Apache-2.0

//! What becomes of an equivocation that is proved.

use frame_support::ensure;
use pallet_session::Pallet as Session;
use sp_runtime::{
    traits::Get,
    transaction_validity::{InvalidTransaction, TransactionValidityError},
    DispatchResult,
};
use sp_staking::{offence::OffenceSeverity, SessionIndex};

use crate::{
    Conduct, Config, Equivocation, Error, Event, Offence, OffenceOf, Offences, Pallet, Seat,
    Sessions,
};

/// An equivocation that is proved.
pub(crate) struct Finding<T: Config> {
    /// The session in which it was.
    pub(crate) session: SessionIndex,
    /// Whose it was: the place in the session's roster.
    pub(crate) seat: usize,
    pub(crate) equivocation: Equivocation,
    /// Hash of what proves it.
    pub(crate) proof: T::Hash,
}

impl Equivocation {
    /// Whether one of its kind is recorded.
    pub(crate) fn recorded(self, conduct: &mut Conduct) -> &mut bool {
        match self {
            Self::TwoBlocks { .. } => &mut conduct.two_blocks,
            Self::TwoVotes { .. } => &mut conduct.two_votes,
        }
    }

    /// Whether two keys of a validator are the same, of those that can do this.
    fn same_key<AccountId>(self, one: &Seat<AccountId>, other: &Seat<AccountId>) -> bool {
        match self {
            Self::TwoBlocks { .. } => one.aura == other.aura,
            Self::TwoVotes { .. } => one.grandpa == other.grandpa,
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Whether the validator's record of that session has one of this kind.
    fn is_known(found: &Finding<T>) -> bool {
        let Some(record) = Sessions::<T>::get(found.session) else {
            return false;
        };
        let conduct = record.conduct.get(found.seat).copied();
        conduct.is_some_and(|mut conduct| *found.equivocation.recorded(&mut conduct))
    }

    /// Lets a report into pool and block only if it proves something, and something new: nobody pays for it.
    pub(crate) fn worth_a_place(
        found: Result<Finding<T>, Error<T>>,
    ) -> Result<Finding<T>, TransactionValidityError> {
        match found {
            Err(_) => Err(InvalidTransaction::BadProof.into()),
            Ok(found) if Self::is_known(&found) => Err(InvalidTransaction::Stale.into()),
            Ok(found) => Ok(found),
        }
    }

    /// Records what was found, and disables the validator.
    pub(crate) fn record(found: Finding<T>, reporter: Option<T::AccountId>) -> DispatchResult {
        ensure!(!Self::is_known(&found), Error::<T>::AlreadyRecorded);
        let (mut record, roster) =
            Self::remembered(found.session).ok_or(Error::<T>::SessionForgotten)?;
        let seat = roster.get(found.seat).ok_or(Error::<T>::SessionForgotten)?;
        let conduct = record.conduct.get_mut(found.seat);
        let conduct = conduct.ok_or(Error::<T>::SessionForgotten)?;

        *found.equivocation.recorded(conduct) = true;
        Sessions::<T>::insert(found.session, record);
        let disabled = Self::disable(&found, seat);
        let offence = Offence {
            session: found.session,
            equivocation: found.equivocation,
            proof: found.proof,
            reporter: reporter.clone(),
            reported_in: frame_system::Pallet::<T>::block_number(),
            disabled,
        };
        Self::keep(&seat.validator, offence);
        Self::deposit_event(Event::EquivocationRecorded {
            validator: seat.validator.clone(),
            session: found.session,
            equivocation: found.equivocation,
            proof: found.proof,
            reporter,
            disabled,
        });
        Ok(())
    }

    /// Keeps an offence in the place of the validator's oldest, if there is no other.
    fn keep(validator: &T::AccountId, offence: OffenceOf<T>) {
        Offences::<T>::mutate(validator, |offences| {
            if offences.len() as u32 >= T::MaxOffences::get() {
                offences.remove(0);
            }
            offences.force_push(offence);
        });
    }

    /// Keeps the validator from making blocks for the rest of the session, and says whether it is kept from it.
    ///
    /// What was long ago disables nobody: who kept proofs back could hand them in one a session, and so keep a validator
    /// disabled whose fault is mended. Neither does a key that the validator has replaced.
    fn disable(found: &Finding<T>, seat: &Seat<T::AccountId>) -> bool {
        let current = Session::<T>::current_index();
        if found.session.saturating_add(1) < current {
            return false;
        }
        let Some((_, roster)) = Self::remembered(current) else {
            return false;
        };
        let acting = roster.iter().position(|now| {
            now.validator == seat.validator && found.equivocation.same_key(now, seat)
        });
        let Some(index) = acting else {
            return false;
        };
        Session::<T>::report_offence(seat.validator.clone(), OffenceSeverity::max_severity());
        Session::<T>::disabled_validators().contains(&(index as u32))
    }
}
