// SPDX-License-Identifier: Apache-2.0

//! Every entry that anybody showed, wherever it was seen, in order of its sequence.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use hashchain::{
    head_message, is_signed_by_zip215, is_strictly_signed, DataDigest, LinkHash, Run, Tag,
};

use crate::case::{Case, RegisteredEntry};

/// An entry that was seen somewhere. Its link binds everything in it, so the same sequence and link are the same entry.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) previous: LinkHash,
    pub(super) digest: DataDigest,
    pub(super) tag: Tag,
    /// Indices of the runs in blocks that carry it.
    pub(super) brought: Vec<usize>,
    /// Where relays hold it.
    pub(super) held: Vec<Place>,
}

impl Sighting {
    /// Names of the stores that hold the entry unaltered.
    pub(super) fn intact_in(&self, case: &Case) -> Vec<String> {
        let held = self.held.iter().map(|place| {
            let store = &case.stores[place.store];
            (store, &store.runs[place.run].envelopes[place.entry])
        });
        let mut names: Vec<String> = held
            .filter(|(_, envelope)| envelope.digest == self.digest)
            .map(|(store, _)| store.name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A place in a relay's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) store: usize,
    pub(super) run: usize,
    pub(super) entry: usize,
}

/// What the device's key signed.
#[derive(Debug, Default)]
pub(super) struct Signed {
    /// The links that its signatures cover.
    pub(super) links: HashSet<(u64, LinkHash)>,
    /// First and last sequence of each run in a block whose signature only the chain's rule accepts, as far as these were looked at.
    pub(super) oddly: Vec<(u64, u64)>,
}

/// All sightings of a device.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    by_sequence: BTreeMap<(u64, LinkHash), Sighting>,
    /// The signed ends of runs.
    run_ends: Vec<RunEnd>,
}

/// The end of a run that carries a signature.
#[derive(Clone, Copy, Debug)]
struct RunEnd {
    /// A block has the run; otherwise only a relay does.
    in_block: bool,
    first: u64,
    last: u64,
    link: LinkHash,
    signature: [u8; 64],
}

impl Sightings {
    pub(super) fn of(case: &Case) -> Self {
        let mut sightings = Sightings::default();
        for (index, brought) in case.brought.iter().enumerate() {
            sightings.take(&brought.run, true, |seen, _| seen.brought.push(index));
        }
        for (store, relay) in case.stores.iter().enumerate() {
            for (run, held) in relay.runs.iter().enumerate() {
                sightings.take(&held.run, false, |seen, entry| {
                    seen.held.push(Place { store, run, entry });
                });
            }
        }
        sightings
    }

    /// Takes in a run's entries, each of which is noted with its place in the run, and the run's end, if that is signed.
    fn take(&mut self, run: &Run, in_block: bool, note: impl Fn(&mut Sighting, usize)) {
        let mut end = None;
        for (place, entry) in run.links().enumerate() {
            let sighting = self.by_sequence.entry((entry.sequence, entry.hash));
            let seen = sighting.or_insert_with(|| Sighting {
                previous: entry.previous,
                digest: entry.digest,
                tag: entry.tag,
                brought: Vec::new(),
                held: Vec::new(),
            });
            note(seen, place);
            end = Some((entry.sequence, entry.hash));
        }
        if let (Some((last, link)), Some(signature)) = (end, run.signature) {
            self.run_ends.push(RunEnd {
                in_block,
                first: run.first_sequence,
                last,
                link,
                signature,
            });
        }
    }

    pub(super) fn find(&self, sequence: u64, link: LinkHash) -> Option<&Sighting> {
        self.by_sequence.get(&(sequence, link))
    }

    /// What was seen for one sequence.
    pub(super) fn at(&self, sequence: u64) -> impl Iterator<Item = (LinkHash, &Sighting)> {
        let range = (sequence, LinkHash([0; 32]))..=(sequence, LinkHash([0xff; 32]));
        self.by_sequence
            .range(range)
            .map(|((_, link), sighting)| (*link, sighting))
    }

    /// The registered entries, completed: what has left the chain's state is in blocks and stores, and each link names
    /// the one before it, from the head on.
    pub(super) fn registered(&self, case: &Case) -> HashMap<u64, RegisteredEntry> {
        let length = case.record.length;
        let in_state = case
            .registered
            .iter()
            .filter(|entry| entry.sequence <= length);
        let mut registered: HashMap<u64, RegisteredEntry> =
            in_state.map(|entry| (entry.sequence, *entry)).collect();
        let mut named = Some(case.record.head);
        for sequence in (1..=length).rev() {
            let link = registered.get(&sequence).map(|entry| entry.link).or(named);
            let sighting = link.and_then(|link| self.find(sequence, link));
            if let (Some(link), Some(sighting)) = (link, sighting) {
                registered.entry(sequence).or_insert(RegisteredEntry {
                    sequence,
                    digest: sighting.digest,
                    link,
                });
            }
            named = sighting.map(|sighting| sighting.previous);
        }
        registered
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, LinkHash, &Sighting)> {
        self.by_sequence
            .iter()
            .map(|((sequence, link), sighting)| (*sequence, *link, sighting))
    }

    pub(super) fn len(&self) -> usize {
        self.by_sequence.len()
    }

    /// What valid signatures of the device cover: each run's links up to its signed end.
    ///
    /// The newest come first, and most often the newest covers everything: then the others are passed over, unless `every` one is
    /// to be checked. What is covered is the same either way.
    ///
    /// Runs in blocks are judged by the chain's rule, runs that only a relay shows by the strict one, by which the relay should have
    /// refused them. The chain's rule is asked last: a signature that only it accepts speaks against the device where no strict one
    /// covers the run, because then the device could disown it.
    pub(super) fn signed(&self, key: &[u8; 32], every: bool) -> Signed {
        let mut signed = Signed::default();
        let mut not_strict = Vec::new();
        let mut ends: Vec<&RunEnd> = self.run_ends.iter().collect();
        ends.sort_by_key(|end| Reverse(end.last));
        for end in ends {
            if !every && signed.links.contains(&(end.last, end.link)) {
                continue;
            }
            if is_strictly_signed(key, &head_message(&end.link), &end.signature) {
                self.cover(end, &mut signed.links);
            } else if end.in_block {
                not_strict.push(end);
            }
        }
        for end in not_strict {
            if !every && signed.links.contains(&(end.last, end.link)) {
                continue;
            }
            if is_signed_by_zip215(key, &head_message(&end.link), &end.signature) {
                signed.oddly.push((end.first, end.last));
                self.cover(end, &mut signed.links);
            }
        }
        signed
    }

    /// A signed link binds those before it, as far back as they were seen.
    fn cover(&self, end: &RunEnd, links: &mut HashSet<(u64, LinkHash)>) {
        let (mut sequence, mut link) = (end.last, end.link);
        while links.insert((sequence, link)) {
            match self.find(sequence, link) {
                Some(sighting) if sequence > 1 => {
                    (sequence, link) = (sequence - 1, sighting.previous);
                }
                _ => break,
            }
        }
    }
}
