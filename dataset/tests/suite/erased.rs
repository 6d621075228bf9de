// SPDX-License-Identifier: Apache-2.0

//! Who was erased and had no key: only the record keeps their data out of what is made later.

use std::fs;

use hashchain::DeviceId;
use mhealth_dataset::verify;

use crate::program::{last_line, program};
use crate::support::nights::study;
use crate::support::table::csv;
use crate::support::{destruction, World};

/// A study of which the participant is erased whose phone, 3, seals to nobody.
fn erased() -> World {
    let mut world = study();
    let erasure = destruction("P-dan", &[3]);
    world.keys.erase_plain(&erasure).unwrap();
    world
}

/// The audit is older than the erasure, or a relay was away.
#[test]
fn an_audit_that_calls_valid_what_is_on_record_as_erased_makes_no_dataset() {
    let mut world = erased();
    for include_flagged in [false, true] {
        let mut job = world.job("out");
        job.include_flagged = include_flagged;
        let refused = world.export(&job).unwrap_err();
        assert_eq!(refused.code(), "audit_before_erasure", "{refused}");
        assert!(refused.to_string().contains("device 3 "), "{refused}");
        assert!(!job.out.exists());
    }
    // Of others nobody needs to wait.
    let mut job = world.job("mine");
    job.participant = Some("P-ada".into());
    job.include_flagged = true;
    world.export(&job).unwrap();
    world.judge(3, 1, "erased", false);
    let job = world.job("out");
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.left_out["erased"], 1);
    verify(&job.out, &world.trusted()).unwrap();
}

#[test]
fn nothing_is_read_of_who_was_erased_whatever_a_relay_shows_and_an_audit_calls_it() {
    let mut world = erased();
    for verdict in ["erased", "altered", "missing"] {
        world.judge(3, 1, verdict, true);
        let mut job = world.job(verdict);
        job.include_flagged = true;
        world.export(&job).unwrap();
        let rows = csv(&job.out.join("nights.csv"));
        let row = rows.iter().find(|row| row["device"] == "3").unwrap();
        assert_eq!(row["problem"], "no_envelope", "{verdict}");
        assert_eq!(row["night"], "", "{verdict}");
        assert_eq!(row["participant"], "", "{verdict}");
        let kept = fs::read_to_string(job.out.join("other.ndjson")).unwrap();
        assert!(!kept.contains("\"device\":3,"), "{verdict}: {kept}");
        verify(&job.out, &world.trusted()).unwrap();
    }
}

#[test]
fn who_was_erased_gets_no_package_and_nobody_else_gets_their_phones() {
    let mut world = erased();
    world.judge(3, 1, "erased", false);
    for participant in ["P-dan", "P-ada", "P-other"] {
        let mut job = world.job("mine");
        job.participant = Some(participant.into());
        job.devices = vec![DeviceId(3)];
        let refused = world.export(&job).unwrap_err();
        assert_eq!(refused.code(), "key_destroyed", "{participant}: {refused}");
        assert!(!job.out.exists());
    }
}

/// Their own device would be withdrawn as another's: it seals to the key, and not to nobody.
#[test]
fn erasing_as_plain_who_has_or_had_a_key_changes_no_record() {
    let mut world = study();
    let destruction = destruction("P-bob", &[1]);
    world.keys.destroy(&destruction).unwrap();
    let records = ["destroyed.ndjson", "erasures.ndjson"];
    let records = records.map(|name| world.path("keys").join(name));
    let before = records.clone().map(|file| fs::read(file).unwrap());
    for (participant, device) in [("P-bob", 1), ("P-ada", 0)] {
        // It is refused before a node is asked: there is none.
        let refused = program()
            .args(["erase", participant, "--plain", "--record=request 8"])
            .args(["--device=3", "--relay=dave=http://127.0.0.1:1"])
            .arg(format!("--wrong-device={device}"))
            .arg("--node=ws://127.0.0.1:1")
            .arg(format!("--keys={}", world.path("keys").display()))
            .env("MHEALTH_RELAY_CREDENTIAL", "x")
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(3), "{participant}");
        assert_eq!(last_line(&refused), "done=false error=bad_input");
        assert_eq!(records.clone().map(|file| fs::read(file).unwrap()), before);
    }
}
