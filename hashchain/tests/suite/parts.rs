// SPDX-License-Identifier: Apache-2.0

//! Records in parts: what was cut is put together again, what is missing is named, and nothing else passes for a record.

use hashchain::parts::{record_digest, MAX_PARTS};
use hashchain::{
    join, split, BrokenBecause, BrokenRecord, Content, Found, Joiner, Native, Part,
    MAX_RECORD_LENGTH, PART_MEDIA_TYPE,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// What the envelopes of a device hold, from some entry on.
type Entries = Vec<(u64, String, Vec<u8>)>;

/// A record in parts of so many bytes, from entry `first` on.
fn in_parts(first: u64, media_type: &str, payload: &[u8], most: usize) -> Entries {
    let content = Content::new(media_type, payload).unwrap();
    let split = split::<Native>(&content, most).unwrap();
    let payloads = split.parts().map(|part| part.payload());
    let payloads = (first..).zip(payloads);
    payloads
        .map(|(sequence, payload)| (sequence, PART_MEDIA_TYPE.to_owned(), payload))
        .collect()
}

fn read(entries: &Entries) -> impl Iterator<Item = (u64, Content<'_>)> {
    entries.iter().map(|(sequence, media_type, payload)| {
        (*sequence, Content::new(media_type, payload).unwrap())
    })
}

/// First and last entry of a record, its media type and its payload.
type Joined = (u64, u64, String, Vec<u8>);

/// What they come to.
fn joined(entries: &Entries) -> Vec<Result<Joined, BrokenRecord>> {
    let found = join::<Native>(read(entries)).map(|found| {
        Ok(match found? {
            Found::Entry { sequence, content } => (
                sequence,
                sequence,
                content.media_type().to_owned(),
                content.payload().to_vec(),
            ),
            Found::Record(record) => {
                let content = record.content();
                let (media_type, payload) = (content.media_type(), content.payload());
                (
                    record.first,
                    record.last,
                    media_type.to_owned(),
                    payload.to_vec(),
                )
            }
        })
    });
    found.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_cut_is_put_together_again(
        payload in vec(any::<u8>(), 0..3_000),
        media_type in "[ -~]{1,255}",
        most in 60_usize..400,
        first in 1_u64..1_000_000,
    ) {
        let entries = in_parts(first, &media_type, &payload, most);
        let last = first + entries.len() as u64 - 1;
        prop_assert!(entries.len() >= 2);
        prop_assert!(entries.iter().all(|(_, _, payload)| payload.len() <= most));
        let expected = vec![Ok((first, last, media_type.clone(), payload.clone()))];
        prop_assert_eq!(joined(&entries), expected.clone());
        // An entry that comes twice counts once.
        let twice: Entries = entries.iter().flat_map(|entry| [entry.clone(), entry.clone()]).collect();
        prop_assert_eq!(joined(&twice), expected);
    }

    #[test]
    fn exactly_the_entries_that_are_missing_are_named(
        payload in vec(any::<u8>(), 200..3_000),
        lost in any::<u64>(),
    ) {
        let entries = in_parts(17, "text/plain", &payload, 148);
        let is_lost = |sequence: &u64| lost >> (sequence % 64) & 1 == 1;
        let missing: Vec<u64> = entries.iter().map(|(sequence, ..)| *sequence).filter(is_lost).collect();
        prop_assume!(missing.len() < entries.len() && !missing.is_empty());
        let rest: Entries = entries.iter().filter(|(sequence, ..)| !is_lost(sequence)).cloned().collect();
        let found = joined(&rest);
        prop_assert_eq!(found.len(), 1);
        let broken = found[0].clone().unwrap_err();
        prop_assert_eq!((broken.first, broken.last), (17, 16 + entries.len() as u64));
        prop_assert_eq!(broken.why, BrokenBecause::Missing(missing));
    }

    #[test]
    fn one_changed_bit_is_never_a_record(
        payload in vec(any::<u8>(), 100..600),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let mut entries = in_parts(1, "text/plain", &payload, 148);
        let whole = joined(&entries);
        let entry = place.index(entries.len());
        let byte = place.index(entries[entry].2.len());
        entries[entry].2[byte] ^= 1 << bit;
        let found = joined(&entries);
        prop_assert!(found.iter().all(Result::is_err), "{:?} {:?}", whole, found);
    }

    #[test]
    fn whatever_an_envelope_holds_nothing_panics(
        entries in vec((1_u64..40, any::<bool>(), vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let mut entries: Entries = entries
            .into_iter()
            .map(|(sequence, is_part, payload)| {
                let media_type = if is_part { PART_MEDIA_TYPE } else { "text/plain" };
                (sequence, media_type.to_owned(), payload)
            })
            .collect();
        entries.sort();
        let _ = joined(&entries);
    }
}

#[test]
fn the_digest_is_that_of_the_specification() {
    let content = Content::new("text/plain", b"a long night").unwrap();
    // By `reference` in another language: SHA-256 over the encoding of section 2.
    let expected = "0xb89585739bb6ed33b3f28d49cc27620bf8b100c55a09cd24dec98eec51631d1c";
    assert_eq!(record_digest::<Native>(&content).to_string(), expected);
    let payload = in_parts(1, "text/plain", b"a long night", 60).remove(0).2;
    let text = hex::encode(payload);
    let piece = hex::encode(b"\0\0\0\x0atext/pla");
    assert_eq!(
        text,
        format!(
            "{}000000010000000300000000000000{:02x}{piece}",
            &expected[2..],
            26
        )
    );
}

#[test]
fn records_follow_each_other_and_other_entries_stand_between_them() {
    let mut entries = in_parts(3, "a/b", &[1; 300], 148);
    let after = 3 + entries.len() as u64;
    entries.push((after, "text/plain".into(), b"a night".to_vec()));
    entries.extend(in_parts(after + 1, "a/b", &[1; 300], 148));
    // The last record has come in part only.
    let cut = entries.pop().unwrap();
    entries.insert(0, (1, "text/plain".into(), b"first".to_vec()));
    let found = joined(&entries);
    assert_eq!(found.len(), 4);
    assert_eq!(found[0].as_ref().unwrap().0, 1);
    assert_eq!(found[1].as_ref().unwrap().3, [1; 300]);
    assert_eq!(found[2].as_ref().unwrap().3, b"a night");
    let broken = found[3].clone().unwrap_err();
    assert_eq!(broken.why, BrokenBecause::Missing(vec![cut.0]));
    assert!(
        broken.to_string().contains(&format!("entry {}", cut.0)),
        "{broken}"
    );
}

#[test]
fn an_entry_in_the_place_of_a_part_makes_it_missing() {
    let mut entries = in_parts(1, "a/b", &[1; 300], 148);
    entries[1] = (2, "text/plain".into(), b"somebody's night".to_vec());
    let found = joined(&entries);
    let missing: Vec<_> = found
        .iter()
        .filter_map(|found| match &found.as_ref().err()?.why {
            BrokenBecause::Missing(missing) => Some(missing.clone()),
            _ => None,
        })
        .collect();
    // Before it, the rest of the record is missing; after it, the beginning.
    assert_eq!(missing, [vec![2, 3, 4], vec![1, 2]]);
    assert!(found
        .iter()
        .any(|found| found.as_ref().is_ok_and(|found| found.0 == 2)));
}

#[test]
fn parts_of_one_record_do_not_pass_for_another() {
    let one = in_parts(1, "a/b", &[1; 300], 148);
    let other = in_parts(1, "a/b", &[2; 300], 148);
    let mixed = vec![
        one[0].clone(),
        other[1].clone(),
        one[2].clone(),
        one[3].clone(),
    ];
    assert!(joined(&mixed).iter().all(Result::is_err));
    // All in the wrong order: each has another place than it says.
    let mut turned = one.clone();
    turned.swap(0, 1);
    (turned[0].0, turned[1].0) = (1, 2);
    assert!(joined(&turned).iter().all(Result::is_err));
}

#[test]
fn parts_with_more_than_the_record_are_not_the_record() {
    let content = Content::new("text/plain", b"a long night").unwrap();
    let whole = split::<Native>(&content, 60).unwrap();
    let whole: Vec<u8> = whole.parts().flat_map(|part| part.piece.to_vec()).collect();
    // The last part alone is the record, and what came before it is more than fits.
    let other = vec![7; whole.len()];
    let pieces = [&other[..1], &other[..], &whole[..]];
    let entries: Entries = (1..)
        .zip(pieces)
        .map(|(number, piece)| {
            let part = Part {
                record: record_digest::<Native>(&content),
                number,
                of: 3,
                length: whole.len() as u64,
                piece,
            };
            (number.into(), PART_MEDIA_TYPE.to_owned(), part.payload())
        })
        .collect();
    let found = joined(&entries);
    assert_eq!(found.len(), 1);
    let broken = found[0].clone().unwrap_err();
    assert_eq!((broken.first, broken.last), (1, 3));
    assert_eq!(broken.why, BrokenBecause::Differs);
}

#[test]
fn what_is_no_part_is_told_apart() {
    let good = in_parts(1, "a/b", &[1; 300], 148).remove(1).2;
    let part = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut payload = good.clone();
        change(&mut payload);
        let content = Content::new(PART_MEDIA_TYPE, &payload).unwrap();
        Part::parse(&content).map(|part| part.is_some())
    };
    assert_eq!(part(&|_| ()), Ok(true));
    let write = |at: usize, bytes: &'static [u8]| {
        move |payload: &mut Vec<u8>| payload[at..at + bytes.len()].copy_from_slice(bytes)
    };
    for malformed in [
        part(&|payload| payload.truncate(47)),
        // Without a piece.
        part(&|payload| payload.truncate(48)),
        part(&|payload| payload.clear()),
        // Part 0, part 5 of 4, one of one, too many.
        part(&write(32, &[0, 0, 0, 0])),
        part(&write(32, &[0, 0, 0, 5])),
        part(&write(32, &[0, 0, 0, 1, 0, 0, 0, 1])),
        part(&write(36, &[0, 0, 4, 1])),
        // Longer than any record, shorter than this piece.
        part(&write(40, &[0, 0, 0, 0, 4, 0, 0, 1])),
        part(&write(40, &[0, 0, 0, 0, 0, 0, 0, 1])),
    ] {
        assert!(malformed.is_err());
    }
    let other = Content::new("text/plain", &good).unwrap();
    assert_eq!(Part::parse(&other), Ok(None));
    // Part 2 cannot be the first entry.
    let content = Content::new(PART_MEDIA_TYPE, &good).unwrap();
    let found = Joiner::default().add::<Native>(1, content);
    let broken = found[0].clone().unwrap_err();
    assert_eq!(
        (broken.digest, broken.why.as_str()),
        (None, "part-malformed")
    );
}

#[test]
fn no_record_is_longer_than_readers_take() {
    let payload = vec![7; MAX_RECORD_LENGTH - 7];
    let content = Content::new("a/b", &payload).unwrap();
    let cut = split::<Native>(&content, 256 << 10).unwrap();
    assert!(cut.count() <= MAX_PARTS);
    assert_eq!(
        cut.parts().map(|part| part.piece.len()).sum::<usize>(),
        MAX_RECORD_LENGTH
    );
    let content = Content::new("a/bc", &payload).unwrap();
    assert!(split::<Native>(&content, 256 << 10).is_err());
    // Nor has it more parts.
    let content = Content::new("a/b", &payload[..100_000]).unwrap();
    assert!(split::<Native>(&content, 100).is_err());
}

#[test]
fn nothing_shows_the_data() {
    let entries = in_parts(1, "a/b", b"a secret night and what was dreamt", 60);
    let shown = format!("{:?}", join::<Native>(read(&entries)).collect::<Vec<_>>());
    assert!(
        !shown.contains("secret") && !shown.contains("115, 101"),
        "{shown}"
    );
}
