// SPDX-License-Identifier: Apache-2.0

//! Which faults happen, in which order: the same for the same seed.
//!
//! A step waits for a number of acknowledgements and not for a time, so that it strikes while the servers are busy; the
//! moment itself depends on the machine.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

/// Relay servers in a fault run: two processes that share a database and an account, and one by itself.
pub(crate) const RELAYS: usize = 3;

/// A program that can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A process that plays a cohort of devices.
    Device,
    /// The authentication server.
    Auth,
    /// A relay server, by its number.
    Relay(usize),
    /// The node.
    Node,
    /// The relays' PostgreSQL.
    Postgres,
}

/// A connection that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Link {
    /// From devices to a relay.
    Relay(usize),
    /// From devices and relays to the authentication server.
    Auth,
    /// From a relay to the node.
    Node(usize),
}

/// A file system that can fill up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Disk {
    /// With the database of the relay that has one for itself.
    Relay,
    /// With the data of PostgreSQL.
    Postgres,
}

/// A server that a crowd can lean on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Leaned {
    /// A relay, by its number.
    Relay(usize),
    /// The authentication server.
    Auth,
}

/// Something that goes wrong, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`; started again after that time.
    Kill(Target, Duration),
    /// PostgreSQL is stopped in good order, and started again.
    Restart(Duration),
    /// Nothing can be written.
    DiskFull(Disk, Duration),
    /// Connections break, and can be made anew at once.
    Cut(Link),
    /// Connections break, and new ones are refused.
    Refuse(Link, Duration),
    /// Connections stay, and nothing gets through.
    Stall(Link, Duration),
    /// A relay stands still (`SIGSTOP`) and then goes on as if nothing had been, by then perhaps without its lease.
    Pause(usize, Duration),
    /// Three hundred hostile connections of one address lean on a server: slow bodies, idle ones, reads.
    Crowd(Leaned, Duration),
}

/// A fault and when it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// After so many further acknowledgements.
    pub(crate) acknowledgements: u64,
    /// Or after that time, when there are none.
    pub(crate) at_most: Duration,
    /// What happens.
    pub(crate) fault: Fault,
}

/// The steps for a seed, with so many kills among them. Without small disks, none fills up.
pub(crate) fn steps(seed: u64, kills: usize, small_disks: bool) -> Vec<Step> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut targets: Vec<Target> = KILLS.iter().copied().cycle().take(kills).collect();
    targets.shuffle(&mut rng);
    let mut others: Vec<Other> = Vec::new();
    let mut steps = Vec::new();
    for target in targets {
        let down = down(target, &mut rng);
        steps.push(step(Fault::Kill(target, down), &mut rng));
        // Two other faults for three kills.
        if rng.random_ratio(2, 3) {
            // Each kind comes before any comes again.
            if others.is_empty() {
                others = OTHERS.to_vec();
                others.shuffle(&mut rng);
            }
            let fault = others
                .pop()
                .and_then(|other| other.fault(small_disks, &mut rng));
            steps.extend(fault.map(|fault| step(fault, &mut rng)));
        }
    }
    steps
}

/// In these proportions.
const KILLS: [Target; 12] = [
    Target::Relay(0),
    Target::Device,
    Target::Relay(1),
    Target::Node,
    Target::Relay(2),
    Target::Auth,
    Target::Device,
    Target::Relay(0),
    Target::Postgres,
    Target::Relay(1),
    Target::Device,
    Target::Relay(2),
];

/// The kinds of faults beside kills.
#[derive(Clone, Copy)]
enum Other {
    Restart,
    DiskFull(Disk),
    Cut,
    Refuse,
    Stall,
    Pause,
    CrowdAtRelay,
    CrowdAtAuth,
}

const OTHERS: [Other; 10] = [
    Other::Restart,
    Other::DiskFull(Disk::Relay),
    Other::DiskFull(Disk::Postgres),
    Other::Cut,
    Other::Cut,
    Other::Refuse,
    Other::Stall,
    Other::Pause,
    Other::CrowdAtRelay,
    Other::CrowdAtAuth,
];

impl Other {
    fn fault(self, small_disks: bool, rng: &mut StdRng) -> Option<Fault> {
        let link = *links().choose(rng)?;
        Some(match self {
            Other::DiskFull(_) if !small_disks => return None,
            Other::Restart => Fault::Restart(millis(0..1_500, rng)),
            Other::DiskFull(disk) => Fault::DiskFull(disk, millis(500..4_000, rng)),
            Other::Cut => Fault::Cut(link),
            Other::Refuse => Fault::Refuse(link, millis(500..4_000, rng)),
            Other::Stall => Fault::Stall(link, millis(500..8_000, rng)),
            // Longer and shorter than a lease.
            Other::Pause => Fault::Pause(rng.random_range(0..RELAYS), millis(500..20_000, rng)),
            // Long enough for a crowd to come together, and for what it holds to be taken from it.
            Other::CrowdAtRelay => {
                let relay = Leaned::Relay(rng.random_range(0..RELAYS));
                Fault::Crowd(relay, millis(2_000..15_000, rng))
            }
            Other::CrowdAtAuth => Fault::Crowd(Leaned::Auth, millis(2_000..15_000, rng)),
        })
    }
}

fn links() -> Vec<Link> {
    let relays = (0..RELAYS).flat_map(|relay| [Link::Relay(relay), Link::Node(relay)]);
    relays.chain([Link::Auth]).collect()
}

/// Short for what everything else waits for, so that most steps strike a system that works.
fn down(target: Target, rng: &mut StdRng) -> Duration {
    match target {
        Target::Node | Target::Postgres => millis(0..1_000, rng),
        Target::Device | Target::Auth | Target::Relay(_) => millis(0..3_000, rng),
    }
}

fn step(fault: Fault, rng: &mut StdRng) -> Step {
    Step {
        acknowledgements: rng.random_range(0..60),
        at_most: millis(300..4_000, rng),
        fault,
    }
}

fn millis(range: std::ops::Range<u64>, rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

impl Fault {
    /// Its kind, by which faults are counted.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Fault::Kill(Target::Device, _) => "device killed",
            Fault::Kill(Target::Auth, _) => "authentication server killed",
            Fault::Kill(Target::Relay(_), _) => "relay killed",
            Fault::Kill(Target::Node, _) => "node killed",
            Fault::Kill(Target::Postgres, _) => "PostgreSQL killed",
            Fault::Restart(_) => "PostgreSQL restarted",
            Fault::DiskFull(Disk::Relay, _) => "disk of a relay full",
            Fault::DiskFull(Disk::Postgres, _) => "disk of PostgreSQL full",
            Fault::Cut(_) => "connections cut",
            Fault::Refuse(..) => "connections refused",
            Fault::Stall(..) => "connections stalled",
            Fault::Pause(..) => "relay paused",
            Fault::Crowd(Leaned::Relay(_), _) => "crowd at a relay",
            Fault::Crowd(Leaned::Auth, _) => "crowd at the authentication server",
        }
    }

    /// Whether something is killed by it.
    pub(crate) fn is_kill(&self) -> bool {
        matches!(self, Fault::Kill(..))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Fault::Kill(Target::Relay(relay), _) => write!(f, ", relay {relay}")?,
            Fault::Cut(link) | Fault::Refuse(link, _) | Fault::Stall(link, _) => {
                write!(f, ", {link:?}")?
            }
            Fault::Pause(relay, _) | Fault::Crowd(Leaned::Relay(relay), _) => {
                write!(f, ", relay {relay}")?
            }
            _ => {}
        }
        match self {
            Fault::Cut(_) => Ok(()),
            Fault::Kill(_, time)
            | Fault::Restart(time)
            | Fault::DiskFull(_, time)
            | Fault::Refuse(_, time)
            | Fault::Stall(_, time)
            | Fault::Pause(_, time)
            | Fault::Crowd(_, time) => write!(f, ", for {} ms", time.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_plan_and_another_seed_another() {
        assert_eq!(steps(7, 50, true), steps(7, 50, true));
        assert_ne!(steps(7, 50, true), steps(8, 50, true));
    }

    #[test]
    fn a_plan_has_the_kills_that_were_asked_for_and_every_kind_of_fault() {
        for seed in 0..20 {
            let plan = steps(seed, 40, true);
            let kills = plan.iter().filter(|step| step.fault.is_kill()).count();
            assert_eq!(kills, 40);
            let kinds: BTreeSet<_> = plan.iter().map(|step| step.fault.kind()).collect();
            assert_eq!(kinds.len(), 14, "{kinds:?}");
        }
    }

    #[test]
    fn no_disk_fills_up_when_there_is_none_to_fill() {
        let plan = steps(1, 200, false);
        assert!(!plan
            .iter()
            .any(|step| matches!(step.fault, Fault::DiskFull(..))));
    }
}
