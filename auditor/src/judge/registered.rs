// SPDX-License-Identifier: Apache-2.0

//! A verdict for every position that the chain says is registered.

use std::collections::BTreeSet;

use hashchain::{data_digest, DataDigest, LinkHash, Native};
use mhealth_api::RunState;

use crate::case::{Case, Fate, HeldEnvelope, RegisteredEntry, SecretAccess};
use crate::export::Holder;
use crate::verdict::{Content, Ground, JudgedEntry, Maker, Party, Uncovered, Verdict};

use super::sightings::Sighting;
use super::walk::{LinkCheck, Step};
use super::{blame, key, Facts, Fork, Notes};

pub(super) fn entries(facts: &Facts<'_>, fork: Fork, notes: &mut Notes) -> Vec<JudgedEntry> {
    let steps = facts.walk.registered.iter().zip(1..);
    steps
        .map(|(step, sequence)| {
            let judged = match step.entry {
                Some(entry) => one(facts, fork, notes, step, entry),
                None => left_state(sequence),
            };
            if let Some(ground) = judged.grounds.first() {
                notes.find(*ground, judged.parties.clone(), Some(sequence));
            }
            judged
        })
        .collect()
}

fn left_state(sequence: u64) -> JudgedEntry {
    JudgedEntry {
        sequence,
        link: LinkHash([0; 32]),
        digest: DataDigest([0; 32]),
        registered: true,
        verdict: Verdict::NotCovered,
        grounds: Vec::new(),
        parties: Vec::new(),
        uncovered: vec![Uncovered::LeftState],
        content: Content::Absent,
        block: None,
        submitter: None,
        held_by: Vec::new(),
        received_at: None,
    }
}

fn one(
    facts: &Facts<'_>,
    fork: Fork,
    notes: &mut Notes,
    step: &Step,
    entry: RegisteredEntry,
) -> JudgedEntry {
    let case = facts.case;
    let sighting = facts.sightings.find(entry.sequence, entry.link);
    let bringer = sighting.and_then(|sighting| blame::bringer(case, sighting));
    let mut draft = Draft::default();
    draft.link(step, sighting);
    draft.maker(facts, step, entry, sighting);
    draft.signature(facts, entry, sighting);
    draft.history(facts, fork, step, entry);
    let content = draft.data(facts, notes, entry, sighting);
    draft.uncovered.sort();
    draft.uncovered.dedup();
    let held = sighting.into_iter().flat_map(|sighting| &sighting.held);
    JudgedEntry {
        sequence: entry.sequence,
        link: entry.link,
        digest: entry.digest,
        registered: true,
        verdict: draft.verdict(content, case.erased.receipt.is_some()),
        grounds: draft.grounds,
        parties: draft.parties,
        uncovered: draft.uncovered,
        content,
        block: bringer.map(|run| run.block),
        submitter: bringer.map(|run| key(run.submitter)),
        held_by: sighting.map_or_else(Vec::new, |sighting| sighting.intact_in(case)),
        received_at: held
            .map(|place| case.stores[place.store].runs[place.run].received_at)
            .min(),
    }
}

/// A verdict in the making. The worst is said first, and its parties are those that are named.
#[derive(Default)]
struct Draft {
    verdict: Option<Verdict>,
    grounds: Vec<Ground>,
    parties: Vec<Party>,
    uncovered: Vec<Uncovered>,
}

impl Draft {
    fn wrong(&mut self, verdict: Verdict, grounds: Vec<Ground>, parties: Vec<Party>) {
        if self.verdict.is_none() {
            self.verdict = Some(verdict);
            self.parties = parties;
        }
        self.grounds.extend(grounds);
    }

    /// What was erased by a receipt is erased even if somebody still holds it: no program is to use it.
    fn verdict(&self, content: Content, is_erased: bool) -> Verdict {
        match self.verdict {
            Some(verdict) => verdict,
            None if !self.uncovered.is_empty() => Verdict::NotCovered,
            None if is_erased || content == Content::Erased => Verdict::Erased,
            None => Verdict::Valid,
        }
    }

    fn link(&mut self, step: &Step, sighting: Option<&Sighting>) {
        match step.link {
            LinkCheck::Sound => {}
            LinkCheck::Broken => self.wrong(
                Verdict::Altered,
                vec![Ground::ChainContradictsItself],
                vec![Party::Validators],
            ),
            LinkCheck::NotAtHand => self.uncovered.push(match sighting {
                Some(_) => Uncovered::PreviousNotAtHand,
                None => Uncovered::TagNotAtHand,
            }),
        }
    }

    fn maker(
        &mut self,
        facts: &Facts<'_>,
        step: &Step,
        entry: RegisteredEntry,
        sighting: Option<&Sighting>,
    ) {
        match (step.maker, &facts.case.secret, sighting) {
            (Maker::Secret, _, _) => {}
            (Maker::NotTheSecret, _, Some(sighting)) => {
                let (grounds, parties) = blame::forged(facts, entry.sequence, entry.link, sighting);
                self.wrong(Verdict::Forged, grounds, parties);
            }
            (_, SecretAccess::Closed(why), _) => self.uncovered.push(why.clone()),
            (_, SecretAccess::Opened(_), Some(_)) => {
                self.uncovered.push(Uncovered::PreviousNotAtHand)
            }
            (_, SecretAccess::Opened(_), None) => self.uncovered.push(Uncovered::TagNotAtHand),
        }
        self.uncovered.dedup();
    }

    fn signature(
        &mut self,
        facts: &Facts<'_>,
        entry: RegisteredEntry,
        sighting: Option<&Sighting>,
    ) {
        if !facts.case.device_signed || facts.signed.contains(&(entry.sequence, entry.link)) {
            return;
        }
        let runs = sighting
            .into_iter()
            .flat_map(|sighting| sighting.brought.iter())
            .map(|index| &facts.case.brought[*index]);
        match runs.into_iter().any(|run| run.fate == Fate::Registered) {
            // A block has the run that registered it, and no run there is signed by the chain's own rule: the runtime would
            // have refused it.
            true => self.wrong(
                Verdict::Forged,
                vec![Ground::SignatureFails],
                vec![Party::Validators],
            ),
            false => self.uncovered.push(Uncovered::SignatureNotAtHand),
        }
    }

    fn history(&mut self, facts: &Facts<'_>, fork: Fork, step: &Step, entry: RegisteredEntry) {
        let reached = |first: Option<u64>| first.is_some_and(|first| entry.sequence >= first);
        if step.maker != Maker::NotTheSecret {
            if reached(fork.by_secret) {
                let grounds = vec![Ground::TwoHistoriesBySecret];
                self.wrong(Verdict::Disputed, grounds, vec![Party::SecretHolder]);
            } else if reached(fork.undecided) {
                self.wrong(Verdict::Disputed, vec![Ground::RivalUndecided], Vec::new());
            }
        }
        let trusted = facts.case.record.trusted_length;
        if trusted.is_some_and(|trusted| entry.sequence > trusted) {
            self.wrong(
                Verdict::Disputed,
                vec![Ground::NotTrustedByStudy],
                Vec::new(),
            );
        }
    }

    /// Compares what every relay holds with what is registered, byte for byte by digest.
    fn data(
        &mut self,
        facts: &Facts<'_>,
        notes: &mut Notes,
        entry: RegisteredEntry,
        sighting: Option<&Sighting>,
    ) -> Content {
        let case = facts.case;
        let mut content = Content::Absent;
        let (mut is_intact, mut altered, mut emptied) = (false, BTreeSet::new(), BTreeSet::new());
        for place in sighting.into_iter().flat_map(|sighting| &sighting.held) {
            let held = &case.stores[place.store].runs[place.run].envelopes[place.entry];
            if held.digest == entry.digest {
                is_intact = true;
                content = content.max(held.content);
            } else if is_empty(held) {
                emptied.insert(blame::holder_at(case, place));
            } else {
                altered.insert(blame::holder_at(case, place));
            }
        }
        // Erasing leaves the run, which says so; who shows nothing of it has lost it.
        let bringer = sighting.and_then(|sighting| blame::bringer(case, sighting));
        let may_be_empty = case.erased.covers(bringer.map(|run| run.block));
        if !is_intact && altered.is_empty() && emptied.is_empty() {
            self.no_copy(facts, notes, entry, sighting);
        } else {
            lost(facts, notes, entry, sighting);
        }
        if !emptied.is_empty() && !may_be_empty {
            let parties: Vec<Party> = emptied.iter().cloned().collect();
            let is_elsewhere = is_intact || !altered.is_empty();
            // A relay that was told to erase before the others is not at fault.
            match (case.erased.only_on_file, is_elsewhere) {
                (true, true) => notes.uncovered.push(Uncovered::ErasureNotOnChain),
                (true, false) => self.uncovered.push(Uncovered::ErasureNotOnChain),
                (false, true) => {
                    notes.find(Ground::EmptiedWithoutReceipt, parties, Some(entry.sequence));
                }
                (false, false) => {
                    let grounds = vec![Ground::EmptiedWithoutReceipt];
                    self.wrong(Verdict::Missing, grounds, parties);
                }
            }
        }
        if !altered.is_empty() {
            let parties = altered.into_iter().collect();
            self.wrong(Verdict::Altered, vec![Ground::EnvelopeDiffers], parties);
        }
        match content {
            Content::Sealed | Content::Unreadable | Content::Absent
                if case.erased.receipt.is_some() =>
            {
                Content::Erased
            }
            Content::Absent if !emptied.is_empty() && may_be_empty => Content::Erased,
            content => content,
        }
    }

    fn no_copy(
        &mut self,
        facts: &Facts<'_>,
        notes: &mut Notes,
        entry: RegisteredEntry,
        sighting: Option<&Sighting>,
    ) {
        let case = facts.case;
        let bringer = sighting.and_then(|sighting| blame::bringer(case, sighting));
        let directly = bringer.is_some_and(|run| run.submitter == case.record.key);
        let others = facts.sightings.at(entry.sequence);
        let finalised = others
            .flat_map(|(_, other)| &other.held)
            .filter(|place| case.stores[place.store].runs[place.run].state == RunState::Finalised);
        let contradicting: BTreeSet<Party> = finalised
            .map(|place| blame::holder_at(case, place))
            .collect();
        if !contradicting.is_empty() {
            let (ground, parties) = (Ground::StoreContradictsChain, contradicting);
            self.wrong(
                Verdict::Altered,
                vec![ground],
                parties.into_iter().collect(),
            );
            return;
        }
        if directly {
            self.uncovered.push(Uncovered::SentDirectly);
            return;
        }
        let unread = unread(case, bringer.map_or(0, |run| run.block));
        if unread.is_empty() {
            let party = bringer.map(|run| blame::relay(run.submitter));
            let parties = party.into_iter().collect();
            self.wrong(Verdict::Missing, vec![Ground::HeldByNobody], parties);
        } else {
            self.uncovered.extend(unread);
            lost(facts, notes, entry, sighting);
        }
    }
}

/// Why a relay may hold what was brought in this block, though no export shows it.
fn unread(case: &Case, block: u64) -> BTreeSet<Uncovered> {
    let unread = case.unread().into_iter();
    let mut reasons: BTreeSet<Uncovered> = unread
        .map(|account| Uncovered::NoExport {
            account: key(account),
        })
        .collect();
    // A relay may show several exports; one that reaches this block is enough.
    let covered = |account: Option<[u8; 32]>| {
        let mut stores = case.stores.iter();
        stores.any(|store| store.account == account && store.covers(block))
    };
    let relays = case.stores.iter();
    let relays = relays.filter(|store| store.holder == Holder::Relay);
    for store in relays.filter(|store| !covered(store.account)) {
        let name = store.name.clone();
        reasons.insert(match (store.complete, store.block) {
            (true, Some(block)) => Uncovered::ExportTooOld { name, block },
            _ => Uncovered::ExportIncomplete { name },
        });
    }
    reasons
}

/// Every relay that brought an entry should hold it, even where another one does.
fn lost(facts: &Facts<'_>, notes: &mut Notes, entry: RegisteredEntry, sighting: Option<&Sighting>) {
    let Some(sighting) = sighting else {
        return;
    };
    for (index, store) in facts.case.stores.iter().enumerate() {
        let mut runs = sighting.brought.iter().map(|run| &facts.case.brought[*run]);
        let brought =
            runs.any(|run| store.account == Some(run.submitter) && store.covers(run.block));
        let holds = sighting.held.iter().any(|place| place.store == index);
        if let (Some(account), true, false) = (store.account, brought, holds) {
            let party = blame::relay(account);
            notes.find(Ground::BroughtButNotHeld, vec![party], Some(entry.sequence));
        }
    }
}

pub(super) fn is_empty(held: &HeldEnvelope) -> bool {
    held.digest == data_digest::<Native>(b"")
}
