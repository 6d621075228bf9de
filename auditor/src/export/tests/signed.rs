// SPDX-License-Identifier: Apache-2.0

//! Whose an export is: a code for each way in which it is nobody's.

use mhealth_api::ExportClosing;
use mhealth_testing::export::{closing_line, lines};

use super::*;

/// The fault of an export that is nobody's.
async fn fault(text: impl AsRef<[u8]>) -> ExportFault {
    let (reading, _) = of_file(text).await;
    assert_eq!(reading.account, None, "{reading:?}");
    reading.first_faults[0].clone()
}

/// An answer whose closing says something else, which Dave signed all the same.
fn saying(change: impl Fn(&mut ExportClosing)) -> String {
    let (signer, lines) = (signer("//Dave"), lines(&[run(1), run(2)]));
    let mut closing = signer.closing(&lines, 0, 2, false);
    change(&mut closing);
    signer.sign(&mut closing);
    lines + &closing_line(closing)
}

#[tokio::test]
async fn answers_that_follow_each_other_are_their_accounts() {
    let text = signed(0, &[1, 2], true) + &signed(2, &[3], true) + &signed(3, &[], false);
    let (reading, cursors) = of_file(&text).await;
    assert!(reading.is_complete(), "{reading:?}");
    assert_eq!((reading.account, reading.answers), (Some(dave()), 3));
    assert_eq!(cursors, [1, 2, 3]);
    // What an auditor fetched later, and put behind what was the whole then.
    let text = signed(0, &[1, 2], false) + &signed(2, &[3], false);
    assert_eq!(of_file(&text).await.0.account, Some(dave()));
}

#[tokio::test]
async fn what_was_cut_is_told() {
    let text = signed(0, &[1, 2, 3], false);
    let whole: Vec<&str> = text.split_inclusive('\n').collect();
    let without = |at: usize| [&whole[..at], &whole[at + 1..]].concat().concat();
    for line in 0..3 {
        let differ = ExportFault::LinesDiffer { line: 3 };
        assert_eq!(fault(without(line)).await, differ);
    }
    assert_eq!(fault(without(3)).await, ExportFault::Unsigned { line: 0 });
    assert_eq!(fault("").await, ExportFault::Unsigned { line: 0 });
    // The first answer is lacking, one in the middle, the last.
    let [one, two, three] = [
        signed(0, &[1], true),
        signed(1, &[2], true),
        signed(2, &[3], false),
    ];
    let not_contiguous = |line, expected, found| ExportFault::NotContiguous {
        line,
        expected,
        found,
    };
    let lacking = two.clone() + &three;
    assert_eq!(fault(lacking).await, not_contiguous(2, 0, 1));
    let lacking = one.clone() + &three;
    assert_eq!(fault(lacking).await, not_contiguous(4, 1, 2));
    let (reading, _) = of_file(one.clone() + &two).await;
    assert_eq!(reading.first_faults, [ExportFault::EndsEarly]);
    // It signed all that is there.
    assert_eq!(reading.account, Some(dave()));
    // What comes after the last closing line is nobody's.
    let after = three.clone() + &line(9);
    let after = one + &two + &after;
    let (reading, _) = of_file(after).await;
    assert_eq!(reading.first_faults, [ExportFault::Unsigned { line: 6 }]);
    assert_eq!((reading.account, reading.answers), (Some(dave()), 3));
}

#[tokio::test]
async fn what_was_moved_added_or_changed_is_told() {
    let differ = ExportFault::LinesDiffer { line: 3 };
    let text = signed(0, &[1, 2], false);
    let parts: Vec<&str> = text.split_inclusive('\n').collect();
    let swapped = [parts[1], parts[0], parts[2]].concat();
    let (reading, _) = of_file(&swapped).await;
    assert_eq!(reading.account, None);
    assert!(reading.first_faults.contains(&differ), "{reading:?}");
    let changed = text.replacen("\"received_at\":1", "\"received_at\":2", 1);
    assert_eq!(fault(changed).await, differ);
    let spaced = text.replacen("{\"cursor\"", "{ \"cursor\"", 1);
    assert_eq!(fault(spaced).await, differ);
    let blank = parts[0].to_owned() + "\n" + parts[1] + parts[2];
    let (reading, _) = of_file(blank).await;
    assert_eq!(reading.account, None);
    // Answers in another order, twice, and one export behind another.
    let [one, two] = [signed(0, &[1], true), signed(1, &[2], false)];
    for text in [
        two.clone() + &one,
        one.clone() + &one + &two,
        one.clone() + &two + &one + &two,
    ] {
        let (reading, _) = of_file(text).await;
        assert_eq!(reading.account, None);
        let mut faults = reading.first_faults.iter();
        let told = faults.any(|fault| matches!(fault, ExportFault::NotContiguous { .. }));
        assert!(told, "{reading:?}");
    }
}

#[tokio::test]
async fn what_was_signed_by_another_or_of_something_else_is_told() {
    let bad = ExportFault::BadSignature { line: 3 };
    let text = signed(0, &[1, 2], false);
    let eve = signer("//Eve").account.public_key();
    let renamed = text.replacen(&hex::encode(dave()), &hex::encode(eve), 1);
    assert_eq!(fault(renamed).await, bad);
    for member in ["\"reached\":2", "\"after\":0", "\"number\":9"] {
        let changed = member[..member.len() - 1].to_owned() + "7";
        assert_eq!(fault(text.replacen(member, &changed, 1)).await, bad);
    }
    let more = text.replacen("\"more\":false", "\"more\":true", 1);
    assert_eq!(fault(more).await, bad);

    let other = saying(|closing| closing.chain.0[0] ^= 1);
    assert_eq!(fault(other).await, ExportFault::AnotherChain { line: 3 });
    let other = saying(|closing| closing.study = StudyId(1));
    assert_eq!(fault(other).await, ExportFault::AnotherStudy { line: 3 });
    let mixed = signed(0, &[1], true) + &signer("//Eve").answer(1, &[run(2)], false);
    assert_eq!(fault(mixed).await, ExportFault::AnotherAccount { line: 4 });
    let backwards = saying(|closing| closing.after = 5);
    let not_contiguous = ExportFault::NotContiguous {
        line: 3,
        expected: 0,
        found: 5,
    };
    assert_eq!(fault(backwards).await, not_contiguous);
    let unreadable = text.replacen("\"closing\":{", "\"closing\":{\"colour\":1,", 1);
    assert!(matches!(
        fault(unreadable).await,
        ExportFault::Unreadable { line: 3, .. }
    ));
    // Cursors that do not fit its own lines are Dave's own nonsense.
    let (reading, _) = of_file(saying(|closing| closing.reached = 1)).await;
    assert_eq!(reading.account, Some(dave()));
    assert!(matches!(
        reading.first_faults[..],
        [ExportFault::OutOfOrder { .. }]
    ));
}

#[tokio::test]
async fn a_phones_runs_are_signed_one_by_one_and_by_no_account() {
    let phone = Expected {
        holder: Holder::Phone,
        ..expected()
    };
    let text = line(1) + &line(2);
    let (reading, cursors) = of_file_as(text.as_bytes(), &phone).await;
    assert!(reading.is_complete(), "{reading:?}");
    assert_eq!((reading.account, cursors), (None, vec![1, 2]));
    let text = signed(0, &[1, 2], false);
    let (reading, _) = of_file_as(text.as_bytes(), &phone).await;
    assert!(matches!(
        reading.first_faults[..],
        [ExportFault::Unreadable { line: 3, .. }]
    ));
}
