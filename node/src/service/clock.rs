// SPDX-License-Identifier: Apache-2.0

//! Stops the author in time.
//!
//! A proposal that is not ready when its slot is over is thrown away whole. The proposer of the SDK stops with a tenth
//! of its time left, which is too little for the last batch and the storage root of a full block, and for a database
//! whose readers have to wait for most of a second now and then. Here it stops at a share of the slot, long before the
//! proposal would be thrown away, and earlier still for a while when one has come close to that: see [`Pace`].

use std::{
    future::Future,
    pin::Pin,
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use mhealth_runtime::{limits::SLOT_MILLISECONDS, opaque::Block, Header};
use sp_api::ProvideRuntimeApi;
use sp_consensus::{Environment, Proposal, ProposeArgs, Proposer};
use sp_consensus_aura::{sr25519::AuthorityId, AuraApi};
use substrate_prometheus_endpoint::{Counter, U64};

use super::FullClient;

/// The share of a slot in which transactions go into a block when others have to execute it before the next slot: as
/// long again for them, and what the network takes.
const AMONG_OTHERS: f64 = 0.5;

/// The same for a validator that is alone, as on a development chain. What is left is for the last batch, the storage
/// root, and a database that keeps its readers waiting.
const ALONE: f64 = 0.7;

/// A slot.
const SLOT: Duration = Duration::from_millis(SLOT_MILLISECONDS);

/// How much of its time an author takes, in thousandths, having learned from its last proposals: additive increase,
/// multiplicative decrease, like the window of a TCP sender (RFC 5681, section 3.1).
///
/// What makes a proposal late is mostly a database or a machine that is busy for a while, so the next would be late,
/// too.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace(u32);

impl Pace {
    const FULL: Self = Self(1_000);

    /// The share of a slot after which a proposal was so close to being thrown away that the next has to be shorter.
    const LATE: f64 = 0.8;

    /// The time that a late proposal leaves to the next, in thousandths of its own.
    const DECREASE: u32 = 750;

    /// The least that any number of late proposals leaves.
    const LEAST: Self = Self(250);

    /// What each proposal that was not late gives back.
    const INCREASE: u32 = 10;

    /// After a proposal that took so long until it was ready or thrown away.
    fn after(self, took: Duration) -> Self {
        if took > SLOT.mul_f64(Self::LATE) {
            Self((self.0 * Self::DECREASE / Self::FULL.0).max(Self::LEAST.0))
        } else {
            Self((self.0 + Self::INCREASE).min(Self::FULL.0))
        }
    }

    /// What is left of a time.
    fn of(self, time: Duration) -> Duration {
        time * self.0 / Self::FULL.0
    }
}

/// The pace of an author, which all of its proposers share.
#[derive(Clone)]
struct SharedPace {
    pace: Arc<AtomicU32>,
    discarded: Option<Counter<U64>>,
}

impl SharedPace {
    fn new(discarded: Option<Counter<U64>>) -> Self {
        Self {
            pace: Arc::new(AtomicU32::new(Pace::FULL.0)),
            discarded,
        }
    }

    fn now(&self) -> Pace {
        Pace(self.pace.load(Ordering::Relaxed))
    }

    /// Learns from how long a future takes, whether it ends or is dropped before.
    fn watch<T>(&self, future: impl Future<Output = T>) -> impl Future<Output = T> {
        let mut stopwatch = Stopwatch {
            began: Instant::now(),
            pace: self.clone(),
            is_ready: false,
        };
        async move {
            let output = future.await;
            stopwatch.is_ready = true;
            drop(stopwatch);
            output
        }
    }
}

struct Stopwatch {
    began: Instant,
    pace: SharedPace,
    is_ready: bool,
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        let next = self.pace.now().after(self.began.elapsed());
        // One proposal is made at a time, so nobody writes in between.
        self.pace.pace.store(next.0, Ordering::Relaxed);
        if let (false, Some(discarded)) = (self.is_ready, &self.pace.discarded) {
            discarded.inc();
        }
    }
}

/// Makes proposers that stop in time.
pub(super) struct Clocked<F> {
    factory: F,
    client: Arc<FullClient>,
    pace: SharedPace,
}

impl<F> Clocked<F> {
    /// Around a factory of proposers. Proposals that are thrown away are counted.
    pub(super) fn new(
        factory: F,
        client: Arc<FullClient>,
        discarded: Option<Counter<U64>>,
    ) -> Self {
        Self {
            factory,
            client,
            pace: SharedPace::new(discarded),
        }
    }

    /// How long a block upon this one may take.
    fn time(&self, parent: &Header) -> Duration {
        let authorities: Result<Vec<AuthorityId>, _> =
            self.client.runtime_api().authorities(parent.hash());
        let alone = authorities.is_ok_and(|authorities| authorities.len() == 1);
        let share = if alone { ALONE } else { AMONG_OTHERS };
        self.pace.now().of(SLOT.mul_f64(share))
    }
}

impl<F> Environment<Block> for Clocked<F>
where
    F: Environment<Block>,
    F::CreateProposer: 'static,
{
    type Proposer = ClockedProposer<F::Proposer>;
    type CreateProposer =
        Pin<Box<dyn Future<Output = Result<Self::Proposer, Self::Error>> + Send + 'static>>;
    type Error = F::Error;

    fn init(&mut self, parent: &Header) -> Self::CreateProposer {
        let time = self.time(parent);
        let pace = self.pace.clone();
        let proposer = self.factory.init(parent);
        Box::pin(async move {
            Ok(ClockedProposer {
                proposer: proposer.await?,
                time,
                pace,
            })
        })
    }
}

/// A proposer that stops in time.
pub(super) struct ClockedProposer<P> {
    proposer: P,
    time: Duration,
    pace: SharedPace,
}

impl<P: Proposer<Block>> Proposer<Block> for ClockedProposer<P> {
    type Error = P::Error;
    type Proposal =
        Pin<Box<dyn Future<Output = Result<Proposal<Block>, Self::Error>> + Send + 'static>>;

    fn propose(self, args: ProposeArgs<Block>) -> Self::Proposal {
        let max_duration = args.max_duration.min(self.time);
        let proposal = self.proposer.propose(ProposeArgs {
            max_duration,
            ..args
        });
        Box::pin(self.pace.watch(proposal))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::{executor::block_on, poll};

    use super::*;

    const LATE: Duration = Duration::from_millis(SLOT_MILLISECONDS * 9 / 10);
    const IN_TIME: Duration = Duration::from_millis(SLOT_MILLISECONDS * 6 / 10);

    #[test]
    fn late_proposals_shorten_the_next_and_those_in_time_give_it_back_slowly() {
        assert_eq!(Pace::FULL.after(IN_TIME), Pace::FULL);
        let after_late = Pace::FULL.after(LATE);
        assert_eq!(after_late.of(SLOT), SLOT * 3 / 4);
        let mut pace = after_late;
        let mut blocks = 0;
        while pace != Pace::FULL {
            pace = pace.after(IN_TIME);
            blocks += 1;
        }
        assert_eq!(blocks, 25);
        let slowest = (0..100).fold(Pace::FULL, |pace, _| pace.after(LATE));
        assert_eq!(slowest.of(SLOT), SLOT / 4);
    }

    #[test]
    fn a_proposal_is_watched_until_it_is_ready_or_thrown_away() {
        let count = Counter::new("discarded", "For the test.").expect("a good name");
        let pace = SharedPace::new(Some(count.clone()));
        pace.pace.store(500, Ordering::Relaxed);
        assert_eq!(block_on(pace.watch(ready(7))), 7);
        assert_eq!(pace.now(), Pace(510));
        assert_eq!(count.get(), 0);
        let mut discarded = Box::pin(pace.watch(pending::<()>()));
        assert!(block_on(async { poll!(&mut discarded) }).is_pending());
        assert_eq!(pace.now(), Pace(510));
        drop(discarded);
        assert_eq!(pace.now(), Pace(520));
        assert_eq!(count.get(), 1);
    }
}
