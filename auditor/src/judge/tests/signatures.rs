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
