// SPDX-License-Identifier: Apache-2.0

//! Who may bring runs of a study, who no longer may, and who never could.

use hashchain::MAX_INDEX;
use mhealth_api::{Key, Refusal, RunState, RunUpload};
use mhealth_testing::phone::record;

use super::world::{foreign, World, DAVE, EVE};
use crate::case::{BroughtRun, Fate};
use crate::judge::{judge, Judgement, ON_ITS_WAY};
use crate::verdict::{Ground, JudgedEntry, Outcome, Party, Uncovered, Verdict};

/// A relay of another study, or a member of the consortium.
const STRANGER: [u8; 32] = [0x57; 32];

fn relay(account: [u8; 32]) -> Party {
    Party::Relay {
        account: Key(account),
    }
}

/// Whom a judgement names for keeping a run back.
fn withholding(judgement: &Judgement) -> Vec<Vec<Party>> {
    let findings = judgement.findings.iter();
    let found = findings.filter(|finding| finding.ground == Ground::Withheld);
    found.map(|finding| finding.parties.clone()).collect()
}

/// A run of three through Dave, and a genuine one that waits in his store for longer than it may be on its way.
fn waiting() -> (World, RunUpload) {
    let mut world = World::new(true);
    let parcel = record(&mut world.phone, 3, "a night");
    assert_eq!(world.relay(0, &parcel), RunState::Finalised);
    let waits = record(&mut world.phone, 1, "a night that waits");
    world.store(0, &waits, RunState::Pending);
    let signed = world.block;
    for held in &mut world.stores[0].runs {
        held.signed_at = Some(signed);
    }
    world.block += ON_ITS_WAY + 1;
    (world, waits)
}

fn last(judgement: &Judgement) -> &JudgedEntry {
    judgement.entries.last().expect("there are entries")
}

/// A block has a run that this account brought, and that came to nothing.
fn brings(world: &mut World, account: [u8; 32], parcel: &RunUpload, fate: Fate) {
    world.brought.push(BroughtRun {
        block: world.block,
        extrinsic: 1,
        submitter: account,
        fate,
        run: parcel.run(),
    });
}

#[test]
fn a_relay_that_the_sponsor_removed_keeps_nothing_back() {
    let (mut world, _) = waiting();
    assert_eq!(withholding(&world.audit()), [[relay(DAVE)]]);
    // What it got in before, it still has to show.
    world.appointed = vec![EVE];
    let judgement = world.audit();
    assert_eq!(judgement.count(Verdict::Valid), 3);
    assert_eq!(judgement.outcome(), Outcome::NotCovered, "{judgement:?}");
    let why = Refusal::NotARelayOfThisStudy;
    assert_eq!(last(&judgement).uncovered, [Uncovered::Refused { why }]);
    assert!(last(&judgement).parties.is_empty());
    world.stores[0].runs.remove(0);
    assert_eq!(world.audit().count(Verdict::Missing), 3);

    // Another one that has the run may bring it, and answers for it alone.
    let (mut world, waits) = waiting();
    world.appointed = vec![EVE];
    world.store(1, &waits, RunState::Pending);
    assert_eq!(last(&world.audit()).uncovered, [Uncovered::OnItsWay]);
    let signed = world.stores[0].runs[0].signed_at;
    world.stores[1].runs[0].signed_at = signed;
    assert_eq!(withholding(&world.audit()), [[relay(EVE)]]);
}

#[test]
fn what_the_chain_refuses_a_stranger_excuses_nobody_who_holds_it() {
    let fates = [
        Fate::Refused(Refusal::NotARelayOfThisStudy),
        Fate::Refused(Refusal::Unknown("council.duplicate_proposal".into())),
        Fate::Untold,
    ];
    for fate in fates {
        let (mut world, waits) = waiting();
        brings(&mut world, STRANGER, &waits, fate.clone());
        let judgement = world.audit();
        assert_eq!(withholding(&judgement), [[relay(DAVE)]], "{fate:?}");
    }
    // A relay whose run the chain refused has not kept it back, whatever the word.
    for word in ["gap", "a_word_of_later"] {
        let (mut world, waits) = waiting();
        let why: Refusal = word.parse().expect("it is a word");
        brings(&mut world, DAVE, &waits, Fate::Refused(why.clone()));
        let judgement = world.audit();
        assert_eq!(last(&judgement).uncovered, [Uncovered::Refused { why }]);
    }
}

#[test]
fn a_relay_that_was_removed_for_an_hour_kept_nothing_back_that_it_brought_then() {
    let (mut world, waits) = waiting();
    let why = Refusal::NotARelayOfThisStudy;
    brings(&mut world, DAVE, &waits, Fate::Refused(why.clone()));
    let judgement = world.audit();
    assert!(withholding(&judgement).is_empty(), "{judgement:?}");
    assert_eq!(last(&judgement).grounds, [Ground::RefusedByChain]);
    assert_eq!(last(&judgement).uncovered, [Uncovered::Refused { why }]);
    assert_eq!(judgement.outcome(), Outcome::NotCovered, "{judgement:?}");

    // It excuses nobody else who has it.
    world.store(1, &waits, RunState::Pending);
    world.stores[1].runs[0].signed_at = world.stores[0].runs[0].signed_at;
    assert_eq!(withholding(&world.audit()), [[relay(EVE)]]);
}

#[test]
fn what_no_phone_can_have_made_is_an_attempt_of_whoever_brought_it() {
    let mut world = World::new(true);
    let parcel = record(&mut world.phone, 2, "a night");
    world.relay(0, &parcel);
    let head = world.record.head;
    let judged = |account: [u8; 32], sequence: u64, why: Refusal| {
        let mut case = world.case();
        let mut far = foreign(2, head, "nobody's");
        far.sequence = sequence;
        case.brought.push(BroughtRun {
            block: case.block,
            extrinsic: 1,
            submitter: account,
            fate: Fate::Refused(why),
            run: far.run(),
        });
        judge(&case)
    };
    let stranger = Refusal::NotARelayOfThisStudy;
    for (account, sequence, why) in [
        (STRANGER, 1 << 40, stranger.clone()),
        (STRANGER, 1 << 63, stranger),
        (STRANGER, 0, Refusal::InvalidSequence),
        (DAVE, u64::MAX, Refusal::Gap),
        (DAVE, MAX_INDEX + 1, Refusal::Gap),
    ] {
        let judgement = judged(account, sequence, why);
        assert_eq!(judgement.count(Verdict::Valid), 2, "{sequence}");
        let mut entries = judgement.entries.iter();
        let attempt = entries.find(|entry| !entry.registered);
        let attempt = attempt.expect("it was seen");
        assert_eq!(attempt.sequence, sequence);
        assert_eq!(attempt.grounds[0], Ground::AttemptRefused);
        assert_eq!(attempt.parties, [relay(account)], "{sequence}");
        assert_eq!(judgement.trusted_to, 2);
    }
    // How far a phone may have got whose runs a relay of its study brought, nobody knows.
    let judgement = judged(DAVE, MAX_INDEX, Refusal::Gap);
    assert_eq!(last(&judgement).uncovered, [Uncovered::TooFarAhead]);
    // What has no entries is nothing.
    let mut case = world.case();
    case.brought.push(BroughtRun {
        run: hashchain::Run {
            entries: Vec::new(),
            first_sequence: 1 << 63,
            ..parcel.run()
        },
        submitter: STRANGER,
        fate: Fate::Refused(Refusal::EmptyRun),
        block: case.block,
        extrinsic: 1,
    });
    assert_eq!(judge(&case).outcome(), Outcome::Right);
}
