// SPDX-License-Identifier: Apache-2.0

//! What a stopped phone still holds, given to the real program beside the relays' exports; and what a relay says it holds of one device.

mod support;

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use mhealth_api::{Base64, RunState};
use mhealth_testing::audit::watch;
use mhealth_testing::export::lines;
use mhealth_testing::phone::{exported, record};
use serde_json::{json, Value};

use support::audits::{audit, command, export, found, relay, trial, trial_of_a_phone, STUDY};

/// Most MiB of memory that an auditor has, whatever a relay shows of one device.
const MOST_MEMORY: u64 = 300;
/// An auditor that has not ended by then does not end.
const PATIENCE: Duration = Duration::from_secs(120);

fn phone(file: &Path) -> String {
    format!("--phone=p-17={}", file.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_phone_still_holds_is_no_relays_export() {
    let (trial, mut handset, of_dave, of_eve) = trial_of_a_phone().await;
    let dave = trial.signer("//Dave", STUDY).await;
    let eve = trial.signer("//Eve", STUDY).await;
    let whole = trial.file("dave", dave.export(&of_dave));
    let without = trial.file("without", dave.export(&of_dave[1..]));
    let eve = trial.file("eve", eve.export(&of_eve));
    let [whole, without, eve] = [
        export("dave", &whole),
        export("dave", &without),
        export("eve", &eve),
    ];
    // As the phone writes it, of what is registered already.
    let mut queued = of_eve.clone();
    queued[0].status.state = RunState::Pending;
    let registered = trial.file("registered", lines(&queued));
    let given = [whole.clone(), eve.clone(), phone(&registered)];
    let (status, line, report) = audit(&trial, &given);
    assert_eq!(status, Some(0), "{line}");
    let shown = &report["relays"][2];
    assert_eq!(shown["name"], "p-17");
    assert_eq!(shown["holder"], "phone");
    assert_eq!(shown["first_faults"], json!([]));
    assert_eq!(shown["account"], Value::Null);

    // What Dave lost stays lost, whatever else the phone has.
    let waits = record(&mut handset, 1, "a night that no relay has");
    let waits = exported(&waits, 1, STUDY, RunState::Pending);
    let waiting = trial.file("waiting", lines(std::slice::from_ref(&waits)));
    let held_by_nobody = ("held_by_nobody".to_string(), relay("//Dave"));
    for more in [vec![], vec![phone(&waiting)]] {
        let given = [vec![without.clone(), eve.clone()], more.clone()].concat();
        let (status, line, report) = audit(&trial, &given);
        assert_eq!(status, Some(1), "{line}");
        assert!(line.contains(" missing=2 "), "{line}");
        assert!(found(&report).contains(&held_by_nobody), "{line}");
        let entry = &report["devices"][0]["entries"][5];
        let expected = match more.is_empty() {
            true => Value::Null,
            false => json!([{ "reason": "on_its_way" }]),
        };
        assert_eq!(entry["uncovered"], expected);
    }

    // What the phone shows otherwise than it is registered is held against nobody else, and a broken line is one.
    queued[0].entries[0].envelope.0[40] ^= 1;
    let altered = trial.file("altered", lines(&queued));
    let given = [whole.clone(), eve.clone(), phone(&altered)];
    let (status, line, report) = audit(&trial, &given);
    assert_eq!(status, Some(1), "{line}");
    let device = json!([{ "party": "device" }]);
    assert_eq!(found(&report), [("envelope_differs".to_string(), device)]);
    let broken = trial.file("broken", lines(&queued) + "{\n");
    let (_, _, report) = audit(&trial, &[whole, eve, phone(&broken)]);
    let faults = report["relays"][2]["first_faults"].as_array().unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0]["fault"], "unreadable");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_device_of_which_a_relay_shows_far_too_much_takes_no_memory() {
    /// Runs of as many entries as there may be.
    const RUNS: u64 = 3_200;
    let (trial, of_dave, _) = trial().await;
    let file = trial.file("much", "");
    let mut out = BufWriter::new(std::fs::File::create(&file).unwrap());
    let mut run = of_dave[0].clone();
    let mut entry = run.entries[0].clone();
    entry.envelope = Base64(Vec::new());
    run.entries = vec![entry; hashchain::MAX_RUN_LENGTH];
    for place in 0..RUNS {
        run.cursor = place + 1;
        // Each at a place of its own, after all that is registered.
        run.status.sequence = 6 + place * hashchain::MAX_RUN_LENGTH as u64;
        run.previous.0[..8].copy_from_slice(&place.to_be_bytes());
        serde_json::to_writer(&mut out, &run).unwrap();
        out.write_all(b"\n").unwrap();
    }
    out.flush().unwrap();
    let (command, json) = command(&trial, &[export("dave", &file)]);
    let ended = watch(command, PATIENCE).unwrap();
    let peak = ended.memory;
    assert_eq!(ended.status, Some(1), "{}", ended.said);
    assert!(peak > 0 && peak < MOST_MEMORY, "{peak} MiB");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let fault = &report["relays"][0]["first_faults"][0];
    assert_eq!(fault["fault"], "too_many_of_device");
    assert_eq!(fault["limit"], 65_536 + 4 * 5);
    let entries = report["devices"][0]["entries"].as_array().unwrap();
    assert!(entries.len() < 66_000, "{}", entries.len());
}
