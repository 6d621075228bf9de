// SPDX-License-Identifier: Apache-2.0

//! A node as these tests play it: its pool, and its author.

use std::collections::{BTreeMap, BTreeSet};

use frame_support::{dispatch::DispatchClass, weights::constants::WEIGHT_REF_TIME_PER_MILLIS};
use frame_system::BlockWeight;
use pallet_admission::Lane;
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionPriority, TransactionValidityError,
};

use crate::{
    admission::tests::{block, length, next_block, pool, Sender},
    limits::{AUTHOR_LOST, AUTHOR_SHARE, SLOT_MILLISECONDS},
    AccountId, Runtime, RuntimeCall, System, UncheckedExtrinsic,
};

/// Bytes that a node's pool holds, by default.
pub(super) const POOL: u32 = 128 * 1024 * 1024;

/// Transactions that it holds, by default.
pub(super) const PLACES: usize = 65_536;

/// What it costs an author to find that a transaction does not fit, in picoseconds.
const PASSED_OVER: u64 = WEIGHT_REF_TIME_PER_MILLIS / 10;

/// What an author's clock gives it among others, in picoseconds: half of a slot, less a tenth.
const CLOCK: u64 = SLOT_MILLISECONDS * WEIGHT_REF_TIME_PER_MILLIS / 20 * 9;

/// A transaction that waits.
pub(super) struct Waiting {
    pub(super) account: AccountId,
    nonce: u32,
    transaction: UncheckedExtrinsic,
}

/// A transaction that a block has taken.
pub(super) struct Taken {
    pub(super) account: AccountId,
    pub(super) nonce: u32,
    /// Whether the call did what it is for.
    pub(super) done: bool,
}

/// The pool of the author.
#[derive(Default)]
pub(super) struct Pool {
    /// By place: lower goes first.
    pub(super) waiting: BTreeMap<(TransactionPriority, u64), Waiting>,
    pub(super) bytes: u32,
    arrivals: u64,
}

impl Pool {
    /// Takes a transaction if it is valid and there is room, or one behind it to make room.
    pub(super) fn submit(&mut self, sender: Sender, nonce: u32, call: RuntimeCall) -> bool {
        let transaction = sender.signed(nonce, call);
        let Ok(validity) = pool(transaction.clone()) else {
            return false;
        };
        let place = (TransactionPriority::MAX - validity.priority, self.arrivals);
        self.arrivals += 1;
        let bytes = length(&transaction);
        while self.bytes + bytes > POOL || self.waiting.len() >= PLACES {
            match self.waiting.last_entry() {
                Some(last) if *last.key() > place => {
                    self.bytes -= length(&last.remove().transaction);
                }
                _ => return false,
            }
        }
        self.bytes += bytes;
        let waiting = Waiting {
            account: sender.account(),
            nonce,
            transaction,
        };
        self.waiting.insert(place, waiting);
        true
    }

    /// Makes a block of what waits, and begins the next. Says whether this transaction was in it.
    pub(super) fn author(&mut self, of: &AccountId, nonce: u32) -> bool {
        let taken = self.make_block();
        taken
            .iter()
            .any(|taken| taken.account == *of && taken.nonce == nonce)
    }

    /// Makes a block of what waits, and begins the next. Says what was in it.
    pub(super) fn make_block(&mut self) -> Vec<Taken> {
        let mut passed_over = BTreeSet::new();
        let (mut lost, mut used) = ([0; Lane::COUNT], [0; Lane::COUNT]);
        let (mut gone, mut all_taken) = (Vec::new(), Vec::new());
        // A transaction comes when the one before it of its account has been taken, and then at once if its place is earlier.
        let mut open: BTreeSet<_> = self.waiting.keys().copied().collect();
        let mut expected = BTreeMap::new();
        while let Some(place) = open.iter().copied().find(|place| {
            let waiting = &self.waiting[place];
            let next = expected
                .entry(waiting.account.clone())
                .or_insert_with(|| System::account_nonce(&waiting.account));
            let lane = lane(*place);
            let is_left = lost[lane] > CLOCK / u64::from(AUTHOR_LOST[lane])
                || used[lane] > CLOCK / 100 * u64::from(AUTHOR_SHARE[lane]);
            waiting.nonce <= *next && !is_left && !passed_over.contains(&waiting.account)
        }) {
            open.remove(&place);
            let waiting = &self.waiting[&place];
            let before = spent();
            match block(waiting.transaction.clone()) {
                Ok(outcome) => {
                    *expected.get_mut(&waiting.account).expect("just made") += 1;
                    all_taken.push(Taken {
                        account: waiting.account.clone(),
                        nonce: waiting.nonce,
                        done: outcome.is_ok(),
                    });
                    gone.push(place);
                }
                Err(refusal) if exhausted(refusal) => {
                    passed_over.insert(waiting.account.clone());
                    lost[lane(place)] += PASSED_OVER;
                    used[lane(place)] += PASSED_OVER;
                }
                Err(_) => gone.push(place),
            }
            used[lane(place)] += spent() - before;
            if spent() + lost.iter().sum::<u64>() > CLOCK {
                break;
            }
        }
        for place in gone {
            let gone = self.waiting.remove(&place).expect("it was there");
            self.bytes -= length(&gone.transaction);
        }
        next_block();
        all_taken
    }
}

/// The lane of a place.
fn lane(place: (TransactionPriority, u64)) -> usize {
    ((TransactionPriority::MAX - place.0) >> 32) as usize
}

fn exhausted(refusal: TransactionValidityError) -> bool {
    refusal == InvalidTransaction::ExhaustsResources.into()
}

/// The time that an author has spent, by what was charged.
fn spent() -> u64 {
    let weight = BlockWeight::<Runtime>::get();
    [DispatchClass::Normal, DispatchClass::Operational]
        .map(|class| weight.get(class).ref_time())
        .iter()
        .sum()
}
