// SPDX-License-Identifier: Apache-2.0

//! Who is held to be at fault, and on what ground.
//!
//! A relay answers for what it signs: a forged entry in its extrinsic was made by the relay, or by somebody who wrote to it
//! with a stolen authentication key. Which of the two is proved only by something that no outsider could have had.

use hashchain::LinkHash;

use crate::case::{BroughtRun, Case, Fate, RelayStore};
use crate::verdict::{Ground, Maker, Party};

use super::sightings::Sighting;
use super::{key, Facts};

/// The party behind a relay's store.
pub(super) fn store_party(case: &Case, store: &RelayStore) -> Party {
    match store.account {
        Some(account) if account != case.record.key => Party::Relay {
            account: key(account),
        },
        _ => Party::RelayStore {
            name: store.name.clone(),
        },
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
    let relay = Party::Relay {
        account: key(run.submitter),
    };
    if let Some(ground) = proof_against(facts, sequence, sighting, run) {
        return (vec![ground, Ground::TagFails], vec![relay]);
    }
    if case.device_signed && !facts.walk.is_registered(sequence, link) {
        // Relays of such a study check the signature before they accept a run. One that brings another made it, or did not
        // check.
        return (vec![Ground::SignatureFails, Ground::TagFails], vec![relay]);
    }
    (
        vec![Ground::TagFails],
        vec![relay, Party::AuthenticationKeyHolder],
    )
}

/// Parties of an entry that nobody brought to the chain, but relays hold.
fn held_only(facts: &Facts<'_>, sighting: &Sighting) -> Vec<Party> {
    let stores = sighting
        .held
        .iter()
        .map(|place| store_party(facts.case, &facts.case.stores[place.store]));
    let mut parties: Vec<Party> = stores.chain([Party::AuthenticationKeyHolder]).collect();
    parties.sort();
    parties.dedup();
    parties
}

/// What no outsider could have had, in the hands of the relay that brought a forged entry. There is one exception, which
/// `docs/explained/threat-model.md` tells: who watches a node's pool sees a tag some seconds before it is in a block.
fn proof_against(
    facts: &Facts<'_>,
    sequence: u64,
    sighting: &Sighting,
    run: &BroughtRun,
) -> Option<Ground> {
    let case = facts.case;
    let seen = facts.sightings.at(sequence);
    let genuine: Vec<&Sighting> = seen
        .filter(|(link, _)| facts.walk.maker(sequence, *link) == Maker::Secret)
        .map(|(_, other)| other)
        .collect();
    // Tags in blocks are public. Only one that stood in no earlier block shows that the writer had the entry.
    let unpublished = |other: &Sighting| {
        let places = other.brought.iter().map(|index| &case.brought[*index]);
        !places
            .into_iter()
            .any(|other| (other.block, other.extrinsic) < (run.block, run.extrinsic))
    };
    if genuine
        .iter()
        .any(|other| other.tag == sighting.tag && unpublished(other))
    {
        return Some(Ground::TagTakenFromGenuine);
    }
    let own = |store: &RelayStore| store.account == Some(run.submitter);
    let position = case.stores.iter().position(own)?;
    // Stores are in the order in which runs came in.
    let in_own_store = |other: &Sighting| {
        let places = other.held.iter().filter(|place| place.store == position);
        places.map(|place| place.run).min()
    };
    let (held, complete) = (in_own_store(sighting), case.stores[position].complete);
    let brought = bringer_place(case, sighting);
    // The phone may write on through the relay that a thief wrote to, and the thief through the relay that has the phone's
    // entry. Only who had the genuine entry first, and brought the forged one before anybody brought the genuine, chose.
    let chosen = |other: &Sighting| {
        let before = match (in_own_store(other), held) {
            (Some(genuine), Some(forged)) => genuine < forged,
            (Some(_), None) => complete,
            (None, _) => false,
        };
        before && !other.brought.iter().any(|place| Some(*place) < brought)
    };
    if genuine.iter().any(|other| chosen(other)) {
        return Some(Ground::GenuineHeldByBringer);
    }
    if complete && held.is_none() {
        return Some(Ground::BroughtButNotHeld);
    }
    None
}
