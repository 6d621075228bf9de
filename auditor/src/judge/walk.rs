// SPDX-License-Identifier: Apache-2.0

//! From the first position to the last: the ratchet turns with the position and with nothing else.

use std::collections::HashMap;

use hashchain::{Entry, LinkHash, RatchetKey, Reason, Verifier};

use crate::case::{Case, RegisteredEntry, SecretAccess};
use crate::verdict::Maker;

use super::sightings::{Sighting, Sightings};

/// How far beyond all that could follow the head a sequence is still derived. Somebody could name the largest there is.
const BEYOND: u64 = 1_024;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// For every position from 1 to the device's length.
    pub(super) registered: Vec<Step>,
    /// Who made each entry that was seen, registered or not. Absent: too far ahead to be derived.
    pub(super) makers: HashMap<(u64, LinkHash), Maker>,
    /// The last registered entry is not the head.
    pub(super) head_mismatch: bool,
}

/// A registered position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// What the chain's state has; none when it has left it.
    pub(super) entry: Option<RegisteredEntry>,
    /// Whether its link was recomputed from its parts.
    pub(super) link: LinkCheck,
    /// Who made it.
    pub(super) maker: Maker,
}

/// How the recomputation of a link went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkCheck {
    /// It follows the entry before and binds the digest.
    Sound,
    /// It does not.
    Broken,
    /// Its tag, or the entry before it, is not at hand.
    NotAtHand,
}

impl Walk {
    pub(super) fn take(case: &Case, sightings: &Sightings, genesis: Option<LinkHash>) -> Self {
        let mut walk = Walk::default();
        let mut verifier = genesis.map(|genesis| match &case.secret {
            SecretAccess::Opened(secret) => Verifier::with_secret(genesis, secret),
            SecretAccess::Closed(_) => Verifier::without_secret(genesis),
        });
        // Without link 0 tags can still be checked from the second entry on, each against the link that it names.
        let mut spare = match (&verifier, &case.secret) {
            (None, SecretAccess::Opened(secret)) => Some(RatchetKey::first(secret)),
            _ => None,
        };
        let by_sequence = sightings.registered(case);
        let length = case.record.length;
        let end = last_position(length, sightings);
        for position in 1..=end {
            let registered = by_sequence.get(&position).copied();
            let key = spare
                .as_ref()
                .or_else(|| verifier.as_ref().and_then(Verifier::key));
            for (link, sighting) in sightings.at(position) {
                // The verifier makes the registered entry's tag itself.
                if verifier.is_some() && registered.is_some_and(|entry| entry.link == link) {
                    continue;
                }
                let maker = made_by(key, sighting);
                walk.makers.insert((position, link), maker);
            }
            let step = registered.map(|entry| walk.step(entry, sightings, verifier.as_mut()));
            if position <= length {
                walk.registered.push(step.unwrap_or(Step {
                    entry: None,
                    link: LinkCheck::NotAtHand,
                    maker: Maker::Unknown,
                }));
            }
            // The verifier moved only if it could follow. Where it did not, it goes on after the registered entry, whose
            // verdict says so, with the key of that position.
            let moved = verifier
                .as_ref()
                .is_some_and(|verifier| verifier.sequence() == position);
            if !moved {
                let next = spare
                    .as_ref()
                    .or_else(|| verifier.as_ref().and_then(Verifier::key))
                    .map(RatchetKey::next);
                spare = None;
                verifier = match (registered, next) {
                    (Some(entry), Some(next)) => Some(Verifier::resume_with_key(entry.link, next)),
                    (Some(entry), None) => {
                        Some(Verifier::resume_without_secret(position, entry.link))
                    }
                    (None, next) => {
                        spare = next;
                        None
                    }
                };
            }
        }
        let last = walk.registered.last().and_then(|step| step.entry);
        walk.head_mismatch = match last {
            Some(last) => last.link != case.record.head,
            None => length == 0 && case.record.head != case.record.genesis,
        };
        walk
    }

    fn step(
        &mut self,
        entry: RegisteredEntry,
        sightings: &Sightings,
        verifier: Option<&mut Verifier>,
    ) -> Step {
        let Some(sighting) = sightings.find(entry.sequence, entry.link) else {
            return Step {
                entry: Some(entry),
                link: LinkCheck::NotAtHand,
                maker: Maker::Unknown,
            };
        };
        let Some(verifier) = verifier else {
            return Step {
                entry: Some(entry),
                link: LinkCheck::NotAtHand,
                maker: self.maker(entry.sequence, entry.link),
            };
        };
        let checked = verifier.check(
            &Entry {
                sequence: entry.sequence,
                previous: sighting.previous,
                digest: entry.digest,
                tag: sighting.tag,
                hash: entry.link,
            },
            None,
        );
        let (link, maker) = match (checked, verifier.key()) {
            // The verifier has not moved: its key is still this position's.
            (Err(refusal), key) if refusal.reason() == Reason::Link => {
                (LinkCheck::Broken, made_by(key, sighting))
            }
            (_, None) => (LinkCheck::Sound, Maker::Unknown),
            (Ok(()), Some(_)) => (LinkCheck::Sound, Maker::Secret),
            (Err(_), Some(_)) => (LinkCheck::Sound, Maker::NotTheSecret),
        };
        self.makers.insert((entry.sequence, entry.link), maker);
        Step {
            entry: Some(entry),
            link,
            maker,
        }
    }

    /// Who made an entry.
    pub(super) fn maker(&self, sequence: u64, link: LinkHash) -> Maker {
        self.makers
            .get(&(sequence, link))
            .copied()
            .unwrap_or(Maker::Unknown)
    }

    /// The registered entry of this sequence.
    pub(super) fn at(&self, sequence: u64) -> Option<&Step> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.registered.get(index)
    }

    /// Whether this link is registered at this sequence.
    pub(super) fn is_registered(&self, sequence: u64, link: LinkHash) -> bool {
        self.at(sequence)
            .and_then(|step| step.entry)
            .is_some_and(|entry| entry.link == link)
    }
}

/// Whether the key of its position made an entry's tag, for the entry that it says it follows.
fn made_by(key: Option<&RatchetKey>, sighting: &Sighting) -> Maker {
    let tag = key.map(|key| key.tag(&sighting.previous, &sighting.digest));
    match tag.map(|tag| tag.matches(&sighting.tag)) {
        None => Maker::Unknown,
        Some(true) => Maker::Secret,
        Some(false) => Maker::NotTheSecret,
    }
}

/// The last position whose key is worth deriving.
fn last_position(length: u64, sightings: &Sightings) -> u64 {
    let reach = length
        .saturating_add(sightings.len() as u64)
        .saturating_add(BEYOND);
    let seen = sightings
        .iter()
        .map(|(sequence, _, _)| sequence)
        .filter(|sequence| *sequence <= reach)
        .max();
    length.max(seen.unwrap_or(0))
}
