// SPDX-License-Identifier: Apache-2.0

//! Proofs that were used, for as long as they would be taken again.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use mhealth_api::Code;

use super::{ProofUse, Proofs};
use crate::SharedClock;

/// Proofs that are remembered at most in each of two halves. A full half is a table of 2²¹ places of 17 bytes.
const MOST: usize = 1 << 20;

type Id = [u8; ProofUse::LENGTH];

/// The proofs that this process has seen. Its memory has a bound: when it is reached, requests are answered with `overloaded`
/// until the oldest proofs have gone, because a proof that is forgotten too early could be used again. Whoever asks must bound
/// what a single device can add, and does so by counting its requests first.
///
/// Other processes of the same server have memories of their own.
pub struct Replays {
    /// Longer than any proof is good, in seconds.
    span: u64,
    most: usize,
    clock: SharedClock,
    seen: Mutex<Seen>,
}

/// Two halves, of which the older one is dropped as a whole.
#[derive(Default)]
struct Seen {
    since: u64,
    newer: HashSet<Id>,
    older: HashSet<Id>,
}

impl Replays {
    /// Remembers proofs that are checked there.
    pub fn of(proofs: &Proofs) -> Self {
        Self::with(proofs.longest(), MOST, proofs.clock.clone())
    }

    fn with(longest: u64, most: usize, clock: SharedClock) -> Self {
        Self {
            span: longest + 1,
            most,
            clock,
            seen: Mutex::default(),
        }
    }

    /// `replayed_proof` for one that was used. Uses up nothing.
    pub fn check(&self, proof: &ProofUse) -> Result<(), Code> {
        match self.seen().contains(&proof.id) {
            true => Err(Code::ReplayedProof),
            false => Ok(()),
        }
    }

    /// Uses a proof up: `replayed_proof` for whoever comes second.
    pub fn use_up(&self, proof: &ProofUse) -> Result<(), Code> {
        let now = self.clock.now();
        let mut seen = self.seen();
        seen.move_on(now, self.span);
        if seen.contains(&proof.id) {
            return Err(Code::ReplayedProof);
        }
        if seen.newer.len() >= self.most {
            return Err(Code::Overloaded);
        }
        seen.newer.insert(proof.id);
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen
            .lock()
            .expect("no holder of this lock panics; qed")
    }
}

impl Seen {
    fn contains(&self, id: &Id) -> bool {
        self.newer.contains(id) || self.older.contains(id)
    }

    /// What is in the newer half stays for one span at least.
    fn move_on(&mut self, now: u64, span: u64) {
        if now >= self.since.saturating_add(span) {
            self.older = std::mem::take(&mut self.newer);
            self.since = now;
        } else if now < self.since {
            // The clock was set back. What is here stays for a span from now on.
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ManualClock;

    fn proof(number: u64) -> ProofUse {
        let mut id = [0; ProofUse::LENGTH];
        id[..8].copy_from_slice(&number.to_be_bytes());
        ProofUse { id, until: 0 }
    }

    fn replays(most: usize) -> (Replays, Arc<ManualClock>) {
        let clock = ManualClock::at(1_000_000);
        (Replays::with(60, most, clock.clone()), clock)
    }

    #[test]
    fn a_proof_is_known_for_as_long_as_it_could_be_taken_again() {
        let (replays, clock) = replays(100);
        for round in 0..300 {
            let proof = proof(round);
            assert_eq!(replays.check(&proof), Ok(()));
            assert_eq!(replays.use_up(&proof), Ok(()));
            for _ in 0..4 {
                clock.advance(15);
                assert_eq!(replays.check(&proof), Err(Code::ReplayedProof), "{round}");
                assert_eq!(replays.use_up(&proof), Err(Code::ReplayedProof), "{round}");
            }
            clock.advance(round % 7);
        }
    }

    #[test]
    fn it_never_grows_beyond_its_bound_and_forgets_nothing_too_early_for_it() {
        let (replays, clock) = replays(100);
        for number in 0..100 {
            assert_eq!(replays.use_up(&proof(number)), Ok(()));
        }
        assert_eq!(replays.use_up(&proof(100)), Err(Code::Overloaded));
        assert_eq!(replays.use_up(&proof(0)), Err(Code::ReplayedProof));
        clock.advance(61);
        for number in 100..200 {
            assert_eq!(replays.use_up(&proof(number)), Ok(()));
        }
        assert_eq!(replays.use_up(&proof(0)), Err(Code::ReplayedProof));
        assert_eq!(replays.use_up(&proof(200)), Err(Code::Overloaded));
        let seen = replays.seen();
        assert_eq!(seen.newer.len() + seen.older.len(), 200);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_fills_it_nor_makes_it_forget() {
        let (clock, after) = (ManualClock::at(1_000_000), ManualClock::at(990_000));
        let mut replays = Replays::with(60, 100, clock);
        assert_eq!(replays.use_up(&proof(1)), Ok(()));
        replays.clock = after.clone();
        assert_eq!(replays.use_up(&proof(1)), Err(Code::ReplayedProof));
        for number in 2..1_000 {
            after.advance(61);
            assert_eq!(replays.use_up(&proof(number)), Ok(()), "{number}");
        }
    }
}
