// SPDX-License-Identifier: Apache-2.0

//! The judgement of one device, from nothing but what is laid before it.
//!
//! The order of the checks is that of `docs/protocol/hashchain.md`, section 9. Three rules keep a check from passing silently:
//!
//! - The positions are counted here. They run from 1 to the length that the chain gives; an entry that is not at hand gets
//!   a verdict like every other.
//! - The key of a tag is derived from the position alone. No other is ever tried.
//! - `Valid` is what is left when every check was made and none found anything. A check that could not be made leaves a
//!   reason.

mod accounts;
mod blame;
mod registered;
mod rivals;
mod sightings;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use hashchain::{escrow_commitment, genesis, DeviceId, Enrolment, LinkHash, Native};
use mhealth_api::Key;

use crate::case::{Case, SecretAccess};
use crate::export::Holder;
use crate::verdict::{
    Finding, Ground, JudgedConflict, JudgedEntry, Outcome, Party, Uncovered, Verdict,
};

use sightings::Sightings;
use walk::Walk;

/// For how many blocks a run may be on its way to the chain before the relay is held to have kept it back: an hour of blocks of
/// two seconds.
pub const ON_ITS_WAY: u64 = 1_800;

/// What the audit says of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The device.
    pub device: DeviceId,
    /// One verdict for every registered entry, and for every other that was seen. In order of their sequences, the
    /// registered one first.
    pub entries: Vec<JudgedEntry>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Rival histories, side by side with the registered one.
    pub conflicts: Vec<JudgedConflict>,
    /// How many rivals the chain did not record, for want of a place. The blocks have them.
    pub conflicts_not_stored: u32,
    /// What could not be checked of the device as a whole.
    pub uncovered: Vec<Uncovered>,
    /// Last entry before the first that is not the device's beyond doubt: where a replacement should go on from.
    pub trusted_to: u64,
    /// Its link; link 0 when there is no such entry.
    pub trusted_head: LinkHash,
}

impl Judgement {
    /// What the device adds to the audit's outcome.
    pub fn outcome(&self) -> Outcome {
        let entries = self.entries.iter().map(JudgedEntry::outcome);
        let findings = self.findings.iter().map(|finding| finding.ground.outcome());
        let uncovered = self.uncovered.iter().map(|_| Outcome::NotCovered);
        entries
            .chain(findings)
            .chain(uncovered)
            .max()
            .unwrap_or(Outcome::Right)
    }

    /// How many registered entries no extrinsic accounts for.
    pub fn unaccounted(&self) -> u64 {
        let findings = self.findings.iter();
        findings
            .filter(|finding| finding.ground == Ground::Unaccounted)
            .flat_map(|finding| &finding.sequences)
            .map(|(first, last)| last - first + 1)
            .sum()
    }

    /// How many entries got this verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.entries
            .iter()
            .filter(|entry| entry.verdict == verdict)
            .count() as u64
    }
}

/// Judges one device.
pub fn judge(case: &Case) -> Judgement {
    let sightings = Sightings::of(case);
    let mut notes = Notes::default();
    let genesis = link_zero(case, &mut notes);
    let walk = Walk::take(case, &sightings, genesis);
    if walk.head_mismatch {
        notes.find(Ground::HeadMismatch, vec![Party::Validators], None);
    }
    if case.participant_key_fits == Some(false) {
        let party = Party::AuthenticationServer;
        notes.find(Ground::AnotherParticipantKey, vec![party], None);
    }
    let signed = sightings.signed(&case.record.key, case.every_signature);
    for sequence in signed.oddly.iter().flat_map(|(first, last)| *first..=*last) {
        notes.find(
            Ground::SignatureNotStrict,
            vec![Party::Device],
            Some(sequence),
        );
    }
    let facts = Facts {
        case,
        sightings: &sightings,
        walk: &walk,
        signed: &signed.links,
    };
    let (rivals, conflicts, fork) = rivals::entries(&facts, &mut notes);
    let mut entries = registered::entries(&facts, fork, &mut notes);
    let (trusted_to, trusted_head) = trusted(case, &entries, genesis);
    entries.extend(rivals);
    entries.sort_by_key(|entry| (entry.sequence, !entry.registered, entry.link));
    accounts::unaccounted(&facts, &mut notes);
    stores(&facts, &mut notes);
    notes.uncovered.sort();
    notes.uncovered.dedup();
    Judgement {
        device: case.record.device,
        entries,
        findings: notes.findings(),
        conflicts,
        conflicts_not_stored: case.conflicts_not_stored,
        uncovered: notes.uncovered,
        trusted_to,
        trusted_head,
    }
}

/// What the parts of the judgement share.
struct Facts<'a> {
    case: &'a Case,
    sightings: &'a Sightings,
    walk: &'a Walk,
    signed: &'a HashSet<(u64, LinkHash)>,
}

/// From which sequence on the registered history has a rival that was not shown to be forged.
#[derive(Clone, Copy, Debug, Default)]
struct Fork {
    /// Both histories were made with the device's secret.
    by_secret: Option<u64>,
    /// It cannot be told who made the rival.
    undecided: Option<u64>,
}

impl Fork {
    fn note(place: &mut Option<u64>, sequence: u64) {
        let sequence = sequence.max(1);
        *place = Some(place.map_or(sequence, |first| first.min(sequence)));
    }
}

/// Findings while they are gathered: one for each ground and set of parties.
#[derive(Default)]
struct Notes {
    findings: BTreeMap<(Ground, Vec<Party>), Vec<u64>>,
    uncovered: Vec<Uncovered>,
}

impl Notes {
    fn find(&mut self, ground: Ground, parties: Vec<Party>, sequence: Option<u64>) {
        let each = ground.is_of_each() && parties.len() > 1;
        let findings = match each {
            true => parties.into_iter().map(|party| vec![party]).collect(),
            false => vec![parties],
        };
        for parties in findings {
            let sequences = self.findings.entry((ground, parties)).or_default();
            sequences.extend(sequence);
        }
    }

    fn findings(&mut self) -> Vec<Finding> {
        let gathered = std::mem::take(&mut self.findings).into_iter();
        gathered
            .map(|((ground, parties), sequences)| Finding {
                ground,
                parties,
                sequences: ranges(sequences),
            })
            .collect()
    }
}

/// Sequences as ranges, both ends included.
pub(crate) fn ranges(mut sequences: Vec<u64>) -> Vec<(u64, u64)> {
    sequences.sort_unstable();
    sequences.dedup();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for sequence in sequences {
        match ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(sequence) => *end = sequence,
            _ => ranges.push((sequence, sequence)),
        }
    }
    ranges
}

/// Link 0 as it follows from the enrolment. None when it cannot be computed.
fn link_zero(case: &Case, notes: &mut Notes) -> Option<LinkHash> {
    let record = &case.record;
    match &case.secret {
        SecretAccess::Opened(_) => {}
        SecretAccess::Closed(why) => {
            notes.uncovered.push(why.clone());
            if matches!(
                why,
                Uncovered::EscrowIsNotTheSecret | Uncovered::EscrowUndecipherable
            ) {
                notes.find(Ground::EscrowIsNotTheSecret, vec![Party::Device], None);
            }
        }
    }
    let predecessor = match record.predecessor {
        None => None,
        Some(predecessor) => match predecessor.trusted_head {
            Some(head) => Some(head),
            None => {
                notes.uncovered.push(Uncovered::PredecessorNotAtHand);
                return None;
            }
        },
    };
    let computed = genesis::<Native>(&Enrolment {
        chain: &case.chain,
        study: record.study,
        device_key: &record.key,
        predecessor,
        secret_commitment: &record.secret_commitment,
        escrow_commitment: &escrow_commitment::<Native>(&record.escrow),
    });
    if computed != record.genesis {
        notes.find(Ground::GenesisMismatch, vec![Party::Validators], None);
    }
    Some(computed)
}

/// Receipts and states that do not fit, exports that ended early, and relays of which there is none.
fn stores(facts: &Facts<'_>, notes: &mut Notes) {
    let case = facts.case;
    for store in &case.stores {
        for held in &store.runs {
            let first = Some(held.run.first_sequence);
            let mut wrong = |ground| notes.find(ground, vec![blame::holder(store, held)], first);
            if !held.consistent {
                wrong(Ground::ExportContradictsItself);
            }
            let receipt = case.erased.receipt;
            let is_later = held
                .signed_at
                .zip(receipt)
                .is_some_and(|(seen, at)| seen >= at);
            if is_later && store.holder == Holder::Relay {
                let envelopes = held.envelopes.iter().zip(0..);
                for (_, place) in envelopes.filter(|(it, _)| !registered::is_empty(it)) {
                    let party = blame::holder(store, held);
                    let sequence = held.run.first_sequence.saturating_add(place);
                    let (ground, parties) = match case.erased.unordered {
                        None => (Ground::HeldAfterErasure, vec![party]),
                        Some(account) => {
                            let parties = vec![party, Party::Account { account }];
                            (Ground::ReceiptWithoutOrder, parties)
                        }
                    };
                    notes.find(ground, parties, Some(sequence));
                }
            }
            let mut wrong = |ground| notes.find(ground, vec![blame::holder(store, held)], first);
            if accounts::contradicts_blocks(facts, store, held) {
                wrong(Ground::StateContradictsBlocks);
            }
        }
        if !store.complete {
            let name = store.name.clone();
            notes.uncovered.push(Uncovered::ExportIncomplete { name });
        }
    }
    if !case.blocks_complete {
        notes.uncovered.push(Uncovered::BlocksNotAtHand);
    }
    for account in case.unread() {
        let account = key(account);
        notes.uncovered.push(Uncovered::NoExport { account });
    }
}

/// How far the chain is the device's beyond doubt.
fn trusted(case: &Case, entries: &[JudgedEntry], genesis: Option<LinkHash>) -> (u64, LinkHash) {
    let doubtful = |entry: &&JudgedEntry| {
        matches!(
            entry.verdict,
            Verdict::Forged | Verdict::Disputed | Verdict::NotCovered
        ) || entry.grounds.contains(&Ground::ChainContradictsItself)
    };
    let first = entries.iter().find(doubtful).map(|entry| entry.sequence);
    let length = first.map_or(case.record.length, |sequence| sequence - 1);
    let entry = entries.iter().find(|entry| entry.sequence == length);
    let start = genesis.unwrap_or(case.record.genesis);
    (length, entry.map_or(start, |entry| entry.link))
}

fn key(account: [u8; 32]) -> Key {
    Key(account)
}
