// SPDX-License-Identifier: Apache-2.0

//! Gives each lane of transactions its part of an author's time.
//!
//! The runtime bounds what a lane may take of a block (`pallets/admission`), but not how long an author tries what does not fit.
//! The proposer of the SDK takes what waits by its place: the highest lane first. Each transaction that does not fit its lane's share
//! is checked in full all the same, and thousands of accounts may have sent one. After eight such the proposer ends the block as soon
//! as half of its time is over, and the last lane, that of the relays, has had nothing.
//!
//! So a lane in which too much time was lost for nothing is left for this block, and the next lane comes. What was lost there is all
//! that did not get into the block, for whatever reason: it took its time, too. What is left out stays in the pool.
//!
//! A lane's share of a block's weight may be more time than an author has, on a slow machine or after late blocks. So a lane also has
//! its share of the author's time and is left after it, whatever came of that time. The last lane has the rest.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use mhealth_runtime::{
    limits::{AUTHOR_LOST, AUTHOR_SHARE},
    opaque::Block,
    Hash,
};
use sc_transaction_pool_api::{
    ImportNotificationStream, InPoolTransaction, PoolStatus, ReadyTransactions, TransactionFor,
    TransactionPool, TransactionSource, TransactionStatusStreamFor, TxHash, TxInvalidityReportMap,
};

use super::FullPool;

/// How many lanes there are. The lane of a transaction is in the upper half of its priority.
const LANES: usize = AUTHOR_LOST.len();

/// The proposer waits for the pool for this part of its time at most, and says so.
const PART_FOR_THE_POOL: u32 = 8;

/// What waits for a block.
type Waiting<T> = Box<dyn ReadyTransactions<Item = Arc<T>> + Send>;

/// A pool of which an author sees each lane for no longer than is good for the others.
pub(super) struct LanePool(Arc<FullPool>);

impl LanePool {
    /// Of what waits in this pool.
    pub(super) fn new(pool: Arc<FullPool>) -> Self {
        Self(pool)
    }
}

#[async_trait]
impl TransactionPool for LanePool {
    type Block = Block;
    type Hash = <FullPool as TransactionPool>::Hash;
    type InPoolTransaction = <FullPool as TransactionPool>::InPoolTransaction;
    type Error = <FullPool as TransactionPool>::Error;

    async fn submit_at(
        &self,
        at: Hash,
        source: TransactionSource,
        transactions: Vec<TransactionFor<Self>>,
    ) -> Result<Vec<Result<TxHash<Self>, Self::Error>>, Self::Error> {
        self.0.submit_at(at, source, transactions).await
    }

    async fn submit_one(
        &self,
        at: Hash,
        source: TransactionSource,
        transaction: TransactionFor<Self>,
    ) -> Result<TxHash<Self>, Self::Error> {
        self.0.submit_one(at, source, transaction).await
    }

    async fn submit_and_watch(
        &self,
        at: Hash,
        source: TransactionSource,
        transaction: TransactionFor<Self>,
    ) -> Result<Pin<Box<TransactionStatusStreamFor<Self>>>, Self::Error> {
        self.0.submit_and_watch(at, source, transaction).await
    }

    async fn ready_at(&self, at: Hash) -> Waiting<Self::InPoolTransaction> {
        self.0.ready_at(at).await
    }

    fn ready(&self) -> Waiting<Self::InPoolTransaction> {
        self.0.ready()
    }

    async fn report_invalid(
        &self,
        at: Option<Hash>,
        invalid: TxInvalidityReportMap<TxHash<Self>>,
    ) -> Vec<Arc<Self::InPoolTransaction>> {
        self.0.report_invalid(at, invalid).await
    }

    fn futures(&self) -> Vec<Self::InPoolTransaction> {
        self.0.futures()
    }

    fn status(&self) -> PoolStatus {
        self.0.status()
    }

    fn import_notification_stream(&self) -> ImportNotificationStream<TxHash<Self>> {
        self.0.import_notification_stream()
    }

    fn on_broadcasted(&self, propagations: HashMap<TxHash<Self>, Vec<String>>) {
        self.0.on_broadcasted(propagations);
    }

    fn hash_of(&self, transaction: &TransactionFor<Self>) -> TxHash<Self> {
        self.0.hash_of(transaction)
    }

    fn ready_transaction(&self, hash: &TxHash<Self>) -> Option<Arc<Self::InPoolTransaction>> {
        self.0.ready_transaction(hash)
    }

    /// What the proposer asks for.
    async fn ready_at_with_timeout(
        &self,
        at: Hash,
        timeout: Duration,
    ) -> Waiting<Self::InPoolTransaction> {
        let waiting = self.0.ready_at_with_timeout(at, timeout).await;
        Box::new(Lanes::new(waiting, timeout * PART_FOR_THE_POOL))
    }
}

/// What waits for a block, without the rest of the lanes in which too much time was lost or used.
struct Lanes<T> {
    waiting: Waiting<T>,
    /// The author's time.
    time: Duration,
    /// What was lost of it in each lane.
    lost: [Duration; LANES],
    /// What was used of it in each lane, the lost time included.
    used: [Duration; LANES],
    /// When the author was given the last transaction.
    given: Instant,
    /// The lane of that transaction.
    at: Option<usize>,
}

impl<T: InPoolTransaction> Lanes<T> {
    fn new(waiting: Waiting<T>, time: Duration) -> Self {
        Self {
            waiting,
            time,
            lost: [Duration::ZERO; LANES],
            used: [Duration::ZERO; LANES],
            given: Instant::now(),
            at: None,
        }
    }

    /// Whether the author still looks at this lane.
    fn is_open(&self, lane: usize) -> bool {
        self.lost[lane] <= self.time / AUTHOR_LOST[lane]
            && self.used[lane] <= self.time * AUTHOR_SHARE[lane] / 100
    }
}

/// What has no lane, such as reports of validators, goes with the first.
fn lane(transaction: &impl InPoolTransaction) -> usize {
    let lane = usize::try_from(*transaction.priority() >> 32);
    lane.map_or(LANES - 1, |lane| lane.min(LANES - 1))
}

impl<T: InPoolTransaction> Iterator for Lanes<T> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        if let Some(lane) = self.at.take() {
            self.used[lane] += self.given.elapsed();
        }
        loop {
            let next = self.waiting.next()?;
            let lane = lane(&*next);
            if self.is_open(lane) {
                self.at = Some(lane);
                self.given = Instant::now();
                return Some(next);
            }
            // What follows it in its account cannot be included without it, whatever its lane.
            self.waiting.report_invalid(&next);
        }
    }
}

impl<T: InPoolTransaction> ReadyTransactions for Lanes<T> {
    /// Told by the author of what does not fit, and of what is invalid.
    fn report_invalid(&mut self, transaction: &Arc<T>) {
        self.lost[lane(&**transaction)] += self.given.elapsed();
        self.waiting.report_invalid(transaction);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, thread::sleep, vec::IntoIter};

    use sc_transaction_pool_api::{TransactionLongevity, TransactionPriority, TransactionTag};

    use super::*;

    const RELAY: u64 = 0;
    const DEVICE: u64 = 1;
    const STUDY: u64 = 2;
    const CONSORTIUM: u64 = 3;

    /// Longer than an author may lose in a lane of [`SHORT`].
    const LONG: Duration = Duration::from_millis(12);
    const SHORT: Duration = Duration::from_millis(100);
    const HOUR: Duration = Duration::from_secs(3_600);

    /// A transaction that has a priority and nothing else.
    struct Fake(TransactionPriority);

    impl InPoolTransaction for Fake {
        type Transaction = ();
        type Hash = ();

        fn data(&self) -> &() {
            &()
        }

        fn hash(&self) -> &() {
            &()
        }

        fn priority(&self) -> &TransactionPriority {
            &self.0
        }

        fn longevity(&self) -> &TransactionLongevity {
            &TransactionLongevity::MAX
        }

        fn requires(&self) -> &[TransactionTag] {
            &[]
        }

        fn provides(&self) -> &[TransactionTag] {
            &[]
        }

        fn is_propagable(&self) -> bool {
            true
        }
    }

    /// The lanes of what was reported, one after the other.
    type Reported = Arc<Mutex<Vec<usize>>>;

    struct Queue(IntoIter<Arc<Fake>>, Reported);

    impl Iterator for Queue {
        type Item = Arc<Fake>;

        fn next(&mut self) -> Option<Arc<Fake>> {
            self.0.next()
        }
    }

    impl ReadyTransactions for Queue {
        fn report_invalid(&mut self, transaction: &Arc<Fake>) {
            let mut reported = self.1.lock().expect("nobody panicked");
            reported.push(lane(&**transaction));
        }
    }

    /// What an author of so much time sees of transactions of these lanes.
    fn author(lanes: &[u64], time: Duration) -> (Lanes<Fake>, Reported) {
        let fakes = lanes.iter().map(|lane| Arc::new(Fake(lane << 32)));
        let waiting: Vec<_> = fakes.collect();
        let reported = Reported::default();
        let queue = Queue(waiting.into_iter(), reported.clone());
        (Lanes::new(Box::new(queue), time), reported)
    }

    /// The lanes of all that the author sees when it loses so much time with each transaction of one lane, and none otherwise.
    fn seen(lanes: &mut Lanes<Fake>, of: u64, loss: Duration) -> Vec<u64> {
        let mut seen = Vec::new();
        while let Some(next) = lanes.next() {
            let lane = *next.priority() >> 32;
            seen.push(lane);
            if lane == of {
                sleep(loss);
                lanes.report_invalid(&next);
            }
        }
        seen
    }

    #[test]
    fn a_lane_that_costs_time_for_nothing_is_left_and_the_next_one_comes() {
        for slow in [DEVICE, STUDY, CONSORTIUM] {
            let waiting = [slow, slow, slow, RELAY, RELAY];
            let (mut lanes, reported) = author(&waiting, SHORT);
            assert_eq!(seen(&mut lanes, slow, LONG), [slow, RELAY, RELAY]);
            // Those that the author did not see, too: what follows them in their accounts must not come either.
            let reported = reported.lock().expect("nobody panicked");
            assert_eq!(*reported, [slow as usize; 3]);
        }
    }

    #[test]
    fn what_is_refused_quickly_keeps_its_lane_open() {
        let waiting = [DEVICE; 1_000];
        let (mut lanes, _) = author(&waiting, HOUR);
        assert_eq!(seen(&mut lanes, DEVICE, Duration::ZERO).len(), 1_000);
    }

    #[test]
    fn what_gets_into_the_block_may_take_its_time() {
        // More than may be lost, and less than the lane's share.
        let (mut lanes, reported) = author(&[STUDY, STUDY, RELAY], SHORT * 10);
        for expected in [STUDY, STUDY, RELAY] {
            let next = lanes.next().expect("its lane is open");
            assert_eq!(*next.priority() >> 32, expected);
            sleep(LONG * 10);
        }
        assert!(reported.lock().expect("nobody panicked").is_empty());
    }

    /// On a slow machine a lane's share of the block is more than all of the author's time.
    #[test]
    fn a_lane_that_has_had_its_share_of_time_is_left_and_the_next_one_comes() {
        for slow in [DEVICE, STUDY, CONSORTIUM] {
            let (mut lanes, reported) = author(&[slow, slow, slow, RELAY, RELAY], SHORT);
            let mut seen = Vec::new();
            for next in lanes.by_ref() {
                let lane = *next.priority() >> 32;
                seen.push(lane);
                if lane == slow {
                    sleep(SHORT * AUTHOR_SHARE[lane as usize] / 100 + LONG);
                }
            }
            assert_eq!(seen, [slow, RELAY, RELAY]);
            let reported = reported.lock().expect("nobody panicked");
            assert_eq!(*reported, [slow as usize; 2]);
        }
    }

    #[test]
    fn the_last_lane_is_left_when_the_block_is_full_and_not_for_one_that_does_not_fit() {
        let (mut lanes, _) = author(&[RELAY; 3], SHORT);
        let lost = SHORT / AUTHOR_LOST[0] + LONG;
        assert_eq!(seen(&mut lanes, RELAY, lost).len(), 1);
        let (mut lanes, _) = author(&[RELAY; 2], SHORT * 10);
        assert_eq!(seen(&mut lanes, RELAY, LONG).len(), 2);
    }

    #[test]
    fn the_lanes_are_those_of_the_runtime() {
        assert_eq!(LANES, pallet_admission::Lane::COUNT);
        assert_eq!(
            pallet_admission::Lane::ALL[0],
            pallet_admission::Lane::Relay
        );
        assert_eq!(lane(&Fake(TransactionPriority::MAX)), LANES - 1);
    }
}
