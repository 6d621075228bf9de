// SPDX-License-Identifier: Apache-2.0

//! The code that may be installed, and a stall of finality, on the chain and in the model.

use pallet_finality::{FinalBlock, LastFinal, LatestSet, Sets};

use super::{same, Same};
use crate::{
    tests::model::{rules::LAST_FINAL, world::World},
    Hash, Runtime, System,
};

/// A block is proved to be final, so that members can say that finality has stalled.
pub(in super::super) fn begin() {
    LastFinal::<Runtime>::put(FinalBlock {
        number: LAST_FINAL,
        hash: Hash::default(),
        set: 0,
    });
}

pub(super) fn compare(world: &World) -> Same {
    let authorised = System::authorized_upgrade().map(|upgrade| *upgrade.code_hash());
    same("the authorised upgrade", authorised, world.authorised)?;
    let change = pallet_grandpa::PendingChange::<Runtime>::get();
    let change = change.map(|change| (change.scheduled_at, change.forced));
    let model = world.stalled.map(|block| (block, Some(LAST_FINAL)));
    same("the change by force", change, model)?;
    let (set, after) = match world.stalled {
        Some(_) => (1, LAST_FINAL),
        None => (0, 0),
    };
    same("the latest set", LatestSet::<Runtime>::get(), set)?;
    let votes_after = Sets::<Runtime>::get(set).map(|voters| voters.after);
    same("what it votes after", votes_after, Some(after))
}
