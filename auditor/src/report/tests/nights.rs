// SPDX-License-Identifier: Apache-2.0

//! The picture of participants and nights.

use super::*;
use crate::participants::ParticipantList;

/// The picture alone, and the table that says the same.
fn nights_of(page: &str) -> (&str, &str) {
    let part = |from: &str, to: &str| {
        let start = page.find(from).expect("it is there");
        let end = page[start..].find(to).expect("it ends") + start;
        &page[start..end]
    };
    (
        part("<svg class=\"plot nights\"", "</svg>"),
        part("<table class=\"long\" id=\"nights-table\"", "</table>"),
    )
}

#[test]
fn the_picture_of_nights_has_a_row_for_each_participant_and_says_the_same_in_words() {
    let mut list = ParticipantList::default();
    let key = |number: u8| hex::encode([number + 10; 32]);
    for line in [
        format!("P-1 {}", key(0)),
        format!("P-1 {}", key(3)),
        format!("4 {}", key(4)),
    ] {
        list.add(&line).expect("a line of a list");
    }
    let mut digest = Digest::naming(Some(&list));
    let valid = |at: u64, day: u64| (entry(at, Verdict::Valid, true), Some(day));
    // One participant's two devices, one who got another device, and one of whom nothing is known.
    add(
        &mut digest,
        &device(0, None, None),
        &[valid(1, 20_000), valid(2, 20_000)],
    );
    let wrong = [
        (entry(1, Verdict::Valid, true), Some(20_001)),
        (entry(2, Verdict::Forged, true), Some(20_001)),
        (entry(3, Verdict::Altered, true), Some(20_001)),
        (entry(4, Verdict::Missing, true), Some(20_004)),
    ];
    add(&mut digest, &device(1, None, Some(2)), &wrong);
    add(&mut digest, &device(2, Some(1), None), &[valid(1, 20_005)]);
    add(&mut digest, &device(3, None, None), &[valid(1, 20_002)]);
    add(
        &mut digest,
        &device(4, None, None),
        &[(entry(1, Verdict::Valid, true), None)],
    );
    let page = page(&heading(), &[], &digest);
    let (picture, table) = nights_of(&page);

    for said in [
        "role=\"img\"",
        "aria-labelledby=\"nights-title nights-description\"",
        "Nights of 3 participants from 2024-10-04 to 2024-10-09",
        "1 of 3 participants",
    ] {
        assert!(picture.contains(said), "{said}: {picture}");
    }
    let rows: Vec<&str> = table.split("<tr>").skip(2).collect();
    assert_eq!(rows.len(), 3, "{table}");
    // Three nights over two devices, with one between.
    assert!(
        rows[0].contains(">P-1 <")
            && rows[0].contains("#device-0\"")
            && rows[0].contains("#device-3\""),
        "{}",
        rows[0]
    );
    assert!(
        rows[0].contains("<td class=\"number\">2</td><td class=\"number\">3</td>"),
        "{}",
        rows[0]
    );
    assert!(
        rows[0].contains("<td>2024-10-05</td><td>–</td>"),
        "{}",
        rows[0]
    );
    // The worst verdict of a night counts, and stretches without data are named.
    assert!(rows[1].contains("device 1, 2 <"), "{}", rows[1]);
    assert!(
        rows[1].contains("<td>2024-10-06 – 2024-10-07</td>"),
        "{}",
        rows[1]
    );
    assert!(
        rows[1].contains("<td>2024-10-05 (forged), 2024-10-08 (missing)</td>"),
        "{}",
        rows[1]
    );
    assert!(
        rows[2].contains("device 4 <") && rows[2].contains("and 1 of unknown day"),
        "{}",
        rows[2]
    );
    // A cell for each night, and a frame for each that has none: no colour alone says what is wrong.
    let cells = |class: &str| {
        let path = picture
            .split("<path class=\"")
            .find(|path| path.starts_with(&format!("{class}\"")));
        path.map_or(0, |path| {
            path.split("</path>")
                .next()
                .unwrap_or_default()
                .matches('M')
                .count()
        })
    };
    assert_eq!(
        ["valid", "forged", "missing", "altered", "none"].map(cells),
        [3, 1, 1, 0, 3]
    );
    for letter in [">F</text>", ">M</text>"] {
        assert_eq!(picture.matches(letter).count(), 1, "{letter}: {picture}");
    }
}

#[test]
fn the_picture_of_a_large_study_stays_small_and_shows_what_is_wrong() {
    let mut digest = Digest::default();
    for number in 0..150 {
        let last = match number {
            149 => Verdict::Forged,
            _ => Verdict::Valid,
        };
        let entries: Vec<_> = (1..400)
            .map(|at| {
                (
                    entry(at, if at == 399 { last } else { Verdict::Valid }, true),
                    Some(20_000 + at),
                )
            })
            .collect();
        add(&mut digest, &device(number, None, None), &entries);
    }
    let page = page(&heading(), &[], &digest);
    let (picture, table) = nights_of(&page);
    assert!(
        picture.contains("device 149") && picture.contains("class=\"forged\""),
        "the wrong one is shown"
    );
    assert!(!picture.contains("device 148"), "there is no room for all");
    assert!(page.contains("The picture shows 100 of 150 participants"));
    assert_eq!(table.matches("scope=\"row\"").count(), 150);
    assert!(picture.len() < 300_000, "{}", picture.len());
    // Whatever a block says that its time is.
    let mut digest = Digest::default();
    let ends = [
        (entry(1, Verdict::Valid, true), Some(0)),
        (entry(2, Verdict::Valid, true), Some(u64::MAX / DAY)),
    ];
    add(&mut digest, &device(0, None, None), &ends);
    assert!(page_of(&digest).contains("nights-picture"));
}

#[test]
fn many_nights_that_came_in_one_day_are_said_to_stand_on_it() {
    let of_two = "On 2024-10-05 blocks registered 40 entries of 2 participants, more than 3";
    let of_one = "On 2024-10-05 blocks registered 20 entries of one participant, more than 3";
    // However few the others brought.
    let most: [u64; 10] = [20, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let cases: [(&[u64], _); 3] = [(&[20, 20], of_two), (&most, of_one), (&[3, 3], "")];
    for (each, said) in cases {
        let mut digest = Digest::default();
        for (number, count) in (0..).zip(each) {
            let entries = (1..=*count).map(|at| (entry(at, Verdict::Valid, true), Some(20_001)));
            let entries: Vec<_> = entries.collect();
            add(&mut digest, &device(number, None, None), &entries);
        }
        let page = page_of(&digest);
        assert!(page.contains(said), "{each:?}: {page}");
        assert_eq!(page.contains("nights.svg"), !said.is_empty(), "{each:?}");
    }
}
