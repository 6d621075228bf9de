// SPDX-License-Identifier: Apache-2.0

//! Every kind of bad input gets a clear error with a stable code, and leaves nothing behind.

use std::fs;

use ed25519_dalek::{Signer, SigningKey};
use hashchain::{plain_envelope, Content, DeviceId, OpeningKey, StudyId};
use mhealth_api::{Hash, Key, SignatureBytes};
use mhealth_auditor::signature::{signature_path, Statement};
use mhealth_dataset::keys::{KeyFolder, Whose};
use mhealth_dataset::{export, Job, Progress};
use mhealth_device::payload::MEDIA_TYPE;
use sha2::{Digest, Sha256};

use crate::support::nights::{day, measured, study};
use crate::support::pipes::{in_time, pipe};
use crate::support::table::csv;
use crate::support::{destruction, World};

/// The code of the error with which an export fails, and nothing is left of it.
fn refused(world: &mut World, job: &Job) -> &'static str {
    let error = world.export(job).expect_err("it cannot be made");
    assert!(!job.out.exists(), "{error}");
    let left: Vec<_> = fs::read_dir(world.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("unfinished"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    error.code()
}

#[test]
fn keys_of_another_study_or_chain_are_refused() {
    let world = study();
    let job = world.job("out");
    for whose in [
        Whose {
            chain: world.genesis(),
            study: StudyId(1),
        },
        Whose {
            chain: Hash([1; 32]),
            study: StudyId(0),
        },
    ] {
        let folder = world.path(&format!("keys of {}", whose.study));
        let mut keys = KeyFolder::create(&folder, whose).unwrap();
        let error = export(&job, &mut keys, &mut |_| ()).unwrap_err();
        assert_eq!(error.code(), "keys_of_another_study");
    }
}

#[test]
fn a_missing_key_is_an_error_unless_rows_may_lack_their_values() {
    let mut world = study();
    let somebody = OpeningKey::from_bytes(&[3; 32]).sealing_key();
    let phone = world.phone_sealing_to(Some(("P-gus".into(), somebody)));
    world.night(phone, "P-gus", 0, 300, 320);
    let mut job = world.job("out");
    assert_eq!(refused(&mut world, &job), "missing_keys");
    job.allow_missing_keys = true;
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.problems["no_key"], 1);
    let rows = csv(&job.out.join("nights.csv"));
    let row = rows.iter().find(|row| row["problem"] == "no_key").unwrap();
    assert_eq!(
        (
            row["current"].as_str(),
            row["total_sleep_time_min"].as_str()
        ),
        ("false", "")
    );
}

/// A folder with the right pseudonyms and other keys: nobody's data are opened, and nobody's name is given to them.
#[test]
fn wrong_keys_open_nothing() {
    let world = study();
    let mut job = world.job("out");
    let whose = Whose {
        chain: world.genesis(),
        study: StudyId(0),
    };
    let mut wrong = KeyFolder::create(&world.path("wrong"), whose).unwrap();
    for (participant, _) in world.keys.public_keys() {
        wrong.add(participant).unwrap();
    }
    let error = export(&job, &mut wrong, &mut |_| ()).unwrap_err();
    assert_eq!(error.code(), "missing_keys");
    assert!(!job.out.exists());
    job.allow_missing_keys = true;
    let manifest = export(&job, &mut wrong, &mut |_| ()).unwrap();
    // The phone that seals to nobody remains.
    assert_eq!((manifest.current, manifest.participants), (1, 1));
    assert_eq!(manifest.problems["no_key"], manifest.rows - 1);
}

/// The phone says on the chain that it seals to a participant's key, and seals to another.
#[test]
fn what_does_not_open_with_the_right_key_is_flagged() {
    let mut world = study();
    let phone = world.phone(Some("P-ada"));
    world.bytes(phone, [&[1][..], &[8; 100]].concat());
    world.bytes(phone, vec![77; 40]);
    world.bytes(phone, Vec::new());
    // Sealed for the participant, and it says somebody else's name.
    world.night(phone, "P-bob", 0, 300, 320);
    let job = world.job("out");
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.problems["undecipherable"], 1);
    assert_eq!(manifest.problems["envelope_unreadable"], 2);
    assert_eq!(manifest.problems["another_participant"], 1);
    mhealth_dataset::verify(&job.out, &world.trusted()).unwrap();
}

/// There is no key that the holder could bring, so nobody has to wait for one.
#[test]
fn what_a_phone_seals_that_seals_to_nobody_keeps_nobody_from_a_dataset() {
    let mut world = study();
    let sealed = world.made(0)[0].envelope.clone();
    world.bytes(3, sealed);
    let mut job = world.job("out");
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.problems["undecipherable"], 1);
    job.out = world.path("mine");
    job.participant = Some("P-dan".into());
    job.devices = vec![DeviceId(3)];
    job.include_flagged = true;
    let manifest = world.export(&job).unwrap();
    assert_eq!((manifest.rows, manifest.current), (2, 1));
    assert_eq!(manifest.problems["undecipherable"], 1);
}

/// Relays do not look into envelopes, so a phone can register plain ones with anybody's name.
#[test]
fn a_plain_envelope_is_nobodys_who_has_a_key_or_had_one() {
    let mut world = study();
    world.phone(Some("P-gone"));
    let gone = destruction("P-gone", &[5]);
    world.keys.destroy(&gone).unwrap();
    let before = world.job("before");
    let before = world.export(&before).unwrap();
    let stranger = world.phone(None);
    world.night(stranger, "P-bob", 20, 300, 320);
    world.night(stranger, "P-gone", 20, 300, 320);
    world.night_in_parts(stranger, "P-ada", 21);
    // The chain has that this one seals to a key, of which the folder knows nothing.
    let somebody = OpeningKey::from_bytes(&[3; 32]).sealing_key();
    let other = world.phone_sealing_to(Some(("P-gus".into(), somebody)));
    let plain = world.made(stranger)[0].envelope.clone();
    world.bytes(other, plain);
    let mut job = world.job("out");
    assert_eq!(refused(&mut world, &job), "missing_keys");
    job.allow_missing_keys = true;
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.problems["another_participant"], 3);
    assert_eq!(manifest.problems["no_key"], 1);
    let counts = (manifest.current, manifest.participants);
    assert_eq!(counts, (before.current, before.participants));
    for row in csv(&job.out.join("nights.csv")) {
        let is_theirs = [stranger, other]
            .map(|it| it.to_string())
            .contains(&row["device"]);
        assert!(!is_theirs || row["participant"].is_empty(), "{row:?}");
    }
    let kept = fs::read_to_string(job.out.join("other.ndjson")).unwrap();
    assert!(kept.contains("another_participant"), "{kept}");
}

#[test]
fn evidence_that_is_older_damaged_or_of_something_else_is_refused() {
    let mut world = study();
    let job = world.job("out");
    let file = world.path("study.evidence");
    let genuine = fs::read(&file).unwrap();
    fs::write(&file, world.evidence(99).to_bytes()).unwrap();
    assert_eq!(refused(&mut world, &job), "evidence_too_old");
    let mut damaged = genuine.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&file, damaged).unwrap();
    assert_eq!(refused(&mut world, &job), "not_evidence");
    fs::write(&file, World::new().evidence(100).to_bytes()).unwrap();
    assert_eq!(refused(&mut world, &job), "evidence_lacks_device");
    let mut cut = world.evidence(100);
    cut.devices[0].entries.pop();
    fs::write(&file, cut.to_bytes()).unwrap();
    assert_eq!(refused(&mut world, &job), "evidence_refused");
    // An entry that the evidence does not have: the audit was made of another chain's, or changed.
    fs::write(&file, &genuine).unwrap();
    let audit = fs::read_to_string(&job.audit).unwrap();
    let digest = world.made(0)[0].run.entries[0].digest.to_string();
    fs::write(
        &job.audit,
        audit.replace(&digest, &Hash([7; 32]).to_string()),
    )
    .unwrap();
    assert_eq!(refused(&mut world, &job), "evidence_contradicts_audit");
}

#[test]
fn an_audit_that_is_cut_changed_or_of_another_chain_is_refused() {
    let mut world = study();
    let job = world.job("out");
    let audit = fs::read_to_string(&job.audit).unwrap();
    let put = |text: &str| fs::write(&job.audit, text).unwrap();
    for cut in [0, 1, audit.len() / 2, audit.len() - 3] {
        put(&audit[..cut]);
        assert_eq!(refused(&mut world, &job), "not_an_audit", "{cut}");
    }
    for (from, to) in [
        ("mhealth-audit/1", "mhealth-audit/9"),
        ("\"entries\":45", "\"entries\":46"),
        ("\"schema\"", "\"scheme\""),
    ] {
        assert!(audit.contains(from), "{from}");
        put(&audit.replacen(from, to, 1));
        assert_eq!(refused(&mut world, &job), "not_an_audit", "{from}");
    }
    // A device twice.
    let line = audit.lines().nth(6).unwrap();
    put(&audit.replacen(line, &format!("{line}\n{line}"), 1));
    assert_eq!(refused(&mut world, &job), "not_an_audit");
    put(&audit.replace(&world.genesis().to_string(), &Hash([1; 32]).to_string()));
    assert_eq!(refused(&mut world, &job), "another_chain");
    // What only a later version knows is passed over.
    put(&audit.replacen("\"schema\"", "\"later\": [{\"a\": 1}],\n\"schema\"", 1));
    world.export(&job).unwrap();
}

/// A report that nobody signed could call valid what a relay invented.
#[test]
fn a_report_that_calls_right_what_is_not_registered_is_refused() {
    let mut world = study();
    let night = measured("P-ada", day(20), 300, 320, &mut world.random).to_json();
    let content = Content::new(MEDIA_TYPE, &night).unwrap();
    world.attempt(0, plain_envelope(&[1; 32], &content));
    let mut job = world.job("out");
    let genuine = fs::read_to_string(&job.audit).unwrap();
    let sums = "\"erased\":0,\"unregistered\":1,\"valid\":45";
    assert!(genuine.contains(sums), "{genuine}");
    for (verdict, others) in [
        ("valid", "\"erased\":0,\"valid\":46"),
        ("erased", "\"erased\":1,\"valid\":45"),
    ] {
        let verdict = format!("\"verdict\":\"{verdict}\"");
        let changed = genuine.replace("\"verdict\":\"unregistered\"", &verdict);
        fs::write(&job.audit, changed.replace(sums, others)).unwrap();
        for include_flagged in [false, true] {
            job.include_flagged = include_flagged;
            assert_eq!(refused(&mut world, &job), "not_an_audit", "{verdict}");
        }
    }
}

#[test]
fn a_report_that_changes_between_two_readings_is_refused() {
    let mut world = study();
    let mut job = world.job("out");
    job.include_flagged = true;
    let report = job.audit.clone();
    let changed = [&fs::read(&report).unwrap()[..], b" "].concat();
    let made = export(&job, &mut world.keys, &mut |progress| {
        // Exports are read between the two.
        if progress == Progress::Runs(1) {
            fs::write(&report, &changed).unwrap();
        }
    });
    let refused = made.expect_err("it cannot be made");
    assert_eq!(refused.code(), "not_an_audit");
    assert!(refused.to_string().contains("changed while it was read"));
    assert!(!job.out.exists());
}

#[test]
fn a_report_that_no_trusted_auditor_signed_is_refused() {
    let mut world = study();
    let mut job = world.job("out");
    let auditor = SigningKey::from_bytes(&[6; 32]);
    let public = Key(auditor.verifying_key().to_bytes());
    let report = fs::read(&job.audit).unwrap();
    let statement = Statement {
        key: public,
        chain: world.genesis(),
        study: StudyId(0),
        block: 100,
        block_hash: Hash([2; 32]),
        signer: "a test".into(),
        signed_at: 1_480_000_100,
        bytes: report.len() as u64,
        sha256: Hash(Sha256::digest(&report).into()),
        name: "audit.json".into(),
    };
    let signature = SignatureBytes(auditor.sign(statement.text().as_bytes()).to_bytes());
    job.signed_by = vec![public];
    assert_eq!(refused(&mut world, &job), "report_unsigned");
    let text = format!("{}# signature {signature}\n", statement.text());
    fs::write(signature_path(&job.audit), text).unwrap();
    job.signed_by = vec![Key([7; 32])];
    assert_eq!(refused(&mut world, &job), "another_report_key");
    job.signed_by.push(public);
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.audit.signed_by, Some(public));
    fs::remove_dir_all(&job.out).unwrap();
    fs::write(&job.audit, [&report[..], b" "].concat()).unwrap();
    assert_eq!(refused(&mut world, &job), "report_changed");
}

#[test]
fn a_valid_entry_whose_envelope_was_not_given_is_an_error() {
    let mut world = study();
    world.judge(1, 2, "valid", false);
    let job = world.job("out");
    assert_eq!(refused(&mut world, &job), "envelopes_missing");
}

#[test]
fn an_export_with_nonsense_is_read_all_the_same_and_one_of_nothing_else_is_none() {
    let mut world = study();
    let job = world.job("out");
    let file = &job.exports[0].path;
    let genuine = fs::read_to_string(file).unwrap();
    let long = "x".repeat(17 << 20);
    fs::write(
        file,
        format!("nonsense\n\n{genuine}{{\"a\":1}}\n{long}\n{long}"),
    )
    .unwrap();
    let manifest = world.export(&job).unwrap();
    assert_eq!(
        (manifest.exports[0].bad_lines, manifest.exports[0].runs),
        (5, 45)
    );
    fs::remove_dir_all(&job.out).unwrap();
    fs::write(file, "nonsense\n").unwrap();
    assert_eq!(refused(&mut world, &job), "bad_export");
    fs::remove_file(file).unwrap();
    assert_eq!(refused(&mut world, &job), "unusable_file");
}

/// Whoever reads a pipe again waits for ever.
#[test]
fn a_pipe_in_the_place_of_what_is_read_twice_is_refused_at_once() {
    let world = study();
    let pipe = pipe(&world.path("pipe"));
    let mut exported = world.job("out");
    exported.exports[0].path = pipe.clone();
    let mut signed = world.job("out");
    signed.audit = pipe.clone();
    signed.signed_by = vec![Key([7; 32])];
    let mut flagged = world.job("out");
    flagged.audit = pipe;
    flagged.include_flagged = true;
    for job in [exported, signed, flagged] {
        let mut keys = KeyFolder::open(&world.path("keys")).unwrap();
        let made = in_time(move || {
            let made = export(&job, &mut keys, &mut |_| ());
            made.map(drop).map_err(|error| error.code())
        });
        assert_eq!(made, Err("unusable_file"));
        assert!(!world.path("out").exists());
    }
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let mut world = study();
    let job = world.job("out");
    fs::create_dir(&job.out).unwrap();
    let error = world.export(&job).unwrap_err();
    assert_eq!(error.code(), "output_exists");
    fs::remove_dir(&job.out).unwrap();
    // A folder of that name that is not this program's is left alone; what a killed program left is replaced.
    let unfinished = world.path("out.unfinished");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("precious"), "").unwrap();
    assert_eq!(world.export(&job).unwrap_err().code(), "output_exists");
    assert!(unfinished.join("precious").exists());
    fs::write(unfinished.join(".being-written-by-mhealth-data"), "").unwrap();
    world.export(&job).unwrap();
    assert!(!unfinished.exists());
}
