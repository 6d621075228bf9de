// SPDX-License-Identifier: Apache-2.0

//! Who is held to be at fault, and on what ground.
//!
//! A relay answers for what it signs: a forged entry in its extrinsic was made by the relay, or by somebody who wrote to it
//! with a stolen authentication key. Which of the two is proved only by something that no outsider could have had.

use std::collections::BTreeSet;

use hashchain::LinkHash;

use crate::case::{BroughtRun, Case, Fate, HeldRun, RelayStore};
use crate::export::Holder;
use crate::verdict::{Ground, Maker, Party};

use super::sightings::{Place, Sighting};
use super::{key, Facts};

/// Who answers for a run in an export: the account that signed it; if none did, whoever made the export.
pub(super) fn holder(store: &RelayStore, held: &HeldRun) -> Party {
    match (store.holder, store.signer(held)) {
        (Holder::Phone, _) => Party::Device,
        (Holder::Relay, Some(account)) => relay(account),
        (Holder::Relay, None) => Party::RelayStore {
            name: store.name.clone(),
        },
    }
}

/// Who answers for what is at a place of a store.
pub(super) fn holder_at(case: &Case, place: &Place) -> Party {
    let store = &case.stores[place.store];
    holder(store, &store.runs[place.run])
}

pub(super) fn relay(account: [u8; 32]) -> Party {
    Party::Relay {
        account: key(account),
    }
}

/// The run that brought an entry to the chain: the first that was registered, or of which that is not known to be false, or
/// else the first.
pub(super) fn bringer<'a>(case: &'a Case, sighting: &Sighting) -> Option<&'a BroughtRun> {
    bringer_place(case, sighting).map(|index| &case.brought[index])
}

fn bringer_place(case: &Case, sighting: &Sighting) -> Option<usize> {
    let runs = sighting.brought.iter().copied();
    runs.min_by_key(|run| match case.brought[*run].fate {
        Fate::Registered => 0,
        Fate::Untold => 1,
        Fate::Refused(_) => 2,
    })
}

/// Grounds and parties of an entry that the device's secret did not make.
pub(super) fn forged(
    facts: &Facts<'_>,
    sequence: u64,
    link: LinkHash,
    sighting: &Sighting,
) -> (Vec<Ground>, Vec<Party>) {
    let case = facts.case;
    let signed = facts.signed.contains(&(sequence, link));
    let bringer = bringer(case, sighting);
    if signed || bringer.is_some_and(|run| run.submitter == case.record.key) {
        return (vec![Ground::TagFails], vec![Party::SigningKeyHolder]);
    }
    let Some(run) = bringer else {
        return (vec![Ground::TagFails], held_only(facts, sighting));
    };
    let proof = proof_against(facts, sequence, sighting, run);
    let relay = relay(run.submitter);
    if case.device_signed && !facts.walk.is_registered(sequence, link) {
        // Relays of such a study check the signature before they accept a run. One that brings another made it, or did not
        // check: whoever had the genuine entry, nobody else answers for this.
        let ground = proof.map_or(Ground::SignatureFails, |(ground, _)| ground);
        return (vec![ground, Ground::TagFails], vec![relay]);
    }
    if let Some((ground, parties)) = proof {
        return (vec![ground, Ground::TagFails], parties);
    }
    (
        vec![Ground::TagFails],
        vec![relay, Party::AuthenticationKeyHolder],
    )
}

/// Parties of an entry that nobody brought to the chain, but relays hold.
fn held_only(facts: &Facts<'_>, sighting: &Sighting) -> Vec<Party> {
    let holders = sighting.held.iter();
    let holders = holders.map(|place| holder_at(facts.case, place));
    let parties: BTreeSet<Party> = holders.chain([Party::AuthenticationKeyHolder]).collect();
    parties.into_iter().collect()
}

/// What no outsider could have had, in the hands of the relay that brought a forged entry, and who else could have had it.
/// There is one exception, which `docs/explained/threat-model.md` tells: who watches a node's pool sees a tag some seconds before it is
/// in a block.
fn proof_against(
    facts: &Facts<'_>,
    sequence: u64,
    sighting: &Sighting,
    run: &BroughtRun,
) -> Option<(Ground, Vec<Party>)> {
    let case = facts.case;
    let seen = facts.sightings.at(sequence);
    let genuine: Vec<&Sighting> = seen
        .filter(|(link, _)| facts.walk.maker(sequence, *link) == Maker::Secret)
        .map(|(_, other)| other)
        .collect();
    // Tags in blocks are public. Only one that stood in no earlier block shows that the writer had the entry.
    let unpublished = |other: &&Sighting| {
        let mut places = other.brought.iter().map(|index| &case.brought[*index]);
        !places.any(|other| (other.block, other.extrinsic) < (run.block, run.extrinsic))
    };
    let taken: Vec<&Sighting> = genuine
        .iter()
        .copied()
        .filter(|other| other.tag == sighting.tag)
        .filter(unpublished)
        .collect();
    if !taken.is_empty() {
        let parties = who_had(case, &taken, run);
        return Some((Ground::TagTakenFromGenuine, parties));
    }
    // Several exports may be one relay's. Each is what it signed, and the strongest ground is the first.
    let own = (0..case.stores.len()).filter(|at| case.stores[*at].account == Some(run.submitter));
    let ground = own
        .filter_map(|at| own_store(case, at, sighting, &genuine, run))
        .min()?;
    Some((ground, vec![relay(run.submitter)]))
}

/// Everybody who is known to have had one of these entries, and the relay that brought a forged one with its tag. When a relay
/// got what it holds, only the relay itself says, so none is left out for having got it later.
fn who_had(case: &Case, genuine: &[&Sighting], run: &BroughtRun) -> Vec<Party> {
    let mut parties = BTreeSet::from([relay(run.submitter)]);
    for entry in genuine {
        let shown = entry.held.iter();
        let shown = shown.filter(|place| case.stores[place.store].holder == Holder::Relay);
        parties.extend(shown.map(|place| holder_at(case, place)));
        let brought = entry.brought.iter().map(|index| &case.brought[*index]);
        let brought = brought.filter(|other| other.submitter != case.record.key);
        parties.extend(brought.map(|other| relay(other.submitter)));
    }
    let mut unread = case.unread().into_iter();
    let mut stores = case.stores.iter();
    if unread.any(|account| !parties.contains(&relay(account)))
        || stores.any(|store| store.holder == Holder::Relay && !store.complete)
    {
        parties.insert(Party::UnreadRelay);
    }
    parties.into_iter().collect()
}

/// What an export that the bringer of a forged entry signed proves against it.
fn own_store(
    case: &Case,
    at: usize,
    sighting: &Sighting,
    genuine: &[&Sighting],
    run: &BroughtRun,
) -> Option<Ground> {
    let store = &case.stores[at];
    // Runs are in the order in which they came in, as the relay itself says.
    let first_in_store = |other: &Sighting| {
        let places = other.held.iter().filter(|place| place.store == at);
        let signed = places.filter(|place| store.signer(&store.runs[place.run]).is_some());
        signed.map(|place| place.run).min()
    };
    let (held, covers) = (first_in_store(sighting), store.covers(run.block));
    let brought = bringer_place(case, sighting);
    // The phone may write on through the relay that a thief wrote to, and the thief through the relay that has the phone's
    // entry. Only who had the genuine entry first, and brought the forged one before anybody brought the genuine, chose.
    let chosen = |other: &&Sighting| {
        let before = match (first_in_store(other), held) {
            (Some(genuine), Some(forged)) => genuine < forged,
            (Some(_), None) => covers,
            (None, _) => false,
        };
        before && !other.brought.iter().any(|place| Some(*place) < brought)
    };
    if genuine.iter().any(chosen) {
        return Some(Ground::GenuineHeldByBringer);
    }
    (covers && held.is_none()).then_some(Ground::BroughtButNotHeld)
}
