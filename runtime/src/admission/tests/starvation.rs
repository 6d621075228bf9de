// SPDX-License-Identifier: Apache-2.0

//! Whatever one account submits, the others get in.
//!
//! Blocks are real; pool and author are played as a node's are: the pool has so many places and bytes, keeps each transaction at the
//! place that it had when it came, and sorts equal ones by when they came; the author takes them in this order, leaves out what does
//! not fit together with what follows it in its account, leaves a lane that has cost it too much time in this way or in all, and stops
//! when its clock says so.

use std::collections::{BTreeMap, BTreeSet};

use frame_support::{
    assert_ok,
    dispatch::DispatchClass,
    weights::{constants::WEIGHT_REF_TIME_PER_MILLIS, Weight},
};
use frame_system::BlockWeight;
use pallet_admission::Lane;
use pallet_client_hashchain::{Run, RunEntry, SuspensionReason};
use proptest::prelude::*;
use sp_core::H256;
use sp_keyring::Sr25519Keyring::{Alice, AliceStash, Bob, Charlie, Dave, Eve, One, Two};
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionPriority, TransactionValidityError,
};

use super::{
    batch, batch_of, block, enrol, length, next_block, pool, run_of, HashchainCall, Sender,
};
use crate::{
    limits::{MaxProposalWeight, AUTHOR_LOST, AUTHOR_SHARE, SLOT_MILLISECONDS},
    testing::development,
    BlockNumber, Consortium, Runtime, RuntimeCall, RuntimeOrigin, System, UncheckedExtrinsic,
};

mod crowds;

/// Bytes that a node's pool holds, by default.
const POOL: u32 = 128 * 1024 * 1024;

/// Transactions that it holds, by default.
const PLACES: usize = 65_536;

/// What it costs an author to find that a transaction does not fit, in picoseconds.
const PASSED_OVER: u64 = WEIGHT_REF_TIME_PER_MILLIS / 10;

/// What an author's clock gives it among others, in picoseconds: half of a slot, less a tenth.
const CLOCK: u64 = SLOT_MILLISECONDS * WEIGHT_REF_TIME_PER_MILLIS / 20 * 9;

/// Blocks within which a transaction of another role is included.
const SOON: BlockNumber = 3;

/// Blocks within which a relay's batch is included.
const BATCH_SOON: BlockNumber = 5;

struct Waiting {
    account: crate::AccountId,
    nonce: u32,
    transaction: UncheckedExtrinsic,
}

/// The pool of the author.
#[derive(Default)]
struct Pool {
    /// By place: lower goes first.
    waiting: BTreeMap<(TransactionPriority, u64), Waiting>,
    bytes: u32,
    arrivals: u64,
}

impl Pool {
    /// Takes a transaction if it is valid and there is room, or one behind it to make room.
    fn submit(&mut self, sender: Sender, nonce: u32, call: RuntimeCall) -> bool {
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
    fn author(&mut self, of: &crate::AccountId, nonce: u32) -> bool {
        let mut passed_over = BTreeSet::new();
        let (mut lost, mut used) = ([0; Lane::COUNT], [0; Lane::COUNT]);
        let mut gone = Vec::new();
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
                Ok(_) => {
                    *expected.get_mut(&waiting.account).expect("just made") += 1;
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
        let mut included = false;
        for place in gone {
            let gone = self.waiting.remove(&place).expect("it was there");
            self.bytes -= length(&gone.transaction);
            included |= gone.account == *of && gone.nonce == nonce;
        }
        next_block();
        included
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

/// What an attacker may send, as far as its role may.
#[derive(Clone, Debug)]
enum Attack {
    /// Runs that begin too late: so many, of so many entries.
    Gaps(u8, u8),
    /// Motions that do not exist are closed, with this many thousandths of the most that may be declared.
    Close(u16),
    /// A motion of one that does something heavy in vain.
    Propose(u8),
    /// Keys that are not proved.
    Keys,
    /// A device is suspended again and again.
    Suspend,
    /// Enrolments that fail, of the longest escrow.
    Enrol,
    /// A relay is added that is there.
    AddRelay,
}

impl Attack {
    fn call(&self, device: u32) -> RuntimeCall {
        match *self {
            Self::Gaps(runs, entries) => {
                let entry = RunEntry {
                    digest: H256::zero(),
                    tag: H256::zero(),
                };
                let entries = vec![entry; usize::from(entries)];
                let run = Run {
                    sequence: 1_000,
                    entries: entries.try_into().expect("it is short"),
                    ..run_of(device)
                };
                batch(vec![run; usize::from(runs)])
            }
            Self::Close(part) => pallet_collective::Call::close {
                proposal_hash: H256::repeat_byte(1),
                index: 0,
                proposal_weight_bound: Weight::from_parts(
                    MaxProposalWeight::get().ref_time() / 1_000 * u64::from(part),
                    0,
                ),
                length_bound: 0,
            }
            .into(),
            Self::Propose(kind) => {
                let heavy: RuntimeCall = match kind % 2 {
                    0 => frame_system::Call::set_code { code: vec![1] }.into(),
                    _ => frame_system::Call::remark {
                        remark: vec![0; 500_000],
                    }
                    .into(),
                };
                pallet_collective::Call::propose {
                    threshold: 1,
                    proposal: Box::new(heavy),
                    length_bound: 1_000_000,
                }
                .into()
            }
            Self::Keys => pallet_session::Call::set_keys {
                keys: crate::SessionKeys {
                    aura: Alice.public().into(),
                    grandpa: sp_core::ed25519::Public::from_raw([1; 32]).into(),
                },
                proof: vec![0; 128],
            }
            .into(),
            Self::Suspend => suspend(device),
            Self::Enrol => HashchainCall::enrol {
                study: 77,
                key: [1; 32],
                secret_commitment: H256::zero(),
                escrow: vec![1; 128].try_into().expect("it is short"),
                auditor_epoch: 0,
                participant: H256::zero(),
                predecessor: None,
                key_proof: [0; 64],
            }
            .into(),
            Self::AddRelay => pallet_studies::Call::add_relay {
                study: 0,
                account: Dave.to_account_id(),
            }
            .into(),
        }
    }
}

fn attack() -> impl Strategy<Value = Attack> {
    prop_oneof![
        4 => (1..=96u8, 0..=96u8).prop_map(|(runs, entries)| Attack::Gaps(runs, entries)),
        3 => (0..=1_000u16).prop_map(Attack::Close),
        1 => any::<u8>().prop_map(Attack::Propose),
        1 => Just(Attack::Keys),
        1 => Just(Attack::Suspend),
        1 => Just(Attack::Enrol),
        1 => Just(Attack::AddRelay),
    ]
}

fn suspend(device: u32) -> RuntimeCall {
    HashchainCall::suspend {
        device,
        reason: SuspensionReason::Lost,
    }
    .into()
}

/// One account of each role, and what it honestly sends.
fn parties() -> [(Sender, RuntimeCall, BlockNumber); 6] {
    let remove_relay = pallet_studies::Call::remove_relay {
        study: 0,
        account: Eve.to_account_id(),
    };
    let vote = pallet_collective::Call::vote {
        proposal: H256::zero(),
        index: 0,
        approve: true,
    };
    let purge_keys = pallet_session::Call::purge_keys {};
    [
        (One.into(), vote.into(), SOON),
        (Two.into(), purge_keys.into(), SOON),
        (Bob.into(), remove_relay.into(), SOON),
        (Charlie.into(), suspend(0), SOON),
        (Sender::Device(1), batch_of(&[0]), SOON),
        (Dave.into(), batch_of(&[0; 16]), BATCH_SOON),
    ]
}

/// Who attacks: one account of each role, two of them of one that has a victim.
fn attackers() -> [Sender; 6] {
    [
        Alice.into(),
        Two.into(),
        Bob.into(),
        Charlie.into(),
        Sender::Device(2),
        Eve.into(),
    ]
}

fn chain() -> sp_io::TestExternalities {
    let mut chain = development();
    chain.execute_with(|| {
        // With one more the member would be one of two.
        let members = [One, AliceStash].map(|who| who.to_account_id());
        let members = members.to_vec().try_into().expect("they are few");
        assert_ok!(Consortium::add_members(RuntimeOrigin::root(), members));
        pallet_consortium::Validators::<Runtime>::mutate(|validators| {
            validators
                .try_push(Two.to_account_id())
                .expect("there is room");
        });
        Consortium::admit(&Two.to_account_id());
        enrol(1);
        enrol(2);
        next_block();
    });
    chain
}

/// Blocks that a victim waited for, while an attacker sent so many of these calls before it and as many in every block.
fn waited(
    attacker: Sender,
    attacks: &[Attack],
    burst: usize,
    victim: usize,
    after: u32,
) -> BlockNumber {
    chain().execute_with(|| {
        let (sender, call, patience) = parties()[victim].clone();
        let mut pool = Pool::default();
        let mut nonce = 0;
        let mut calls = attacks.iter().cycle();
        let mut flood = |pool: &mut Pool, count: usize| {
            for attack in calls.by_ref().take(count) {
                if pool.submit(attacker, nonce, attack.call(1)) {
                    nonce += 1;
                }
            }
        };
        flood(&mut pool, burst);
        for _ in 0..after {
            pool.author(&sender.account(), u32::MAX);
            flood(&mut pool, burst);
        }
        assert!(pool.submit(sender, 0, call), "the victim was not heard");
        let mut blocks = 1;
        while !pool.author(&sender.account(), 0) {
            blocks += 1;
            assert!(blocks <= patience, "{attacks:?} kept {victim} waiting");
            flood(&mut pool, burst);
        }
        blocks
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_one_account_submits_the_others_get_in(
        attacker in 0..6usize,
        attacks in prop::collection::vec(attack(), 1..4),
        burst in 1..48usize,
        victim in 0..6usize,
        after in 0..4u32,
    ) {
        prop_assume!(attackers()[attacker].account() != parties()[victim].0.account());
        waited(attackers()[attacker], &attacks, burst, victim, after);
    }
}

/// A relay's account would close motions that do not exist, and declare the whole block for each.
#[test]
fn a_relay_cannot_close_motions_at_all() {
    chain().execute_with(|| {
        let mut pool = Pool::default();
        assert!(!pool.submit(Eve.into(), 0, Attack::Close(1_000).call(0)));
    });
}

#[test]
fn a_member_that_closes_nothing_with_all_its_might_keeps_nobody_out() {
    for victim in 0..6 {
        waited(
            Alice.into(),
            &[Attack::Close(1_000), Attack::Close(37)],
            40,
            victim,
            2,
        );
    }
}

#[test]
fn a_phone_that_floods_keeps_nobody_out() {
    for victim in [0, 1, 2, 3, 5] {
        waited(Sender::Device(2), &[Attack::Gaps(3, 255)], 48, victim, 2);
    }
}

#[test]
fn a_relay_that_floods_keeps_no_other_relay_waiting() {
    for attack in [Attack::Gaps(255, 1), Attack::Gaps(96, 255)] {
        waited(Eve.into(), &[attack], 48, 5, 3);
    }
}
