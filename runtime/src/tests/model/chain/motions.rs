// SPDX-License-Identifier: Apache-2.0

//! Motions on the chain and in the model.

use std::collections::{BTreeMap, BTreeSet};

use codec::{Decode, Encode};
use pallet_collective::{Event, ProposalOf, Proposals, Voting};
use pallet_consortium::Collective;

use super::{errors::name_of, same, Same};
use crate::{
    tests::model::world::World, AccountId, BlockNumber, Consortium, Runtime, RuntimeEvent, System,
};

/// Whether the call of a motion that was closed came to the same.
pub(in super::super) fn compare_executed(world: &World) -> Same {
    let executed = System::read_events_no_consensus().find_map(|record| match record.event {
        RuntimeEvent::Council(Event::Executed { result, .. }) => Some(result.map_err(name_of)),
        _ => None,
    });
    let model = world.executed.as_ref().map(|executed| executed.outcome);
    same("what a motion came to", executed, model)
}

/// Number, threshold, ayes, nays and end of a motion, as the pallet stores them.
type Votes = (u32, u32, Vec<AccountId>, Vec<AccountId>, BlockNumber);

/// Compares what is open: calls, proposers and votes.
pub(super) fn compare(world: &World) -> Same {
    let open = Proposals::<Runtime, Collective>::get().into_inner();
    let model: Vec<_> = world.motions.iter().map(|motion| motion.hash).collect();
    same("the open motions", &open, &model)?;
    let proposers = Consortium::open_motions().into_iter();
    let proposers: BTreeMap<_, _> = proposers.map(|it| (it.motion, it.proposer)).collect();
    same("motions with a proposer", proposers.len(), model.len())?;
    for motion in &world.motions {
        let hash = motion.hash;
        same(
            ("proposer of motion", hash),
            proposers.get(&hash),
            Some(&motion.proposer),
        )?;
        let call = ProposalOf::<Runtime, Collective>::get(hash);
        same(("call of motion", hash), call.as_ref(), Some(&motion.call))?;
        // Its fields are nobody's but the pallet's.
        let votes = Voting::<Runtime, Collective>::get(hash).encode();
        let votes = Option::<Votes>::decode(&mut &votes[..]).map_err(|error| error.to_string())?;
        let (number, threshold, ayes, nays, until) = votes.ok_or("a motion has no votes")?;
        same(
            ("votes on motion", hash),
            (number, threshold, BTreeSet::from_iter(ayes)),
            (motion.number, motion.threshold, motion.ayes.clone()),
        )?;
        same(
            ("nays and end of motion", hash),
            (BTreeSet::from_iter(nays), until),
            (motion.nays.clone(), motion.until),
        )?;
    }
    Ok(())
}
