// SPDX-License-Identifier: Apache-2.0

//! A holder signs what the audit does not say: a reader who has the report finds it.

use std::fs;

use hashchain::DeviceId;
use mhealth_api::{Hash, Key};
use mhealth_dataset::manifest::Manifest;
use mhealth_dataset::{verify, DataError, Format, Job, Trusted, Verified};
use sha2::{Digest, Sha256};

use crate::support::nights::study;
use crate::support::{destruction, World, BLOCK, BLOCK_TIME};
use crate::verifying::{hide_in_the_next_row, sign_again};

/// Makes a dataset of the report that is there, puts the auditor's in its place, and signs that it is of that.
fn made_instead(world: &mut World, job: &Job, genuine: &str) -> Manifest {
    let mut manifest = world.export(job).unwrap();
    fs::write(&job.audit, genuine).unwrap();
    manifest.audit.sha256 = Hash(Sha256::digest(genuine.as_bytes()).into());
    signed(world, &manifest);
    manifest
}

fn signed(world: &World, manifest: &Manifest) {
    sign_again(world, manifest.clone(), &world.keys.holder().unwrap());
}

fn verified(world: &World) -> Result<Verified, DataError> {
    verify(&world.path("out"), &world.trusted())
}

/// By a reader who has no report.
fn verified_without(world: &World) -> Result<Verified, DataError> {
    let trusted = Trusted {
        audit: None,
        ..world.trusted()
    };
    verify(&world.path("out"), &trusted)
}

fn code(refused: Result<Verified, DataError>) -> &'static str {
    refused.unwrap_err().code()
}

#[test]
fn a_row_that_says_otherwise_than_the_audit_is_named_in_every_format() {
    let mut world = study();
    let time = |block: u64| BLOCK_TIME - 10_000 + 10 * block;
    let received = BLOCK_TIME - 5_000;
    // The third entry of each device is in block 5, and each device was enrolled in block 1.
    let changes = [
        (
            "block",
            "\"block\":5,".to_owned(),
            "\"block\":6,".to_owned(),
        ),
        (
            "submitter",
            Key([4; 32]).to_string(),
            Key([5; 32]).to_string(),
        ),
        (
            "not_before",
            format!("\"1\":{}", time(1)),
            format!("\"1\":{}", time(1) + 1),
        ),
        (
            "not_after",
            format!("\"5\":{}", time(5)),
            format!("\"5\":{}", time(5) + 1),
        ),
        (
            "received_at",
            format!("\"received_at\":{received}"),
            format!("\"received_at\":{}", received + 1),
        ),
        ("verdict", String::new(), String::new()),
    ];
    world.judge(0, 3, "forged", true);
    world.write();
    let genuine = fs::read_to_string(world.path("audit.json")).unwrap();
    for format in Format::ALL {
        for (what, from, to) in &changes {
            // Neither a data point nor a Provenance has it.
            let without = [Format::OpenMhealth, Format::Fhir];
            if *what == "received_at" && without.contains(&format) {
                continue;
            }
            let is_verdict = *what == "verdict";
            let verdict = if is_verdict { "valid" } else { "forged" };
            world.judge(0, 3, verdict, true);
            let mut job = world.job("out");
            job.formats = vec![format];
            job.include_flagged = true;
            let report = fs::read_to_string(&job.audit).unwrap();
            if !is_verdict {
                assert_eq!(report, genuine);
                assert!(genuine.contains(from), "{what}");
                fs::write(&job.audit, report.replace(from, to)).unwrap();
            }
            made_instead(&mut world, &job, &genuine);
            let refused = verified(&world).unwrap_err();
            assert_eq!(refused.code(), "row_contradicts_audit", "{format}");
            let named = format!("its {what} is not what the audit has");
            assert!(
                refused.to_string().contains(&named),
                "{format} {what}: {refused}"
            );
            // Without the report it is the holder's word.
            verified_without(&world).unwrap();
            fs::remove_dir_all(&job.out).unwrap();
        }
    }
}

#[test]
fn an_entry_that_the_audit_calls_valid_and_that_has_no_row_is_named() {
    let mut world = study();
    let second = world.phone(Some("P-ada"));
    world.night(second, "P-ada", 30, 300, 320);
    world.write();
    let genuine = fs::read_to_string(world.path("audit.json")).unwrap();
    // Of a phone, of all that a phone of somebody's has, and of one that seals to nobody.
    for (phone, sequence) in [(0, 3), (second, 1), (3, 1)] {
        world.judge(phone, sequence, "missing", false);
        let job = world.job("out");
        let mut manifest = made_instead(&mut world, &job, &genuine);
        world.judge(phone, sequence, "valid", true);
        for reason in ["missing", "key_destroyed"] {
            manifest.left_out = [(reason.to_owned(), 1)].into();
            signed(&world, &manifest);
            let refused = verified(&world).unwrap_err();
            assert_eq!(refused.code(), "entry_left_out", "{phone} {reason}");
            let named = format!("device {phone}, entry {sequence}, which the audit calls valid");
            assert!(refused.to_string().contains(&named), "{refused}");
            verified_without(&world).unwrap();
        }
        fs::remove_dir_all(&job.out).unwrap();
    }
}

#[test]
fn an_entry_that_is_not_in_a_participants_package_is_named() {
    let mut world = study();
    let mut job = world.job("out");
    job.formats = vec![Format::Csv];
    job.participant = Some("P-ada".into());
    job.include_flagged = true;
    let mut manifest = world.export(&job).unwrap();
    verified(&world).unwrap();
    manifest.rows -= 1;
    *manifest.verdicts.get_mut("valid").unwrap() -= 1;
    let third = world.made(0)[2].run.entries[0].digest.to_string();
    for name in ["nights.csv", "my-data.json"] {
        let path = job.out.join(name);
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        let before = lines.len();
        lines.retain(|line| !line.contains(&third));
        assert_eq!(lines.len() + 1, before, "{name}");
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    signed(&world, &manifest);
    let refused = verified(&world).unwrap_err();
    assert_eq!(refused.code(), "entry_left_out");
    let named = "device 0, entry 3,";
    assert!(refused.to_string().contains(named), "{refused}");
}

/// The holder may say so: whoever verifies the dataset is told of which devices.
#[test]
fn a_participant_whose_key_is_destroyed_is_left_out_as_a_whole_and_the_devices_are_named() {
    let mut world = study();
    world.export(&world.job("out")).unwrap();
    assert_eq!(verified(&world).unwrap().key_destroyed, Some(Vec::new()));
    assert_eq!(verified_without(&world).unwrap().key_destroyed, None);
    fs::remove_dir_all(world.path("out")).unwrap();
    let destruction = destruction("P-bob", &[1]);
    world.keys.destroy(&destruction).unwrap();
    world.export(&world.job("out")).unwrap();
    let verified = verified(&world).unwrap();
    assert_eq!(verified.key_destroyed, Some(vec![DeviceId(1)]));
    assert_eq!(verified.manifest.left_out["key_destroyed"], 13);
}

#[test]
fn a_row_that_stands_twice_for_another_is_refused_without_a_report_too() {
    let mut world = study();
    let manifest = world.export(&world.job("out")).unwrap();
    for name in ["nights.csv", "fhir/Provenance.ndjson", "other.ndjson"] {
        let path = world.path("out").join(name);
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        let last = lines.len() - 1;
        lines[last] = lines[last - 1];
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        signed(&world, &manifest);
        let refused = verified_without(&world).unwrap_err();
        assert_eq!(refused.code(), "bad_row", "{name}");
        assert!(refused.to_string().contains("a row before it"), "{refused}");
        fs::write(&path, text).unwrap();
    }
}

/// Otherwise a night that nobody wants would be called a part of the next one.
#[test]
fn what_is_called_a_part_is_one_of_the_row_too() {
    let mut world = study();
    let mut job = world.job("out");
    job.formats = vec![Format::Csv];
    let mut manifest = world.export(&job).unwrap();
    hide_in_the_next_row(&world, &mut manifest);
    signed(&world, &manifest);
    let refused = verified_without(&world).unwrap_err();
    assert_eq!(refused.code(), "bad_row");
    let why = "what parts.ndjson does not";
    assert!(refused.to_string().contains(why), "{refused}");
}

#[test]
fn what_a_manifest_counts_and_says_of_the_audit_is_compared() {
    let mut world = study();
    world.judge(0, 3, "forged", true);
    let genuine = world.export(&world.job("out")).unwrap();
    verified(&world).unwrap();
    let changes: [fn(&mut Manifest); 6] = [
        // The sums are as they were.
        |it| {
            *it.verdicts.get_mut("valid").unwrap() += 1;
            it.verdicts.remove("forged");
        },
        |it| it.left_out = [("altered".to_owned(), 1)].into(),
        |it| it.devices += 1,
        |it| it.not_audited += 1,
        |it| it.title = "Another study".into(),
        |it| it.audit.auditor = "another auditor".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut manifest = genuine.clone();
        change(&mut manifest);
        signed(&world, &manifest);
        assert_eq!(code(verified(&world)), "bad_manifest", "{number}");
        verified_without(&world).unwrap();
    }
    // What does not add up is wrong whatever the audit says.
    let mut manifest = genuine.clone();
    manifest.left_out.clear();
    signed(&world, &manifest);
    assert_eq!(code(verified_without(&world)), "bad_manifest");
    signed(&world, &genuine);
    verified(&world).unwrap();
}

/// A large study's is in parts, which a reader may name in another order than the holder.
#[test]
fn the_order_of_files_of_evidence_hides_nothing() {
    let mut world = study();
    let mut job = world.job("out");
    let second = world.path("second.evidence");
    fs::write(&second, world.evidence(BLOCK + 1).to_bytes()).unwrap();
    job.evidence.files.push(second);
    let mut manifest = world.export(&job).unwrap();
    let mut trusted = Trusted {
        evidence: job.evidence,
        ..world.trusted()
    };
    for lacking in [0, 1] {
        manifest.not_audited = lacking;
        signed(&world, &manifest);
        for _ in ["as the holder named them", "the other way round"] {
            let verified = verify(&world.path("out"), &trusted);
            match lacking {
                0 => drop(verified.unwrap()),
                _ => assert_eq!(code(verified), "bad_manifest"),
            }
            trusted.evidence.files.reverse();
        }
    }
}
