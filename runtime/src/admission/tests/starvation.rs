// SPDX-License-Identifier: Apache-2.0

//! Whatever one account submits, the others get in.
//!
//! Blocks are real; pool and author are played as a node's are: the pool has so many places and bytes, keeps each transaction at the
//! place that it had when it came, and sorts equal ones by when they came; the author takes them in this order, leaves out what does
//! not fit together with what follows it in its account, leaves a lane that has cost it too much time in this way or in all, and stops
//! when its clock says so.

use frame_support::{assert_ok, weights::Weight};
use pallet_client_hashchain::{Run, RunEntry, SuspensionReason};
use proptest::prelude::*;
use sp_core::H256;
use sp_keyring::Sr25519Keyring::{Alice, AliceStash, Bob, Charlie, Dave, Eve, Ferdie, One, Two};

use self::node::Pool;
use super::{batch, batch_of, enrol, run_of, HashchainCall, Sender};
use crate::{
    admission::motions::threshold, limits::MaxProposalWeight, testing::development, BlockNumber,
    Consortium, Runtime, RuntimeCall, RuntimeOrigin,
};

mod crowds;
mod every_call;
mod node;

/// A phone whose status offices change. Seeds of phones are their numbers here.
const OFFICES: u8 = 0;

/// The phone that writes, and waits.
const PHONE: u8 = 1;

/// The phone that floods.
const HOSTILE: u8 = 2;

/// Blocks within which a transaction of another role is included.
const SOON: BlockNumber = 3;

/// Blocks within which a relay's batch is included.
const BATCH_SOON: BlockNumber = 5;

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
                    threshold: threshold(&heavy),
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

/// One account of each role, and what it honestly sends. None of it keeps another one from what it sends.
fn parties() -> [(Sender, RuntimeCall, BlockNumber); 6] {
    let add_relay = pallet_studies::Call::add_relay {
        study: 0,
        account: Ferdie.to_account_id(),
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
        (Bob.into(), add_relay.into(), SOON),
        (Charlie.into(), suspend(OFFICES.into()), SOON),
        (Sender::Device(PHONE), batch_of(&[PHONE.into()]), SOON),
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
        Sender::Device(HOSTILE),
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
        for phone in [OFFICES, PHONE, HOSTILE] {
            enrol(phone);
        }
        super::next_block();
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
                if pool.submit(attacker, nonce, attack.call(HOSTILE.into())) {
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
        let close = Attack::Close(1_000).call(HOSTILE.into());
        assert!(!pool.submit(Eve.into(), 0, close));
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
        let attacks = [Attack::Gaps(3, 255)];
        waited(Sender::Device(HOSTILE), &attacks, 48, victim, 2);
    }
}

#[test]
fn a_relay_that_floods_keeps_no_other_relay_waiting() {
    for attack in [Attack::Gaps(255, 1), Attack::Gaps(96, 255)] {
        waited(Eve.into(), &[attack], 48, 5, 3);
    }
}
