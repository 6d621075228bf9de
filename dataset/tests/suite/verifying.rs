// SPDX-License-Identifier: Apache-2.0

//! One changed byte anywhere is refused, and named.

use std::fs;

use ed25519_dalek::Signer;
use hashchain::{encoding, Native};
use mhealth_api::{Hash, SignatureBytes};
use mhealth_dataset::manifest::{Manifest, MANIFEST, SIGNATURE};
use mhealth_dataset::{verify, DataError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};

use crate::support::nights::study;
use crate::support::pipes::{in_time, pipe};
use crate::support::World;

fn made() -> (World, Manifest) {
    let mut world = study();
    // So that no file is empty.
    world.night_in_parts(2, "P-cyd", 14);
    let manifest = world.export(&world.job("out")).unwrap();
    (world, manifest)
}

#[test]
fn a_thousand_flipped_bits_are_a_thousand_refusals() {
    let (world, manifest) = made();
    let (folder, trusted) = (world.path("out"), world.trusted());
    let mut names: Vec<&str> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    names.extend([MANIFEST, SIGNATURE]);
    let mut random = StdRng::seed_from_u64(1_000);
    for _ in 0..1_000 {
        let name = names[random.random_range(0..names.len())];
        let path = folder.join(name);
        let genuine = fs::read(&path).unwrap();
        let mut bytes = genuine.clone();
        let place = random.random_range(0..bytes.len());
        let bit = random.random_range(0..8);
        bytes[place] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        match verify(&folder, &trusted).unwrap_err() {
            DataError::FileAltered(named) => assert_eq!(named, name),
            DataError::BadSignature => assert!([MANIFEST, SIGNATURE].contains(&name)),
            other => panic!("{name}, byte {place}, bit {bit}: {other}"),
        }
        fs::write(&path, genuine).unwrap();
    }
    verify(&folder, &trusted).unwrap();
}

#[test]
fn files_more_or_fewer_are_named() {
    let (world, _) = made();
    let (folder, trusted) = (world.path("out"), world.trusted());
    let more = folder.join("fhir/Patient.ndjson");
    fs::write(&more, "").unwrap();
    let refused = verify(&folder, &trusted).unwrap_err();
    assert!(matches!(&refused, DataError::FileUnlisted(name) if name == "fhir/Patient.ndjson"));
    fs::remove_file(more).unwrap();
    let fewer = folder.join("nights.parquet");
    fs::rename(&fewer, world.path("elsewhere")).unwrap();
    let refused = verify(&folder, &trusted).unwrap_err();
    assert!(matches!(&refused, DataError::FileMissing(name) if name == "nights.parquet"));
    fs::rename(world.path("elsewhere"), fewer).unwrap();
    fs::remove_file(folder.join(SIGNATURE)).unwrap();
    let refused = verify(&folder, &trusted).unwrap_err();
    assert!(matches!(refused, DataError::NotADataset(_)));
}

#[test]
fn a_pipe_in_the_place_of_a_file_keeps_nobody_waiting() {
    let (world, _) = made();
    for (name, code) in [("nights.csv", "file_altered"), (MANIFEST, "not_a_dataset")] {
        let (folder, trusted) = (world.path("out"), world.trusted());
        fs::remove_file(folder.join(name)).unwrap();
        pipe(&folder.join(name));
        let verified = in_time(move || {
            let verified = verify(&folder, &trusted);
            verified.map(drop).map_err(|error| error.code())
        });
        assert_eq!(verified, Err(code));
    }
}

/// Takes the fourth line out of the nights of phone 0, and says in `parts.ndjson` that this entry and the next one are parts of the row
/// after it.
pub(crate) fn hide_in_the_next_row(world: &World, manifest: &mut Manifest) {
    let folder = world.path("out");
    let path = folder.join("nights.csv");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(3);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let parts = world.made(0)[2..4].iter().map(|made| {
        let part = json!({
            "row": 4, "device": 0, "sequence": made.sequence, "link": made.link,
            "digest": made.run.entries[0].digest, "verdict": "valid", "registered": true,
        });
        format!("{part}\n")
    });
    let parts: String = parts.collect();
    fs::write(folder.join("parts.ndjson"), parts).unwrap();
    manifest.rows -= 1;
    (manifest.parts, manifest.records_in_parts) = (2, 1);
}

/// Signs the folder as it is now.
pub(crate) fn sign_again(
    world: &World,
    mut manifest: Manifest,
    holder: &ed25519_dalek::SigningKey,
) {
    let folder = world.path("out");
    for file in &mut manifest.files {
        let bytes = fs::read(folder.join(&file.name)).unwrap();
        file.bytes = bytes.len() as u64;
        file.sha256 = Hash(Sha256::digest(&bytes).into());
    }
    manifest.holder = mhealth_api::Key(holder.verifying_key().to_bytes());
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let statement = encoding::hash::<Native>("dataset", &[&digest]);
    let signature = SignatureBytes(holder.sign(&statement).to_bytes());
    fs::write(folder.join(MANIFEST), text).unwrap();
    fs::write(folder.join(SIGNATURE), format!("{signature}\n")).unwrap();
}

#[test]
fn a_dataset_that_somebody_else_signed_is_refused() {
    let (world, manifest) = made();
    let other = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    sign_again(&world, manifest, &other);
    let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
    assert!(matches!(refused, DataError::BadSignature));
    let mut trusted = world.trusted();
    trusted.holder = mhealth_api::Key(other.verifying_key().to_bytes());
    verify(&world.path("out"), &trusted).unwrap();
}

/// Even the holder cannot give a row another place or another digest: the evidence has neither.
#[test]
fn a_row_that_the_chain_does_not_have_is_named_in_every_format() {
    let files = [
        "nights.csv",
        "redcap/nights.csv",
        "cdisc/sleep.json",
        "open-mhealth.ndjson",
        "fhir/Provenance.ndjson",
    ];
    let (world, manifest) = made();
    let holder = world.keys.holder().unwrap();
    for entry in [0, 3] {
        let made = &world.made(1)[entry];
        for (what, real) in [
            ("digest", made.run.entries[0].digest.to_string()),
            ("link", made.link.to_string()),
        ] {
            let another = match what {
                "digest" => world.made(0)[entry].run.entries[0].digest.to_string(),
                _ => world.made(0)[entry].link.to_string(),
            };
            for name in files {
                let path = world.path("out").join(name);
                let genuine = fs::read_to_string(&path).unwrap();
                assert!(genuine.contains(&real), "{name}");
                fs::write(&path, genuine.replace(&real, &another)).unwrap();
                sign_again(&world, manifest.clone(), &holder);
                let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
                let expected = entry as u64 + 1;
                assert!(
                    matches!(&refused, DataError::RowNotRegistered { file, device, sequence, .. }
                        if file == name && device.0 == 1 && *sequence == expected),
                    "{name} {what}: {refused}"
                );
                fs::write(&path, genuine).unwrap();
            }
        }
    }
    sign_again(&world, manifest, &holder);
    verify(&world.path("out"), &world.trusted()).unwrap();
}

/// The same of the two files that are no text of rows: another study's table, with as many rows, and a payload of another entry.
#[test]
fn a_table_in_columns_and_a_payload_that_the_chain_does_not_have_are_named() {
    let (world, manifest) = made();
    // Its participants have other keys, so what is sealed to them has other links.
    let (other, _) = made();
    let holder = world.keys.holder().unwrap();
    let path = world.path("out/nights.parquet");
    let genuine = fs::read(&path).unwrap();
    fs::copy(other.path("out/nights.parquet"), &path).unwrap();
    sign_again(&world, manifest.clone(), &holder);
    let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
    assert!(
        matches!(&refused, DataError::RowNotRegistered { file, row: 1, .. } if file == "nights.parquet"),
        "{refused}"
    );
    fs::write(&path, genuine).unwrap();

    let path = world.path("out/other.ndjson");
    let genuine = fs::read_to_string(&path).unwrap();
    let first: Value = serde_json::from_str(genuine.lines().next().unwrap()).unwrap();
    let another = world.made(0)[0].run.entries[0].digest.to_string();
    let real = first["digest"].as_str().unwrap();
    fs::write(&path, genuine.replace(real, &another)).unwrap();
    sign_again(&world, manifest.clone(), &holder);
    let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
    assert!(
        matches!(&refused, DataError::RowNotRegistered { file, row: 1, .. } if file == "other.ndjson"),
        "{refused}"
    );
    fs::write(&path, genuine).unwrap();
    sign_again(&world, manifest, &holder);
    verify(&world.path("out"), &world.trusted()).unwrap();
}

/// A part is an entry like any other: its digest and link are compared, and none may be left out.
#[test]
fn a_part_that_the_chain_does_not_have_is_named() {
    let mut world = study();
    let places = world.night_in_parts(1, "P-bob", 14);
    let manifest = world.export(&world.job("out")).unwrap();
    let holder = world.keys.holder().unwrap();
    let path = world.path("out/parts.ndjson");
    let genuine = fs::read_to_string(&path).unwrap();
    let part = *places.start() as usize;
    let made = |phone: usize, entry: usize| &world.made(phone)[entry];
    for (real, another) in [
        (
            made(1, part).run.entries[0].digest.to_string(),
            made(0, 0).run.entries[0].digest.to_string(),
        ),
        (made(1, part).link.to_string(), made(0, 0).link.to_string()),
    ] {
        assert!(genuine.contains(&real));
        fs::write(&path, genuine.replace(&real, &another)).unwrap();
        sign_again(&world, manifest.clone(), &holder);
        let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
        assert!(
            matches!(&refused, DataError::RowNotRegistered { file, row: 2, device, sequence }
                if file == "parts.ndjson" && device.0 == 1 && *sequence == part as u64 + 1),
            "{refused}"
        );
    }
    let (_, fewer) = genuine.split_once('\n').unwrap();
    fs::write(&path, fewer).unwrap();
    sign_again(&world, manifest.clone(), &holder);
    let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
    assert_eq!(refused.code(), "bad_row");
    fs::write(&path, genuine).unwrap();
    sign_again(&world, manifest, &holder);
    verify(&world.path("out"), &world.trusted()).unwrap();
}

#[test]
fn a_dataset_of_valid_rows_has_no_other_row() {
    let mut world = study();
    world.judge(0, 3, "forged", true);
    let mut job = world.job("out");
    job.include_flagged = true;
    let mut manifest = world.export(&job).unwrap();
    manifest.include_flagged = false;
    sign_again(&world, manifest, &world.keys.holder().unwrap());
    let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
    assert_eq!(refused.code(), "bad_row");
}

#[test]
fn a_row_that_was_taken_out_or_put_in_twice_is_missed() {
    let (world, manifest) = made();
    let path = world.path("out/nights.csv");
    let genuine = fs::read_to_string(&path).unwrap();
    let last = genuine.lines().next_back().unwrap();
    for changed in [
        genuine.replace(&format!("{last}\n"), ""),
        format!("{genuine}{last}\n"),
    ] {
        fs::write(&path, changed).unwrap();
        sign_again(&world, manifest.clone(), &world.keys.holder().unwrap());
        let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
        assert_eq!(refused.code(), "bad_row");
    }
}

/// Whoever signed it, a line takes no more memory than the longest row has.
#[test]
fn a_line_without_an_end_is_refused() {
    let (world, manifest) = made();
    let holder = world.keys.holder().unwrap();
    for name in ["other.ndjson", "nights.csv", "cdisc/sleep.json"] {
        let path = world.path("out").join(name);
        let genuine = fs::read(&path).unwrap();
        let mut long = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..260 {
            std::io::Write::write_all(&mut long, &piece).unwrap();
        }
        sign_again(&world, manifest.clone(), &holder);
        let refused = verify(&world.path("out"), &world.trusted()).unwrap_err();
        assert_eq!(refused.code(), "bad_row", "{name}");
        assert!(
            refused.to_string().contains("longer than any row"),
            "{name}: {refused}"
        );
        fs::write(&path, genuine).unwrap();
    }
}

#[test]
fn another_audit_and_older_evidence_are_refused() {
    let (world, _) = made();
    let mut trusted = world.trusted();
    let audit = world.path("other.json");
    fs::write(&audit, "{}").unwrap();
    trusted.audit = Some(audit);
    let refused = verify(&world.path("out"), &trusted).unwrap_err();
    assert!(matches!(refused, DataError::AnotherAudit(_)));
    trusted.audit = None;
    fs::write(world.path("study.evidence"), world.evidence(99).to_bytes()).unwrap();
    let refused = verify(&world.path("out"), &trusted).unwrap_err();
    assert!(matches!(
        refused,
        DataError::EvidenceTooOld {
            evidence: 99,
            audit: 100
        }
    ));
}
