// SPDX-License-Identifier: Apache-2.0

//! Signatures that the chain accepts and a strict verifier does not: only the holder of the device's key can make them, and nobody
//! else is blamed for them.

use hashchain::testing::Phone;
use mhealth_api::{RunState, RunUpload, SignatureBytes};
use mhealth_testing::phone::record;

use super::world::World;
use crate::judge::Judgement;
use crate::verdict::{Ground, Outcome, Party, Verdict};

/// The parcel's run, signed by its phone so that only the chain accepts it.
fn oddly_signed(phone: &Phone, mut parcel: RunUpload) -> RunUpload {
    let run = phone.sign_oddly(parcel.run());
    parcel.signature = run.signature.map(SignatureBytes);
    parcel
}

/// Ground, parties and sequences of a finding.
type Found<'a> = (Ground, &'a [Party], &'a [(u64, u64)]);

/// Everything that was found.
fn found(judgement: &Judgement) -> Vec<Found<'_>> {
    let findings = judgement.findings.iter();
    findings
        .map(|it| (it.ground, &*it.parties, &*it.sequences))
        .collect()
}

fn registered(judgement: &Judgement) -> Vec<Verdict> {
    let entries = judgement.entries.iter().filter(|entry| entry.registered);
    entries.map(|entry| entry.verdict).collect()
}

#[test]
fn a_phone_that_signs_oddly_is_named_and_the_validators_are_not() {
    for device_signed in [true, false] {
        let mut world = World::new(device_signed);
        let first = record(&mut world.phone, 2, "a night");
        world.relay(0, &first);
        let odd = record(&mut world.phone, 3, "a night that may be disowned");
        let odd = oddly_signed(&world.phone, odd);
        let device = world.record.key;
        assert_eq!(world.bring(device, &odd), RunState::Finalised);
        world.store(0, &odd, RunState::Finalised);
        let judgement = world.audit();
        assert_eq!(
            found(&judgement),
            [(
                Ground::SignatureNotStrict,
                &[Party::Device][..],
                &[(3, 5)][..]
            )]
        );
        assert_eq!(registered(&judgement), [Verdict::Valid; 5]);
        assert_eq!(judgement.trusted_to, 5);
        assert_eq!(judgement.outcome(), Outcome::Wrong);
    }
}

#[test]
fn entries_of_an_odd_run_are_judged_like_others() {
    let mut world = World::new(true);
    let head = world.record.head;
    let mut thief = world.phone.resumed_with(head, 0, &[9; 32]);
    let odd = record(&mut thief, 1, "without the secret");
    let odd = oddly_signed(&thief, odd);
    let device = world.record.key;
    assert_eq!(world.bring(device, &odd), RunState::Finalised);
    world.store(0, &odd, RunState::Finalised);
    let judgement = world.audit();
    assert_eq!(registered(&judgement), [Verdict::Forged]);
    assert_eq!(
        found(&judgement),
        [
            (
                Ground::TagFails,
                &[Party::SigningKeyHolder][..],
                &[(1, 1)][..]
            ),
            (
                Ground::SignatureNotStrict,
                &[Party::Device][..],
                &[(1, 1)][..]
            ),
        ]
    );
}

#[test]
fn an_oddly_signed_rival_is_the_devices_own() {
    let mut world = World::new(true);
    let mut copy = world.phone.copy();
    let first = record(&mut world.phone, 1, "a night");
    world.relay(0, &first);
    let rival = record(&mut copy, 1, "another night");
    let rival = oddly_signed(&copy, rival);
    let device = world.record.key;
    assert_eq!(world.bring(device, &rival), RunState::Conflicting);
    let judgement = world.audit();
    assert!(judgement.conflicts[0].rival_signed);
    let parties = judgement.findings.iter().flat_map(|it| &it.parties);
    assert!(parties.into_iter().all(|party| *party != Party::Validators));
    assert!(found(&judgement).contains(&(
        Ground::SignatureNotStrict,
        &[Party::Device][..],
        &[(1, 1)][..]
    )));
}

#[test]
fn validators_answer_for_what_not_even_their_own_rule_accepts() {
    // A run that stands registered without a signature that holds.
    let mut world = World::new(true);
    let first = record(&mut world.phone, 2, "a night");
    world.relay(0, &first);
    world.brought[0].run.signature = Some([7; 64]);
    world.stores[0].runs[0].run.signature = None;
    let judgement = world.audit();
    assert_eq!(registered(&judgement), [Verdict::Forged; 2]);
    assert_eq!(
        found(&judgement),
        [(
            Ground::SignatureFails,
            &[Party::Validators][..],
            &[(1, 2)][..]
        )]
    );

    // A conflict that is called signed, and is not: also one of which only the link before it was brought.
    for unseen in [0, 1] {
        let mut world = World::new(false);
        let mut copy = world.phone.copy();
        let first = record(&mut world.phone, 2, "a night");
        world.relay(0, &first);
        let _ = record(&mut copy, unseen, "never sent");
        let mut rival = record(&mut copy, 1, "another night");
        rival.signature = Some(SignatureBytes([7; 64]));
        assert_eq!(world.relay(1, &rival), RunState::Conflicting);
        world.conflicts[0].signed = true;
        assert!(found(&world.audit()).contains(&(
            Ground::SignatureFails,
            &[Party::Validators][..],
            &[(1, 1)][..]
        )));
        world.conflicts[0].signed = false;
        assert!(world
            .audit()
            .findings
            .iter()
            .all(|it| it.ground != Ground::SignatureFails));
    }
}

#[test]
fn what_a_later_strict_signature_covers_cannot_be_disowned_and_is_looked_at_only_if_wanted() {
    let mut world = World::new(true);
    let odd = record(&mut world.phone, 3, "a night that may be disowned");
    let odd = oddly_signed(&world.phone, odd);
    let device = world.record.key;
    assert_eq!(world.bring(device, &odd), RunState::Finalised);
    world.store(0, &odd, RunState::Finalised);
    let only = [(
        Ground::SignatureNotStrict,
        &[Party::Device][..],
        &[(1, 3)][..],
    )];
    assert_eq!(found(&world.audit()), only);
    let later = record(&mut world.phone, 2, "a night");
    world.relay(0, &later);
    let judgement = world.audit();
    assert_eq!(found(&judgement), []);
    assert_eq!(judgement.outcome(), Outcome::Right);
    world.every_signature = true;
    let judgement = world.audit();
    assert_eq!(found(&judgement), only);
    assert_eq!(registered(&judgement), [Verdict::Valid; 5]);
}

/// How a run is signed.
#[derive(Clone, Copy, PartialEq)]
enum Signing {
    Strictly,
    Oddly,
    Wrongly,
    NotAtAll,
}

#[test]
fn entries_are_judged_the_same_whether_each_signature_is_checked_or_not() {
    const RUNS: u32 = 4;
    let ways = [
        Signing::Strictly,
        Signing::Oddly,
        Signing::Wrongly,
        Signing::NotAtAll,
    ];
    for number in 0..ways.len().pow(RUNS) {
        let mut world = World::new(true);
        let signed: Vec<Signing> = (0..RUNS)
            .map(|run| ways[number / ways.len().pow(run) % ways.len()])
            .collect();
        for (place, signing) in signed.iter().enumerate() {
            let parcel = record(&mut world.phone, 1, "a night");
            world.relay(0, &parcel);
            let signature = match signing {
                Signing::Strictly => parcel.signature.map(|signature| signature.0),
                Signing::Oddly => world.phone.sign_oddly(parcel.run()).signature,
                Signing::Wrongly => Some([7; 64]),
                Signing::NotAtAll => None,
            };
            world.brought[place].run.signature = signature;
            world.stores[0].runs[place].run.signature = None;
        }
        let some = world.audit();
        world.every_signature = true;
        let every = world.audit();
        assert_eq!(some.entries, every.entries, "{number}");
        // The last run that is signed at all decides; what comes after it is forged.
        let last = signed
            .iter()
            .rposition(|it| matches!(it, Signing::Strictly | Signing::Oddly));
        let valid = last.map_or(0, |place| place as u64 + 1);
        assert_eq!(some.count(Verdict::Valid), valid, "{number}");
        // One is found to have signed oddly where nothing else covers the entry, or always.
        let odd = |judgement: &Judgement| {
            let findings = judgement.findings.iter();
            let mut odd = findings.filter(|it| it.ground == Ground::SignatureNotStrict);
            odd.next().map_or(Vec::new(), |it| it.sequences.clone())
        };
        let strict = signed.iter().rposition(|it| *it == Signing::Strictly);
        let covered = strict.map_or(0, |place| place as u64 + 1);
        let oddly = signed
            .iter()
            .zip(1..)
            .filter(|(it, _)| **it == Signing::Oddly);
        let oddly: Vec<u64> = oddly.map(|(_, sequence)| sequence).collect();
        assert_eq!(odd(&every), crate::judge::ranges(oddly.clone()), "{number}");
        let uncovered = oddly.into_iter().filter(|sequence| *sequence > covered);
        let newest: Vec<u64> = uncovered.max().into_iter().collect();
        assert_eq!(odd(&some), crate::judge::ranges(newest), "{number}");
    }
}
