// SPDX-License-Identifier: Apache-2.0

//! The paper's attacks, planted in memory.

use hashchain::Tag;
use mhealth_api::{Key, RunState, RunUpload, SignatureBytes};
use mhealth_testing::phone::record;

use super::world::{altered, foreign, World, DAVE, EVE};
use crate::judge::{Judgement, ON_ITS_WAY};
use crate::verdict::{Ground, JudgedEntry, Maker, Outcome, Party, Verdict};

fn relay(account: [u8; 32]) -> Party {
    Party::Relay {
        account: Key(account),
    }
}

fn registered(judgement: &Judgement) -> Vec<&JudgedEntry> {
    judgement
        .entries
        .iter()
        .filter(|entry| entry.registered)
        .collect()
}

fn verdicts(judgement: &Judgement) -> Vec<Verdict> {
    registered(judgement)
        .iter()
        .map(|entry| entry.verdict)
        .collect()
}

fn has(judgement: &Judgement, ground: Ground, party: &Party) -> bool {
    let mut findings = judgement.findings.iter();
    findings.any(|finding| finding.ground == ground && finding.parties.contains(party))
}

fn honest(world: &mut World, relay: usize, count: usize) -> RunUpload {
    let parcel = record(&mut world.phone, count, "a night");
    assert_eq!(world.relay(relay, &parcel), RunState::Finalised);
    parcel
}

#[test]
fn an_honest_trial_is_right_in_both_policies() {
    for device_signed in [true, false] {
        let mut world = World::new(device_signed);
        honest(&mut world, 0, 3);
        let again = honest(&mut world, 1, 2);
        // A retry, and the second relay of Figure 1c.
        world.relay(0, &again);
        let judgement = world.audit();
        assert_eq!(judgement.outcome(), Outcome::Right, "{judgement:?}");
        assert_eq!(verdicts(&judgement), [Verdict::Valid; 5]);
        assert!(judgement.findings.is_empty() && judgement.conflicts.is_empty());
        assert_eq!(judgement.trusted_to, 5);
    }
}

#[test]
fn figure_4_altered_and_relinked_by_a_relay_is_detected_and_named() {
    let mut world = World::new(false);
    honest(&mut world, 0, 2);
    let genuine = record(&mut world.phone, 3, "a bad night");
    assert_eq!(world.relay(0, &altered(&genuine)), RunState::Finalised);
    // The phone sees a foreign head and sends what it made through another relay.
    assert_eq!(world.relay(1, &genuine), RunState::Conflicting);
    let judgement = world.audit();
    assert_eq!(judgement.outcome(), Outcome::Wrong);
    let expected = [
        Verdict::Valid,
        Verdict::Valid,
        Verdict::Valid,
        Verdict::Valid,
        Verdict::Forged,
    ];
    assert_eq!(verdicts(&judgement), expected);
    let forged = registered(&judgement)[4];
    // Eve had the genuine entry, too, and only she says that it was later.
    assert_eq!(forged.parties, [relay(DAVE), relay(EVE)]);
    assert_eq!(
        forged.grounds,
        [Ground::TagTakenFromGenuine, Ground::TagFails]
    );
    assert_eq!(judgement.conflicts[0].rival_by, Maker::Secret);
    assert_eq!(judgement.conflicts[0].recorded_by, Maker::NotTheSecret);
    let rival = judgement
        .entries
        .iter()
        .find(|entry| !entry.registered)
        .unwrap();
    assert_eq!(
        (rival.sequence, rival.grounds[0]),
        (5, Ground::DisplacedByForgery)
    );
    assert_eq!(judgement.trusted_to, 4);
}

#[test]
fn figure_4_without_a_second_relay_names_the_relay_and_who_could_have_written_to_it() {
    let mut world = World::new(false);
    let genuine = record(&mut world.phone, 2, "a bad night");
    world.relay(0, &altered(&genuine));
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement), [Verdict::Valid, Verdict::Forged]);
    let expected = [relay(DAVE), Party::AuthenticationKeyHolder];
    assert_eq!(registered(&judgement)[1].parties, expected);
}

#[test]
fn figure_4_a_relay_that_keeps_the_genuine_entry_or_none_convicts_itself() {
    let mut world = World::new(false);
    let genuine = record(&mut world.phone, 1, "a bad night");
    let mut relinked = altered(&genuine);
    relinked.entries[0].tag = Tag([3; 32]);
    world.bring(DAVE, &relinked);
    let judgement = world.audit();
    assert_eq!(registered(&judgement)[0].parties, [relay(DAVE)]);
    assert_eq!(
        registered(&judgement)[0].grounds[0],
        Ground::BroughtButNotHeld
    );

    world.store(0, &genuine, RunState::Pending);
    let judgement = world.audit();
    assert_eq!(registered(&judgement)[0].parties, [relay(DAVE)]);
    assert_eq!(
        registered(&judgement)[0].grounds[0],
        Ground::GenuineHeldByBringer
    );
}

#[test]
fn figure_5_a_relay_through_which_both_thief_and_phone_wrote_is_not_convicted_by_the_phones_entry()
{
    for thief_first in [true, false] {
        let mut world = World::new(false);
        let head = honest(&mut world, 0, 2).run().last_link();
        let stolen = foreign(3, head, "not the phone's");
        let genuine = record(&mut world.phone, 1, "a bad night");
        let order = match thief_first {
            true => [&stolen, &genuine],
            false => [&genuine, &stolen],
        };
        for parcel in order {
            world.relay(0, parcel);
        }
        let judgement = world.audit();
        let forged = judgement
            .entries
            .iter()
            .find(|entry| entry.link == stolen.run().last_link())
            .unwrap();
        let expected = [relay(DAVE), Party::AuthenticationKeyHolder];
        assert_eq!(forged.parties, expected, "{forged:?}");
        assert_eq!(forged.registered, thief_first);
    }
}

#[test]
fn figure_4_a_relay_that_had_the_genuine_entry_first_and_brought_a_forged_one_convicts_itself() {
    let mut world = World::new(false);
    let head = honest(&mut world, 0, 2).run().last_link();
    let forged = foreign(3, head, "not the phone's");
    let genuine = record(&mut world.phone, 1, "a bad night");
    world.store(0, &genuine, RunState::Pending);
    world.relay(0, &forged);
    world.relay(1, &genuine);
    let judgement = world.audit();
    assert_eq!(registered(&judgement)[2].parties, [relay(DAVE)]);
    assert_eq!(
        registered(&judgement)[2].grounds[0],
        Ground::GenuineHeldByBringer
    );
}

#[test]
fn figure_4_is_refused_where_devices_sign_and_the_attempt_is_pinned_on_the_relay() {
    let mut world = World::new(true);
    let genuine = record(&mut world.phone, 2, "a bad night");
    assert_eq!(world.relay(0, &altered(&genuine)), RunState::Refused);
    assert_eq!(world.relay(1, &genuine), RunState::Finalised);
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement), [Verdict::Valid; 2]);
    assert!(
        has(&judgement, Ground::AttemptRefused, &relay(DAVE)),
        "{judgement:?}"
    );
    assert_eq!(judgement.outcome(), Outcome::Wrong);
}

#[test]
fn figure_4_altered_in_the_store_only_is_found_by_digest_and_the_other_relay_has_it_intact() {
    for device_signed in [true, false] {
        let mut world = World::new(device_signed);
        let parcel = honest(&mut world, 0, 3);
        world.relay(1, &parcel);
        world.stores[0].runs[0].envelopes[1].digest.0[0] ^= 1;
        let judgement = world.audit();
        assert_eq!(
            verdicts(&judgement),
            [Verdict::Valid, Verdict::Altered, Verdict::Valid]
        );
        let entry = registered(&judgement)[1];
        assert_eq!(
            (&entry.parties[..], &entry.held_by[..]),
            (&[relay(DAVE)][..], &["eve".to_string()][..])
        );
    }
}

#[test]
fn figure_4_a_store_rewritten_with_digests_and_links_contradicts_the_chain() {
    let mut world = World::new(true);
    let parcel = record(&mut world.phone, 2, "a bad night");
    world.bring(DAVE, &parcel);
    world.store(0, &altered(&parcel), RunState::Finalised);
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement), [Verdict::Valid, Verdict::Altered]);
    assert!(
        has(&judgement, Ground::StoreContradictsChain, &relay(DAVE)),
        "{judgement:?}"
    );
}

#[test]
fn figure_4_dropped_and_withheld_entries_are_missing_and_kept_back() {
    let mut world = World::new(true);
    honest(&mut world, 0, 2);
    world.stores[0].runs.clear();
    let withheld = record(&mut world.phone, 1, "a night");
    world.store(1, &withheld, RunState::Pending);
    let signed = world.block;
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement), [Verdict::Missing; 2]);
    assert!(has(&judgement, Ground::HeldByNobody, &relay(DAVE)));
    // It may have come a moment ago.
    let waiting = judgement.entries.last().unwrap();
    assert_eq!(
        (waiting.verdict, waiting.outcome()),
        (Verdict::Unregistered, Outcome::NotCovered)
    );

    // An hour of blocks after she signed that she holds it, it is still in none.
    world.stores[1].runs[0].signed_at = Some(signed);
    for (passed, withheld) in [(ON_ITS_WAY, false), (ON_ITS_WAY + 1, true)] {
        world.block = signed + passed;
        let judgement = world.audit();
        assert_eq!(has(&judgement, Ground::Withheld, &relay(EVE)), withheld);
    }
}

#[test]
fn a_relay_that_lost_what_it_brought_is_found_though_another_relay_has_it() {
    let mut world = World::new(true);
    let parcel = honest(&mut world, 0, 2);
    world.relay(1, &parcel);
    for lost in [0, 1] {
        let mut case = world.case();
        case.stores[lost].runs.clear();
        let judgement = crate::judge(&case);
        assert_eq!(verdicts(&judgement), [Verdict::Valid; 2]);
        assert!(has(
            &judgement,
            Ground::BroughtButNotHeld,
            &relay([DAVE, EVE][lost])
        ));
        assert_eq!(judgement.outcome(), Outcome::Wrong);
    }
}

#[test]
fn figure_4_reordered_entries_carry_tags_of_other_positions() {
    let mut world = World::new(false);
    let mut parcel = record(&mut world.phone, 3, "a night");
    parcel.entries.swap(0, 2);
    world.relay(0, &parcel);
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement), [Verdict::Forged; 3]);
    assert!(registered(&judgement)
        .iter()
        .all(|entry| entry.parties.contains(&relay(DAVE))));
}

#[test]
fn figure_5_written_with_a_stolen_authentication_key_is_forged_and_the_phones_own_run_a_conflict() {
    let mut world = World::new(false);
    honest(&mut world, 0, 2);
    let forged = foreign(3, world.record.head, "slept well");
    assert_eq!(world.relay(0, &forged), RunState::Finalised);
    let genuine = record(&mut world.phone, 1, "slept badly");
    assert_eq!(world.relay(1, &genuine), RunState::Conflicting);
    let judgement = world.audit();
    assert_eq!(
        verdicts(&judgement),
        [Verdict::Valid, Verdict::Valid, Verdict::Forged]
    );
    let expected = [relay(DAVE), Party::AuthenticationKeyHolder];
    assert_eq!(registered(&judgement)[2].parties, expected);
    assert_eq!(judgement.conflicts[0].rival_by, Maker::Secret);
    assert_eq!(judgement.trusted_to, 2);
}

#[test]
fn figure_5_after_the_phone_is_an_attempt_and_the_phones_entries_stay_valid() {
    let mut world = World::new(false);
    let previous = world.record.head;
    honest(&mut world, 0, 1);
    let forged = foreign(1, previous, "slept well");
    assert_eq!(world.relay(1, &forged), RunState::Conflicting);
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement), [Verdict::Valid]);
    assert!(has(
        &judgement,
        Ground::AttemptRefused,
        &Party::AuthenticationKeyHolder
    ));
    assert_eq!(judgement.conflicts[0].recorded_by, Maker::Secret);
    assert_eq!(judgement.conflicts[0].rival_by, Maker::NotTheSecret);
}

#[test]
fn figure_5_is_refused_where_devices_sign() {
    let mut world = World::new(true);
    let forged = foreign(1, world.record.head, "slept well");
    assert_eq!(world.relay(0, &forged), RunState::Refused);
    honest(&mut world, 0, 1);
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement), [Verdict::Valid]);
    assert_eq!(judgement.findings.len(), 1);
    assert_eq!(judgement.findings[0].ground, Ground::AttemptRefused);
}

#[test]
fn a_signing_key_without_the_secret_makes_forged_entries_and_not_the_relay_is_blamed() {
    let mut world = World::new(true);
    let mut forged = foreign(1, world.record.head, "slept well");
    forged.signature = world
        .phone
        .sign_again(forged.run())
        .signature
        .map(SignatureBytes);
    assert_eq!(world.relay(0, &forged), RunState::Finalised);
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement), [Verdict::Forged]);
    assert_eq!(registered(&judgement)[0].parties, [Party::SigningKeyHolder]);
}

#[test]
fn figure_6_thief_or_phone_first_what_follows_the_theft_is_disputed_and_what_was_before_is_safe() {
    for device_signed in [true, false] {
        for thief_first in [true, false] {
            let mut world = World::new(device_signed);
            honest(&mut world, 0, 2);
            let mut thief = world.phone.copy();
            let stolen = record(&mut thief, 1, "the thief's");
            let genuine = record(&mut world.phone, 2, "the phone's");
            let (first, second) = match thief_first {
                true => (&stolen, &genuine),
                false => (&genuine, &stolen),
            };
            assert_eq!(world.relay(0, first), RunState::Finalised);
            assert_eq!(world.relay(1, second), RunState::Conflicting);
            let judgement = world.audit();
            assert_eq!(verdicts(&judgement)[..2], [Verdict::Valid; 2]);
            assert!(verdicts(&judgement)[2..]
                .iter()
                .all(|verdict| *verdict == Verdict::Disputed));
            assert!(has(
                &judgement,
                Ground::TwoHistoriesBySecret,
                &Party::SecretHolder
            ));
            let conflict = &judgement.conflicts[0];
            assert_eq!(
                (conflict.recorded_by, conflict.rival_by),
                (Maker::Secret, Maker::Secret)
            );
            assert_eq!(judgement.trusted_to, 2);
        }
    }
}

#[test]
fn figure_6_a_run_that_begins_after_the_fork_is_a_dispute_from_the_last_common_place_on() {
    let mut world = World::new(false);
    honest(&mut world, 0, 2);
    let mut thief = world.phone.copy();
    let _ = record(&mut thief, 2, "never sent");
    let stolen = record(&mut thief, 1, "the thief's");
    honest(&mut world, 0, 2);
    assert_eq!(world.relay(1, &stolen), RunState::Conflicting);
    let judgement = world.audit();
    assert_eq!(verdicts(&judgement)[..2], [Verdict::Valid; 2]);
    assert_eq!(verdicts(&judgement)[3], Verdict::Disputed);
}

#[test]
fn figure_6_with_the_phone_silenced_is_seen_by_nobody() {
    let mut world = World::new(true);
    let mut thief = world.phone.copy();
    let stolen = record(&mut thief, 1, "the thief's");
    world.relay(0, &stolen);
    assert_eq!(world.audit().outcome(), Outcome::Right);
}
