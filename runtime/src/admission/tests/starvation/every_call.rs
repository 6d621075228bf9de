// SPDX-License-Identifier: Apache-2.0

//! Every call of the table floods, by each role that may make it, while one account of each role waits.
//!
//! Each call is sent with arguments of zeros, which fails most often, and, where somebody could do better, with arguments made by hand:
//! heavy ones, long ones, and such that the call succeeds over and over.

use codec::Encode;
use frame_support::traits::GetCallMetadata;
use hashchain::{DataDigest, LinkHash, Tag};
use pallet_client_hashchain::HostSha256;
use pallet_consortium::UrgentDecision;
use pallet_finality::ProofOf;
use sp_core::{ed25519, Pair};
use sp_io::hashing::blake2_256;
use sp_runtime::traits::{BlakeTwo256, Hash};

use super::{
    crowds::{report, upgrade},
    *,
};
use crate::{
    admission::{
        roles::Roles,
        table::{row, Row},
        tests::{enrolment, pair, session_keys::set_keys, table::calls},
    },
    AccountId, ClientHashchain, Council,
};

/// Transactions that an attacker tries to send before each block.
const BURST: u32 = 40;

/// Blocks of its flood before anybody else sends something.
const BEFORE: u32 = 2;

/// Calls of a flood that succeed at least, where they are to.
const OFTEN: u32 = 30;

/// The call of the transaction with this nonce.
type Make = Box<dyn FnMut(u32) -> RuntimeCall>;

/// How a flood is made by hand.
struct Made {
    /// Whether its calls succeed, one after the other.
    succeeds: bool,
    make: Make,
}

impl Made {
    fn failing(make: impl FnMut(u32) -> RuntimeCall + 'static) -> Option<Self> {
        Some(Self {
            succeeds: false,
            make: Box::new(make),
        })
    }

    fn succeeding(make: impl FnMut(u32) -> RuntimeCall + 'static) -> Option<Self> {
        Some(Self {
            succeeds: true,
            make: Box::new(make),
        })
    }

    /// One and the other by turns.
    fn by_turns(one: impl Into<RuntimeCall>, other: impl Into<RuntimeCall>) -> Option<Self> {
        let (one, other) = (one.into(), other.into());
        Self::succeeding(move |nonce| match nonce % 2 {
            0 => one.clone(),
            _ => other.clone(),
        })
    }
}

/// The flood that an attacker makes of this call, by its name, beside one of zeros.
fn made(call: &str, attacker: Sender) -> Option<Made> {
    use pallet_consortium::Call as Consortium;
    use pallet_studies::Call as Studies;
    let (study, account) = (0, Ferdie.to_account_id());
    let decision = || -> UrgentDecision<AccountId, H256> {
        let code_hash = H256::zero();
        UrgentDecision::AuthorizeUpgrade { code_hash }
    };
    match call {
        "apply_authorized_upgrade" => {
            const LONGEST: usize = 2 * 1024 * 1024 - 1024;
            Made::failing(|_| upgrade(LONGEST))
        }
        "report_final" => Made::failing(|_| {
            let proof = ProofOf::<Runtime>::try_from(vec![0; 32 * 1024]).expect("it is short");
            pallet_finality::Call::<Runtime>::report_final { set: 0, proof }.into()
        }),
        "report_conflict" => Made::failing(|_| report(60 * 1024)),
        "set_keys" => Made::succeeding(move |nonce| {
            let seed = if nonce % 2 == 0 { 7 } else { 8 };
            set_keys(&attacker, seed).into()
        }),
        // Who is the last with keys purges none.
        "purge_keys" => Made::failing(move |nonce| match nonce % 2 {
            0 => set_keys(&attacker, 7).into(),
            _ => pallet_session::Call::purge_keys {}.into(),
        }),
        // Two motions are taken; the others fail.
        "propose" => Made::failing(|nonce| Attack::Propose((nonce % 2) as u8).call(0)),
        "vote" => {
            let remark = frame_system::Call::<Runtime>::remark { remark: vec![1] };
            let motion = RuntimeCall::from(remark);
            let proposal = BlakeTwo256::hash_of(&motion);
            let proposer = RuntimeOrigin::signed(AliceStash.to_account_id());
            let ayes = threshold(&motion);
            assert_ok!(Council::propose(proposer, ayes, Box::new(motion), 1_000));
            let vote = move |approve| pallet_collective::Call::vote {
                proposal,
                index: 0,
                approve,
            };
            Made::by_turns(vote(true), vote(false))
        }
        "close" => Made::failing(|_| Attack::Close(1_000).call(0)),
        "vote_urgent" => Made::succeeding(move |_| {
            let decision = decision();
            Consortium::vote_urgent { decision }.into()
        }),
        "withdraw_urgent_vote" => Made::by_turns(
            Consortium::vote_urgent {
                decision: decision(),
            },
            Consortium::withdraw_urgent_vote {
                decision: decision(),
            },
        ),
        "close_study" | "reopen_study" => Made::by_turns(
            Studies::close_study { study: 1 },
            Studies::reopen_study { study: 1 },
        ),
        "set_auditor_key" => Made::succeeding(move |nonce| {
            let auditor_key = blake2_256(&nonce.encode());
            Studies::set_auditor_key { study, auditor_key }.into()
        }),
        "add_authentication_server" | "remove_authentication_server" => Made::by_turns(
            Studies::add_authentication_server {
                study,
                account: account.clone(),
            },
            Studies::remove_authentication_server { study, account },
        ),
        "add_relay" | "remove_relay" => Made::by_turns(
            Studies::add_relay {
                study,
                account: account.clone(),
            },
            Studies::remove_relay { study, account },
        ),
        "enrol" => Made::succeeding(|nonce| {
            let seed = blake2_256(&("flood", nonce).encode());
            enrolment(&ed25519::Pair::from_seed(&seed))
        }),
        "submit" => {
            let runs = runs_of_the_hostile_phone();
            Made::succeeding(move |nonce| {
                let run = runs[nonce as usize].clone();
                HashchainCall::submit { run }.into()
            })
        }
        "submit_batch" => {
            let runs = runs_of_the_hostile_phone();
            // The first of them are brought again and again.
            Made::succeeding(move |nonce| {
                let end = 1 + nonce as usize;
                let begin = end.saturating_sub(16);
                batch(runs[begin..end].to_vec())
            })
        }
        "suspend" | "resume" => {
            let device = OFFICES.into();
            Made::by_turns(suspend(device), HashchainCall::resume { device })
        }
        // With arguments of zeros they do what they do once, or find nothing.
        _ => None,
    }
}

/// As many runs as a flood can have, of an entry each, one after the other.
fn runs_of_the_hostile_phone() -> Vec<Run> {
    let device = HOSTILE.into();
    let head = ClientHashchain::head_of(device).expect("it is enrolled");
    let mut previous = head.hash;
    let entry = RunEntry {
        digest: H256::repeat_byte(3),
        tag: H256::repeat_byte(4),
    };
    let (digest, tag) = (DataDigest(entry.digest.0), Tag(entry.tag.0));
    let most = BURST * (1 + BEFORE + BATCH_SOON);
    let runs = (1..=u64::from(most)).map(|sequence| {
        let before = LinkHash(previous.0);
        let link = hashchain::link::<HostSha256>(sequence, &before, &digest, &tag);
        let run = Run {
            device,
            sequence,
            previous,
            entries: vec![entry].try_into().expect("it is short"),
            signature: Some(pair(HOSTILE).sign(&hashchain::head_message(&link)).0),
        };
        previous = H256(link.0);
        run
    });
    runs.collect()
}

/// How many transactions of a flood the pool took, and how many of them did what they are for.
struct Flood {
    sent: u32,
    done: u32,
}

/// Floods before everybody else sends something, and until all of them are in blocks, which has to be soon.
fn flood(name: &str, attacker: Sender, mut make: impl FnMut(u32) -> RuntimeCall) -> Flood {
    let mut pool = Pool::default();
    let mut flood = Flood { sent: 0, done: 0 };
    let mut burst = |pool: &mut Pool, flood: &mut Flood| {
        for _ in 0..BURST {
            // What was refused would be again until there is another block.
            if !pool.submit(attacker, flood.sent, make(flood.sent)) {
                break;
            }
            flood.sent += 1;
        }
    };
    let block = |pool: &mut Pool, flood: &mut Flood| {
        let taken = pool.make_block();
        let own = taken.iter().filter(|it| it.account == attacker.account());
        flood.done += own.filter(|it| it.done).count() as u32;
        taken
    };
    burst(&mut pool, &mut flood);
    for _ in 0..BEFORE {
        block(&mut pool, &mut flood);
        burst(&mut pool, &mut flood);
    }
    let mut waiting: Vec<_> = parties()
        .into_iter()
        .filter(|(sender, ..)| sender.account() != attacker.account())
        .collect();
    for (sender, call, _) in &waiting {
        let heard = pool.submit(*sender, 0, call.clone());
        assert!(heard, "{name} by {attacker:?}: {sender:?} was not heard");
    }
    for number in 1..=BATCH_SOON {
        let taken = block(&mut pool, &mut flood);
        waiting.retain(|(sender, ..)| {
            let mut of_all = taken.iter();
            !of_all.any(|it| it.account == sender.account() && it.nonce == 0)
        });
        for (sender, _, patience) in &waiting {
            let is_early = number < *patience;
            assert!(is_early, "{name} by {attacker:?} kept {sender:?} waiting");
        }
        burst(&mut pool, &mut flood);
    }
    flood
}

/// Whether an account with this role alone may make the call; a device has none of the roles.
fn may(call: &RuntimeCall, role: Roles) -> bool {
    match row(call) {
        Row::Runs => role == Roles::RELAY || role == Roles::NONE,
        Row::Office(may, _) => may.any(role),
        Row::Nobody => false,
    }
}

/// All calls that a role may make, each in floods of its own. How many calls those were.
fn siege(role: Roles, attacker: impl Into<Sender>) -> usize {
    let attacker = attacker.into();
    let mut floods = 0;
    for call in calls().into_iter().filter(|call| may(call, role)) {
        let name = call.get_call_metadata().function_name;
        let zeros = chain().execute_with(|| flood(name, attacker, |_| call.clone()));
        let by_hand = chain().execute_with(|| {
            let Made { succeeds, make } = made(name, attacker)?;
            let flood = flood(name, attacker, make);
            let done = flood.done;
            assert!(!succeeds || done >= OFTEN, "{name} by {attacker:?}: {done}");
            Some(flood)
        });
        let sent = zeros.sent + by_hand.map_or(0, |flood| flood.sent);
        assert!(sent > 0, "{name} by {attacker:?} was never taken");
        floods += 1;
    }
    floods
}

#[test]
fn whatever_call_a_member_floods_with_everybody_else_gets_in() {
    assert!(siege(Roles::MEMBER, Alice) >= 12);
}

#[test]
fn whatever_call_a_validator_floods_with_everybody_else_gets_in() {
    assert!(siege(Roles::VALIDATOR, Two) >= 6);
}

#[test]
fn whatever_call_a_sponsor_floods_with_everybody_else_gets_in() {
    assert!(siege(Roles::SPONSOR, Bob) >= 17);
}

#[test]
fn whatever_call_a_server_floods_with_everybody_else_gets_in() {
    assert!(siege(Roles::SERVER, Charlie) >= 9);
}

#[test]
fn whatever_call_a_relay_floods_with_everybody_else_gets_in() {
    assert!(siege(Roles::RELAY, Eve) >= 7);
}

#[test]
fn whatever_call_a_phone_floods_with_everybody_else_gets_in() {
    assert_eq!(siege(Roles::NONE, Sender::Device(HOSTILE)), 2);
}
