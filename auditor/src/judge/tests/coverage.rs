// SPDX-License-Identifier: Apache-2.0

//! What could not be checked is said, and never passes for right.

use hashchain::{DeviceId, LinkHash, OpeningKey, StudyId};
use mhealth_api::{DeviceStatus, Key, Refusal, RunState};
use mhealth_testing::phone::record;

use super::world::{World, DAVE, EVE};
use crate::case::{Case, Erased, Fate, HeldEnvelope, Predecessor, SecretAccess};
use crate::judge::{judge, Judgement};
use crate::verdict::{Content, Finding, Ground, Outcome, Party, Uncovered, Verdict};

fn trial() -> World {
    let mut world = World::new(true);
    for _ in 0..3 {
        let parcel = record(&mut world.phone, 2, "a night");
        world.relay(0, &parcel);
    }
    world
}

fn not_covered(case: &Case, why: &Uncovered) -> Judgement {
    let judgement = judge(case);
    assert_eq!(judgement.outcome(), Outcome::NotCovered, "{judgement:?}");
    let said = judgement
        .entries
        .iter()
        .any(|entry| entry.uncovered.contains(why));
    assert!(said, "{why:?} in {judgement:?}");
    judgement
}

#[test]
fn without_the_auditors_key_no_entry_is_valid() {
    let mut case = trial().case();
    case.secret = SecretAccess::open(&[], &[7; 32], &case.record);
    let judgement = not_covered(&case, &Uncovered::NoAuditorKey);
    assert_eq!(judgement.count(Verdict::NotCovered), 6);
}

#[test]
fn a_device_whose_epochs_key_is_not_given_is_not_covered_and_says_which_is_lacking() {
    let world = trial();
    let mut case = world.case();
    case.record.auditor_epoch = 1;
    let (key, public) = (
        OpeningKey::from_bytes(&[1; 32]),
        world.auditor.sealing_key().0,
    );
    case.secret = SecretAccess::open(&[key], &public, &case.record);
    let lacking = Uncovered::NoKeyOfEpoch {
        epoch: 1,
        key: Key(public),
    };
    let judgement = not_covered(&case, &lacking);
    assert_eq!(judgement.count(Verdict::NotCovered), 6);
    assert!(judgement.findings.is_empty(), "{judgement:?}");
    // Among others, the one that is needed is found.
    let keys = [1, 11].map(|seed| OpeningKey::from_bytes(&[seed; 32]));
    case.secret = SecretAccess::open(&keys, &public, &case.record);
    assert_eq!(judge(&case).outcome(), Outcome::Right);
}

#[test]
fn a_device_that_seals_to_another_key_speaks_against_the_authentication_server() {
    let mut case = trial().case();
    case.participant_key_fits = Some(true);
    assert_eq!(judge(&case).outcome(), Outcome::Right);
    case.participant_key_fits = Some(false);
    let judgement = judge(&case);
    assert_eq!(judgement.outcome(), Outcome::Wrong);
    let finding = &judgement.findings[0];
    assert_eq!(finding.ground, Ground::AnotherParticipantKey);
    assert_eq!(finding.parties, [Party::AuthenticationServer]);
}

#[test]
fn an_escrow_that_does_not_open_speaks_against_the_device() {
    let mut case = trial().case();
    let other = OpeningKey::from_bytes(&[1; 32]);
    let public = other.sealing_key().0;
    case.secret = SecretAccess::open(&[other], &public, &case.record);
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::NotCovered), 6);
    assert_eq!(judgement.outcome(), Outcome::Wrong);
    assert_eq!(judgement.findings[0].parties, [Party::Device]);
}

#[test]
fn without_exports_or_with_half_of_one_the_data_are_not_covered() {
    let mut world = trial();
    world.stores[0].complete = false;
    let mut case = world.case();
    case.stores[0].runs.pop();
    let name = "dave".to_string();
    let why = Uncovered::ExportIncomplete { name };
    assert_eq!(not_covered(&case, &why).count(Verdict::NotCovered), 2);
    case.stores.clear();
    for account in [DAVE, EVE] {
        let account = Key(account);
        let judgement = not_covered(&case, &Uncovered::NoExport { account });
        assert_eq!(judgement.count(Verdict::NotCovered), 6);
        // The device as a whole is not covered either.
        assert!(judgement
            .uncovered
            .contains(&Uncovered::NoExport { account }));
    }
}

#[test]
fn entries_that_left_the_state_are_found_again_in_the_blocks() {
    let mut case = trial().case();
    case.registered.clear();
    let judgement = judge(&case);
    assert_eq!(judgement.outcome(), Outcome::Right, "{judgement:?}");
    assert_eq!(judgement.count(Verdict::Valid), 6);
}

#[test]
fn entries_that_left_the_state_and_are_nowhere_else_are_named_one_by_one() {
    let mut case = trial().case();
    case.registered.drain(..4);
    case.brought.drain(..2);
    case.blocks_complete = false;
    // The relay holds the first run only, which nothing ties to the entries after the gap.
    case.stores[0].runs.remove(1);
    let judgement = not_covered(&case, &Uncovered::LeftState);
    let registered = judgement.entries.iter().filter(|entry| entry.registered);
    let verdicts: Vec<Verdict> = registered.map(|entry| entry.verdict).collect();
    let expected = [
        [Verdict::NotCovered; 2],
        [Verdict::NotCovered; 2],
        [Verdict::NotCovered, Verdict::Valid],
    ];
    assert_eq!(verdicts, expected.concat());
}

#[test]
fn without_blocks_the_relays_runs_are_enough_and_without_both_tags_are_not_at_hand() {
    let mut case = trial().case();
    case.brought.clear();
    case.blocks_complete = false;
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Valid), 6);
    assert_eq!(judgement.uncovered, [Uncovered::BlocksNotAtHand]);
    assert_eq!(judgement.outcome(), Outcome::NotCovered);
    for store in &mut case.stores {
        store.runs.clear();
        store.complete = false;
    }
    not_covered(&case, &Uncovered::TagNotAtHand);
}

#[test]
fn a_signature_that_is_nowhere_is_not_covered_and_a_wrong_one_on_chain_is_the_validators_fault() {
    let mut world = trial();
    for held in &mut world.stores[0].runs {
        held.run.signature = None;
    }
    let mut case = world.case();
    case.brought.clear();
    case.blocks_complete = false;
    not_covered(&case, &Uncovered::SignatureNotAtHand);
    let mut case = world.case();
    for brought in &mut case.brought {
        brought.run.signature = Some([5; 64]);
    }
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Forged), 6);
    assert_eq!(judgement.entries[0].parties, [Party::Validators]);
}

#[test]
fn what_the_device_sent_itself_is_held_by_no_relay() {
    let mut world = World::new(true);
    let parcel = record(&mut world.phone, 2, "a night");
    world.bring(world.record.key, &parcel);
    world.stores.clear();
    not_covered(&world.case(), &Uncovered::SentDirectly);
}

fn finding(ground: Ground, parties: &[Party], sequences: &[(u64, u64)]) -> Finding {
    Finding {
        ground,
        parties: parties.to_vec(),
        sequences: sequences.to_vec(),
    }
}

#[test]
fn what_no_extrinsic_brought_is_unaccounted_for_and_the_rest_is_judged_like_ever() {
    let mut case = trial().case();
    case.brought.remove(1);
    let judgement = judge(&case);
    assert_eq!(
        judgement.findings,
        [finding(Ground::Unaccounted, &[], &[(3, 4)])]
    );
    assert_eq!(judgement.outcome(), Outcome::Wrong);
    assert_eq!(judgement.unaccounted(), 2);
    assert_eq!(judgement.count(Verdict::Valid), 6);

    // The same where no relay shows it.
    case.stores[0].runs.remove(1);
    let judgement = judge(&case);
    assert_eq!(judgement.unaccounted(), 2);
    assert_eq!(judgement.count(Verdict::Valid), 4);
    // And where it has left the state.
    case.registered.clear();
    assert_eq!(judge(&case).unaccounted(), 2);
    case.brought.clear();
    assert_eq!(judge(&case).unaccounted(), 6);
}

#[test]
fn a_refused_run_accounts_for_nothing_and_one_whose_fate_is_not_told_may() {
    let mut case = trial().case();
    case.brought[2].fate = Fate::Refused(Refusal::Gap);
    let judgement = judge(&case);
    let unaccounted = finding(Ground::Unaccounted, &[], &[(5, 6)]);
    assert_eq!(judgement.findings, [unaccounted]);
    case.brought[2].fate = Fate::Untold;
    assert_eq!(judge(&case).outcome(), Outcome::Right);
    case.brought.clear();
    case.blocks_complete = false;
    assert_eq!(judge(&case).unaccounted(), 0);
}

#[test]
fn what_the_chain_says_it_registered_and_does_not_have_is_the_validators_fault() {
    let mut case = trial().case();
    case.registered.truncate(4);
    (case.record.length, case.record.head) = (4, case.registered[3].link);
    let gone = finding(Ground::RecordedAndGone, &[Party::Validators], &[(5, 6)]);
    assert_eq!(judge(&case).findings, [gone]);
    // Refused, or of a fate that is not told, it is on its way.
    for fate in [Fate::Refused(Refusal::Gap), Fate::Untold] {
        case.brought[2].fate = fate;
        let judgement = judge(&case);
        let gone = |it: &Finding| it.ground == Ground::RecordedAndGone;
        assert!(!judgement.findings.iter().any(gone), "{judgement:?}");
    }
}

#[test]
fn a_run_in_another_call_without_the_signature_proves_nothing_against_the_validators() {
    let mut world = trial();
    for held in &mut world.stores[0].runs {
        held.run.signature = None;
    }
    let mut case = world.case();
    for brought in &mut case.brought {
        (brought.run.signature, brought.fate) = (None, Fate::Untold);
    }
    not_covered(&case, &Uncovered::SignatureNotAtHand);
}

#[test]
fn link_zero_is_computed_and_not_believed() {
    let mut case = trial().case();
    case.record.study = StudyId(9);
    let judgement = judge(&case);
    assert!(judgement
        .findings
        .iter()
        .any(|finding| finding.ground == Ground::GenesisMismatch));
    assert_eq!(judgement.outcome(), Outcome::Wrong);

    let mut case = trial().case();
    case.record.head = LinkHash([1; 32]);
    assert_eq!(judge(&case).findings[0].ground, Ground::HeadMismatch);
}

#[test]
fn a_successor_whose_predecessors_head_is_not_at_hand_is_not_covered_in_its_first_link() {
    let mut case = trial().case();
    case.record.predecessor = Some(Predecessor {
        device: DeviceId(1),
        trusted_head: None,
    });
    let judgement = judge(&case);
    assert!(judgement
        .uncovered
        .contains(&Uncovered::PredecessorNotAtHand));
    assert_eq!(judgement.entries[0].verdict, Verdict::NotCovered);
    assert!(judgement.entries[1..]
        .iter()
        .all(|entry| entry.verdict == Verdict::Valid));
    case.record.predecessor = Some(Predecessor {
        device: DeviceId(1),
        trusted_head: Some(LinkHash([2; 32])),
    });
    assert!(judge(&case)
        .findings
        .iter()
        .any(|finding| finding.ground == Ground::GenesisMismatch));
}

#[test]
fn what_the_study_does_not_trust_is_disputed() {
    let mut case = trial().case();
    case.record.status = DeviceStatus::Retired;
    case.record.trusted_length = Some(4);
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Disputed), 2);
    assert_eq!(judgement.trusted_to, 4);
    assert_eq!(judgement.trusted_head, case.registered[3].link);
}

/// A case in which the chain has the receipt of an erasure, and the relay shows its runs without their data.
fn erased() -> Case {
    let mut case = trial().case();
    case.erased.receipt = Some(case.block);
    for held in &mut case.stores[0].runs {
        held.envelopes.iter_mut().for_each(empty);
    }
    case
}

fn empty(envelope: &mut HeldEnvelope) {
    *envelope = HeldEnvelope {
        digest: hashchain::data_digest::<hashchain::Native>(b""),
        content: Content::Unreadable,
    };
}

#[test]
fn what_a_receipt_says_was_erased_is_erased_and_forgery_stays_forgery() {
    let mut case = erased();
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Erased), 6);
    assert_eq!(judgement.outcome(), Outcome::Right, "{judgement:?}");
    assert!(judgement
        .entries
        .iter()
        .all(|entry| entry.content == Content::Erased));
    case.stores[0].runs[0].envelopes[0].digest.0[0] ^= 1;
    assert_eq!(judge(&case).entries[0].verdict, Verdict::Altered);
}

#[test]
fn lost_data_do_not_pass_as_erased() {
    // A relay that shows nothing of a run has lost it, whatever else was erased.
    let mut case = erased();
    case.stores[0].runs.remove(1);
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Erased), 4);
    assert_eq!(judgement.count(Verdict::Missing), 2);
    assert_eq!(judgement.entries[2].parties, [relay(DAVE)]);
    // And one that shows a run without its data, where nobody ordered that, has emptied it.
    let mut case = erased();
    case.erased = Erased::default();
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Missing), 6);
    let emptied = finding(Ground::EmptiedWithoutReceipt, &[relay(DAVE)], &[(1, 6)]);
    assert_eq!(judgement.findings, [emptied]);
    // What the study says it has on file is not enough, and accuses nobody.
    case.erased.only_on_file = true;
    let judgement = not_covered(&case, &Uncovered::ErasureNotOnChain);
    assert_eq!(judgement.count(Verdict::NotCovered), 6);
    assert!(judgement.findings.is_empty(), "{judgement:?}");
}

#[test]
fn a_relay_that_holds_data_after_the_receipt_is_named() {
    let mut world = trial();
    let parcel = record(&mut world.phone, 1, "a night");
    world.relay(0, &parcel);
    world.relay(1, &parcel);
    let mut case = world.case();
    for held in &mut case.stores[0].runs {
        held.envelopes.iter_mut().for_each(empty);
    }
    case.erased.receipt = Some(case.block);
    // As plain text, or sealed.
    case.stores[1].runs[0].envelopes[0].content = Content::Plain;
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Erased), 7);
    let held = finding(Ground::HeldAfterErasure, &[relay(EVE)], &[(7, 7)]);
    assert_eq!(judgement.findings, [held]);
    assert_eq!(judgement.outcome(), Outcome::Wrong);
    // What it signed before the receipt, it may have erased since.
    case.erased.receipt = Some(case.block + 1);
    assert_eq!(judge(&case).outcome(), Outcome::Right);
    // Without a receipt it is the other one that has to explain itself.
    case.erased = Erased::default();
    let judgement = judge(&case);
    assert_eq!(judgement.entries[6].verdict, Verdict::Valid);
    assert!(judgement.findings.contains(&finding(
        Ground::EmptiedWithoutReceipt,
        &[relay(DAVE)],
        &[(1, 7)]
    )));
}

#[test]
fn a_receipt_that_no_order_on_file_is_behind_is_not_held_against_the_relay_alone() {
    let mut case = trial().case();
    case.erased.receipt = Some(case.block);
    case.erased.unordered = Some(Key([7; 32]));
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Erased), 6);
    let sponsor = Party::Account {
        account: Key([7; 32]),
    };
    let either = finding(
        Ground::ReceiptWithoutOrder,
        &[relay(DAVE), sponsor],
        &[(1, 6)],
    );
    assert_eq!(judgement.findings, [either]);
    assert_eq!(judgement.outcome(), Outcome::Wrong);
    // Who has erased is at no fault, whatever is on file.
    let mut case = erased();
    case.erased.unordered = Some(Key([7; 32]));
    assert_eq!(judge(&case).outcome(), Outcome::Right);
}

#[test]
fn what_is_older_than_the_studys_rule_may_be_gone_and_nothing_younger() {
    let mut case = erased();
    case.erased = Erased {
        expired: Some(case.brought[1].block),
        ..Erased::default()
    };
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Erased), 4);
    assert_eq!(judgement.count(Verdict::Missing), 2);
    // What is kept longer is no fault.
    let mut case = trial().case();
    case.erased.expired = Some(case.block);
    let judgement = judge(&case);
    assert_eq!(judgement.count(Verdict::Valid), 6);
    assert_eq!(judgement.outcome(), Outcome::Right);
}

fn relay(account: [u8; 32]) -> Party {
    Party::Relay {
        account: Key(account),
    }
}

#[test]
fn a_sequence_at_the_end_of_all_numbers_is_no_reason_to_count_there() {
    let mut world = trial();
    let mut far = record(&mut world.phone, 1, "a night");
    far.sequence = u64::MAX;
    world.store(0, &far, RunState::Pending);
    far.sequence = u64::MAX / 2;
    world.store(0, &far, RunState::Pending);
    let judgement = not_covered(&world.case(), &Uncovered::TooFarAhead);
    assert_eq!(judgement.count(Verdict::Unregistered), 2);
}
