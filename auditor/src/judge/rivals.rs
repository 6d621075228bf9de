// SPDX-License-Identifier: Apache-2.0

//! What was seen and is not registered: entries on their way, refused attempts, and second histories.

use std::collections::{BTreeSet, HashMap};

use hashchain::{LinkHash, MAX_INDEX};
use mhealth_api::{DeviceStatus, Refusal, RunState};

use crate::case::{BroughtRun, Case, Conflict, HeldRun, RelayStore};
use crate::verdict::{
    Content, Ground, JudgedConflict, JudgedEntry, Maker, Party, Uncovered, Verdict,
};

use super::sightings::Sighting;
use super::{accounts, blame, key, Facts, Fork, Notes};

/// What an unregistered entry is.
#[derive(Clone, Debug)]
enum Kind {
    /// Goes on from the registered head.
    Waiting,
    /// Genuine; the registered entry in its place is not.
    Displaced,
    /// Made with the secret, like the registered one.
    Double,
    /// Cannot be told.
    Undecided,
    /// Not made with the secret.
    Attempt,
    /// What is registered in its place is not at hand.
    Untold,
    /// Too far ahead to be derived.
    FarAhead,
}

pub(super) fn entries(
    facts: &Facts<'_>,
    notes: &mut Notes,
) -> (Vec<JudgedEntry>, Vec<JudgedConflict>, Fork) {
    let mut fork = Fork::default();
    let mut kinds: HashMap<(u64, LinkHash), Kind> = HashMap::new();
    let mut entries = Vec::new();
    for (sequence, link, sighting) in facts.sightings.iter() {
        if facts.walk.is_registered(sequence, link) {
            continue;
        }
        let kind = kind(facts, &kinds, &mut fork, sequence, link, sighting);
        kinds.insert((sequence, link), kind.clone());
        entries.push(judged(facts, notes, kind, sequence, link, sighting));
    }
    let conflicts = facts
        .case
        .conflicts
        .iter()
        .map(|conflict| {
            signature(facts, notes, conflict);
            side_by_side(facts, &mut fork, conflict)
        })
        .collect();
    (entries, conflicts, fork)
}

fn kind(
    facts: &Facts<'_>,
    kinds: &HashMap<(u64, LinkHash), Kind>,
    fork: &mut Fork,
    sequence: u64,
    link: LinkHash,
    sighting: &Sighting,
) -> Kind {
    let record = &facts.case.record;
    let Some(maker) = facts.walk.makers.get(&(sequence, link)).copied() else {
        return match is_made_up(facts.case, sequence, sighting) {
            true => Kind::Attempt,
            false => Kind::FarAhead,
        };
    };
    if maker == Maker::NotTheSecret {
        return Kind::Attempt;
    }
    if sequence == record.length.saturating_add(1) && sighting.previous == record.head {
        return Kind::Waiting;
    }
    let before = kinds.get(&(sequence.saturating_sub(1), sighting.previous));
    match (before, facts.walk.at(sequence).map(|step| step.maker)) {
        (Some(Kind::Waiting), None) => return Kind::Waiting,
        (Some(Kind::Displaced), _) if maker == Maker::Secret => return Kind::Displaced,
        _ => {}
    }
    if facts.case.device_signed
        && maker == Maker::Unknown
        && !facts.signed.contains(&(sequence, link))
    {
        return Kind::Attempt;
    }
    // Where the histories parted: here, or, if this is beyond the registered ones, before.
    let parted = sequence.min(record.length);
    if facts
        .walk
        .at(parted)
        .is_some_and(|step| step.entry.is_none())
    {
        return Kind::Untold;
    }
    match (maker, facts.walk.at(parted).map(|step| step.maker)) {
        (Maker::Secret, Some(Maker::NotTheSecret)) => Kind::Displaced,
        (Maker::Secret, Some(Maker::Secret)) => {
            Fork::note(&mut fork.by_secret, parted);
            Kind::Double
        }
        _ => {
            Fork::note(&mut fork.undecided, parted);
            Kind::Undecided
        }
    }
}

/// Whether an entry whose key is not derived is an attempt: nobody holds it, and no phone gets to its place, or only strangers brought it.
fn is_made_up(case: &Case, sequence: u64, sighting: &Sighting) -> bool {
    let is_a_place = (1..=MAX_INDEX).contains(&sequence);
    let is_known = brought_by_relays(case, sighting).next().is_some();
    sighting.held.is_empty() && !(is_a_place && is_known)
}

/// The runs in blocks that carry an entry, without those that strangers brought.
fn brought_by_relays<'a>(
    case: &'a Case,
    sighting: &'a Sighting,
) -> impl DoubleEndedIterator<Item = &'a BroughtRun> {
    let brought = sighting.brought.iter().map(|index| &case.brought[*index]);
    brought.filter(|run| !run.is_a_strangers(&case.record.key, &case.relays))
}

fn judged(
    facts: &Facts<'_>,
    notes: &mut Notes,
    kind: Kind,
    sequence: u64,
    link: LinkHash,
    sighting: &Sighting,
) -> JudgedEntry {
    let case = facts.case;
    let bringer = blame::bringer(case, sighting);
    let mut judged = JudgedEntry {
        sequence,
        link,
        digest: sighting.digest,
        registered: false,
        verdict: Verdict::Unregistered,
        grounds: Vec::new(),
        parties: Vec::new(),
        uncovered: Vec::new(),
        content: content(facts, sighting),
        block: bringer.map(|run| run.block),
        submitter: bringer.map(|run| key(run.submitter)),
        held_by: sighting.intact_in(case),
        received_at: held_runs(facts, sighting)
            .map(|(_, run)| run.received_at)
            .min(),
    };
    match kind {
        Kind::Waiting => waiting(facts, sighting, &mut judged),
        Kind::Displaced => {
            judged.grounds = vec![Ground::DisplacedByForgery];
            let place = sequence.min(case.record.length);
            let registered = facts.walk.at(place).and_then(|step| step.entry);
            if let Some(registered) = registered {
                if let Some(forgery) = facts.sightings.find(place, registered.link) {
                    judged.parties = blame::forged(facts, place, registered.link, forgery).1;
                }
            }
        }
        Kind::Double => {
            judged.verdict = Verdict::Disputed;
            judged.grounds = vec![Ground::TwoHistoriesBySecret];
            judged.parties = vec![Party::SecretHolder];
        }
        Kind::Undecided => {
            judged.verdict = Verdict::Disputed;
            judged.grounds = vec![Ground::RivalUndecided];
        }
        Kind::Attempt => {
            let (grounds, parties) = blame::forged(facts, sequence, link, sighting);
            judged.grounds = vec![Ground::AttemptRefused];
            judged.grounds.extend(grounds);
            judged.parties = parties;
        }
        Kind::Untold => judged.uncovered = vec![Uncovered::LeftState],
        Kind::FarAhead => judged.uncovered = vec![Uncovered::TooFarAhead],
    }
    contradicting(facts, sighting, &mut judged);
    if accounts::is_gone(facts, sequence, sighting) {
        judged.grounds = vec![Ground::RecordedAndGone];
        judged.parties = vec![Party::Validators];
    }
    if let Some(ground) = judged.grounds.first() {
        notes.find(*ground, judged.parties.clone(), Some(sequence));
    }
    judged
}

/// An entry that goes on from the registered head: is it on its way, refused, or kept back?
///
/// Only the chain excuses: what a relay says of it, or when it says that it got it, proves nothing.
fn waiting(facts: &Facts<'_>, sighting: &Sighting, judged: &mut JudgedEntry) {
    let case = facts.case;
    let refused = |why| Uncovered::Refused { why };
    let shut_out = match &case.record.status {
        DeviceStatus::Active => None,
        DeviceStatus::Suspended => Some(Refusal::DeviceSuspended),
        DeviceStatus::Retired => Some(Refusal::DeviceRetired),
        DeviceStatus::Unknown(status) => Some(Refusal::Unknown(status.clone())),
    };
    let brought = brought_by_relays(case, sighting);
    let mut in_blocks = brought.filter_map(|run| run.fate.refused().cloned());
    if let Some(why) = shut_out.or(in_blocks.next_back()) {
        judged.grounds = vec![Ground::RefusedByChain];
        judged.uncovered = vec![refused(why)];
    }
    let contradicting: BTreeSet<Party> = held_runs(facts, sighting)
        .filter(|(store, run)| accounts::contradicts_blocks(facts, store, run))
        .map(|(store, run)| blame::holder(store, run))
        .collect();
    if !contradicting.is_empty() {
        judged.grounds.insert(0, Ground::StateContradictsBlocks);
        judged.parties = contradicting.into_iter().collect();
        return;
    }
    if !judged.grounds.is_empty() {
        return;
    }
    let withholding: BTreeSet<Party> = held_runs(facts, sighting)
        .filter(|(store, run)| is_withheld(case, sighting, store, run))
        .map(|(store, run)| blame::holder(store, run))
        .collect();
    if !withholding.is_empty() {
        judged.grounds = vec![Ground::Withheld];
        judged.parties = withholding.into_iter().collect();
        return;
    }
    let mut held = held_runs(facts, sighting).peekable();
    if held.peek().is_some() && held.all(|(store, run)| !may_bring(case, sighting, store, run)) {
        // Who took their role away had a say in it, too.
        judged.grounds = vec![Ground::RefusedByChain];
        judged.uncovered = vec![refused(Refusal::NotARelayOfThisStudy)];
    } else {
        judged.uncovered = vec![Uncovered::OnItsWay];
    }
}

/// Whether what somebody holds may still get to the chain through them: not if they signed for it as a relay, and are none any more; or
/// were none when they brought it, and then it is refused until the phone sends it once more.
fn may_bring(case: &Case, sighting: &Sighting, store: &RelayStore, run: &HeldRun) -> bool {
    let signer = store.signer(run);
    signer.is_none_or(|signer| {
        case.appointed.contains(&signer) && !was_turned_away(case, sighting, signer)
    })
}

/// Whether an account brought an entry while it was no relay of the study. That excuses this account alone.
fn was_turned_away(case: &Case, sighting: &Sighting, account: [u8; 32]) -> bool {
    let mut brought = sighting.brought.iter().map(|index| &case.brought[*index]);
    brought.any(|run| {
        run.submitter == account && run.fate.refused() == Some(&Refusal::NotARelayOfThisStudy)
    })
}

/// Whether a relay, which is one still, signed that it holds a run since a block that is long before that of the audit, and nobody has
/// brought it: the block that it had seen when it signed, or the one in which it brought a run that it says it stored later.
fn is_withheld(case: &Case, sighting: &Sighting, store: &RelayStore, run: &HeldRun) -> bool {
    let since = [run.signed_at, run.held_since];
    let since = since.into_iter().flatten().min();
    store.signer(run).is_some()
        && may_bring(case, sighting, store, run)
        && brought_by_relays(case, sighting).next().is_none()
        && case.blocks_complete
        && since.is_some_and(|since| since.saturating_add(case.patience) < case.block)
}

/// A relay that says of an unregistered entry that it is registered does not hold what the chain does.
fn contradicting(facts: &Facts<'_>, sighting: &Sighting, judged: &mut JudgedEntry) {
    let place = facts.walk.at(judged.sequence);
    if place.is_none_or(|step| step.entry.is_none()) {
        return;
    }
    let finalised = held_runs(facts, sighting).filter(|(_, run)| run.state == RunState::Finalised);
    let parties: BTreeSet<Party> = finalised
        .map(|(store, run)| blame::holder(store, run))
        .collect();
    if !parties.is_empty() {
        judged.grounds.insert(0, Ground::StoreContradictsChain);
        judged.parties = parties.into_iter().collect();
    }
}

/// A rival that the chain calls signed, and whose run is in the block that the chain names, must be signed by the chain's own rule.
fn signature(facts: &Facts<'_>, notes: &mut Notes, conflict: &Conflict) {
    let rival = (conflict.sequence, conflict.rival);
    if !conflict.signed || facts.signed.contains(&rival) {
        return;
    }
    // The rival itself, or what follows it when its run began only after it.
    let next = facts.sightings.at(conflict.sequence.saturating_add(1));
    let next = next.filter(|(_, sighting)| sighting.previous == conflict.rival);
    let seen = facts.sightings.find(conflict.sequence, conflict.rival);
    let mut runs = next
        .map(|(_, sighting)| sighting)
        .chain(seen)
        .flat_map(|sighting| &sighting.brought)
        .map(|index| &facts.case.brought[*index]);
    if runs.any(|run| run.block == conflict.block && run.submitter == conflict.submitter) {
        let validators = vec![Party::Validators];
        notes.find(Ground::SignatureFails, validators, Some(conflict.sequence));
    }
}

fn side_by_side(facts: &Facts<'_>, fork: &mut Fork, conflict: &Conflict) -> JudgedConflict {
    let recorded_by = facts.walk.maker(conflict.sequence, conflict.recorded);
    let place = (conflict.sequence, conflict.rival);
    let rival_by = match facts.walk.makers.get(&place) {
        Some(maker) => *maker,
        None => {
            // Its run began only after it. Who made the next entry vouches for the one that it follows.
            let next = conflict.sequence.saturating_add(1);
            let made = facts
                .sightings
                .at(next)
                .filter(|(_, sighting)| sighting.previous == conflict.rival)
                .map(|(link, _)| facts.walk.maker(next, link));
            let rival_by = made
                .max_by_key(|maker| *maker == Maker::Secret)
                .unwrap_or(Maker::Unknown);
            if rival_by == Maker::Secret && recorded_by == Maker::Secret {
                Fork::note(&mut fork.by_secret, conflict.sequence);
            }
            let counts = conflict.signed || !facts.case.device_signed;
            if rival_by == Maker::Unknown && recorded_by != Maker::NotTheSecret && counts {
                Fork::note(&mut fork.undecided, conflict.sequence);
            }
            rival_by
        }
    };
    JudgedConflict {
        sequence: conflict.sequence,
        recorded: conflict.recorded,
        rival: conflict.rival,
        rival_digest: conflict.rival_digest,
        recorded_by,
        rival_by,
        rival_signed: conflict.signed,
        submitter: key(conflict.submitter),
        block: conflict.block,
    }
}

fn held_runs<'a>(
    facts: &'a Facts<'_>,
    sighting: &'a Sighting,
) -> impl Iterator<Item = (&'a RelayStore, &'a HeldRun)> {
    sighting.held.iter().map(|place| {
        let store = &facts.case.stores[place.store];
        (store, &store.runs[place.run])
    })
}

/// What is known of the content, of the unaltered envelope where there is one.
fn content(facts: &Facts<'_>, sighting: &Sighting) -> Content {
    let envelopes = sighting.held.iter().map(|place| {
        let run = &facts.case.stores[place.store].runs[place.run];
        &run.envelopes[place.entry]
    });
    let best = envelopes.max_by_key(|held| (held.digest == sighting.digest, held.content));
    best.map_or(Content::Absent, |held| held.content)
}
