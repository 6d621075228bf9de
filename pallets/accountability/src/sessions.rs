// SPDX-License-Identifier: Apache-2.0

//! Who was on, and which slots they missed.

use alloc::{vec, vec::Vec};
use core::marker::PhantomData;
use frame_support::{pallet_prelude::Get, traits::Defensive, BoundedVec};
use frame_system::pallet_prelude::BlockNumberFor;
use pallet_session::SessionHandler;
use sp_consensus_grandpa::KEY_TYPE as GRANDPA;
use sp_core::crypto::{key_types::AURA, KeyTypeId};
use sp_runtime::traits::OpaqueKeys;
use sp_staking::SessionIndex;

use crate::{Conduct, Config, LastSlot, Pallet, Roster, Rosters, Seat, SessionRecord, Sessions};

/// Tells the consensus pallets and this one of sessions. `Inner` are the consensus pallets.
pub struct WithRosters<T, Inner>(PhantomData<(T, Inner)>);

impl<T: Config, Inner: SessionHandler<T::AccountId>> SessionHandler<T::AccountId>
    for WithRosters<T, Inner>
{
    const KEY_TYPE_IDS: &'static [KeyTypeId] = Inner::KEY_TYPE_IDS;

    fn on_genesis_session<Keys: OpaqueKeys>(validators: &[(T::AccountId, Keys)]) {
        Inner::on_genesis_session(validators);
        Pallet::<T>::open_session(0, true, validators);
    }

    fn on_new_session<Keys: OpaqueKeys>(
        changed: bool,
        validators: &[(T::AccountId, Keys)],
        queued: &[(T::AccountId, Keys)],
    ) {
        Inner::on_new_session(changed, validators, queued);
        let session = pallet_session::Pallet::<T>::current_index();
        Pallet::<T>::open_session(session, changed, validators);
    }

    fn on_before_session_ending() {
        // The block that ends a session was made by a validator of that session.
        Pallet::<T>::count_missed_slots();
        Inner::on_before_session_ending();
    }

    fn on_disabled(validator: u32) {
        Inner::on_disabled(validator);
    }
}

/// Keeping books.
impl<T: Config> Pallet<T> {
    /// The oldest session that is remembered.
    pub fn oldest_session() -> SessionIndex {
        let current = pallet_session::Pallet::<T>::current_index();
        (current + 1).saturating_sub(T::RememberedSessions::get())
    }

    /// The record of a session, and its roster, if they are remembered. Two storage reads.
    pub fn remembered(session: SessionIndex) -> Option<(SessionRecord<T>, Roster<T>)> {
        let record = Sessions::<T>::get(session)?;
        let roster = Rosters::<T>::get(record.roster)?;
        Some((record, roster))
    }

    /// The latest session from `first` to `last` whose validators can have made block `number`, or voted for it; none if
    /// the block is older. Storage reads: one more than the binary logarithm of the number of sessions.
    pub(crate) fn session_of_block(
        number: BlockNumberFor<T>,
        first: SessionIndex,
        last: SessionIndex,
    ) -> Option<SessionIndex> {
        let began_before = |session: SessionIndex| {
            Sessions::<T>::get(session).is_some_and(|record| record.first_block < number)
        };
        if first > last || !began_before(first) {
            return None;
        }
        let (mut low, mut high) = (first, last);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match began_before(middle) {
                true => low = middle,
                false => high = middle - 1,
            }
        }
        Some(low)
    }

    /// Counts the slots between the block before and this one. Once a block; later calls do nothing.
    ///
    /// Says how many slots passed without a block.
    pub(crate) fn count_missed_slots() -> u64 {
        let slot: u64 = pallet_aura::CurrentSlot::<T>::get().into();
        let last = LastSlot::<T>::get();
        if last.is_some_and(|last| slot <= last) {
            return 0;
        }
        LastSlot::<T>::put(slot);
        // Nobody missed anything before the first block.
        let Some(last) = last else {
            return 0;
        };
        let missed = slot - last - 1;
        if missed > 0 {
            let session = pallet_session::Pallet::<T>::current_index();
            Sessions::<T>::mutate_extant(session, |record| {
                share_out(last + 1, missed, record.conduct.as_mut());
            });
        }
        missed
    }

    /// Begins the books of a session, and forgets the oldest.
    fn open_session<Keys: OpaqueKeys>(
        session: SessionIndex,
        changed: bool,
        validators: &[(T::AccountId, Keys)],
    ) {
        if !changed {
            // With new validators, the session pallet does so by itself.
            for index in pallet_session::Pallet::<T>::disabled_validators() {
                pallet_session::Pallet::<T>::reenable_index(index);
            }
        }
        let before = Sessions::<T>::get(session.saturating_sub(1)).map(|record| record.roster);
        let roster = match before {
            Some(roster) if !changed => roster,
            _ => {
                Rosters::<T>::insert(session, seats::<T, Keys>(validators));
                session
            }
        };
        // The session pallet may have lost its validators, whose keys are gone, while those of the roster go on.
        let seats = Rosters::<T>::decode_len(roster).unwrap_or_default();
        let conduct = vec![Conduct::default(); seats];
        let record = SessionRecord {
            roster,
            first_block: frame_system::Pallet::<T>::block_number(),
            first_slot: LastSlot::<T>::get().unwrap_or_default(),
            conduct: BoundedVec::truncate_from(conduct),
        };
        Sessions::<T>::insert(session, record);
        Self::forget_before(Self::oldest_session());
    }

    /// Forgets the session before `oldest`, and its roster if nobody has it any more.
    fn forget_before(oldest: SessionIndex) {
        let Some(forgotten) = oldest.checked_sub(1) else {
            return;
        };
        let Some(record) = Sessions::<T>::take(forgotten) else {
            return;
        };
        let kept = Sessions::<T>::get(oldest).map(|record| record.roster);
        if kept != Some(record.roster) {
            Rosters::<T>::remove(record.roster);
        }
    }
}

fn seats<T: Config, Keys: OpaqueKeys>(validators: &[(T::AccountId, Keys)]) -> Roster<T> {
    let seat = |(validator, keys): &(T::AccountId, Keys)| {
        Some(Seat {
            validator: validator.clone(),
            aura: keys.get(AURA)?,
            grandpa: keys.get(GRANDPA)?,
        })
    };
    let seats: Option<Vec<_>> = validators.iter().map(seat).collect();
    // The runtime's session keys are those of Aura and GRANDPA.
    BoundedVec::truncate_from(seats.defensive_unwrap_or_default())
}

/// Gives the `missed` slots from `first` on to those whose turn they were. The work does not depend on how many they are.
fn share_out(first: u64, missed: u64, conduct: &mut [Conduct]) {
    let seats = conduct.len() as u64;
    if seats == 0 {
        return;
    }
    let (rounds, rest) = (missed / seats, missed % seats);
    let start = first % seats;
    for (index, conduct) in conduct.iter_mut().enumerate() {
        let after_start = (index as u64 + seats - start) % seats;
        let turns = rounds + u64::from(after_start < rest);
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        conduct.missed_slots = conduct.missed_slots.saturating_add(turns);
    }
}
