// SPDX-License-Identifier: Apache-2.0

use std::time::Instant;

use hashchain::LinkHash;
use mhealth_api::Key;
use serde_json::{json, Value};

use super::*;
use crate::attack::Attack;
use crate::truth::Culprit;

const MALLORY: Key = Key([7; 32]);

fn entry(sequence: u64, verdict: &str, parties: Value) -> Value {
    let link = LinkHash([sequence as u8; 32]);
    let grounds: Vec<&str> = match verdict {
        "valid" => Vec::new(),
        _ => vec!["tag_fails"],
    };
    json!({ "sequence": sequence, "link": link, "registered": true, "verdict": verdict, "grounds": grounds,
            "parties": parties })
}

/// Device 0 is honest, device 1 was attacked at entry 2.
fn report(honest: Value, attacked: Value) -> Report {
    let device = |number: u32, entries: Value| json!({ "device": number, "findings": [], "entries": entries });
    let report = json!({
        "audit": { "block": 9 },
        "devices": [device(0, json!([honest])), device(1, json!([entry(1, "valid", json!([])), attacked]))],
        "summary": { "registered": 3 },
    });
    serde_json::from_value(report).expect("it has the form of a report")
}

fn planted() -> Planted {
    Planted {
        attack: Attack::Alter,
        device: DeviceId(1),
        effect: Effect::Illegal(vec![(2, LinkHash([2; 32]))]),
        culprits: vec![Culprit::Relay(MALLORY)],
        honest_to: 1,
        block: 5,
        at: Instant::now(),
    }
}

#[test]
fn an_odd_signature_is_the_devices_and_its_entries_stay_valid() {
    let planted = Planted {
        effect: Effect::SignedOddly(vec![(2, LinkHash([2; 32]))]),
        culprits: vec![Culprit::Device],
        ..planted()
    };
    let judged = |verdict: &str, ground: &str, party: &str| {
        let mut report = report(entry(1, "valid", json!([])), entry(2, verdict, json!([])));
        let finding =
            json!({ "ground": ground, "parties": [{ "party": party }], "sequences": [[2, 2]] });
        report.devices[1].findings = vec![serde_json::from_value(finding).expect("a finding")];
        let verdict = Judge::new(
            Column::DeviceSigned,
            &report,
            std::slice::from_ref(&planted),
        )
        .verdict(&planted);
        (verdict.fate, verdict.named)
    };
    let odd = "signature_not_strict";
    let right = (Fate::Detected, Some(Named::Alone));
    assert_eq!(judged("valid", odd, "device"), right);
    assert_eq!(judged("forged", odd, "device"), (Fate::Unseen, None));
    let wrong = (Fate::Detected, Some(Named::Wrong));
    assert_eq!(judged("forged", "signature_fails", "validators"), wrong);
}

fn judged(column: Column, report: &Report) -> (Fate, Option<Named>) {
    let planted = planted();
    let verdict = Judge::new(column, report, std::slice::from_ref(&planted)).verdict(&planted);
    (verdict.fate, verdict.named)
}

#[test]
fn whom_an_audit_names_is_compared_with_who_did_it() {
    let relay = |key: Key| json!({ "party": "relay", "account": key });
    let other = json!({ "party": "authentication_key_holder" });
    let cases = [
        (json!([relay(MALLORY)]), Named::Alone),
        (json!([relay(MALLORY), other]), Named::Among),
        (json!([relay(Key([8; 32]))]), Named::Wrong),
        (json!([other]), Named::Wrong),
        (json!([]), Named::Nobody),
    ];
    for (parties, named) in cases {
        let report = report(entry(1, "valid", json!([])), entry(2, "forged", parties));
        let expected = (Fate::Detected, Some(named));
        assert_eq!(judged(Column::HashchainOnly, &report), expected);
    }
}

#[test]
fn an_illegal_entry_that_is_valid_or_looks_like_every_other_is_unseen() {
    let valid = report(entry(1, "valid", json!([])), entry(2, "valid", json!([])));
    assert_eq!(judged(Column::DeviceSigned, &valid).0, Fate::Unseen);
    let usual = report(entry(1, "forged", json!([])), entry(2, "forged", json!([])));
    assert_eq!(judged(Column::OneOffice, &usual).0, Fate::Unseen);
    assert_eq!(judged(Column::HashchainOnly, &usual).0, Fate::Detected);
}

#[test]
fn an_illegal_entry_that_stands_nowhere_was_prevented() {
    let mut report = report(entry(1, "valid", json!([])), entry(2, "forged", json!([])));
    report.devices[1].entries.pop();
    assert_eq!(
        judged(Column::DeviceSigned, &report),
        (Fate::Prevented, None)
    );
}

#[test]
fn an_alarm_is_false_for_honest_devices_and_before_an_attack_only() {
    let quiet = report(entry(1, "valid", json!([])), entry(2, "forged", json!([])));
    let planted = [planted()];
    let alarms = |report: &Report| {
        let judge = Judge::new(Column::HashchainOnly, report, &planted);
        let (honest, alarms) = judge.false_alarms();
        (honest, alarms.len())
    };
    assert_eq!(alarms(&quiet), (2, 0));
    let mut loud = report(entry(1, "forged", json!([])), entry(2, "forged", json!([])));
    assert_eq!(alarms(&loud), (2, 1));
    loud.devices[1].entries[0].verdict = "disputed".into();
    assert_eq!(alarms(&loud), (2, 2));
}
