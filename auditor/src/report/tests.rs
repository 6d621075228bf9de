// SPDX-License-Identifier: Apache-2.0

mod nights;

use std::collections::BTreeMap;

use hashchain::{participant_digest, DataDigest, DeviceId, LinkHash, Native};
use mhealth_api::{DeviceStatus, Policy};

use super::*;
use crate::audit::Judged;
use crate::case::{DeviceRecord, Predecessor};
use crate::judge::Judgement;
use crate::verdict::{Content, JudgedEntry, Verdict};

#[test]
fn times_and_days_are_written_for_people() {
    assert_eq!(moment(Some(0)), "1970-01-01 00:00:00 UTC");
    assert_eq!(moment(None), "–");
    assert_eq!(moment(Some(u64::MAX)), "–");
    assert_eq!(day(20_000), "2024-10-04");
    assert_eq!(day(u64::MAX), "–");
}

#[test]
fn a_chart_over_time_has_few_bars_however_long_the_study() {
    for span in [0, 59, 1_000, 100_000, 10_000_000] {
        let minutes = BTreeMap::from([(29_000_000, 1), (29_000_000 + span, 2)]);
        let bars = plot::over_time(&minutes);
        assert!((1..=62).contains(&bars.len()), "{span}: {}", bars.len());
        let sum: u64 = bars.iter().map(|(_, count)| count).sum();
        assert_eq!(sum, if span == 0 { 2 } else { 3 });
    }
}

fn heading() -> Heading {
    Heading {
        auditor: "a monitor".into(),
        program: "p".into(),
        run_at: 0,
        chain: Hash([0; 32]),
        study: StudyId(0),
        title: "a study".into(),
        policy: Policy::DeviceSigned,
        auditor_key: Key([0; 32]),
        block: 1,
        block_hash: Hash([0; 32]),
        block_time: None,
        no_export: Vec::new(),
        standing: Standing::default(),
        report_key: None,
    }
}

#[test]
fn a_study_without_devices_is_not_covered_in_the_report_for_programs_too() {
    let mut text = Vec::new();
    let report = JsonReport::begin(&mut text, &heading(), &[]).expect("memory takes it");
    report.end(&Summary::default()).expect("memory takes it");
    let report: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
    assert_eq!(report["summary"]["outcome"], "not_covered");
}

const DAY: u64 = 86_400;

fn device(number: u32, predecessor: Option<u32>, successor: Option<u32>) -> DeviceRecord {
    DeviceRecord {
        device: DeviceId(number),
        study: StudyId(0),
        key: [0; 32],
        secret_commitment: [0; 32],
        escrow: Vec::new(),
        auditor_epoch: 0,
        participant: participant_digest::<Native>(Some(&[number as u8 + 10; 32])),
        genesis: LinkHash([0; 32]),
        length: 2,
        head: LinkHash([0; 32]),
        status: DeviceStatus::Active,
        predecessor: predecessor.map(|device| Predecessor {
            device: DeviceId(device),
            trusted_head: None,
        }),
        successor: successor.map(DeviceId),
        trusted_length: None,
        enrolled_at: 1,
    }
}

/// An entry that stands in the block of its number, or in none.
fn entry(sequence: u64, verdict: Verdict, registered: bool) -> JudgedEntry {
    JudgedEntry {
        sequence,
        link: LinkHash([sequence as u8; 32]),
        digest: DataDigest([0; 32]),
        registered,
        verdict,
        grounds: Vec::new(),
        parties: Vec::new(),
        uncovered: Vec::new(),
        content: Content::Sealed,
        block: registered.then_some(sequence),
        submitter: None,
        held_by: Vec::new(),
        received_at: None,
    }
}

/// Adds a device with these entries; a block is of the day that is named beside its entry.
fn add(digest: &mut Digest, record: &DeviceRecord, entries: &[(JudgedEntry, Option<u64>)]) {
    let times = entries.iter().filter_map(|(entry, day)| {
        let time = day.map(|day| day * DAY);
        Some((entry.block?, time))
    });
    digest.add(&Judged {
        record,
        judgement: Judgement {
            device: record.device,
            entries: entries.iter().map(|(entry, _)| entry.clone()).collect(),
            findings: Vec::new(),
            conflicts: Vec::new(),
            conflicts_not_stored: 0,
            uncovered: Vec::new(),
            trusted_to: 2,
            trusted_head: LinkHash([0; 32]),
        },
        erasure: None,
        block_times: times.collect(),
    });
}

#[test]
fn blocks_tell_on_which_days_there_are_data_and_not_the_relays_clock() {
    // Registered on the tenth and the fifteenth day; the relay says that something came on every day.
    let said = (9..16).map(|day| {
        let said = JudgedEntry {
            received_at: Some(day * DAY),
            ..entry(day, Verdict::Valid, false)
        };
        (said, None)
    });
    let registered = [(1, 10), (2, 15)];
    let registered = registered.map(|(at, day)| (entry(at, Verdict::Valid, true), Some(day)));
    let entries: Vec<_> = registered.into_iter().chain(said).collect();
    let mut digest = Digest::default();
    add(&mut digest, &device(0, None, None), &entries);
    let page = page(&heading(), &[], &digest);
    let gap = format!("{} – {}", day(11), day(14));
    let said = format!("Days without data, by the blocks: </strong>{gap}</p>");
    assert!(page.contains(&said), "{page}");
}

fn page_of(digest: &Digest) -> String {
    page(&heading(), &[], digest)
}

#[test]
fn the_page_names_only_sections_whose_text_was_read() {
    let page = page_of(&Digest::default());
    for document in [
        "EMA/INS/GCP/112288/2023",
        "E6(R3)",
        "21 CFR 11.10(a)",
        "ALCOA++",
    ] {
        assert!(page.contains(document), "{document}");
    }
    let sections = |of: &str| {
        let sections = page.split(of).skip(1).map(|rest| {
            let end = rest.find([':', ';', ')', ' ', '<']).unwrap_or(rest.len());
            rest[..end].to_owned()
        });
        let mut sections: Vec<String> = sections
            .filter(|it| it.starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        sections.sort();
        sections.dedup();
        sections
    };
    assert_eq!(sections("EMA "), ["4.5", "6.2.1", "6.2.2"]);
    assert_eq!(
        sections("ICH E6(R3) "),
        ["2.12.2", "4.2.2(a", "4.2.2(b", "4.2.2(d", "4.2.3", "4.2.5", "4.3.3"]
    );
    assert!(page.contains("this report is not signed"));
    let key = Key([7; 32]);
    let signed = Heading {
        report_key: Some(key),
        ..heading()
    };
    let page = super::page(&signed, &[], &Digest::default());
    assert_eq!(
        page.matches(&key.to_string()).count(),
        2,
        "in the heading and in the table"
    );
}

#[test]
fn what_strangers_wrote_stays_text() {
    let heading = Heading {
        auditor: "<script>alert(1)</script>".into(),
        title: "\"><img src=x>".into(),
        ..heading()
    };
    let page = page(&heading, &[], &Digest::default());
    assert!(
        !page.contains("<script") && !page.contains("<img"),
        "{page}"
    );
    assert!(!page.contains("http"), "nothing is fetched from elsewhere");
}

#[test]
fn what_only_the_node_says_stands_in_both_reports() {
    use crate::chain::{ProvedFinality, ProvedRuntime, Word};

    let mut heading = heading();
    heading.standing.words = vec![
        Word::Genesis,
        Word::Finality {
            why: "<there is none>".into(),
        },
        Word::Runtime {
            block: 7,
            why: "its code does not end".into(),
        },
    ];
    let html = page(&heading, &[], &Digest::default());
    assert!(html.contains("only the node says"), "{html}");
    assert!(html.contains("&lt;there is none&gt;") && html.contains("block 7"));
    let json = serde_json::to_value(&heading).expect("it is JSON");
    let words = &json["standing"]["words"];
    assert_eq!(words[1]["word"], "finality");
    assert_eq!(
        words[2],
        serde_json::json!({ "word": "runtime", "block": 7, "why": "its code does not end" })
    );
    assert!(!heading.standing.is_enough());
    heading.standing.trusted = true;
    assert!(heading.standing.is_enough());
    heading.standing = Standing {
        finality: Some(ProvedFinality {
            checkpoint: None,
            handovers: 2,
            authority_set: 2,
            authorities: 4,
        }),
        runtimes: vec![ProvedRuntime {
            from: 9,
            spec_version: 101,
            code: Hash([0xc0; 32]),
        }],
        ..Standing::default()
    };
    let html = page(&heading, &[], &Digest::default());
    assert!(html.contains("2 handovers") && !html.contains("only the node says"));
    assert!(html.contains("version 101") && html.contains(&"c0".repeat(32)));
}
