// SPDX-License-Identifier: Apache-2.0

//! What must hold between any two blocks.

use alloc::collections::BTreeSet;
use frame_support::ensure;
use sp_runtime::TryRuntimeError;

use crate::{Config, Offences, Pallet, Rosters, Sessions};

impl<T: Config> Pallet<T> {
    /// Checks the pallet's invariants:
    ///
    /// 1. The sessions that are remembered are the latest, without a gap, each with its roster, and there are no others.
    /// 2. A session's record has a place for each validator of its roster.
    /// 3. Sessions begin one after the other, by block and by slot.
    /// 4. An offence of a session that is remembered is marked in the session's record.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        let (oldest, current) = (
            Self::oldest_session(),
            pallet_session::Pallet::<T>::current_index(),
        );
        let mut rosters = BTreeSet::new();
        let mut before = None;
        for session in oldest..=current {
            let (record, roster) =
                Self::remembered(session).ok_or("a session or its roster is forgotten")?;
            ensure!(
                record.conduct.len() == roster.len(),
                "a record has other places than its roster"
            );
            let began = (record.first_block, record.first_slot);
            ensure!(
                before.is_none_or(|(block, slot)| block < began.0 && slot <= began.1),
                "a session began before the one before"
            );
            before = Some(began);
            rosters.insert(record.roster);
        }
        ensure!(
            Sessions::<T>::iter_keys().all(|session| (oldest..=current).contains(&session)),
            "a session outside the memory is kept"
        );
        ensure!(
            Rosters::<T>::iter_keys().all(|roster| rosters.contains(&roster)),
            "a roster that no session has is kept"
        );
        for (validator, offences) in Offences::<T>::iter() {
            for offence in offences {
                let Some((record, roster)) = Self::remembered(offence.session) else {
                    continue;
                };
                let seat = roster.iter().position(|seat| seat.validator == validator);
                let seat = seat.ok_or("an offence of somebody who was not on")?;
                let mut conduct = record.conduct[seat];
                ensure!(
                    *offence.equivocation.recorded(&mut conduct),
                    "an offence is missing in its session's record"
                );
            }
        }
        Ok(())
    }
}
