// SPDX-License-Identifier: Apache-2.0

//! State against blocks, in both directions: what is registered was brought by an extrinsic, and what the chain says it
//! registered is in its state.

use mhealth_api::RunState;

use crate::case::{BroughtRun, Fate, HeldRun, RelayStore};
use crate::verdict::Ground;

use super::sightings::Sighting;
use super::{Facts, Notes};

/// Names every registered position that no extrinsic accounts for, once all blocks were read. Who is at fault, nothing
/// shows: the entry came by a way that this program does not know, or the node left the extrinsic out.
pub(super) fn unaccounted(facts: &Facts<'_>, notes: &mut Notes) {
    if !facts.case.blocks_complete {
        return;
    }
    for (step, sequence) in facts.walk.registered.iter().zip(1..) {
        let accounted = match step.entry {
            Some(entry) => {
                let sighting = facts.sightings.find(sequence, entry.link);
                sighting.is_some_and(|sighting| is_brought(facts, sighting))
            }
            // What has left the state may be any of those that were brought for the place.
            None => {
                let mut seen = facts.sightings.at(sequence);
                seen.any(|(_, sighting)| is_brought(facts, sighting))
            }
        };
        if !accounted {
            notes.find(Ground::Unaccounted, Vec::new(), Some(sequence));
        }
    }
}

fn is_brought(facts: &Facts<'_>, sighting: &Sighting) -> bool {
    let mut runs = sighting.brought.iter();
    runs.any(|run| facts.case.brought[*run].fate.refused().is_none())
}

/// Whether the chain's events say of an entry that it was registered, and its state has another in its place, or none.
pub(super) fn is_gone(facts: &Facts<'_>, sequence: u64, sighting: &Sighting) -> bool {
    let place = facts.walk.at(sequence);
    // What has left the state cannot be compared.
    let at_hand = place.is_none_or(|step| step.entry.is_some());
    let mut runs = sighting.brought.iter();
    at_hand && runs.any(|run| facts.case.brought[*run].fate == Fate::Registered)
}

/// Whether the state that a relay gives a run contradicts the blocks: it says that the chain refused the run, and no block has a
/// refusal of it that the relay's account brought; or that it was registered, and it is not in the state. What it says of blocks
/// after that of the audit is not judged, and excuses nothing.
pub(super) fn contradicts_blocks(facts: &Facts<'_>, store: &RelayStore, held: &HeldRun) -> bool {
    let case = facts.case;
    if !case.blocks_complete || held.settled_at.is_some_and(|block| block > case.block) {
        return false;
    }
    let Some(last) = held.run.last_sequence() else {
        return false;
    };
    let brought = |link| {
        let sighting = facts.sightings.find(last, link);
        let indices = sighting.into_iter().flat_map(|seen| &seen.brought);
        let runs = indices.map(|index| &case.brought[*index]);
        let whole = runs.filter(|brought| {
            let run = &brought.run;
            run.first_sequence == held.run.first_sequence && run.last_sequence() == Some(last)
        });
        whole.collect::<Vec<&BroughtRun>>()
    };
    match held.state {
        RunState::Refused | RunState::Conflicting => {
            let signer = store.signer(held);
            let mut brought = brought(held.run.last_link()).into_iter();
            !brought.any(|brought| {
                brought.fate != Fate::Registered
                    && signer.is_none_or(|signer| signer == brought.submitter)
            })
        }
        // Where another entry is registered, it is said elsewhere: `store_contradicts_chain`. What a block says is registered,
        // and is not there, is no fault of the relay's: `recorded_and_gone`.
        RunState::Finalised if facts.walk.at(last).is_none() => {
            let mut brought = brought(held.run.last_link()).into_iter();
            !brought.any(|brought| brought.fate.refused().is_none())
        }
        RunState::Finalised | RunState::Pending | RunState::Submitted | RunState::Unknown(_) => {
            false
        }
    }
}
