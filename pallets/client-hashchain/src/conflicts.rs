// SPDX-License-Identifier: Apache-2.0

//! Evidence of rival histories.

use crate::{
    compare::Divergence, Config, ConflictOf, Conflicts, DeviceId, Event, HashchainConflict, Pallet,
};
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
    let stored = store::<T>(
        device,
        HashchainConflict {
            sequence,
            recorded,
            rival,
            rival_digest,
            signed,
            submitter: submitter.clone(),
            block: frame_system::Pallet::<T>::block_number(),
        },
    );
    Pallet::<T>::deposit_event(Event::ConflictRecorded {
        device,
        sequence,
        recorded,
        rival,
        signed,
        stored,
    });
}

/// Keeps evidence once, and within the bound. Says whether it was kept.
fn store<T: Config>(device: DeviceId, conflict: ConflictOf<T>) -> bool {
    Conflicts::<T>::mutate(device, |conflicts| {
        let known = conflicts
            .iter()
            .any(|known| known.sequence == conflict.sequence && known.rival == conflict.rival);
        !known && conflicts.try_push(conflict).is_ok()
    })
}
