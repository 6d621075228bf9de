// SPDX-License-Identifier: Apache-2.0

//! Random calls by all roles, and beside the chain a model that says what should come of them.
//!
//! The model (`world`, `steps`, `runs`, `consortium`, `motions`, `rules`) is written to be believed by whoever reads it: lists of
//! studies, devices and entries, whole histories that are compared entry by entry, no pages, budgets, caches or counters. Each call
//! is decided by the model and dispatched to the pallets of the real runtime; outcome, events and what it touched must be the same,
//! and the pallets' own invariants must hold. From time to time everything is compared.
//!
//! What the model leaves out: session keys, reports of validators, and all of finality and upgrades but what members decide, have
//! tests of their own; what a call is charged, and so the budget of walks, is no outcome here. Decisions come from motions that were
//! voted on and, so that more of them are made, from the council's origin alone. Of each kind some motions must do what they are for.
//!
//! The long form, with its figure in docs/explained/security.md:
//!
//! ```sh
//! MODEL_CALLS=1000000 MODEL_SEED=1 cargo test --release -p mhealth-runtime --lib model -- --nocapture
//! ```

mod chain;
mod consortium;
mod motions;
mod rules;
mod runs;
mod steps;
mod strategy;
mod world;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use frame_support::traits::GetCallMetadata;
use pallet_client_hashchain::RetirementDelay;
use pallet_consortium::Call as Consortium;
use sp_keyring::Sr25519Keyring::{Alice, Bob, Charlie, Dave, Eve};
use sp_runtime::traits::{BlakeTwo256, Hash as _};

use crate::{
    testing::{local, DAY_ONE},
    Runtime, RuntimeCall, System,
};
use motions::Executed;
use runs::Verdict;
use steps::{Act, Outcome};
use strategy::{Step, Strategy};
use world::World;

/// Calls to one chain. Then another begins, so that histories stay short enough to be compared whole.
const CALLS_A_CHAIN: u64 = 500;

/// Calls between two comparisons of everything.
const COMPARE_ALL: u64 = 100;

/// Calls of the short form for each of its seeds.
const SHORT: (u64, [u64; 3]) = (7_000, [1, 2, 3]);

/// The calls that are made, each of which is done at times.
const CALLS: [&str; 33] = [
    "enrol",
    "submit",
    "submit_batch",
    "suspend",
    "resume",
    "retire",
    "veto_retirement",
    "erase",
    "create_study",
    "close_study",
    "reopen_study",
    "add_authentication_server",
    "remove_authentication_server",
    "add_relay",
    "remove_relay",
    "replace_sponsor",
    "set_allowance",
    "set_auditor_key",
    "rotate",
    "propose",
    "vote",
    "close",
    "kill",
    "disapprove_proposal",
    "dispatch_as_root",
    "add_validator",
    "remove_validator",
    "add_members",
    "remove_member",
    "swap_member",
    "change_key",
    "vote_urgent",
    "withdraw_urgent_vote",
];

/// For what runs are refused at times: all but `BeyondReach`, as histories here are short.
const REASONS: [&str; 14] = [
    "EmptyRun",
    "InvalidSequence",
    "UnknownDevice",
    "NotARelayOfThisStudy",
    "StudyClosed",
    "DeviceSuspended",
    "DeviceRetired",
    "Gap",
    "PreviousIsNotHead",
    "Fork",
    "SignatureMissing",
    "BadSignature",
    "StudyAllowanceUsed",
    "DeviceAllowanceUsed",
];

/// What members decide by motions, upgrades as Root. Each is carried at times and changes something.
const DECISIONS: [&str; 13] = [
    "create_study",
    "replace_sponsor",
    "set_allowance",
    "kill",
    "disapprove_proposal",
    "add_validator",
    "remove_validator",
    "add_members",
    "remove_member",
    "swap_member",
    "note_stalled",
    "dispatch_as_root",
    "authorize_upgrade",
];

/// Of each there is one at least in so many calls. Some four are expected of the rarest.
const CALLS_A_DECISION: u64 = 7_000;

/// What is counted of a call that a carried motion made and that changed something.
const CARRIED: &str = "a motion did it";

/// How often each call came to what.
type Tally = BTreeMap<(String, String), u64>;

/// The preset with four members, which the model builds like everything that follows.
fn beginning() -> World {
    let organisations = [Alice, Bob, Charlie, Dave].map(|key| key.to_account_id());
    let mut world = World {
        block: DAY_ONE,
        chain: System::block_hash(0).0,
        members: organisations.iter().cloned().collect(),
        validators: organisations.to_vec(),
        keyed: organisations.iter().cloned().collect(),
        known: organisations.iter().cloned().collect(),
        retirement_delay: RetirementDelay::<Runtime>::get(),
        default_allowance: Some(crate::configs::DefaultAllowance::get()),
        ..World::default()
    };
    for (study, device_signed) in [(0, true), (1, false)] {
        let auditor = crate::genesis::DEVELOPMENT_AUDITOR_KEY;
        world.add_study(Bob.to_account_id(), device_signed, auditor);
        for server in [Charlie, Dave, Eve].map(|key| key.to_account_id()) {
            world.admit(study, &server).expect("the allowance is large");
            let of = world.study(study).expect("it was added");
            if server == Charlie.to_account_id() {
                of.servers.insert(server);
            } else {
                of.relays.insert(server);
            }
        }
    }
    world
}

/// Plays so many calls on a chain of its own.
fn play(seed: u64, calls: u64, tally: &mut Tally) -> Result<(), String> {
    let mut world = beginning();
    let mut strategy = Strategy::new(seed);
    chain::begin();
    chain::compare_all(&world, strategy.accounts())?;
    let mut made = 0;
    while made < calls {
        match strategy.next(&mut world) {
            Step::Blocks(blocks) => {
                chain::pass(blocks);
                world.block += blocks;
            }
            Step::Call(act) => {
                made += 1;
                one(&mut world, &act, tally)
                    .and_then(|()| match made % COMPARE_ALL {
                        0 => chain::compare_all(&world, strategy.accounts()),
                        _ => Ok(()),
                    })
                    .map_err(|difference| format!("call {made}, {act:?}:\n{difference}"))?;
            }
        }
    }
    chain::compare_all(&world, strategy.accounts())
}

/// One call, decided by the model and by the chain.
fn one(world: &mut World, act: &Act, tally: &mut Tally) -> Result<(), String> {
    chain::compare_admission(world, act)?;
    let from = world.journal.len();
    world.executed = None;
    let model = world.act(act);
    let chain = chain::dispatch(act);
    count(tally, act, &model, world.executed.as_ref());
    chain::compare_outcome(act, chain, &model)?;
    chain::compare_executed(world)?;
    chain::compare_touched(world, act, from)?;
    chain::try_state()
}

fn count(tally: &mut Tally, act: &Act, outcome: &Outcome, executed: Option<&Executed>) {
    let mut add = |call: &str, what: String| *tally.entry((call.into(), what)).or_default() += 1;
    let name = name_of(&act.call);
    let verdicts = match outcome {
        Err(error) => return add(name, (*error).into()),
        Ok(verdicts) => verdicts,
    };
    add(name, "done".into());
    match executed.map(|executed| executed.outcome) {
        Some(Ok(())) => add(name, "what a motion is for is done".into()),
        Some(Err(error)) => add(name, format!("what a motion is for: {error}")),
        None => (),
    }
    for call in executed.map(done_by).unwrap_or_default() {
        add(call, CARRIED.into());
    }
    for verdict in verdicts {
        let what = match verdict {
            Verdict::Recorded { known: 0 } => "a run is registered".into(),
            Verdict::Recorded { .. } => "a run overlaps".into(),
            Verdict::Known => "a run is known".into(),
            Verdict::Refused(reason, None) => format!("a run: {reason:?}"),
            Verdict::Refused(reason, Some(rival)) => {
                format!("a rival, signed {}: {reason:?}", rival.signed)
            }
        };
        add(name, what);
    }
}

/// The call that a motion made and those within it, if they changed anything.
fn done_by(executed: &Executed) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut call = Some(&executed.call).filter(|_| executed.outcome.is_ok() && executed.changed);
    while let Some(made) = call {
        names.push(name_of(made));
        call = match made {
            RuntimeCall::Consortium(Consortium::dispatch_as_root { call }) => Some(&**call),
            _ => None,
        };
    }
    names
}

fn name_of(call: &RuntimeCall) -> &'static str {
    call.get_call_metadata().function_name
}

/// Plays so many calls on chains beside each other, and says how often each came to what.
fn play_all(seed: u64, calls: u64) -> Tally {
    let chains = calls.div_ceil(CALLS_A_CHAIN);
    let next = AtomicU64::new(0);
    let worker = || {
        let mut tally = Tally::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= chains {
                return tally;
            }
            let calls = CALLS_A_CHAIN.min(calls - number * CALLS_A_CHAIN);
            let seed_of = BlakeTwo256::hash_of(&(seed, number)).to_low_u64_be();
            let played = local().execute_with(|| play(seed_of, calls, &mut tally));
            played.unwrap_or_else(|difference| {
                panic!("MODEL_SEED={seed}, chain {number}, {difference}")
            });
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let mut all = Tally::new();
        for tally in workers {
            let tally = tally
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for (what, times) in tally {
                *all.entry(what).or_default() += times;
            }
        }
        all
    })
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {value}")),
    )
}

#[test]
#[allow(clippy::print_stdout, reason = "the figures of the long form")]
fn random_calls_by_all_roles_come_to_what_the_model_says() {
    let begin = Instant::now();
    let (short, seeds) = SHORT;
    let (calls, seeds) = match number("MODEL_CALLS") {
        Some(calls) => (calls, vec![number("MODEL_SEED").unwrap_or(1)]),
        None => (short, seeds.to_vec()),
    };
    let mut tally = Tally::new();
    for seed in &seeds {
        for (what, times) in play_all(*seed, calls) {
            *tally.entry(what).or_default() += times;
        }
    }
    for ((call, what), times) in &tally {
        println!("{times:8} {call}: {what}");
    }
    // What never came up was not compared.
    for call in CALLS {
        let done = (call.to_string(), "done".to_string());
        assert!(tally.contains_key(&done), "{call} was never done");
    }
    for reason in REASONS {
        let refused = ("submit".to_string(), reason.to_string());
        assert!(
            tally.contains_key(&refused),
            "no run was refused for {reason}"
        );
    }
    let made = calls * seeds.len() as u64;
    let least = made / CALLS_A_DECISION;
    for call in DECISIONS {
        let carried = tally.get(&(call.to_string(), CARRIED.to_string()));
        let carried = carried.copied().unwrap_or_default();
        assert!(
            carried >= least,
            "{carried} motions did what {call} is for, of {least} at least"
        );
    }
    println!(
        "calls={made} seeds={seeds:?} differences=0 seconds={}",
        begin.elapsed().as_secs()
    );
}
