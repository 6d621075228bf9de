// SPDX-License-Identifier: Apache-2.0

use std::collections::{BTreeMap, HashMap};

use hashchain::{DataDigest, DeviceId, LinkHash};
use mhealth_api::{DeviceStatus, Policy};

use super::*;
use crate::audit::Judged;
use crate::case::DeviceRecord;
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

#[test]
fn blocks_tell_on_which_days_there_are_data_and_not_the_relays_clock() {
    const DAY: u64 = 86_400;
    let record = DeviceRecord {
        device: DeviceId(0),
        study: StudyId(0),
        key: [0; 32],
        secret_commitment: [0; 32],
        escrow: Vec::new(),
        auditor_epoch: 0,
        participant: [0; 32],
        genesis: LinkHash([0; 32]),
        length: 2,
        head: LinkHash([0; 32]),
        status: DeviceStatus::Active,
        predecessor: None,
        successor: None,
        trusted_length: None,
        enrolled_at: 1,
    };
    // Registered on the tenth and the fifteenth day; the relay says that something came on every day.
    let entry = |sequence: u64, registered: bool, received_at: u64| JudgedEntry {
        sequence,
        link: LinkHash([sequence as u8; 32]),
        digest: DataDigest([0; 32]),
        registered,
        verdict: Verdict::Valid,
        grounds: Vec::new(),
        parties: Vec::new(),
        uncovered: Vec::new(),
        content: Content::Sealed,
        block: registered.then_some(sequence),
        submitter: None,
        held_by: Vec::new(),
        received_at: Some(received_at),
    };
    let registered = [entry(1, true, 9 * DAY), entry(2, true, 11 * DAY)];
    let said = (9..16).map(|day| entry(day, false, day * DAY));
    let judgement = Judgement {
        device: record.device,
        entries: registered.into_iter().chain(said).collect(),
        findings: Vec::new(),
        conflicts: Vec::new(),
        conflicts_not_stored: 0,
        uncovered: Vec::new(),
        trusted_to: 2,
        trusted_head: LinkHash([0; 32]),
    };
    let mut digest = Digest::default();
    digest.add(&Judged {
        record: &record,
        judgement,
        erasure: None,
        block_times: HashMap::from([(1, Some(10 * DAY)), (2, Some(15 * DAY))]),
    });
    let page = page(&heading(), &[], &digest);
    let gap = format!("{} – {}", day(11), day(14));
    let said = format!("Days without data, by the blocks: </strong>{gap}</p>");
    assert!(page.contains(&said), "{page}");
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
    use crate::chain::{ProvedFinality, Word};

    let mut heading = heading();
    heading.standing.words = vec![
        Word::Genesis,
        Word::Finality {
            why: "<there is none>".into(),
        },
        Word::Runtime { block: 7 },
    ];
    let html = page(&heading, &[], &Digest::default());
    assert!(html.contains("only the node says"), "{html}");
    assert!(html.contains("&lt;there is none&gt;") && html.contains("block 7"));
    let json = serde_json::to_value(&heading).expect("it is JSON");
    let words = &json["standing"]["words"];
    assert_eq!(words[1]["word"], "finality");
    assert_eq!(
        words[2],
        serde_json::json!({ "word": "runtime", "block": 7 })
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
        ..Standing::default()
    };
    let html = page(&heading, &[], &Digest::default());
    assert!(html.contains("2 handovers") && !html.contains("only the node says"));
}
