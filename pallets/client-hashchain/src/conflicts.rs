// SPDX-License-Identifier: Apache-2.0

//! Evidence of rival histories.

use crate::{
    compare::Divergence, Config, ConflictOf, Conflicts, DeviceConflictsOf, DeviceId, Event,
    HashchainConflict, Pallet,
};
use frame_support::traits::Get;
use sp_runtime::AccountId32;

/// Stores the evidence of a rival history that `submitter` brought for a device, and reports it.
pub(crate) fn keep<T: Config>(
    device: DeviceId,
    divergence: Divergence,
    signed: bool,
    submitter: &AccountId32,
) {
    let Divergence {
        sequence,
        recorded,
        rival,
        rival_digest,
        reason: _,
    } = divergence;
    let conflict = HashchainConflict {
        sequence,
        recorded,
        rival,
        rival_digest,
        signed,
        submitter: submitter.clone(),
        block: frame_system::Pallet::<T>::block_number(),
    };
    let (stored, not_stored) = Conflicts::<T>::mutate(device, |conflicts| {
        let stored = match is_known(&conflicts.stored, &conflict) {
            true => false,
            false => {
                let stored = store::<T>(conflicts, conflict);
                conflicts.not_stored = conflicts.not_stored.saturating_add((!stored).into());
                stored
            }
        };
        (stored, conflicts.not_stored)
    });
    Pallet::<T>::deposit_event(Event::ConflictRecorded {
        device,
        sequence,
        recorded,
        rival,
        signed,
        stored,
        not_stored,
    });
}

/// Whether the same evidence stands there. A rival that was brought without its signature at first is known only as such.
fn is_known<A, B>(stored: &[HashchainConflict<A, B>], conflict: &HashchainConflict<A, B>) -> bool {
    stored.iter().any(|known| {
        (known.sequence, known.rival) == (conflict.sequence, conflict.rival)
            && known.signed >= conflict.signed
    })
}

/// Stores evidence if it has a place, and says whether it had.
fn store<T: Config>(conflicts: &mut DeviceConflictsOf<T>, conflict: ConflictOf<T>) -> bool {
    let mut unsigned = conflicts.stored.iter().filter(|known| !known.signed);
    let of_others = |known: &ConflictOf<T>| known.submitter != conflict.submitter;
    let has_place = conflict.signed
        || (unsigned.clone().count() < T::MaxUnsignedConflicts::get() as usize
            && unsigned.all(of_others));
    has_place && conflicts.stored.try_push(conflict).is_ok()
}
