// SPDX-License-Identifier: Apache-2.0

//! Which faults of the network happen, in which order: the same for the same seed.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Validators of the network.
pub(crate) const VALIDATORS: usize = 4;
/// The one that has a disk of its own, which can be made full.
pub(crate) const OWN_DISK: usize = 3;
/// Their accounts.
pub(crate) const ACCOUNTS: [&str; VALIDATORS] = ["//Alice", "//Bob", "//Charlie", "//Dave"];

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Nothing: four of four.
    StopNone,
    /// A validator is stopped in good order.
    StopOne,
    /// Two validators are stopped.
    StopTwo,
    /// A validator is killed (`kill -9`).
    Kill,
    /// Two validators do not reach the two others.
    PartHalves,
    /// One validator does not reach the three others.
    PartOne,
    /// A validator is killed and its database is lost.
    LoseDatabase,
    /// The disk of a validator is full.
    FullDisk,
    /// The link of a validator is slow.
    Slow,
    /// The link of a validator loses packets.
    Lossy,
    /// The clock of a validator is minutes off.
    WrongClock,
    /// A relay's node is killed, and its balancer leads it to another one.
    RelayMoves,
    /// A new node joins by warp sync.
    JoinWarp,
    /// A new node joins by state sync: it takes all blocks, and executes none before the state of a final one is there.
    JoinState,
    /// An account of every role floods the chain.
    Flood,
    /// The keys of a validator are on a second node.
    Equivocate,
}

/// A fault with its circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The validator that is struck, or the first of two.
    pub(crate) victim: usize,
    /// The second of two.
    pub(crate) second: usize,
    /// How long it lasts at least.
    pub(crate) time: Duration,
    /// Seconds that a wrong clock is off.
    pub(crate) off: i64,
    /// Percent of packets that are lost.
    pub(crate) loss: u32,
}

/// So many faults of each of these kinds, in any order. Validators contradict themselves in turn: the chain records a kind of
/// contradiction once for each of them and session, so the same one again would have to wait for the next session.
pub(crate) fn faults(seed: u64, each: usize, kinds: &[Kind]) -> Vec<Fault> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut faults: Vec<Fault> = Vec::new();
    for kind in kinds {
        faults.extend((0..each).map(|_| fault(*kind, &mut rng)));
    }
    faults.shuffle(&mut rng);
    let twins = faults
        .iter_mut()
        .filter(|fault| fault.kind == Kind::Equivocate);
    for (turn, fault) in twins.enumerate() {
        fault.victim = turn % VALIDATORS;
        fault.second = (turn + 1) % VALIDATORS;
    }
    faults
}

fn fault(kind: Kind, rng: &mut StdRng) -> Fault {
    let victim = rng.random_range(0..VALIDATORS);
    let victim = match kind {
        Kind::FullDisk => OWN_DISK,
        _ => victim,
    };
    // No quarter of an hour: a clock that is off by one cannot be told from that of another place.
    let minutes = rng.random_range(2..10);
    let sign = if rng.random_bool(0.5) { 1 } else { -1 };
    Fault {
        kind,
        victim,
        second: (victim + rng.random_range(1..VALIDATORS)) % VALIDATORS,
        time: Duration::from_millis(rng.random_range(8_000..20_000)),
        off: sign * minutes * 60,
        loss: rng.random_range(5..25),
    }
}

impl Kind {
    /// Its name, as on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Fault {
    /// The other validators than the two.
    pub(crate) fn rest(&self) -> Vec<usize> {
        let two = [self.victim, self.second];
        (0..VALIDATORS).filter(|one| !two.contains(one)).collect()
    }

    /// The other validators than the first.
    pub(crate) fn others(&self) -> Vec<usize> {
        (0..VALIDATORS).filter(|one| *one != self.victim).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (victim, second) = (self.victim, self.second);
        write!(f, "{}", self.kind.name())?;
        match self.kind {
            Kind::StopTwo => write!(f, ", validators {victim} and {second}"),
            Kind::PartHalves => write!(f, ", {victim} and {second} from {:?}", self.rest()),
            Kind::WrongClock => write!(f, ", validator {victim} by {} s", self.off),
            Kind::Lossy => write!(f, ", validator {victim}, {} %", self.loss),
            Kind::StopNone | Kind::JoinWarp | Kind::JoinState | Kind::Flood => Ok(()),
            _ => write!(f, ", validator {victim}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_faults_and_another_seed_others() {
        let kinds = Kind::value_variants();
        assert_eq!(faults(7, 3, kinds), faults(7, 3, kinds));
        assert_ne!(faults(7, 3, kinds), faults(8, 3, kinds));
    }

    #[test]
    fn there_are_so_many_of_each_kind_and_two_victims_are_two() {
        let mut times: BTreeMap<Kind, u32> = BTreeMap::new();
        for fault in faults(1, 20, Kind::value_variants()) {
            *times.entry(fault.kind).or_default() += 1;
            assert_ne!(fault.victim, fault.second);
            assert_eq!(fault.rest().len(), 2);
            assert_ne!(fault.off % (15 * 60), 0, "its log would not show it");
        }
        assert_eq!(times.len(), Kind::value_variants().len());
        assert!(times.values().all(|times| *times == 20), "{times:?}");
    }

    #[test]
    fn validators_contradict_themselves_in_turn() {
        let faults = faults(3, 4, &[Kind::Kill, Kind::Equivocate]);
        let twins = faults.iter().filter(|one| one.kind == Kind::Equivocate);
        let victims: Vec<usize> = twins.map(|fault| fault.victim).collect();
        assert_eq!(victims, [0, 1, 2, 3]);
    }
}
