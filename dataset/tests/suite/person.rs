// SPDX-License-Identifier: Apache-2.0

//! A participant's own package.

use std::fs;

use hashchain::{plain_envelope, Content, DeviceId};
use mhealth_api::Base64;
use mhealth_dataset::manifest::FileRef;
use mhealth_dataset::{verify, DataError, Format};
use mhealth_device::payload::MEDIA_TYPE;
use serde_json::Value;

use crate::support::nights::{day, measured, study};
use crate::support::{destruction, World};
use crate::verifying::sign_again;

#[test]
fn a_package_has_all_of_one_person_and_nothing_of_another() {
    let mut world = study();
    world.judge(0, 2, "forged", true);
    let mut job = world.job("mine");
    job.participant = Some("P-ada".into());
    job.include_flagged = true;
    job.formats = vec![Format::Csv, Format::OpenMhealth];
    let manifest = world.export(&job).unwrap();
    assert_eq!(
        (manifest.rows, manifest.devices, manifest.participants),
        (16, 1, 1)
    );
    assert_eq!(manifest.verdicts["forged"], 1);
    let mine: Value =
        serde_json::from_slice(&fs::read(job.out.join("my-data.json")).unwrap()).unwrap();
    assert_eq!(mine["schema"], "mhealth-my-data/1");
    let entries = mine["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 16);
    assert_eq!(entries[0]["total_sleep_time_min"], 300.0);
    assert_eq!(entries[0]["held_by"][0], "dave");
    assert!(entries[0]["submitter"].is_string() && entries[0]["not_after"].is_string());
    assert_eq!(entries[0]["data_points"].as_array().unwrap().len(), 2);
    let page = fs::read_to_string(job.out.join("my-data.html")).unwrap();
    assert!(page.contains("Sleep &amp; &lt;insomnia&gt;"));
    assert!(page.contains("Your phone did not make it."));
    for file in &manifest.files {
        let text =
            String::from_utf8_lossy(&fs::read(job.out.join(&file.name)).unwrap()).into_owned();
        for other in ["P-bob", "P-cyd", "P-dan", "P-eve"] {
            assert!(!text.contains(other), "{} has {other}", file.name);
        }
    }
    verify(&job.out, &world.trusted()).unwrap();
}

/// Even the holder cannot give an entry of the package another digest, nor leave one out.
#[test]
fn an_entry_of_a_package_that_the_chain_does_not_have_is_named() {
    let mut world = study();
    let mut job = world.job("out");
    job.participant = Some("P-ada".into());
    job.include_flagged = true;
    let manifest = world.export(&job).unwrap();
    let holder = world.keys.holder().unwrap();
    let path = job.out.join("my-data.json");
    let genuine = fs::read_to_string(&path).unwrap();
    let digest = |phone: usize| world.made(phone)[3].run.entries[0].digest.to_string();
    fs::write(&path, genuine.replace(&digest(0), &digest(1))).unwrap();
    sign_again(&world, manifest.clone(), &holder);
    let refused = verify(&job.out, &world.trusted()).unwrap_err();
    assert!(
        matches!(&refused, DataError::RowNotRegistered { file, row: 4, .. } if file == "my-data.json"),
        "{refused}"
    );
    let mut fewer: Vec<&str> = genuine.lines().collect();
    assert!(fewer.remove(3).starts_with('{'));
    fs::write(&path, fewer.join("\n")).unwrap();
    sign_again(&world, manifest, &holder);
    let refused = verify(&job.out, &world.trusted()).unwrap_err();
    assert_eq!(refused.code(), "bad_row");
}

#[test]
fn a_person_without_key_or_without_entries_is_told_so() {
    let mut world = study();
    let mut job = world.job("mine");
    job.participant = Some("P-nobody".into());
    assert_eq!(
        world.export(&job).unwrap_err().code(),
        "no_such_participant"
    );
    // She has a phone, and it sent nothing.
    job.participant = Some("P-eve".into());
    let manifest = world.export(&job).unwrap();
    assert_eq!((manifest.rows, manifest.devices), (0, 1));
    fs::remove_dir_all(&job.out).unwrap();
    let destruction = destruction("P-bob", &[1]);
    world.keys.destroy(&destruction).unwrap();
    job.participant = Some("P-bob".into());
    assert_eq!(world.export(&job).unwrap_err().code(), "key_destroyed");
}

#[test]
fn a_person_is_found_by_the_key_of_the_enrolment_code_and_by_what_the_chain_has() {
    let mut world = study();
    let (_, key) = world.keys.public_keys().next().unwrap();
    let digest = hashchain::participant_digest::<hashchain::Native>(Some(&key.0));
    for (named, number) in [
        ("P-ada".to_owned(), 1),
        (key.to_string(), 2),
        (mhealth_api::Hash(digest).to_string(), 3),
    ] {
        let mut job = world.job(&format!("mine-{number}"));
        job.participant = Some(named);
        let manifest = world.export(&job).unwrap();
        assert_eq!(manifest.participant.as_deref(), Some("P-ada"));
        assert_eq!((manifest.rows, manifest.devices), (16, 1));
    }
}

#[test]
fn a_person_whose_phone_seals_to_nobody_is_found_by_the_device() {
    let mut world = study();
    let mut job = world.job("mine");
    job.participant = Some("P-dan".into());
    assert_eq!(
        world.export(&job).unwrap_err().code(),
        "no_such_participant"
    );
    job.devices = vec![DeviceId(3)];
    let manifest = world.export(&job).unwrap();
    assert_eq!((manifest.rows, manifest.current), (1, 1));
    assert_eq!(manifest.participant.as_deref(), Some("P-dan"));
    verify(&job.out, &world.trusted()).unwrap();
    // It is with what was sealed to the person's key.
    let plain = world.phone(None);
    world.night(plain, "P-bob", 20, 300, 320);
    let mut job = world.job("both");
    job.participant = Some("P-bob".into());
    job.devices = vec![DeviceId(plain as u32)];
    let manifest = world.export(&job).unwrap();
    assert_eq!((manifest.rows, manifest.devices), (14, 2));
    // What was sealed to another's key, and what is on no chain, is nobody's to ask for.
    for (device, code) in [
        (0, "device_of_another"),
        (3, "device_of_another"),
        (99, "evidence_lacks_device"),
    ] {
        job.out = world.path("refused");
        job.devices = vec![DeviceId(device)];
        assert_eq!(world.export(&job).unwrap_err().code(), code);
        assert!(!job.out.exists());
    }
}

#[test]
fn the_page_says_what_is_so_of_this_persons_phones_and_entries() {
    let mut world = study();
    let plain = world.phone(None);
    world.night(plain, "P-ada", 20, 300, 320);
    world.judge(0, 2, "erased", false);
    // It names an entry that is still to come.
    world.correction(0, "P-ada", 5, (300, 340), 400);
    let mut page = |out: &str, participant: &str, devices: &[usize]| {
        let mut job = world.job(out);
        job.participant = Some(participant.into());
        job.include_flagged = true;
        let devices = devices.iter().map(|device| DeviceId(*device as u32));
        job.devices = devices.collect();
        world.export(&job).unwrap();
        fs::read_to_string(job.out.join("my-data.html")).unwrap()
    };
    let sealed = page("sealed", "P-ada", &[]);
    assert!(
        sealed.contains("<p>Your phone seals every entry"),
        "{sealed}"
    );
    assert!(sealed.contains("because the study keeps them no longer"));
    assert!(sealed.contains("(bad_correction)"), "{sealed}");
    for untrue in [
        "key was destroyed",
        "could not be read here",
        "without sealing it",
    ] {
        assert!(!sealed.contains(untrue), "{untrue}: {sealed}");
    }
    let plain_only = page("plain", "P-dan", &[3]);
    assert!(plain_only.contains("<p>Your phone sends every entry as it is"));
    for untrue in ["your key", "If your key", "seals every entry"] {
        assert!(!plain_only.contains(untrue), "{untrue}: {plain_only}");
    }
    let both = page("both", "P-ada", &[0, plain]);
    assert!(both.contains("<p>Some of your phones seal"), "{both}");
}

/// All that the files of a dataset have, and what their payloads are.
fn all_of(world: &World, out: &str, files: &[FileRef]) -> String {
    let mut all = String::new();
    for file in files {
        let bytes = fs::read(world.path(out).join(&file.name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines().filter(|_| file.name == "other.ndjson") {
            let line: Value = serde_json::from_str(line).unwrap();
            let payload: Base64 = serde_json::from_value(line["payload"].clone()).unwrap();
            all.push_str(&String::from_utf8_lossy(&payload.0));
        }
        all.push_str(&text);
    }
    all
}

/// Phones that share a key, or whose number was mistyped: what names another person is not in this person's package.
#[test]
fn a_package_has_no_payload_that_names_another() {
    let mut world = study();
    // In parts, as it is, and where it cannot be read; and in another's place, by somebody else.
    world.night_in_parts(0, "P-bob", 14);
    world.night(0, "P-bob", 15, 300, 320);
    world.entry(0, MEDIA_TYPE, b"{\"participant\":\"P-bob\",\"a\":[]}");
    // What is hers and cannot be read stays.
    world.entry(0, MEDIA_TYPE, b"{\"participant\":\"P-ada\",\"kept\":[]}");
    let attempt = measured("P-bob", day(16), 300, 320, &mut world.random).to_json();
    let attempt = Content::new(MEDIA_TYPE, &attempt).unwrap();
    world.attempt(0, plain_envelope(&[1; 32], &attempt));
    let mut job = world.job("mine");
    job.participant = Some("P-ada".into());
    job.include_flagged = true;
    let manifest = world.export(&job).unwrap();
    assert_eq!(manifest.problems["another_participant"], 4);
    assert_eq!(manifest.problems["payload_unreadable"], 1);
    let all = all_of(&world, "mine", &manifest.files);
    assert!(!all.contains("P-bob"), "{all}");
    assert!(all.contains("\"kept\""), "{all}");
    verify(&job.out, &world.trusted()).unwrap();
    // The holder's own dataset has all of it.
    let manifest = world.export(&world.job("all")).unwrap();
    assert_eq!(manifest.problems["another_participant"], 3);
    let kept = fs::read_to_string(world.path("all/other.ndjson")).unwrap();
    assert_eq!(kept.matches("another_participant").count(), 3);
}
