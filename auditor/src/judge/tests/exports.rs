// SPDX-License-Identifier: Apache-2.0

//! Relays answer for what they signed, and nobody for what nobody signed. Words, times and the order of exports judge nobody.

use mhealth_api::{Key, Refusal, RunState, RunUpload};
use mhealth_testing::phone::record;
use proptest::prelude::*;

use super::world::{altered, foreign, World, DAVE, EVE};
use crate::case::{Case, RelayStore};
use crate::export::Holder;
use crate::judge::{judge, Judgement, ON_ITS_WAY};
use crate::verdict::{Finding, Ground, JudgedEntry, Outcome, Party, Uncovered, Verdict};

fn relay(account: [u8; 32]) -> Party {
    Party::Relay {
        account: Key(account),
    }
}

fn unsigned(name: &str) -> Party {
    Party::RelayStore { name: name.into() }
}

fn no_export(account: [u8; 32]) -> Uncovered {
    Uncovered::NoExport {
        account: Key(account),
    }
}

/// Whom a judgement names on a ground.
fn named(judgement: &Judgement, ground: Ground) -> Vec<Vec<Party>> {
    let findings = judgement.findings.iter();
    let found = findings.filter(|finding| finding.ground == ground);
    found.map(|finding| finding.parties.clone()).collect()
}

fn registered(judgement: &Judgement, sequence: u64) -> &JudgedEntry {
    let mut entries = judgement.entries.iter();
    entries
        .find(|entry| entry.registered && entry.sequence == sequence)
        .unwrap()
}

/// A run of three through Dave, another of two through Eve.
fn trial(device_signed: bool) -> World {
    let mut world = World::new(device_signed);
    for (relay, count) in [(0, 3), (1, 2)] {
        let parcel = record(&mut world.phone, count, "a night");
        assert_eq!(world.relay(relay, &parcel), RunState::Finalised);
    }
    world
}

#[test]
fn a_hostile_export_with_anothers_receipts_is_charged_to_nobody() {
    let world = trial(true);
    let mut case = world.case();
    // Dave's lines, one byte of each envelope changed and one run left out, in an export that no account signed.
    let mut bob = case.stores[0].clone();
    (bob.name, bob.account, bob.complete) = ("bob".into(), None, false);
    for envelope in &mut bob.runs[0].envelopes {
        envelope.digest.0[0] ^= 1;
    }
    for first in [true, false] {
        let mut case = world.case();
        case.stores.insert(if first { 0 } else { 2 }, bob.clone());
        let judgement = judge(&case);
        let envelopes = named(&judgement, Ground::EnvelopeDiffers);
        assert_eq!(envelopes, [[unsigned("bob")]]);
        assert_eq!(registered(&judgement, 1).parties, [unsigned("bob")]);
        assert_eq!(named(&judgement, Ground::BroughtButNotHeld).len(), 0);
    }
    // Instead of Dave's own: his entries are not covered, and neither he nor anybody else is said to have lost them.
    bob.runs.clear();
    case.stores[0] = bob;
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Missing), 0);
    assert!(judgement.findings.is_empty(), "{judgement:?}");
    let expected = [
        no_export(DAVE),
        Uncovered::ExportIncomplete { name: "bob".into() },
    ];
    assert_eq!(registered(&judgement, 1).uncovered, expected);
}

#[test]
fn an_audit_without_a_relays_export_says_which_and_calls_nothing_missing() {
    for left_out in [DAVE, EVE] {
        let mut case = trial(true).case();
        case.stores.retain(|store| store.account != Some(left_out));
        let judgement = judge(&case);
        assert_eq!(judgement.outcome(), Outcome::NotCovered, "{judgement:?}");
        assert_eq!(judgement.count(Verdict::Missing), 0);
        let (own, others) = match left_out {
            DAVE => (1, 4),
            _ => (4, 1),
        };
        assert_eq!(registered(&judgement, own).uncovered, [no_export(left_out)]);
        assert_eq!(registered(&judgement, others).verdict, Verdict::Valid);
        assert_eq!(judgement.uncovered, [no_export(left_out)]);
    }
    // What the relay that is read has lost of its own is still held against it.
    let mut case = trial(true).case();
    case.stores.pop();
    case.stores[0].runs.clear();
    let judgement = judge(&case);
    let lost = named(&judgement, Ground::BroughtButNotHeld);
    assert_eq!(lost, [[relay(DAVE)]]);
    assert_eq!(judgement.count(Verdict::Missing), 0);
}

/// A genuine run that waits in Dave's store, with what Dave says of it.
fn waiting(state: RunState) -> World {
    let mut world = trial(true);
    let parcel = record(&mut world.phone, 1, "a night");
    world.store(0, &parcel, state);
    world
}

#[test]
fn a_refusal_that_no_block_has_is_a_contradiction_and_no_excuse() {
    for state in [
        RunState::Refused,
        RunState::Conflicting,
        RunState::Finalised,
    ] {
        let mut world = waiting(state.clone());
        world.stores[0].runs[1].reason = Some(Refusal::Gap);
        let judgement = world.audit();
        let found = named(&judgement, Ground::StateContradictsBlocks);
        assert_eq!(found, [[relay(DAVE)]], "{state:?}");
        assert_eq!(judgement.entries[5].parties, [relay(DAVE)]);
        assert_eq!(judgement.outcome(), Outcome::Wrong);
        // Where nobody signed it, nobody is charged.
        world.stores[0].account = None;
        let found = named(&world.audit(), Ground::StateContradictsBlocks);
        assert_eq!(found, [[unsigned("dave")]]);
        world.stores[0].account = Some(DAVE);

        // A block that the audit has not come to proves nothing, and excuses nothing.
        let later = world.block + 1;
        world.stores[0].runs[1].settled_at = Some(later);
        let judgement = world.audit();
        assert_eq!(named(&judgement, Ground::StateContradictsBlocks).len(), 0);
        assert_eq!(judgement.entries[5].uncovered, [Uncovered::OnItsWay]);
        world.stores[0].runs[1].signed_at = Some(world.block);
        world.block += ON_ITS_WAY + 1;
        world.stores[0].runs[1].settled_at = Some(world.block + 1);
        let withheld = named(&world.audit(), Ground::Withheld);
        assert_eq!(withheld, [[relay(DAVE)]]);
    }
}

#[test]
fn a_refusal_that_a_block_has_is_no_fault_of_who_brought_the_run() {
    let mut world = trial(true);
    let first = record(&mut world.phone, 1, "a night");
    let second = record(&mut world.phone, 1, "a night");
    assert_eq!(world.relay(0, &second), RunState::Refused);
    assert_eq!(world.audit().findings.len(), 1, "a gap, and not its maker");
    assert_eq!(world.relay(0, &first), RunState::Finalised);
    world.block += 2 * ON_ITS_WAY;
    let judgement = world.audit();
    let last = judgement.entries.last().unwrap();
    let why = Refusal::Gap;
    assert_eq!(last.uncovered, [Uncovered::Refused { why }]);
    assert_eq!(judgement.outcome(), Outcome::NotCovered, "{judgement:?}");
    // Dave's refusal is not Eve's.
    world.store(1, &second, RunState::Refused);
    let found = named(&world.audit(), Ground::StateContradictsBlocks);
    assert_eq!(found, [[relay(EVE)]]);
}

#[test]
fn the_relays_clock_judges_nobody() {
    for received_at in [0, 1, u64::MAX] {
        let mut world = waiting(RunState::Pending);
        for store in &mut world.stores {
            for held in &mut store.runs {
                held.received_at = received_at;
            }
        }
        let judgement = world.audit();
        assert!(judgement.findings.is_empty(), "{judgement:?}");
        assert_eq!(judgement.entries[5].uncovered, [Uncovered::OnItsWay]);
    }
}

#[test]
fn who_brought_what_it_says_it_stored_later_had_the_run_before() {
    let mut world = waiting(RunState::Pending);
    let since = world.block;
    world.stores[0].runs[1].held_since = Some(since);
    world.block += ON_ITS_WAY;
    assert!(world.audit().findings.is_empty());
    world.block += 1;
    let withheld = named(&world.audit(), Ground::Withheld);
    assert_eq!(withheld, [[relay(DAVE)]]);
    // Nobody is held to an order that nobody signed, and not to what somebody brought.
    let mut case = world.case();
    case.stores[0].account = None;
    assert!(judge(&case).findings.is_empty());
    case = world.case();
    case.blocks_complete = false;
    assert!(judge(&case).findings.is_empty());
}

/// In a study without signatures Dave brings an entry with a genuine one's tag, before the genuine one is brought.
fn tag_taken() -> (World, RunUpload) {
    let mut world = World::new(false);
    let genuine = record(&mut world.phone, 1, "a bad night");
    assert_eq!(world.relay(0, &altered(&genuine)), RunState::Finalised);
    (world, genuine)
}

#[test]
fn a_tag_taken_from_a_genuine_entry_names_every_relay_that_had_it() {
    let (mut world, genuine) = tag_taken();
    world.store(1, &genuine, RunState::Pending);
    let judgement = world.audit();
    let forged = registered(&judgement, 1);
    assert_eq!(forged.grounds[0], Ground::TagTakenFromGenuine);
    let both = [relay(DAVE), relay(EVE)];
    assert_eq!(forged.parties, both);
    let displaced = named(&judgement, Ground::DisplacedByForgery);
    assert_eq!(displaced, std::slice::from_ref(&both));

    // Shown by an export that nobody signed: whoever made it had the entry, and Eve may have had it.
    world.stores[1].account = None;
    let expected = [relay(DAVE), unsigned("eve"), Party::UnreadRelay];
    assert_eq!(registered(&world.audit(), 1).parties, expected);

    // Shown by a phone, while Eve's export is not at hand.
    world.stores[1].holder = Holder::Phone;
    let expected = [relay(DAVE), Party::UnreadRelay];
    assert_eq!(registered(&world.audit(), 1).parties, expected);

    // Eve brought it, which she signed on the chain, and shows nothing.
    let (mut world, genuine) = tag_taken();
    world.bring(EVE, &genuine);
    assert_eq!(registered(&world.audit(), 1).parties, both);

    // Dave's own store has it, all relays are read, and nobody else had it.
    let (mut world, genuine) = tag_taken();
    world.store(0, &genuine, RunState::Pending);
    assert_eq!(registered(&world.audit(), 1).parties, [relay(DAVE)]);
}

#[test]
fn an_older_export_answers_for_the_blocks_that_its_relay_had_seen() {
    let mut world = trial(true);
    let seen = world.block;
    for store in &mut world.stores {
        store.block = Some(seen);
    }
    let later = record(&mut world.phone, 1, "a later night");
    assert_eq!(world.bring(EVE, &later), RunState::Finalised);
    let judgement = world.audit();
    assert!(judgement.findings.is_empty(), "{judgement:?}");
    let too_old = |name: &str| Uncovered::ExportTooOld {
        name: name.into(),
        block: seen,
    };
    let expected = [too_old("dave"), too_old("eve")];
    assert_eq!(registered(&judgement, 6).uncovered, expected);

    // With a later export of the same relays beside it, nothing is lacking.
    world.stores.extend(world.stores.clone());
    world.stores[2].block = None;
    world.stores[3].block = None;
    world.store(3, &later, RunState::Finalised);
    let judgement = world.audit();
    assert_eq!(judgement.outcome(), Outcome::Right, "{judgement:?}");
    // And what the later one has lost is found, though the older has it.
    world.stores[3].runs.remove(0);
    let lost = named(&world.audit(), Ground::BroughtButNotHeld);
    assert_eq!(lost, [[relay(EVE)]]);
}

#[test]
fn a_phones_queue_is_no_relays_store() {
    let mut world = trial(true);
    let queued = record(&mut world.phone, 1, "a night that no relay has");
    world.stores.push(RelayStore {
        name: "phone".into(),
        holder: Holder::Phone,
        account: None,
        complete: true,
        block: None,
        runs: Vec::new(),
    });
    world.store(2, &queued, RunState::Pending);
    let judgement = world.audit();
    assert!(judgement.findings.is_empty(), "{judgement:?}");
    assert_eq!(judgement.entries[5].uncovered, [Uncovered::OnItsWay]);
    assert_eq!(judgement.count(Verdict::Valid), 5);
    // It is nothing that a relay would have to be read for.
    world.stores[0].runs.clear();
    assert_eq!(world.audit().count(Verdict::Missing), 3);
}

/// What a judgement says, whatever exports are called.
fn said(judgement: &Judgement) -> (Vec<JudgedEntry>, Vec<Finding>, Vec<Uncovered>, Outcome) {
    let mut entries = judgement.entries.clone();
    for entry in &mut entries {
        entry.held_by = vec![String::new(); entry.held_by.len()];
    }
    let (findings, uncovered) = (judgement.findings.clone(), judgement.uncovered.clone());
    (entries, findings, uncovered, judgement.outcome())
}

/// An attack of a kind, through relays and stores that hold, lose, alter or contradict.
fn attacked(kind: usize, device_signed: bool, tampered: &[(usize, usize)]) -> Case {
    let mut world = trial(device_signed);
    let head = world.record.head;
    let genuine = record(&mut world.phone, 2, "a bad night");
    match kind {
        0 => {
            world.relay(0, &altered(&genuine));
            world.relay(1, &genuine);
        }
        1 => {
            world.relay(1, &foreign(6, head, "not the phone's"));
            world.relay(0, &genuine);
        }
        2 => {
            world.store(0, &genuine, RunState::Pending);
            world.store(1, &genuine, RunState::Refused);
        }
        _ => {
            world.relay(1, &genuine);
            world.relay(0, &genuine);
        }
    }
    // A second export of each, so that several are one account's.
    world.stores.extend(world.stores.clone());
    for (store, what) in tampered {
        let store = &mut world.stores[store % 4];
        match what % 5 {
            0 => drop(store.runs.pop()),
            1 => store.account = None,
            2 => store.complete = false,
            3 => store.runs.reverse(),
            _ => {
                let runs = store.runs.iter_mut();
                for envelope in runs.flat_map(|held| &mut held.envelopes) {
                    envelope.digest.0[3] ^= 1;
                }
            }
        }
    }
    world.case()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_order_of_exports_changes_nothing(
        kind in 0..4usize,
        device_signed in any::<bool>(),
        tampered in prop::collection::vec((0..4usize, 0..5usize), 0..5),
        order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let mut case = attacked(kind, device_signed, &tampered);
        // Nameless exports are called by their place, so names do not go along, save that one nobody signed is told by its name.
        for store in &mut case.stores {
            store.name = "one".into();
        }
        let before = said(&judge(&case));
        case.stores = order.map(|place| case.stores[place].clone()).to_vec();
        prop_assert_eq!(before, said(&judge(&case)));
    }
}
